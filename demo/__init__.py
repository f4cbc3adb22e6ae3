"""The trained robot that ships: weights, the bundle made of them, and the card that says how."""

from pathlib import Path

_HERE = Path(__file__).parent
BUNDLE = _HERE / "bundle"
WEIGHTS = _HERE / "weights.safetensors"
DATA_SET = _HERE / "data_set.toml"
"""What `dreamvla export` made the bundle of."""
