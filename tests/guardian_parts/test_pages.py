"""The pages about the guardian say what the code does."""

from __future__ import annotations

import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian import (
    guarded_arm,
    guardian,
    health,
    limits,
    message,
    plan,
    plausibility,
    server,
    settings,
)
from guardian_parts.pages import DOCS, PARTS, comments, page


@pytest.mark.parametrize("name", PARTS)
def test_drawing_and_tables(name: str) -> None:
    """Made anew by `python tests/guardian_parts/pages.py`."""
    assert (DOCS / name).read_text() == page(name)


def test_every_field_that_is_not_plain_says_what_it_means() -> None:
    """Units and the rest stand in the code, behind the fields."""
    plain = {"magic", "version", "state", "order", "waypoints", "current_a", "voltage_v"}
    plain |= {"temperature_c"}
    for dtype, of in ((message.COMMAND, "COMMAND = "), (message.REPORT, "REPORT = ")):
        assert set(dtype.names or ()) - plain <= set(comments(of))


def test_the_numbers_on_the_page() -> None:
    """Where a number stands in a sentence."""
    text = (DOCS / "guardian.md").read_text()
    own = load_description("so101").limits
    assert own.workspace_m is not None
    for words in (
        f"{1000 * guarded_arm.BLIND_S:.0f} ms the arm is braked",
        f"{1000 * guarded_arm.DEAD_S:.0f} ms the bus counts as dead",
        f"faster than {plausibility.FASTEST_RAD_S:.0f} rad/s",
        f"at no more than {settings.LOWER_SPEED} of",
        f"After {guardian.LOWER_S:.0f} s the torque goes",
        f"at most {limits.GRIPPER_SPEED:.0f} per second",
        f"in {health.FAULT_CYCLES} cycles in a row",
        f"for {health.HEAT_CYCLES} cycles",
        f"for {health.VOLTAGE_CYCLES} cycles",
        f"{own.velocity_rad_s:.1f} rad/s",
        f"{own.acceleration_rad_s2:.0f} and {own.stop_acceleration_rad_s2:.0f} rad/s²",
        f"{own.windup_rad} rad",
        f"z {own.workspace_m.min[2]} to {own.workspace_m.max[2]} m",
    ):
        assert words in " ".join(text.split()), words
    socket = " ".join((DOCS / "guardian-socket.md").read_text().split())
    assert f"{plan.HORIZON_S:.0f} s ahead" in socket
    assert f"up to {message.MAX_WAYPOINTS} points" in socket
    assert f"{server._MOST_COMMANDS} commands a cycle" in socket
