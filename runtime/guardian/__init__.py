"""The process that owns the serial port and keeps the arm safe whatever fails."""
