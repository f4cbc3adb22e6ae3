// One thread per pixel and camera.
#include "preprocess.cuh"

extern "C" __global__ void __launch_bounds__(PREPROCESS_THREADS)
    preprocess(const __grid_constant__ PreprocessCall call) {
  preprocess_pixel(call);
}
