// The primitives of kernels/cuda/device.cuh on the host; included by it.
//
// Where the fragments of a tensor-core instruction lie is written here a second time, from CuTe's
// description of the instruction (CUTLASS, include/cute/atom/mma_traits_sm80.hpp,
// SM80_16x8x16_F32F16F16F32_TN, and copy_traits_sm75.hpp), not from how the kernels use it.
#pragma once

#define SHARED(type, name)              \
  static const char name##_site = 0;    \
  type& name = emulation::shared<type>(&name##_site)

inline float to_float(half_bits value) {
  _Float16 half;
  std::memcpy(&half, &value, sizeof(half));
  return static_cast<float>(half);
}

inline half_bits to_half(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  half_bits bits;
  std::memcpy(&bits, &half, sizeof(bits));
  return bits;
}

inline word halves_of_bytes(word bytes) {
  const auto half = [&](int shift) {
    return static_cast<word>(to_half(static_cast<float>(static_cast<signed char>(bytes >> shift))));
  };
  return half(0) | half(8) << 16;
}

namespace emulation {

struct Fragments {
  float d[4];
  word a[4], b[2];
};

// CuTe's layouts: the coordinate of value v of lane l is Σ index · stride over the modes
// (l % 4, l / 4, v % 2, v / 2 % 2, v / 4), counted in a column-major tile.
inline int place(int lane, int value, const int (&stride)[5]) {
  const int index[5] = {lane % 4, lane / 4, value % 2, value / 2 % 2, value / 4};
  int at = 0;
  for (int i = 0; i < 5; ++i) at += index[i] * stride[i];
  return at;
}

constexpr int A_STRIDES[5] = {32, 1, 16, 8, 128};  // in a tile of M = 16 by K = 16
constexpr int B_STRIDES[5] = {16, 1, 8, 64, 0};    // N = 8 by K = 16
constexpr int D_STRIDES[5] = {32, 1, 16, 8, 0};    // M = 16 by N = 8

inline half_bits half_of(const word* words, int index) {
  return static_cast<half_bits>(words[index / 2] >> 16 * (index % 2));
}

inline void multiply_tiles(Fragments* lanes) {
  float a[16 * 16], b[8 * 16], d[16 * 8];
  for (int lane = 0; lane < LANES; ++lane) {
    for (int v = 0; v < 8; ++v) a[place(lane, v, A_STRIDES)] = to_float(half_of(lanes[lane].a, v));
    for (int v = 0; v < 4; ++v) b[place(lane, v, B_STRIDES)] = to_float(half_of(lanes[lane].b, v));
    for (int v = 0; v < 4; ++v) d[place(lane, v, D_STRIDES)] = lanes[lane].d[v];
  }
  for (int n = 0; n < 8; ++n)
    for (int m = 0; m < 16; ++m)
      for (int k = 0; k < 16; ++k) d[m + 16 * n] += a[m + 16 * k] * b[n + 8 * k];
  for (int lane = 0; lane < LANES; ++lane)
    for (int v = 0; v < 4; ++v) lanes[lane].d[v] = d[place(lane, v, D_STRIDES)];
}

union Rows {
  const half_bits* row;
  word tile[4];
};

inline void load_tiles_transposed(Rows* lanes) {
  half_bits tile[4][8][8];
  for (int lane = 0; lane < LANES; ++lane)
    std::memcpy(tile[lane / 8][lane % 8], lanes[lane].row, sizeof(tile[0][0]));
  for (int lane = 0; lane < LANES; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane % 4 * 2, column = lane / 4;
      lanes[lane].tile[i] = tile[i][row][column] | static_cast<word>(tile[i][row + 1][column]) << 16;
    }
}

}  // namespace emulation

inline void multiply_add(float (&d)[4], word a0, word a1, word a2, word a3, word b0, word b1) {
  static const char site = 0;
  const emulation::Fragments mine{{d[0], d[1], d[2], d[3]}, {a0, a1, a2, a3}, {b0, b1}};
  const auto own = emulation::together<emulation::Fragments>(mine, &site,
                                                             emulation::multiply_tiles);
  std::memcpy(d, own.d, sizeof(own.d));
}

inline void load_transposed(word (&tile)[4], const half_bits* row) {
  static const char site = 0;
  if (reinterpret_cast<std::uintptr_t>(row) % 16) emulation::failure = "a row of ldmatrix is not aligned";
  emulation::Rows mine;
  mine.row = row;
  const auto own = emulation::together<emulation::Rows>(mine, &site,
                                                        emulation::load_tiles_transposed);
  std::memcpy(tile, own.tile, sizeof(own.tile));
}

inline float from_lane_xor(float value, int mask) {
  static const char site = 0;
  return emulation::together<float>(value, &site, [mask](float* lanes) {
    const std::vector<float> before(lanes, lanes + emulation::LANES);
    for (int i = 0; i < emulation::LANES; ++i) lanes[i] = before[i ^ mask];
  });
}

inline Quad load_shared_by_blocks(const void* from) {
  Quad q;
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(Quad)) emulation::failure = "a load of 16 bytes is not aligned";
  std::memcpy(&q, from, sizeof(q));
  return q;
}

inline float load_shared_by_blocks(const float* from) { return *from; }

inline Quad load_once(const void* from) {
  emulation::bytes_read_once += sizeof(Quad);
  return load_shared_by_blocks(from);
}

inline void arrive(unsigned* counter) { ++*counter, ++emulation::progress; }

inline void wait_for(unsigned* counter, unsigned count) {
  emulation::wait_while([=] { return *counter < count; });
}
