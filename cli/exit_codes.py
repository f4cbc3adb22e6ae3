"""The one table of exit codes."""

from __future__ import annotations

EXIT_CODES = {
    "WrongUsage": 2,
    "CheckpointError": 3,
    "DataSetError": 4,
    "BundleError": 5,
    "ObservationError": 6,
    "ParityError": 7,
    "ArmError": 8,
    "OutputError": 9,
    "ActionError": 10,
    "MissingExtra": 11,
    "BackendError": 12,
    "RobotError": 13,
    "GuardianError": 14,
    "RecordingError": 15,
    "LatencyError": 16,
    "PlanError": 17,
    "AcceptanceError": 18,
    "DataError": 19,
    "DeviceError": 20,
    "BoardError": 21,
    "ProfileError": 22,
    "Interrupted": 130,
}
"""By the name of the error; 0 is success, 1 any other error."""


def exit_code(error: BaseException) -> int:
    """The exit code of an error: its own row, or that of a base class."""
    for kind in type(error).__mro__:
        if kind.__name__ in EXIT_CODES:
            return EXIT_CODES[kind.__name__]
    return 1
