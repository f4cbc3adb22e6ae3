"""The kernels' own source on the host, under CUDA's execution model."""
