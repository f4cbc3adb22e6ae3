"""What virtual servos of both protocols have in common: registers in front of a motor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict

from dreamvla_edge.sim.motor import Drive, Motor

STEPS_PER_TURN = 4096
_LOOK_S = 0.01  # how often the electronics look at load, heat and voltage


class Servo(ABC):
    """A servo with a file of registers, which turns towards its goal while torque is on.

    registers: as the host reads them. They may be changed by hand: settings act, and a measured
    value that was set stays so, and is what the protection sees, until the power is off.
    registered: a write that waits for ACTION. eeprom_writes: how many writes touched the EEPROM.
    silent_s: how long no packet was for it [s].
    """

    protected: range  # addresses of the EEPROM
    read_only: tuple[range, ...]
    id_address: int
    delay_address: int
    size: int  # number of registers

    def __init__(self, servo: int, motor: Motor, now_s: float) -> None:
        """servo: its id; now_s: monotonic [s]."""
        self.motor, self.powered = motor, True
        self.registers = bytearray(self.size)
        self.eeprom_writes, self.silent_s = 0, 0.0
        self.registered: tuple[int, bytes] | None = None
        self._now_s = now_s
        self._shown: defaultdict[int, int] = defaultdict(int)
        self._burdened_s = 0.0
        self.put(self.id_address, servo, 1)
        self._set_up_eeprom()
        self._keep()
        self._start()
        self._show()

    @property
    def id(self) -> int:
        """The id it answers to."""
        return self.registers[self.id_address]

    @property
    def return_delay_s(self) -> float:
        """Pause before its answer [s]."""
        return self.registers[self.delay_address] * 2e-6

    @property
    @abstractmethod
    def position(self) -> float:
        """Present position [step], as it reports it but not rounded."""

    @property
    @abstractmethod
    def error(self) -> int:
        """Error byte of an answer that is otherwise good."""

    @property
    @abstractmethod
    def status_level(self) -> int:
        """What it answers: 0 PING, 1 READ as well, 2 everything."""

    @abstractmethod
    def write(self, address: int, data: bytes) -> int:
        """Stores data as a host's write does; the error number of its refusal, or 0."""

    @abstractmethod
    def _put_offset(self, offset: int) -> None:
        """Sets the register of the homing offset [step]."""

    @abstractmethod
    def _set_up_eeprom(self) -> None:
        """The factory's settings."""

    @abstractmethod
    def _start(self) -> None:
        """What power on, or a reboot, sets up in the other registers."""

    @abstractmethod
    def _drive(self) -> Drive:
        """What the registers ask of the motor."""

    @abstractmethod
    def _protect(self, elapsed_s: float) -> None:
        """Looks at the measured registers and reacts."""

    @abstractmethod
    def _show(self) -> None:
        """Brings the measured registers up to date."""

    def read(self, address: int, size: int) -> bytes:
        """Registers from `address` on; beyond the last one nothing follows."""
        return bytes(self.registers[address : address + size])

    @property
    def drive(self) -> Drive:
        """What its electronics ask of the motor now."""
        return self._drive() if self.powered else _LIMP

    def advance(self, now_s: float) -> None:
        """Moves on to the time now_s [s], monotonic."""
        while (left_s := now_s - self._now_s) > 0:
            elapsed_s = min(_LOOK_S, left_s)
            self.motor.advance(elapsed_s, self.drive)
            self._now_s = now_s if elapsed_s == left_s else self._now_s + elapsed_s
            self.silent_s += elapsed_s
            self._show()
            if self.powered:
                self._protect(elapsed_s)

    def power(self, on: bool) -> None:
        """Switches its power; what is not in the EEPROM is lost."""
        if on and not self.powered:
            self.restart()
        self.powered = on

    def restart(self) -> None:
        """Forgets everything that is not in the EEPROM."""
        self.registers[:] = self._eeprom + bytes(self.size - len(self._eeprom))
        self.registered, self._burdened_s, self.silent_s = None, 0.0, 0.0
        self._shown.clear()
        self._start()
        self._show()

    def preset_offset(self, offset: int) -> None:
        """Sets the homing offset [step]; the present position stays what it was."""
        before = self.position
        self._put_offset(offset)
        self.motor.position += before - self.position
        self._keep()

    def _keep(self) -> None:
        """Brings the EEPROM in line with the registers."""
        self._eeprom = bytes(self.registers[: self.protected.stop])

    def word(self, address: int, size: int = 2) -> int:
        """Registers as a number without sign."""
        return int.from_bytes(self.registers[address : address + size], "little")

    def put(self, address: int, value: int, size: int = 2) -> None:
        """Sets registers to a number; what does not fit is cut off."""
        self.registers[address : address + size] = (value & (1 << 8 * size) - 1).to_bytes(
            size, "little"
        )

    def measure(self, address: int, value: int, size: int = 2) -> None:
        """Sets a measured register, unless it was set by hand."""
        if value == self._shown[address]:
            return  # most are the same for seconds: nothing to do, by hand or not
        if self.word(address, size) == self._shown[address]:
            self.put(address, value, size)
            self._shown[address] = self.word(address, size)

    def is_overloaded(self, load: float, allowed: float, time_s: float, elapsed_s: float) -> bool:
        """Whether the load has been above what is allowed for time_s, now elapsed_s more."""
        self._burdened_s = self._burdened_s + elapsed_s if abs(load) > allowed else 0.0
        return self._burdened_s > time_s


_LIMP = Drive(torque=0.0, goal=None, speed=0.0, acceleration=float("inf"))
