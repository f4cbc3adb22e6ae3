"""One virtual Dynamixel of the X series."""

from __future__ import annotations

from dataclasses import dataclass

from dreamvla_edge.sim.motor import Drive, Motor, MotorKind
from dreamvla_edge.sim.servo import STEPS_PER_TURN, Servo

SPEED_UNIT = 0.229 / 60 * STEPS_PER_TURN  # [step/s]
ACCELERATION_UNIT = 214.577 / 3600 * STEPS_PER_TURN  # [step/s²]
# A load above this for this long is an overload (choices: the manual gives no numbers).
OVERLOAD, OVERLOAD_TIME_S = 0.8, 2.0
WATCHDOG_UNIT_S = 0.02
# Error numbers of answers, the bit that points to the hardware error, and that register's bits.
FAILED, WRONG_INSTRUCTION, OUT_OF_RANGE, TOO_SHORT, OVER_LIMIT, NO_ACCESS = 1, 2, 4, 5, 6, 7
ALERT = 0x80
VOLTAGE, OVERHEATED, OVERLOADED = 1, 4, 32

_MODEL, _FIRMWARE, _ID, _BAUD, _RETURN_DELAY, _MODE = 0, 6, 7, 8, 9, 11
_HOMING, _MAX_TEMPERATURE, _MAX_VOLTAGE, _MIN_VOLTAGE = 20, 31, 32, 34
_PWM_LIMIT, _CURRENT_LIMIT, _SPEED_LIMIT, _MAX_POSITION, _MIN_POSITION = 36, 38, 44, 48, 52
_SHUTDOWN, _TORQUE, _STATUS_LEVEL, _REGISTERED, _HARDWARE_ERROR = 63, 64, 68, 69, 70
_WATCHDOG, _GOAL_PWM, _GOAL_CURRENT, _GOAL_SPEED = 98, 100, 102, 104
_PROFILE_ACCELERATION, _PROFILE_SPEED, _GOAL, _MOVING = 108, 112, 116, 122
_CURRENT, _PRESENT_SPEED, _PRESENT_POSITION, _VOLTAGE, _TEMPERATURE = 126, 128, 132, 144, 146
_SPEED_MODE, _POSITION_MODE, _EXTENDED_MODE, _CURRENT_POSITION_MODE = 1, 3, 4, 5
_EXPIRED = 255
_GOALS = range(_GOAL_PWM, _GOAL + 4)


@dataclass(frozen=True)
class DynamixelModel:
    """A row of the model table.

    current_unit_a: unit of the registers 38, 102 and 126 [A], or None if it measures a load
    [0.1 %] in 126 instead. min_voltage, max_voltage [0.1 V].
    """

    motor: MotorKind
    current_unit_a: float | None
    speed_limit: int
    min_voltage: int
    max_voltage: int


def _kind(rpm: float, stall_current_a: float, supply_v: float) -> MotorKind:
    """A motor that reaches its full speed without load, `rpm`, in 0.15 s (a choice)."""
    speed = rpm / 60 * STEPS_PER_TURN
    return MotorKind(speed, speed / 0.15, stall_current_a, supply_v)


MODELS = {
    1020: DynamixelModel(_kind(46, 2.3, 12.0), 0.00269, 200, 95, 160),  # XM430-W350
    1030: DynamixelModel(_kind(77, 2.3, 12.0), 0.00269, 330, 95, 160),  # XM430-W210
    1060: DynamixelModel(_kind(61, 1.4, 12.0), None, 265, 60, 140),  # XL430-W250
    1090: DynamixelModel(_kind(61, 1.4, 12.0), None, 265, 60, 140),  # 2XL430-W250
    1120: DynamixelModel(_kind(30, 4.4, 12.0), 0.00269, 128, 95, 160),  # XM540-W270
    1130: DynamixelModel(_kind(53, 4.4, 12.0), 0.00269, 230, 95, 160),  # XM540-W150
    1190: DynamixelModel(_kind(383, 1.47, 5.0), 0.001, 1620, 35, 70),  # XL330-M077
    1200: DynamixelModel(_kind(103, 1.47, 5.0), 0.001, 445, 35, 70),  # XL330-M288
}


class DynamixelServo(Servo):
    """The control table up to 147 and what the servo does about it.

    Modelled: position, extended position, current-based position and velocity mode; profile
    velocity and acceleration as limits of the ramp; limits of goals; homing offset; EEPROM
    refused while torque is on; Bus Watchdog (counted from the last packet for this servo; at
    expiry the goal becomes where it can stop); hardware errors, which stay until REBOOT and, as
    `shutdown` says, take the torque away.
    Not modelled: current and PWM mode (the motor stays where it is), gains, drive mode, indirect
    addresses, the baud index, start-up configuration, the time that a REBOOT takes.
    """

    protected = range(64)
    read_only = (range(7), range(69, 76), range(120, 147))
    id_address, delay_address, size = _ID, _RETURN_DELAY, 147

    def __init__(self, servo: int, position: int, now_s: float, model: int = 1200) -> None:
        """position: at the start [step]; model: a key of MODELS."""
        self._number, self.model = model, MODELS[model]
        self._latched = 0
        super().__init__(servo, Motor(self.model.motor, position), now_s)

    @property
    def position(self) -> float:
        """Present position [step], as it reports it but not rounded."""
        return self.motor.position + self._signed(_HOMING)

    @property
    def error(self) -> int:
        """The alert bit, if there is a hardware error."""
        return ALERT if self.registers[_HARDWARE_ERROR] else 0

    @property
    def status_level(self) -> int:
        """What it answers: 0 PING, 1 READ as well, 2 everything."""
        return self.registers[_STATUS_LEVEL]

    def preset_mode(self, mode: int) -> None:
        """Sets the operating mode in the EEPROM."""
        self.registers[_MODE] = mode
        self._keep()

    def write(self, address: int, data: bytes) -> int:
        """Stores data as a whole or refuses it; the error number, or 0."""
        touched = range(address, address + len(data))
        if not data:
            return TOO_SHORT
        if touched.stop > self.size or any(a in part for a in touched for part in self.read_only):
            return NO_ACCESS
        if address in self.protected and self.registers[_TORQUE]:
            return NO_ACCESS
        if any(at in _GOALS for at in touched) and self.registers[_WATCHDOG] == _EXPIRED:
            return OUT_OF_RANGE
        before = bytes(self.registers)
        self.registers[address : touched.stop] = data
        error = self._refusal(touched, before)
        if error:
            self.registers[:] = before
        elif address in self.protected:
            self.eeprom_writes += 1
            self._keep()
        self.registers[_REGISTERED] = self.registered is not None
        return error

    def _refusal(self, touched: range, before: bytes) -> int:
        """What is wrong with what the registers `touched` now hold."""
        register = self.registers
        if _TORQUE in touched and register[_TORQUE] > 1:
            return OUT_OF_RANGE
        if _TORQUE in touched and register[_TORQUE] and self._is_shut_down:
            return FAILED
        if _WATCHDOG in touched and (
            register[_WATCHDOG] > 127 or (before[_WATCHDOG] == _EXPIRED and register[_WATCHDOG])
        ):
            return OUT_OF_RANGE
        for goal, limit in (
            (self._signed(_GOAL_PWM, 2), self.word(_PWM_LIMIT)),
            (self._signed(_GOAL_CURRENT, 2), self.word(_CURRENT_LIMIT)),
            (self._signed(_GOAL_SPEED), self.word(_SPEED_LIMIT, 4)),
        ):
            if abs(goal) > limit:
                return OVER_LIMIT
        low, high = self._signed(_MIN_POSITION), self._signed(_MAX_POSITION)
        moved = _GOAL in touched and register[_MODE] == _POSITION_MODE
        return OVER_LIMIT if moved and not low <= self._signed(_GOAL) <= high else 0

    def _put_offset(self, offset: int) -> None:
        self.put(_HOMING, offset, 4)

    def _set_up_eeprom(self) -> None:
        unit = self.model.current_unit_a
        for address, value, size in (
            (_MODEL, self._number, 2),
            (_FIRMWARE, 45, 1),
            (_BAUD, 3, 1),
            (_RETURN_DELAY, 250, 1),
            (_MODE, _POSITION_MODE, 1),
            (12, 255, 1),  # no second id
            (13, 2, 1),  # protocol
            (_MAX_TEMPERATURE, 72, 1),
            (_MAX_VOLTAGE, self.model.max_voltage, 2),
            (_MIN_VOLTAGE, self.model.min_voltage, 2),
            (_PWM_LIMIT, 885, 2),
            (_CURRENT_LIMIT, round(self.model.motor.stall_current_a / unit) if unit else 0, 2),
            (_SPEED_LIMIT, self.model.speed_limit, 4),
            (_MAX_POSITION, STEPS_PER_TURN - 1, 4),
            (_SHUTDOWN, OVERHEATED | OVERLOADED | 16, 1),
        ):
            self.put(address, value, size)

    def _start(self) -> None:
        self._latched = 0
        self.put(_STATUS_LEVEL, 2, 1)
        self.put(_GOAL_PWM, self.word(_PWM_LIMIT))
        self.put(_GOAL_CURRENT, self.word(_CURRENT_LIMIT))
        self.put(_GOAL, round(self.position), 4)

    def _drive(self) -> Drive:
        register, model = self.registers, self.model
        if not register[_TORQUE]:
            return Drive(0.0, None, 0.0, model.motor.max_acceleration)
        torque, goal = 1.0, None
        speed = self.word(_PROFILE_SPEED, 4) * SPEED_UNIT or model.motor.max_speed
        if register[_MODE] == _SPEED_MODE:
            speed = self._signed(_GOAL_SPEED) * SPEED_UNIT
        elif register[_MODE] in (_POSITION_MODE, _EXTENDED_MODE, _CURRENT_POSITION_MODE):
            goal = float(self._signed(_GOAL) - self._signed(_HOMING))
        else:
            goal = self.motor.position
        if register[_MODE] == _CURRENT_POSITION_MODE and model.current_unit_a:
            current_a = abs(self._signed(_GOAL_CURRENT, 2)) * model.current_unit_a
            torque = min(current_a / model.motor.stall_current_a, 1.0)
        acceleration = self.word(_PROFILE_ACCELERATION, 4) * ACCELERATION_UNIT
        return Drive(torque, goal, speed, acceleration or model.motor.max_acceleration)

    def _protect(self, elapsed_s: float) -> None:
        register = self.registers
        unit = self.model.current_unit_a
        full = self.model.motor.stall_current_a / unit if unit else 1000.0
        load = self._signed(_CURRENT, 2) / full
        if self.is_overloaded(load, OVERLOAD, OVERLOAD_TIME_S, elapsed_s):
            self._latched |= OVERLOADED
        if not self.word(_MIN_VOLTAGE) <= self.word(_VOLTAGE) <= self.word(_MAX_VOLTAGE):
            self._latched |= VOLTAGE
        if register[_TEMPERATURE] > register[_MAX_TEMPERATURE]:
            self._latched |= OVERHEATED
        self.measure(_HARDWARE_ERROR, self._latched, 1)
        if self._is_shut_down:
            register[_TORQUE] = 0
        limit_s = register[_WATCHDOG] * WATCHDOG_UNIT_S
        watching = register[_TORQUE] and 0 < register[_WATCHDOG] != _EXPIRED
        if watching and self.silent_s > limit_s:
            register[_WATCHDOG] = _EXPIRED
            speed = self.motor.speed
            way = speed * abs(speed) / (2 * self.model.motor.max_acceleration)
            self.put(_GOAL, round(self.position + way), 4)
            self.put(_GOAL_SPEED, 0, 4)

    def _show(self) -> None:
        motor, unit = self.motor, self.model.current_unit_a
        load = motor.load * 1000
        if unit:
            load = motor.load * motor.kind.stall_current_a / unit
        self.measure(_CURRENT, round(load))
        self.measure(_PRESENT_SPEED, round(motor.speed / SPEED_UNIT), 4)
        self.measure(_PRESENT_POSITION, round(self.position), 4)
        self.measure(_VOLTAGE, round(motor.voltage_v * 10))
        self.measure(_TEMPERATURE, round(motor.temperature_c), 1)
        self.measure(_MOVING, int(motor.speed != 0.0), 1)

    @property
    def _is_shut_down(self) -> bool:
        return self.registers[_HARDWARE_ERROR] & self.registers[_SHUTDOWN] != 0

    def _signed(self, address: int, size: int = 4) -> int:
        """Registers as a number in two's complement."""
        return int.from_bytes(self.registers[address : address + size], "little", signed=True)
