"""What the kernels compute, in NumPy: the same arguments, any precision."""
