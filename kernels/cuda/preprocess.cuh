// From camera bytes to the network's images, both cameras in one launch.
//
//   image[camera, c, y, x] = normal[c, resampled byte at (y, x, c)]
//
// Resampling is Pillow's, bit for bit (src/libImaging/Resample.c): first along rows to bytes, then
// along columns, with integer weights of 22 fractional bits. The host has made the weights of the
// pixels that the centre crop keeps, and the table of the 256 normalised values of each channel, so
// nothing here rounds but the bytes.
#pragma once

#include "device.cuh"

constexpr int PREPROCESS_THREADS = 256, FRACTION_BITS = 22, CHANNELS = 3;

// Along one axis: output i is the sum over j < taps of weight[i, j] · input first[i] + j. An input
// index becomes a position in the frame by origin + step · index, which crops and flips.
struct Axis {
  const int *first, *count, *weight;  // (size), (size), (size, taps)
  int taps, origin, step;
};

struct CameraCall {
  const unsigned char* frame;  // (height, width, 3)
  Axis row, column;
  int width;  // of the frame
};

struct PreprocessCall {
  CameraCall camera[2];
  const half_bits* normal;  // (3, 256)
  half_bits* image;         // (2, 3, size, size)
  int size;
};

__device__ inline int byte_of(int sum) {
  const int value = sum >> FRACTION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

__device__ inline void preprocess_pixel(const PreprocessCall& call) {
  const int area = call.size * call.size;
  const int at = blockIdx.x * PREPROCESS_THREADS + threadIdx.x;
  if (at >= area) return;
  const int y = at / call.size, x = at % call.size;
  const CameraCall& camera = call.camera[blockIdx.y];
  const Axis &row = camera.row, &column = camera.column;
  constexpr int HALF = 1 << (FRACTION_BITS - 1);
  int sum[CHANNELS] = {HALF, HALF, HALF};
  for (int j = 0; j < row.count[y]; ++j) {
    const int line = row.origin + row.step * (row.first[y] + j);
    int along[CHANNELS] = {HALF, HALF, HALF};
    for (int i = 0; i < column.count[x]; ++i) {
      const int place = column.origin + column.step * (column.first[x] + i);
      const unsigned char* pixel = camera.frame + (line * camera.width + place) * CHANNELS;
      for (int c = 0; c < CHANNELS; ++c) along[c] += column.weight[x * column.taps + i] * pixel[c];
    }
    for (int c = 0; c < CHANNELS; ++c) sum[c] += row.weight[y * row.taps + j] * byte_of(along[c]);
  }
  for (int c = 0; c < CHANNELS; ++c)
    call.image[(blockIdx.y * CHANNELS + c) * area + at] = call.normal[256 * c + byte_of(sum[c])];
}
