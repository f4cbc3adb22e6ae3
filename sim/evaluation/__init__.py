"""Does it do what it is told? Episodes in lock step, and what they add up to."""
