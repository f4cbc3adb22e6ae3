"""The released DreamVLA network in PyTorch, and the released evaluation loop as the baseline."""
