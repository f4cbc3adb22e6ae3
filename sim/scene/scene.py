"""The scene in motion: servos turn the arm, physics does the rest, tasks and cameras look."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.runtime.arms.steps import STEPS_PER_TURN
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.motor import Drive
from dreamvla_edge.sim.plant import Turned

from .arm_body import FINGERS, GRIP_N, STALL_NM
from .layout import COLOURS, Layout, around
from .things import BOWL, CHEST, DRAWER, HANDLE
from .world import AWAY_M, CAMERA_M, LOOK_M, TIME_STEP_S, looking, model_of

REST_RAD = {
    "shoulder_lift": -0.45,
    "elbow_flex": 0.1,
    "wrist_flex": 1.5,
}
"""Where the SO-101 waits between episodes: folded, the gripper above the table."""
_STEP_RAD = math.tau / STEPS_PER_TURN
_EPSILON_S = 1e-9


class Scene:
    """An arm on a table with blocks; a `Plant` for the servos of the arm.

    Nothing moves but by `advance`. The same layout, drives and times give the same motion.
    Limits: the jaw is a pair of sliding fingers; gears have neither backlash nor elasticity of
    their own; the acceleration that a servo is set to is ignored, its speed is not.
    """

    def __init__(self, description: ArmDescription) -> None:
        self.description = description
        self.model = model_of(description)
        self.data = mujoco.MjData(self.model)
        self._servos = {joint.servo: i for i, joint in enumerate(description.joints)}
        count = len(description.joints)
        self._qpos = [self.model.joint(joint.name).qposadr[0] for joint in description.joints]
        self._qvel = [self.model.joint(joint.name).dofadr[0] for joint in description.joints]
        self._fingers = [self.model.joint(name).qposadr[0] for name in FINGERS]
        self._finger_speeds = [self.model.joint(name).dofadr[0] for name in FINGERS]
        self._drives: dict[int, Drive] = {}
        self._goals = np.zeros(count + 1)  # joints [rad], opening; moving at the servos' speed
        self._now_s: float | None = None
        bodies = {self.model.body(name).id for name in (BOWL, CHEST)}
        self._obstacles = {
            geom
            for geom in range(self.model.ngeom)
            if self.model.geom_bodyid[geom] in bodies or geom == self.model.geom("table").id
        }
        self.rest = np.array([REST_RAD.get(joint.name, 0.0) for joint in description.joints])

    def reset(self, layout: Layout) -> None:
        """An episode's beginning, everything at a stand; time goes on."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        for i, colour in enumerate(COLOURS):
            self._place(colour, AWAY_M, float(i), 0.0)
        for block in layout.blocks:
            self._place(block.colour, block.x, block.y, block.yaw)
        self._set_down(BOWL, *layout.bowl)
        self._set_down(CHEST, *layout.chest)
        joints = np.clip(
            self.rest + layout.start,
            [joint.lower_rad for joint in self.description.joints],
            [joint.upper_rad for joint in self.description.joints],
        )
        data.qpos[self._qpos] = joints
        data.qpos[self._fingers] = self.description.gripper.finger_travel_m
        self._goals = np.array([*joints, 1.0])
        self._aim()
        self.drop_servos()
        camera = np.array(CAMERA_M) + layout.camera
        model.cam("primary").pos[:] = camera
        model.cam("primary").quat[:] = looking(np.array(LOOK_M) + layout.look, camera)
        model.light("lamp").diffuse[:] = 0.6 * layout.light
        model.geom("table").rgba[:3] = layout.table
        mujoco.mj_forward(model, data)

    def show(self, qpos: Array) -> None:
        """Puts everything where it was: qpos as `data.qpos` was then, in the same layout."""
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)

    def pose(self, joints: Array, opening: float) -> None:
        """Puts the arm there at once, whatever is in its way; all else stays where it is."""
        self.data.qpos[self._qpos] = joints
        self.data.qpos[self._fingers] = opening * self.description.gripper.finger_travel_m
        mujoco.mj_forward(self.model, self.data)

    # A plant

    def drop_servos(self) -> None:
        """Servos with a time of their own come next; without any the arm is limp."""
        self._drives.clear()
        self._now_s = None

    def drive(self, servo: int, drive: Drive) -> None:
        """See `Plant.drive`."""
        self._drives[servo] = drive

    def advance(self, now_s: float) -> None:
        """See `Plant.advance`; in whole time steps, never beyond the time that is asked for."""
        if self._now_s is None:
            self._now_s = now_s
        steps = int((now_s - self._now_s) / TIME_STEP_S + _EPSILON_S)
        self._now_s += steps * TIME_STEP_S
        if steps and self._drives:
            self._apply_torques()
        for _ in range(steps):
            self._move_goals()
            mujoco.mj_step(self.model, self.data)
        if steps:  # a step ends with new joints and the places of before
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_camlight(self.model, self.data)

    def turned(self, servo: int) -> Turned:
        """See `Plant.turned`."""
        index, grip = self._servos.get(servo), self.description.gripper
        force = self.data.actuator_force
        if index is None:
            travel = (grip.open_step - grip.closed_step) / grip.finger_travel_m
            at = float(self.data.qpos[self._fingers].mean())
            speed = float(self.data.qvel[self._finger_speeds].mean())
            load = float(force[-len(FINGERS) :].mean()) / GRIP_N
            return Turned(
                grip.closed_step + travel * at, travel * speed, math.copysign(1, travel) * load
            )
        joint = self.description.joints[index]
        at, speed = (float(v) for v in (self.data.qpos[self._qpos[index]], self._speed(index)))
        return Turned(
            joint.zero_step + joint.direction * at / _STEP_RAD,
            joint.direction * speed / _STEP_RAD,
            joint.direction * float(force[index]) / STALL_NM,
        )

    # What is the case

    @property
    def joints(self) -> Array:
        """Angles (n,) [rad]."""
        found: Array = self.data.qpos[self._qpos].copy()
        return found

    @property
    def opening(self) -> float:
        """Of the gripper, 0 closed to 1 open."""
        travel = self.description.gripper.finger_travel_m
        return float(self.data.qpos[self._fingers].mean()) / travel

    @property
    def tool(self) -> Pose:
        """The tool point in the arm's base frame."""
        body = self.data.body("tool")
        return Pose(body.xpos.copy(), body.xmat.reshape(3, 3).copy())

    def block(self, colour: str) -> Pose:
        """A block's middle and orientation in the arm's base frame."""
        body = self.data.body(colour)
        return Pose(body.xpos.copy(), body.xmat.reshape(3, 3).copy())

    @property
    def bowl(self) -> Array:
        """Middle of the bowl's bottom (3,) [m]."""
        found: Array = self.data.body(BOWL).xpos.copy()
        return found

    @property
    def handle(self) -> Array:
        """Middle of the loop at the drawer's front (3,) [m]."""
        found: Array = self.data.site(HANDLE).xpos.copy()
        return found

    @property
    def drawer(self) -> float:
        """How far the drawer is out [m]."""
        return float(self.data.joint(DRAWER).qpos[0])

    def touched(self) -> frozenset[str]:
        """Colours of the blocks that the arm touches."""
        found = set[str]()
        blocks = {self.model.geom(colour).id: colour for colour in COLOURS}
        for contact in self.data.contact[: self.data.ncon]:
            pair = tuple(int(geom) for geom in contact.geom)
            for geom, other in (pair, pair[::-1]):
                if geom in blocks and self.model.geom_contype[other] == 1:
                    found.add(blocks[geom])
        return frozenset(found)

    @property
    def bumps(self) -> bool:
        """Whether the arm touches what it should not: table, bowl or chest."""
        for contact in self.data.contact[: self.data.ncon]:
            pair = tuple(int(geom) for geom in contact.geom)
            for geom, other in (pair, pair[::-1]):
                if geom in self._obstacles and self.model.geom_contype[other] == 1:
                    return True
        return False

    # How

    def _place(self, colour: str, x: float, y: float, yaw: float) -> None:
        joint = self.data.joint(colour)
        height = self.model.geom(colour).size[2]
        joint.qpos[:] = [x, y, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
        joint.qvel[:] = 0.0

    def _set_down(self, name: str, radius_m: float, azimuth: float) -> None:
        """A body that does not move, turned towards the arm."""
        body, yaw = self.model.body(name), azimuth + math.pi
        body.pos[:2] = around(radius_m, azimuth)
        body.quat[:] = [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]

    def _speed(self, index: int) -> float:
        return float(self.data.qvel[self._qvel[index]])

    def _apply_torques(self) -> None:
        """The most that every servo may give, from its drive."""
        limits = self.model.actuator_forcerange
        for servo, drive in self._drives.items():
            index = self._servos.get(servo)
            if index is None:
                limits[-len(FINGERS) :] = [[-GRIP_N * drive.torque, GRIP_N * drive.torque]] * 2
            else:
                limits[index] = [-STALL_NM * drive.torque, STALL_NM * drive.torque]

    def _move_goals(self) -> None:
        """Every goal moves at the speed of its servo for one time step."""
        for servo, drive in self._drives.items():
            index, grip = self._servos.get(servo), self.description.gripper
            if index is None:
                unit = float(grip.open_step - grip.closed_step)
                zero, place, at = grip.closed_step, -1, self.opening
            else:
                joint = self.description.joints[index]
                unit, zero, place = joint.direction / _STEP_RAD, joint.zero_step, index
                at = float(self.data.qpos[self._qpos[index]])
            if not drive.torque:  # no leap when it comes back
                self._goals[place] = at
            elif drive.goal is not None:
                way = (drive.goal - zero) / unit - self._goals[place]
                most = drive.speed / abs(unit) * TIME_STEP_S
                self._goals[place] += min(max(way, -most), most)
        self._aim()

    def _aim(self) -> None:
        """Gives physics the goals of all servos."""
        self.data.ctrl[: -len(FINGERS)] = self._goals[:-1]
        travel = self.description.gripper.finger_travel_m
        self.data.ctrl[-len(FINGERS) :] = self._goals[-1] * travel
