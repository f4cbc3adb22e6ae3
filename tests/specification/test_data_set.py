"""Data-set files say what the released evaluations did, and say clearly what is wrong with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dreamvla_edge.export.data_set import NAMES, TEMPLATES, ModelHints, load_data_set, template
from dreamvla_edge.runtime.errors import DataSetError
from golden_cases import Golden

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")


def test_calvin_is_as_its_sources_say() -> None:
    """calvin_env `robot.py` and `utils.py`: scales, frame, rotation, anchor, rate, polarity."""
    action = load_data_set("calvin").specification.action
    assert [d.scale for d in action.dimensions] == [0.02] * 3 + [0.05] * 3
    assert [d.offset for d in action.dimensions] == [0.0] * 6
    assert (action.kind, action.frame, action.rotation) == ("delta_pose", "world", "euler_add")
    assert (action.anchor, action.rate_hz) == ("target", 30)
    assert (action.gripper.upper_means, action.gripper.threshold) == ("open", 0.5)
    assert (action.chunk, action.round_to_float16) == ("first", True)


def test_libero_is_as_its_sources_say() -> None:
    """The `osc_pose.json` of robosuite 1.4 and `control_utils.py`, ACT's ensemble."""
    action = load_data_set("libero").specification.action
    assert [d.scale for d in action.dimensions] == [0.05] * 3 + [0.5] * 3
    assert [d.offset for d in action.dimensions] == [0.0] * 6
    assert (action.kind, action.frame, action.rotation) == (
        "delta_pose",
        "world",
        "axis_angle_left",
    )
    assert (action.anchor, action.rate_hz) == ("measured", 20)
    assert (action.gripper.upper_means, action.gripper.threshold) == ("closed", 0.5)
    assert (action.chunk, action.ensemble_decay, action.round_to_float16) == (
        "ensemble",
        0.01,
        False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_states_and_frames_are_what_the_environments_give(golden: Golden, name: str) -> None:
    """Raw states pass unscaled; frames have the sizes of the golden episodes."""
    specification = load_data_set(name).specification
    step = golden.episode(name)[0]
    assert step.state.shape == (specification.state.size,)
    names = [(d.name, d.unit, d.scale, d.offset) for d in specification.state.dimensions]
    assert names == [(n, "m", 1, 0) for n in ("x", "y", "z")] + [
        (n, "rad", 1, 0) for n in ("roll", "pitch", "yaw")
    ]
    for camera, frame in zip(specification.cameras, (step.primary, step.wrist), strict=True):
        assert frame.shape == (camera.height, camera.width, 3)


@pytest.mark.parametrize("name", NAMES)
def test_hints_are_those_of_the_released_networks(golden: Golden, name: str) -> None:
    """Attention heads, guidance and sampler steps of the full-size case."""
    hints = load_data_set(name).model
    assert hints == ModelHints(heads=16, guidance=1.5)
    assert hints.heads == golden.case(name)["transformer_heads"]
    assert (load_data_set(name).specification.state.gripper == "fingers") == golden.case(name)[
        "gripper_width"
    ]


# ---- an arm of one's own ------------------------------------------------------------------------

MEAN = [10.0, -20.0, 30.0, -40.0, 50.0, 60.0]
STD = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
STATISTICS = {
    feature: {
        "mean": [sign * mean for mean in MEAN],
        "std": STD,
        "min": [sign * mean - std for mean, std in zip(MEAN, STD, strict=True)],
        "max": [sign * mean + std for mean, std in zip(MEAN, STD, strict=True)],
        "count": [1000],
    }
    for feature, sign in (("action", 1), ("observation.state", -1))
} | {"observation.images.wrist": {"mean": [[[0.5]], [[0.5]], [[0.5]]]}}


def saved(folder: Path, text: str, statistics: Any = STATISTICS) -> Path:
    """A data-set file and, beside it, its statistics (None for no such file)."""
    path = folder / "arm.toml"
    path.write_text(text)
    if statistics is not None:
        (folder / "stats.json").write_text(json.dumps(statistics))
    return path


@pytest.mark.parametrize("mode", ["mean_std", "min_max"])
def test_the_template_with_statistics_is_a_data_set(tmp_path: Path, mode: str) -> None:
    """Value = scale · x + offset in rad; the fifth joint is followed by `unused`."""
    text = template("so101").replace('mode = "mean_std"', f'mode = "{mode}"')
    specification = load_data_set(str(saved(tmp_path, text))).specification
    for vector, sign in ((specification.action, 1), (specification.state, -1)):
        assert tuple(d.name for d in vector.dimensions) == (*JOINTS, "unused")
        for dimension, mean, std in zip(vector.dimensions[:5], MEAN, STD, strict=False):
            assert dimension.offset == pytest.approx(math.radians(sign * mean), rel=1e-12)
            assert dimension.scale == pytest.approx(math.radians(std), rel=1e-12)
        assert (vector.dimensions[5].scale, vector.dimensions[5].offset) == (1, 0)


def test_columns_decide_which_number_is_whose(tmp_path: Path) -> None:
    """The gripper need not stand last in the statistics."""
    columns = '"shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"'
    text = template("so101").replace(
        columns,
        '"gripper", "wrist_roll", "wrist_flex", "elbow_flex", "shoulder_lift", "shoulder_pan"',
    )
    dimensions = load_data_set(saved(tmp_path, text)).specification.action.dimensions
    assert [d.offset for d in dimensions[:5]] == pytest.approx(
        [math.radians(mean) for mean in MEAN[:0:-1]]
    )


def test_radians_stay_radians(tmp_path: Path) -> None:
    """`unit` says what the file holds."""
    text = template("so101").replace('unit = "degrees"', 'unit = "radians"')
    action = load_data_set(saved(tmp_path, text)).specification.action
    assert [d.scale for d in action.dimensions[:5]] == STD[:5]


def changed(feature: str, array: str, value: Any) -> Any:
    """The statistics with one array replaced."""
    return STATISTICS | {feature: STATISTICS[feature] | {array: value}}


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        (None, "cannot be read"),
        ([], "no list of numbers at `action`.`mean`"),
        ({}, "no list of numbers at `action`.`mean`"),
        ({"action": STATISTICS["action"]}, "no list of numbers at `observation.state`.`mean`"),
        (changed("action", "std", "large"), "no list of numbers at `action`.`std`"),
        (changed("action", "std", [True] * 6), "no list of numbers at `action`.`std`"),
        (changed("action", "std", STD[:5]), "has 5 numbers at `action`.`std`"),
        (changed("action", "mean", [*MEAN, 0.0]), "has 7 numbers at `action`.`mean`"),
        (changed("action", "mean", [math.nan, *MEAN[1:]]), "NaN or infinite"),
        (changed("observation.state", "std", [math.inf, *STD[1:]]), "NaN or infinite"),
        (changed("action", "std", [1.0, 0.0, *STD[2:]]), "no spread in `shoulder_lift`"),
        (changed("action", "std", [1.0, -1.0, *STD[2:]]), "no spread in `shoulder_lift`"),
    ],
)
def test_bad_statistics_are_refused(tmp_path: Path, statistics: Any, message: str) -> None:
    """The error names the file and the place in it."""
    path = saved(tmp_path, template("so101"), statistics)
    with pytest.raises(DataSetError) as caught:
        load_data_set(path)
    assert message in caught.value.found
    assert "stats.json" in caught.value.found


def test_statistics_that_are_not_json_are_refused(tmp_path: Path) -> None:
    """For instance a pointer that git-lfs left."""
    path = saved(tmp_path, template("so101"))
    (tmp_path / "stats.json").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataSetError, match="not JSON"):
        load_data_set(path)


CALVIN, SO101 = template("calvin"), template("so101")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CALVIN.replace("rate_hz = 30", "rate_hz = "), "not TOML: Invalid value (at line 12"),
        (
            CALVIN.replace("rate_hz = 30\n", ""),
            "at action: Object missing required field `rate_hz`",
        ),
        (
            CALVIN.replace("rate_hz = 30", "rate_hz = 30\nrate = 1"),
            "at action: Object contains unk",
        ),
        (CALVIN.replace("rate_hz = 30", 'rate_hz = "30"'), "at action.rate_hz: Expected `float`"),
        (CALVIN.replace("rate_hz = 30", "rate_hz = nan"), "at action: rate_hz must be finite"),
        (CALVIN.replace("scale = 0.05", "scale = 0", 1), "at action.dimensions[3]: scale must"),
        (CALVIN.replace("height = 84", "height = 84.5"), "at cameras[1].height: Expected `int`"),
        (CALVIN.replace('"wrist"', '"primary"'), "at the top level: the cameras must be primary"),
        (CALVIN.replace("[model]", "[modell]"), "at the top level: Object contains unknown field"),
        (CALVIN.replace("heads = 16", "heads = 0"), "at model: a number of heads must"),
        (
            CALVIN.replace("heads = 16", "head = 16"),
            "at model: Object contains unknown field `head`",
        ),
        (CALVIN.replace("guidance = 1.5", "guidance = inf"), "at model: guidance must be finite"),
        (CALVIN.replace("sampler_steps = 10", "sampler_steps = 3"), "at model: sampler_steps must"),
        (CALVIN.replace("sampler_steps = 10", "sampler_steps = 0"), "at model: sampler_steps must"),
        ("", "at the top level: Object missing required field `name`"),
        ('action = "none"', "at action: Expected `object`, got `str`"),
        (SO101.replace('unit = "degrees"', 'unit = "turns"'), "at action.statistics.unit: Invalid"),
        (SO101.replace('file = "stats.json"', ""), "at action.statistics: Object missing required"),
        (SO101.replace('"gripper",\n', '"wrist_roll",\n'), "at action.statistics: two columns"),
        (SO101.replace('"elbow_flex", unit', '"elbow", unit'), "`elbow` is not a column"),
        (
            SO101.replace('flex", unit = "rad"', 'flex", unit = "rad", scale = 2.0'),
            "beside its stat",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, found: str) -> None:
    """Syntax errors with their line, fields with their path."""
    assert text not in (CALVIN, SO101), "the edit must change something"
    with pytest.raises(DataSetError) as caught:
        load_data_set(saved(tmp_path, text))
    assert found in caught.value.found
    assert caught.value.expected
    assert caught.value.cure


@pytest.mark.parametrize("name", ["bridge", "so101", "CALVIN", "", "calvin.toml"])
def test_an_unknown_name_lists_the_known_ones(name: str, tmp_path: Path) -> None:
    """And says that a path will do."""
    with pytest.raises(DataSetError) as caught:
        load_data_set(name if name else tmp_path)
    assert "calvin, libero" in caught.value.expected


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """For instance a checkpoint given by mistake."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataSetError, match="not TOML"):
        load_data_set(path)


def test_a_file_called_like_a_shipped_data_set_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`calvin` means the shipped one wherever the command runs."""
    (tmp_path / "calvin").write_text("rubbish")
    monkeypatch.chdir(tmp_path)
    assert load_data_set("calvin").specification.name == "calvin"


def test_templates_are_the_shipped_files() -> None:
    """Three of them, and no fourth."""
    assert [name for name in TEMPLATES if "[action]" in template(name)] == [*TEMPLATES]
    with pytest.raises(DataSetError, match="no template"):
        template("../data_sets/calvin")
