"""`dreamvla eval`: the same results however they are come by, and a page about them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla
from dreamvla_edge.runtime.recording.video import probe
from dreamvla_edge.sim.evaluation.evaluation import TRIALS, Asked, Log, other_instruction, trials
from dreamvla_edge.sim.tasks import FAMILIES, draw

SEEDS = "500000:500002"


@pytest.fixture(scope="module")
def evaluated(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The folder and the document of an evaluation in one process."""
    folder = tmp_path_factory.mktemp("eval") / "out"
    done = dreamvla("eval", untrained, "--seeds", SEEDS, "-o", folder, "--json")
    assert done.returncode == 0, done.stderr
    return folder, document(done)


def lines(folder: Path) -> list[dict]:
    """What is noted of every trial."""
    return [json.loads(line) for line in (folder / TRIALS).read_text().splitlines()]


def test_the_document(evaluated: tuple[Path, dict]) -> None:
    """An untrained network does nothing that it is told, and neither do the controls."""
    folder, said = evaluated
    assert said["episodes"] == 2 and said["success"]["episodes"] == 2
    assert said["success"]["mean"] == 0 and 0.5 < said["success"]["high"] < 0.7
    assert set(said["families"]) == {"touch", "push"}
    assert set(said["controls"]) == {
        "black images",
        "shuffled instruction",
        "random actions",
        "doing nothing",
    }
    assert said["ends"] == {"time": 2} and said["policy_rate_hz"] > 0
    found = lines(folder)
    assert len(found) == 2 + 4
    own, other = found[0], next(li for li in found if li["who"] == "shuffled instruction")
    assert own["trial"]["seed"] == other["trial"]["seed"]
    assert own["trial"]["instruction"] != other["trial"]["instruction"]
    assert own["trial"]["actions"] != other["trial"]["actions"]


@pytest.mark.slow
def test_two_processes_give_the_same(
    evaluated: tuple[Path, dict], untrained: Path, tmp_path: Path
) -> None:
    """With the sha256 of all actions, in whatever order they ended."""
    done = dreamvla(
        "eval", untrained, "--seeds", SEEDS, "-o", tmp_path, "--workers", 2, "--no-controls"
    )
    assert done.returncode == 0, done.stderr
    own = [li for li in lines(evaluated[0]) if li["who"] == "policy"]
    assert sorted(lines(tmp_path), key=lambda li: li["trial"]["seed"]) == own


@pytest.mark.slow
def test_a_cluster_gives_the_same(
    evaluated: tuple[Path, dict], untrained: Path, tmp_path: Path
) -> None:
    """Line by line, from two players of a Ray cluster of this machine."""
    options = ("--seeds", SEEDS, "-o", tmp_path, "--no-controls", "--json")
    done = dreamvla("eval", untrained, *options, "--workers", 2, "--ray", "local")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path) == [li for li in lines(evaluated[0]) if li["who"] == "policy"]
    assert document(done)["success"] == evaluated[1]["success"]


@pytest.mark.slow
def test_it_goes_on_where_it_was_left(
    evaluated: tuple[Path, dict], untrained: Path, tmp_path: Path
) -> None:
    """Cut off in the middle of a line; only what is missing is played, and against itself."""
    shutil.copytree(evaluated[0], tmp_path / "out")
    text = (evaluated[0] / TRIALS).read_text()
    kept = text.splitlines(keepends=True)[0]
    (tmp_path / "out" / TRIALS).write_text(kept + text[len(kept) : len(kept) + 40])
    (tmp_path / "out" / "against").mkdir()
    for name in (TRIALS, "bundle.sha256"):
        shutil.copy(evaluated[0] / name, tmp_path / "out" / "against")
    out = tmp_path / "out"
    done = dreamvla(
        *("eval", untrained, "--seeds", "500000:500002", "--no-controls"),
        *("--against", untrained, "-o", out, "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert (out / TRIALS).read_text() == "".join(text.splitlines(keepends=True)[:2])
    said = document(done)["against"]
    assert (said["episodes"], said["difference"], said["p"]) == (2, 0.0, 1.0)
    # Another bundle's trials are not gone on with.
    (out / "bundle.sha256").write_text("0" * 64)
    refused = dreamvla("eval", untrained, "--seeds", "500000:500002", "-o", out)
    assert refused.returncode == 9 and "another bundle" in cure_of(refused.stderr)[0]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_page_in_a_browser(evaluated: tuple[Path, dict], tmp_path: Path) -> None:
    """Chromium lays it out and plays its videos: each says how long it is."""
    folder, said = evaluated
    page = Path(said["page"])
    assert page.parent == folder
    video = probe(folder / "touch-500000.mp4")
    assert (video.width, video.height) == (480, 240)
    checked = tmp_path / "page.html"
    script = (
        "<script>addEventListener('load', () => setTimeout(() => {"
        "const all = [...document.querySelectorAll('video')];"
        "document.title = JSON.stringify([all.length, ...all.map(v => [v.duration, v.videoWidth])"
        "])}, 3000))</script>"
    )
    checked.write_text(page.read_text() + script)
    for file in folder.glob("*.mp4"):
        (tmp_path / file.name).symlink_to(file)
    shown = subprocess.run(
        [
            *("chromium", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--no-sandbox", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--virtual-time-budget=10000", "--dump-dom", checked.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "<h2>2 failures</h2>" in shown.stdout
    title = shown.stdout.partition("<title>")[2].partition("</title>")[0]
    count, *videos = json.loads(title)
    assert count == 2 and videos == [[15, 480]] * 2


@pytest.mark.parametrize(
    "seeds", ["0:10", "499999:500001", "500003:500003", "500001:500000", "500000", "a:b"]
)
def test_seeds_of_training_are_refused(untrained: Path, seeds: str) -> None:
    """So is what is no range at all."""
    done = dreamvla("eval", untrained, "--seeds", seeds)
    assert done.returncode == 2 and "500000 <= FROM < TO" in done.stderr
    with pytest.raises(ValueError, match="training"):
        trials(range(499_999, 500_001))


def test_a_shuffled_instruction_is_of_another_family() -> None:
    """And every other family has its turn."""
    for name, family in FAMILIES.items():
        heard = set()
        for seed in range(500_000, 500_040):
            said = other_instruction(Asked(name, seed))
            assert said != draw(family, seed, 5).instruction
            heard |= {
                other for other, f in FAMILIES.items() if said == draw(f, seed, 5).instruction
            }
        assert heard == set(FAMILIES) - {name}


def test_a_log_of_nothing(tmp_path: Path) -> None:
    """A new folder holds no trials."""
    with Log(tmp_path / "new") as log:
        assert log.done == {}


def test_two_programs_in_one_folder(
    evaluated: tuple[Path, dict], untrained: Path, tmp_path: Path
) -> None:
    """The second one is refused and nothing is changed; afterwards it goes on there."""
    out = tmp_path / "out"
    shutil.copytree(evaluated[0], out)
    before = (out / TRIALS).read_bytes()
    with Log(out):
        refused = dreamvla("eval", untrained, "--seeds", SEEDS, "-o", out)
        found, _, cure = cure_of(refused.stderr)
        assert refused.returncode == 9 and str(out) in found and "another folder" in cure
        assert refused.stdout == ""
    done = dreamvla("eval", untrained, "--seeds", SEEDS, "-o", out)
    assert done.returncode == 0, done.stderr
    assert (out / TRIALS).read_bytes() == before
