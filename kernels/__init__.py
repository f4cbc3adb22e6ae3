"""Kernels of the network: NumPy references of the operators that are ours."""
