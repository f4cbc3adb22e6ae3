// The sampler with weights in halves and in 8-bit integers.
#include "denoise.cuh"

#define DENOISE(NAME, WEIGHT)                                              \
  extern "C" __global__ void __launch_bounds__(MATRIX_THREADS, 1)            \
      NAME(const __grid_constant__ DenoiseCall call) {                     \
    SHARED(DenoiseMemory, memory);                                         \
    Denoiser<WEIGHT>(call, memory).run();                                  \
  }

DENOISE(denoise_half, half_bits)
DENOISE(denoise_int8, signed char)
