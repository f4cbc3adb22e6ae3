// Fused attention under the block mask.
//
//   out[h, m] = Σ_n softmax_n(scale · q[h, m] · key[h, n], over the n that m may read) · value[h, n]
//
// q (H, M, dim); keys and values in two segments, past (H, N, dim) and fresh (H, T, dim), so that
// nobody joins them; out (H, M, dim); all halves, dim a multiple of 8. Row m may read key n if a row
// (reader, read, first, last) of the table says so for their kinds and first ≤ slot n - slot m ≤
// last. Kind and slot together are one of at most 128 codes; what a row may read is then a set of
// 128 bits, and so is what a tile of keys holds: tiles that nobody reads are never loaded.
//
// One block of 4 warps: 64 rows of one head; keys in tiles of 64, online softmax (FlashAttention-2,
// arXiv 2307.08691, algorithm 1), fp32 accumulation.
#pragma once

#include "device.cuh"

constexpr int ATTENTION_ROWS = 64, ATTENTION_KEYS = 64, ATTENTION_WARPS = 4;
constexpr int CODE_WORDS = 4, NO_CODE = 32 * CODE_WORDS;
constexpr float LOG2_E = 1.4426950408889634f, HIDDEN = -3.402823466e38f;

// The strides keep the 16-byte reads of a quarter warp in different banks.
template <int DIM>
struct AttentionMemory {
  static constexpr int KEY_STRIDE = DIM + (DIM % 64 == 0 ? 32 : 0), VALUE_STRIDE = DIM + 8;
  alignas(16) half_bits keys[ATTENTION_KEYS * KEY_STRIDE];
  alignas(16) half_bits values[ATTENTION_KEYS * VALUE_STRIDE];
  word readable[ATTENTION_ROWS][CODE_WORDS], readable_by_any[CODE_WORDS];
  int code[ATTENTION_KEYS];
};

// All that a launch is given, in the order that kernels/masked_attention.py writes.
struct AttentionCall {
  const half_bits *q, *past_k, *past_v, *k, *v;  // (H, M, dim), (H, N, dim) ×2, (H, T, dim) ×2
  half_bits* out;                                // (H, M, dim)
  const int *row_kind, *row_slot;                // (M)
  const int *key_kind, *key_slot;                // (N + T)
  const int* table;                              // (table_rows, 4)
  int rows, past, fresh, dim;                    // M, N, T
  int table_rows, slots;
  float scale;
};

__device__ inline bool contains(const word* set, int code) {
  return code < NO_CODE && (set[code / 32] >> (code % 32) & 1u);
}

// What a row may read, as a set of codes: kind · slots + slot.
__device__ inline void readable_codes(word (&set)[CODE_WORDS], int kind, int slot,
                                      const AttentionCall& call) {
  for (int i = 0; i < CODE_WORDS; ++i) set[i] = 0;
  for (int r = 0; r < call.table_rows; ++r) {
    const int* rule = call.table + 4 * r;
    if (rule[0] != kind) continue;
    const int first = slot + rule[2] > 0 ? slot + rule[2] : 0;
    const int last = slot + rule[3] < call.slots - 1 ? slot + rule[3] : call.slots - 1;
    for (int s = first; s <= last; ++s) {
      const int code = rule[1] * call.slots + s;
      set[code / 32] |= 1u << (code % 32);
    }
  }
}

// Copies rows of one segmented matrix into shared memory, zeros beyond its ends.
template <int DIM>
__device__ inline void stage(half_bits* to, int stride, const half_bits* past,
                             const half_bits* fresh, int first, const AttentionCall& call) {
  constexpr int PARTS = DIM / 8;
  for (int i = threadIdx.x; i < ATTENTION_KEYS * PARTS; i += WARP * ATTENTION_WARPS) {
    const int row = i / PARTS, column = i % PARTS * 8, key = first + row;
    Quad part{0, 0, 0, 0};
    if (key < call.past + call.fresh && column < call.dim)
      part = load(key < call.past ? past + key * call.dim + column
                                   : fresh + (key - call.past) * call.dim + column);
    store(to + row * stride + column, part);
  }
}

template <int DIM>
__device__ void attend(const AttentionCall& call) {
  using Memory = AttentionMemory<DIM>;
  constexpr int STEPS = DIM / 32, KEY_TILES = ATTENTION_KEYS / 8, OUT_TILES = DIM / 8;
  SHARED(Memory, memory);
  const int thread = threadIdx.x, lane = thread % WARP, g = lane / 4, t = lane % 4;
  const int block_row = blockIdx.x * ATTENTION_ROWS;
  const int low = thread / WARP * 16 + g, high = low + 8;  // this lane's rows in the block
  const int keys = call.past + call.fresh, dim = call.dim;
  const long long segment = static_cast<long long>(blockIdx.y) * dim;  // a head's, per row
  const half_bits* q = call.q + segment * call.rows;
  half_bits* out = call.out + segment * call.rows;

  if (thread < CODE_WORDS) memory.readable_by_any[thread] = 0;
  __syncthreads();
  if (thread < ATTENTION_ROWS) {
    const int row = block_row + thread;
    const bool real = row < call.rows;
    readable_codes(memory.readable[thread], real ? call.row_kind[row] : -1,
                   real ? call.row_slot[row] : 0, call);
    for (int i = 0; i < CODE_WORDS; ++i)
      atomicOr(&memory.readable_by_any[i], memory.readable[thread][i]);
  }

  // A lane takes 8 neighbouring numbers of a row for two products of 16: which numbers a product
  // sums over does not matter as long as queries and keys agree.
  Quad query[STEPS][2];
  for (int step = 0; step < STEPS; ++step)
    for (int half = 0; half < 2; ++half) {
      const int row = block_row + low + 8 * half, column = 32 * step + 8 * t;
      query[step][half] = row < call.rows && column < dim
                              ? load(q + row * dim + column)
                              : Quad{0, 0, 0, 0};
    }

  float sum[OUT_TILES][4] = {}, peak[2] = {HIDDEN, HIDDEN}, total[2] = {0, 0};
  const float to_exponent = call.scale * LOG2_E;
  for (int first = 0; first < keys; first += ATTENTION_KEYS) {
    __syncthreads();  // the last tile is done with, and what is readable is known
    bool wanted = false;
    if (thread < ATTENTION_KEYS) {
      const int key = first + thread;
      const int code = key < keys ? call.key_kind[key] * call.slots + call.key_slot[key] : NO_CODE;
      memory.code[thread] = code;
      wanted = contains(memory.readable_by_any, code);
    }
    if (!__syncthreads_or(wanted)) continue;
    stage<DIM>(memory.keys, Memory::KEY_STRIDE, call.past_k + segment * call.past,
               call.k + segment * call.fresh, first, call);
    stage<DIM>(memory.values, Memory::VALUE_STRIDE, call.past_v + segment * call.past,
               call.v + segment * call.fresh, first, call);
    __syncthreads();

    float score[KEY_TILES][4] = {};
#pragma unroll
    for (int j = 0; j < KEY_TILES; ++j)
#pragma unroll
      for (int step = 0; step < STEPS; ++step) {
        const Quad& a = query[step][0];
        const Quad& b = query[step][1];
        const Quad key = load(memory.keys + (8 * j + g) * Memory::KEY_STRIDE + 32 * step + 8 * t);
        multiply_add(score[j], a.x, b.x, a.y, b.y, key.x, key.y);
        multiply_add(score[j], a.z, b.z, a.w, b.w, key.z, key.w);
      }

    float top[2] = {peak[0], peak[1]};
#pragma unroll
    for (int j = 0; j < KEY_TILES; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const word* readable = memory.readable[i < 2 ? low : high];
        if (!contains(readable, memory.code[8 * j + 2 * t + i % 2])) score[j][i] = HIDDEN;
        top[i / 2] = fmaxf(top[i / 2], score[j][i]);
      }
    float kept[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      top[half] = fmaxf(top[half], from_lane_xor(top[half], 1));
      top[half] = fmaxf(top[half], from_lane_xor(top[half], 2));
      // While a row has read nothing, any other number makes its exponentials zero.
      const float from = top[half] == HIDDEN ? 0.0f : top[half];
      kept[half] = exp2f((peak[half] - from) * to_exponent);
      peak[half] = top[half];
      top[half] = from;
      total[half] *= kept[half];
    }
#pragma unroll
    for (int j = 0; j < KEY_TILES; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        score[j][i] = exp2f((score[j][i] - top[i / 2]) * to_exponent);
        total[i / 2] += score[j][i];
      }
#pragma unroll
    for (int j = 0; j < OUT_TILES; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[j][i] *= kept[i / 2];

#pragma unroll
    for (int pair = 0; pair < KEY_TILES / 2; ++pair) {
      const float(&left)[4] = score[2 * pair];
      const float(&right)[4] = score[2 * pair + 1];
      const word a0 = pack(left[0], left[1]), a1 = pack(left[2], left[3]);
      const word a2 = pack(right[0], right[1]), a3 = pack(right[2], right[3]);
      const int row = 16 * pair + lane % 16, column = lane / 16 * 8;
#pragma unroll
      for (int j = 0; j < OUT_TILES; j += 2) {
        word value[4];
        load_transposed(value, memory.values + row * Memory::VALUE_STRIDE + 8 * j + column);
        multiply_add(sum[j], a0, a1, a2, a3, value[0], value[1]);
        multiply_add(sum[j + 1], a0, a1, a2, a3, value[2], value[3]);
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    total[half] += from_lane_xor(total[half], 1);
    total[half] += from_lane_xor(total[half], 2);
    const int row = block_row + low + 8 * half;
    if (row >= call.rows) continue;
#pragma unroll
    for (int j = 0; j < OUT_TILES; ++j) {
      const int column = 8 * j + 2 * t;
      if (column >= dim) continue;
      out[row * dim + column] = to_half(sum[j][2 * half] / total[half]);
      out[row * dim + column + 1] = to_half(sum[j][2 * half + 1] / total[half]);
    }
  }
}
