"""One virtual Feetech STS3215."""

from __future__ import annotations

from dreamvla_edge.sim.motor import Drive, Motor, MotorKind
from dreamvla_edge.sim.servo import STEPS_PER_TURN, Servo

MODEL = 777
# 46 rpm without load at 12 V; full speed is reached in 0.15 s (a choice, not a data sheet).
MAX_SPEED = 46 / 60 * STEPS_PER_TURN  # [step/s]
MAX_ACCELERATION = MAX_SPEED / 0.15  # [step/s²]
STS3215 = MotorKind(MAX_SPEED, MAX_ACCELERATION, stall_current_a=2.7, supply_v=12.0)
CURRENT_UNIT_A = 0.0065
ACCELERATION_UNIT = 100.0  # [step/s²]
# Bits of the error byte.
VOLTAGE, OVERHEATED, OVER_CURRENT, OVERLOADED = 1, 4, 8, 32

_ID, _RETURN_DELAY, _STATUS_LEVEL = 5, 7, 8
_MIN_POSITION, _MAX_POSITION, _MAX_TORQUE, _UNLOADING, _HOMING, _MODE = 9, 11, 16, 19, 31, 33
_MAX_TEMPERATURE, _MAX_VOLTAGE, _MIN_VOLTAGE, _PROTECTION_CURRENT = 13, 14, 15, 28
_PROTECTIVE_TORQUE, _PROTECTION_TIME, _OVERLOAD_TORQUE, _OVER_CURRENT_TIME = 34, 35, 36, 38
_TORQUE, _ACCELERATION, _GOAL, _SPEED, _TORQUE_LIMIT, _LOCK = 40, 41, 42, 46, 48, 55
_PRESENT_POSITION, _PRESENT_SPEED, _LOAD, _VOLTAGE, _TEMPERATURE = 56, 58, 60, 62, 63
_STATUS, _MOVING, _CURRENT, _UNIT_FACTOR = 65, 66, 69, 82
_POSITION_MODE, _SPEED_MODE = 0, 1
_SET_MIDDLE = 128


class FeetechServo(Servo):
    """256 registers and what the servo does about them.

    Modelled: position and speed mode; goal_velocity with velocity_unit_factor, acceleration,
    torque_limit, position limits, homing offset, 128 to torque_enable, the EEPROM's lock (what is
    written while it is 1 is lost with the power), and the protection:
    voltage outside its limits sets a bit; heat sets a bit and, if `unloading_condition` says so,
    takes the torque away until it has cooled; a load above overload_torque for protection_time, or
    a current above protection_current for over_current_time, sets a bit and leaves
    protective_torque, until the power is off.
    Not modelled: PWM and step mode (the motor stays where it is), goal_time, gains, dead zones, the
    baud index, moving_threshold and the factory's registers but the unit factor.
    """

    protected = range(40)
    read_only = (range(5), range(_PRESENT_POSITION, 80))
    id_address, delay_address, size = _ID, _RETURN_DELAY, 256

    def __init__(self, servo: int, position: int, now_s: float, model: int = MODEL) -> None:
        """position: present position at the start [step]; now_s: monotonic [s]."""
        self._model, self._latched, self._over_s = model, 0, 0.0
        super().__init__(servo, Motor(STS3215, position), now_s)

    @property
    def position(self) -> float:
        """Present position [step], as it reports it but not rounded."""
        return self.motor.position - self._signed(_HOMING, 11)

    @property
    def error(self) -> int:
        """The bits of the status register."""
        return self.registers[_STATUS]

    @property
    def status_level(self) -> int:
        """What it answers: 1 PING and READ, 2 WRITE as well."""
        return 2 if self.registers[_STATUS_LEVEL] else 1

    def write(self, address: int, data: bytes) -> int:
        """Stores data; measured values and what lies beyond the last register stay as they are."""
        cells = [(at, byte) for at, byte in enumerate(data, address) if self._is_writable(at)]
        locked = self.registers[_LOCK] == 1
        for at, byte in cells:
            if (at, byte) == (_TORQUE, _SET_MIDDLE):
                self._set_middle()
            else:
                self.registers[at] = byte
        if any(at in self.protected for at, _ in cells):
            self.eeprom_writes += 1
            if not locked:
                self._keep()
        return 0

    def _is_writable(self, address: int) -> bool:
        return address < self.size and not any(address in part for part in self.read_only)

    def _set_middle(self) -> None:
        self._put_offset(round(self.motor.position) - STEPS_PER_TURN // 2)
        self.eeprom_writes += 1
        self._keep()
        self._show()

    def _put_offset(self, offset: int) -> None:
        self.put(_HOMING, min(abs(offset), 2047) | (offset < 0) << 11)

    def _set_up_eeprom(self) -> None:
        for address, value, size in (
            (0, 3, 1),
            (1, 10, 1),
            (3, self._model, 2),
            (_RETURN_DELAY, 250, 1),
            (_STATUS_LEVEL, 1, 1),
            (_MAX_POSITION, STEPS_PER_TURN - 1, 2),
            (_MAX_TEMPERATURE, 70, 1),
            (_MAX_VOLTAGE, 140, 1),
            (_MIN_VOLTAGE, 40, 1),
            (_MAX_TORQUE, 1000, 2),
            (_UNLOADING, OVERHEATED | OVER_CURRENT | OVERLOADED, 1),
            (_PROTECTION_CURRENT, 500, 2),
            (_PROTECTIVE_TORQUE, 20, 1),
            (_PROTECTION_TIME, 200, 1),
            (_OVERLOAD_TORQUE, 80, 1),
            (_OVER_CURRENT_TIME, 200, 1),
        ):
            self.put(address, value, size)

    def _start(self) -> None:
        self._latched, self._over_s = 0, 0.0
        goal = round(self.position)
        self.put(_GOAL, min(abs(goal), 0x7FFF) | (goal < 0) << 15)
        self.put(_TORQUE_LIMIT, self.word(_MAX_TORQUE))
        self.put(_LOCK, 1, 1)
        self.put(_UNIT_FACTOR, 1, 1)

    def _drive(self) -> Drive:
        wanted = float(self._signed(_SPEED, 15) * self._unit_factor)
        acceleration = self.registers[_ACCELERATION] * ACCELERATION_UNIT or MAX_ACCELERATION
        if self.registers[_MODE] == _SPEED_MODE:
            return Drive(self._torque(), None, wanted, acceleration)
        goal = self.motor.position
        if self.registers[_MODE] == _POSITION_MODE:
            goal = float(self._limited_goal() + self._signed(_HOMING, 11))
        return Drive(self._torque(), goal, abs(wanted) or MAX_SPEED, acceleration)

    def _torque(self) -> float:
        unloaded = self.error & self.registers[_UNLOADING] & OVERHEATED
        if unloaded or self.registers[_TORQUE] == 0:
            return 0.0
        limit = min(self.word(_TORQUE_LIMIT) / 1000, 1.0)
        return min(limit, self.registers[_PROTECTIVE_TORQUE] / 100) if self._latched else limit

    def _limited_goal(self) -> int:
        goal, low = self._signed(_GOAL, 15), self.word(_MIN_POSITION)
        high = self.word(_MAX_POSITION)
        return min(max(goal, low), high) if low < high else goal

    def _protect(self, elapsed_s: float) -> None:
        register, unloading = self.registers, self.registers[_UNLOADING]
        load = self._signed(_LOAD, 10) / 1000
        time_s = register[_PROTECTION_TIME] / 100
        if self.is_overloaded(load, register[_OVERLOAD_TORQUE] / 100, time_s, elapsed_s):
            self._latched |= OVERLOADED & unloading
        above = self.word(_CURRENT) > self.word(_PROTECTION_CURRENT)
        self._over_s = self._over_s + elapsed_s if above else 0.0
        if self._over_s > register[_OVER_CURRENT_TIME] / 100:
            self._latched |= OVER_CURRENT & unloading
        bad_voltage = not register[_MIN_VOLTAGE] <= register[_VOLTAGE] <= register[_MAX_VOLTAGE]
        hot = register[_TEMPERATURE] > register[_MAX_TEMPERATURE]
        self.measure(_STATUS, self._latched | bad_voltage * VOLTAGE | hot * OVERHEATED, 1)

    def _show(self) -> None:
        motor = self.motor
        for address, value, bit in (
            (_PRESENT_POSITION, round(self.position), 15),
            (_PRESENT_SPEED, round(motor.speed / self._unit_factor), 15),
            (_LOAD, round(motor.load * 1000), 10),
        ):
            self.measure(address, min(abs(value), (1 << bit) - 1) | (value < 0) << bit)
        self.measure(_VOLTAGE, round(motor.voltage_v * 10), 1)
        self.measure(_TEMPERATURE, round(motor.temperature_c), 1)
        self.measure(_CURRENT, round(motor.current_a / CURRENT_UNIT_A))
        self.measure(_MOVING, int(motor.speed != 0.0), 1)

    @property
    def _unit_factor(self) -> int:
        return self.registers[_UNIT_FACTOR] or 1

    def _signed(self, address: int, bit: int) -> int:
        """A word whose bit `bit` is the sign."""
        word = self.word(address)
        magnitude = word & ((1 << bit) - 1)
        return -magnitude if word >> bit & 1 else magnitude
