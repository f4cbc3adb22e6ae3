"""The policy's process while it drives: looks, thinks, and sends waypoints to the guardian."""
