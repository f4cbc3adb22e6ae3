"""Runs a bundle: policy, arms, cameras and the control loop. Never imports torch."""
