"""CUDA kernels: fused masked attention, a whole diffusion sampler, preprocessing."""
