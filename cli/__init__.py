"""The `dreamvla` command."""
