// One kernel per padded head width; the host takes the narrowest that holds dim.
#include "masked_attention.cuh"

#define MASKED_ATTENTION(DIM)                                                        \
  extern "C" __global__ void __launch_bounds__(WARP* ATTENTION_WARPS)                \
      masked_attention_##DIM(const __grid_constant__ AttentionCall call) {           \
    attend<DIM>(call);                                                               \
  }

MASKED_ATTENTION(32)
MASKED_ATTENTION(64)
MASKED_ATTENTION(96)
MASKED_ATTENTION(128)
