"""What a run saw, asked for, sent and measured: written while it happens, read afterwards."""
