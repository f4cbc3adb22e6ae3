"""Raw frames become the images that the released code fed to its network."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.preprocess import Preprocessing, preprocess
from dreamvla_edge.runtime.specification import CameraSpecification
from golden_cases import Golden

CLIP = Preprocessing()
DATA_SETS = ("calvin", "libero")
ONE_LEVEL = 1 / 255 / 0.26  # one of 256 grey levels in normalised units
WIDE = CameraSpecification(role="primary", height=48, width=70)


def episode_images(
    golden: Golden, data_set: str, cameras: tuple[CameraSpecification, ...]
) -> np.ndarray:
    """Every 16th pixel of the images of an episode, (25, 2, 3, 14, 14)."""
    return np.stack(
        [
            [
                preprocess(frame, camera, CLIP)[:, ::16, ::16]
                for frame, camera in zip((step.primary, step.wrist), cameras, strict=True)
            ]
            for step in golden.episode(data_set)
        ]
    )


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_images_are_bit_equal_to_the_released_ones(golden: Golden, data_set: str) -> None:
    """25 steps, two cameras of three sizes, one of them upside down."""
    cameras = load_data_set(data_set).specification.cameras
    images = episode_images(golden, data_set, cameras)
    assert images.dtype == np.float32
    expected = golden.outputs(f"episode_{data_set}_small")["preprocessed"]
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("data_set", DATA_SETS)
@pytest.mark.parametrize("camera", [0, 1])
@pytest.mark.parametrize("flip", ["none", "vertical", "horizontal", "both"])
def test_the_golden_images_tell_every_flip_apart(
    golden: Golden, data_set: str, camera: int, flip: str
) -> None:
    """The test above can fail, for each camera by itself: only its own flip fits."""
    cameras = list(load_data_set(data_set).specification.cameras)
    right = cameras[camera].flip
    cameras[camera] = replace(cameras[camera], flip=flip)
    images = episode_images(golden, data_set, tuple(cameras))[:, camera]
    expected = golden.outputs(f"episode_{data_set}_small")["preprocessed"][:, camera]
    assert np.array_equal(images, expected) == (flip == right)


@pytest.mark.parametrize("filter", ["BILINEAR", "LANCZOS", "NEAREST", "HAMMING"])
def test_the_golden_images_tell_every_filter_apart(golden: Golden, filter: str) -> None:
    """No other filter of Pillow gives them."""
    frame = golden.episode("calvin")[0].primary
    image = Image.fromarray(frame).resize((224, 224), Image.Resampling[filter])
    again = preprocess(np.asarray(image), replace(WIDE, height=224, width=224), CLIP)
    expected = golden.outputs("episode_calvin_small")["preprocessed"][0, 0]
    assert not np.array_equal(again[:, ::16, ::16], expected)


def bicubic(image: np.ndarray, length: int) -> np.ndarray:
    """Rows resized to `length` in float64: Keys' cubic, a = -0.5, widened when it shrinks.

    w(d) = 1.5 d³ - 2.5 d² + 1 for d < 1, -0.5 d³ + 2.5 d² - 4 d + 2 for d < 2
    (IEEE Transactions on Acoustics, Speech and Signal Processing 29, 1981).
    """
    ratio = len(image) / length
    centres = (np.arange(length) + 0.5) * ratio
    d = np.abs(np.arange(len(image)) + 0.5 - centres[:, None]) / max(ratio, 1)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    return np.einsum("oi,i...->o...", weights / weights.sum(1, keepdims=True), image)


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [(48, 70, None), (70, 48, None), (60, 90, (5, 11, 40, 63)), (300, 451, None), (224, 260, None)],
)
def test_a_frame_of_any_shape_agrees_with_the_formulas(
    height: int, width: int, crop: tuple[int, int, int, int] | None
) -> None:
    """Against float64 mathematics, to the rounding of Pillow's two passes: one level each."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    camera = CameraSpecification(
        role="wrist", height=height, width=width, flip="horizontal", crop=crop
    )
    expected = frame[:, ::-1].astype(float)
    if crop is not None:
        expected = expected[crop[0] : crop[0] + crop[2], crop[1] : crop[1] + crop[3]]
    short = min(expected.shape[:2])
    rows, columns = (int(224 * side / short) for side in expected.shape[:2])
    expected = np.clip(bicubic(expected.swapaxes(0, 1), columns).swapaxes(0, 1), 0, 255)
    expected = np.clip(bicubic(expected, rows), 0, 255)
    top, left = round((rows - 224) / 2), round((columns - 224) / 2)
    expected = expected[top : top + 224, left : left + 224] / 255
    expected = (expected - CLIP.mean) / CLIP.std
    image = preprocess(frame, camera, CLIP)
    assert image.shape == (3, 224, 224)
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image, expected.transpose(2, 0, 1), atol=2 * ONE_LEVEL, rtol=0)
    assert np.abs(image - expected.transpose(2, 0, 1)).mean() < 0.5 * ONE_LEVEL


def test_a_crop_is_taken_from_the_flipped_frame() -> None:
    """The top left quarter after a vertical flip is the bottom left one before it."""
    frame = np.zeros((40, 40, 3), np.uint8)
    frame[20:, :20] = 255
    camera = CameraSpecification(
        role="primary", height=40, width=40, flip="vertical", crop=(0, 0, 20, 20)
    )
    white = (1 - np.float32(CLIP.mean)) / np.float32(CLIP.std)
    np.testing.assert_array_equal(
        preprocess(frame, camera, CLIP), np.broadcast_to(white[:, None, None], (3, 224, 224))
    )


FRAME = np.zeros((48, 70, 3), np.uint8)


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (FRAME.tolist(), "type list"),
        (Image.fromarray(FRAME), "type Image"),
        (FRAME.astype(np.float32), "float32"),
        (FRAME.astype(np.int64), "int64"),
        (FRAME[..., 0], "(48, 70)"),
        (FRAME.swapaxes(0, 1), "(70, 48, 3)"),
        (FRAME.transpose(2, 0, 1), "(3, 48, 70)"),
        (np.zeros((48, 70, 4), np.uint8), "(48, 70, 4)"),
        (FRAME[None], "(1, 48, 70, 3)"),
        (FRAME[:0], "(0, 70, 3)"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame: np.ndarray, found: str) -> None:
    """The error names the camera, what was found and what was expected."""
    with pytest.raises(ObservationError) as caught:
        preprocess(frame, WIDE, CLIP)
    assert "primary" in caught.value.found
    assert found in caught.value.found
    assert caught.value.expected
    assert caught.value.cure


def test_preprocessing_survives_the_bundle_bit_for_bit() -> None:
    """It is stored as JSON."""
    stored = msgspec.json.encode(CLIP)
    assert msgspec.json.decode(stored, type=Preprocessing) == CLIP


@pytest.mark.parametrize(
    "field",
    [{"size": 0}, {"std": (0.2, 0.0, 0.2)}, {"std": (0.2, -0.2, 0.2)}, {"resample": "bilinear"}],
)
def test_preprocessing_that_cannot_be_meant_is_refused(field: dict[str, object]) -> None:
    """A bundle of another maker may say it."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(field, Preprocessing)
