"""The errors a user can meet: what was found, what was expected, what to do."""

from __future__ import annotations


class DreamvlaError(Exception):
    """An error with a cure.

    found, expected, cure: one sentence each, without a trailing full stop. The exit code of
    each kind stands in `cli/exit_codes.py`.
    """

    def __init__(self, found: str, expected: str, cure: str) -> None:
        super().__init__(f"{found}\n  expected: {expected}\n  what to do: {cure}")
        self.found, self.expected, self.cure = found, expected, cure


class DataSetError(DreamvlaError):
    """A data-set file cannot be read or does not fit the checkpoint."""


class BundleError(DreamvlaError):
    """A bundle is damaged, incomplete, too new or unsafe."""


class BackendError(DreamvlaError):
    """A back end is unknown or cannot be loaded."""


class ObservationError(DreamvlaError):
    """An observation or state has the wrong size, type or a non-finite value."""


class ActionError(DreamvlaError):
    """A predicted action cannot be executed."""


class ParityError(DreamvlaError):
    """Two computations that must agree do not."""


class ArmError(DreamvlaError):
    """The arm does not answer, answers nonsense or reports a fault."""


class RobotError(DreamvlaError):
    """A robot file cannot be read, or does not fit what is connected or the bundle."""


class GuardianError(DreamvlaError):
    """The guardian does not start, does not answer or refuses."""


class LatencyError(DreamvlaError):
    """The policy is too slow for the time base that was asked for."""


class RecordingError(DreamvlaError):
    """A recording cannot be read, or cannot be written."""


class OutputError(DreamvlaError):
    """The output exists already or cannot be written."""


class PlanError(DreamvlaError):
    """A quantization plan cannot be read or does not fit the bundle."""


class AcceptanceError(DreamvlaError):
    """A changed bundle does not act as well as it should."""


class DataError(DreamvlaError):
    """Data for calibration is empty, damaged or not of this arm."""


class DeviceError(DreamvlaError):
    """A device cannot be reached, or is not as it must be."""


class BoardError(DreamvlaError):
    """A board or power mode is unknown, or cannot do what is asked of it."""


class ProfileError(DreamvlaError):
    """A profile cannot be read, or could not be measured."""
