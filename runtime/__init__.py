"""Runs a bundle: policy, arms, cameras and the control loop. Never imports torch."""

from __future__ import annotations

from .policy import Chunk, Policy

__all__ = ["Chunk", "Policy"]
