// What the kernels need of a warp beside plain C++: half precision, tensor cores, barriers.
//
// No header of CUDA's is included, so that NVRTC, nvcc and a host compiler (kernels/emulation,
// which defines the same names) all read the kernels as they are.
#pragma once

using half_bits = unsigned short;  // an IEEE half
using word = unsigned int;         // two halves, four 8-bit integers, or 32 flags

constexpr int WARP = 32;

struct alignas(16) Quad {  // what one load of 16 bytes brings
  word x, y, z, w;
};

#ifdef DREAMVLA_ON_HOST
#include "primitives.h"
#else

#define SHARED(type, name) __shared__ type name

__device__ inline float to_float(half_bits value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value));
  return wide;
}

__device__ inline half_bits to_half(float value) {
  half_bits narrow;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow) : "f"(value));
  return narrow;
}

// The two lowest bytes, signed integers, as halves. A byte b + 128 below the exponent of 1024 is the
// half 1024 + 128 + b.
__device__ inline word halves_of_bytes(word bytes) {
  word halves;
  asm("{ .reg .b32 biased;\n"
      "  xor.b32 biased, %1, 0x80808080;\n"
      "  prmt.b32 biased, biased, 0x64646464, 0x4140;\n"
      "  sub.rn.f16x2 %0, biased, %2; }"
      : "=r"(halves)
      : "r"(bytes), "r"(0x64806480u));
  return halves;
}

// D += A·B for a 16 × 16 tile A of halves, a 16 × 8 tile B of halves and D in float.
// Lane 4g + t holds of A the pairs (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), of B the
// pairs from (2t, g) and (2t + 8, g) downwards, of D the pairs (g, 2t) and (g + 8, 2t).
// Source: PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type".
__device__ inline void multiply_add(float (&d)[4], word a0, word a1, word a2, word a3, word b0,
                                    word b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Four 8 × 8 tiles of halves from shared memory, transposed; lane 8i + r says where row r of tile i
// begins, and lane 4g + t receives of each tile the pair from (2t, g) downwards.
__device__ inline void load_transposed(word (&tile)[4], const half_bits* row) {
  const word address = static_cast<word>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(address)
               : "memory");
}

__device__ inline float from_lane_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// A load that no cache of the multiprocessor serves: other blocks write what it reads.
__device__ inline Quad load_shared_by_blocks(const void* from) {
  Quad q;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
               : "l"(from)
               : "memory");
  return q;
}

__device__ inline float load_shared_by_blocks(const float* from) {
  float value;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(value) : "l"(from) : "memory");
  return value;
}

// Weights, read once each: they shall not push anything else out of the caches.
__device__ inline Quad load_once(const void* from) {
  Quad q;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
               : "l"(from));
  return q;
}

__device__ inline void arrive(unsigned* counter) {
  __threadfence();
  atomicAdd(counter, 1u);
}

__device__ inline void wait_for(unsigned* counter, unsigned count) {
  unsigned seen;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
  } while (seen < count);
}

#endif

__device__ inline Quad load(const half_bits* from) {
  return *reinterpret_cast<const Quad*>(from);
}

__device__ inline void store(half_bits* to, const Quad& value) {
  *reinterpret_cast<Quad*>(to) = value;
}

__device__ inline word pack(float low, float high) {
  return static_cast<word>(to_half(low)) | static_cast<word>(to_half(high)) << 16;
}

__device__ inline float sum_over_warp(float value) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) value += from_lane_xor(value, mask);
  return value;
}
