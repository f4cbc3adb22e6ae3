// Few rows times a large matrix of weights that are read once: y (rows, N) = a (rows, K) · wᵀ.
//
// w (N, K) as PyTorch stores a linear layer, in halves or in 8-bit integers (one scale per output,
// applied to the sum). A block of 8 warps makes 64 outputs of all rows, a warp 8 of them; K goes by
// in parts of 64. With so few rows the time is that of reading w, so the next part of it is asked
// for before this one is used.
#pragma once

#include "device.cuh"

constexpr int MATRIX_WARPS = 8, MATRIX_THREADS = WARP * MATRIX_WARPS;
constexpr int UNIT = 8 * MATRIX_WARPS;  // outputs of a block
constexpr int PART = 64;                // numbers of K at a time, 16 for each lane of a row
constexpr int MAX_ROWS = 128, ROW_TILES = MAX_ROWS / 16;
constexpr int ROW_STRIDE = PART + 8;  // a quarter warp reads 16 bytes each from different banks

struct RowMemory {
  alignas(16) half_bits rows[2][MAX_ROWS * ROW_STRIDE];
};

// 16 neighbouring weights of one output: for each of 4 products two pairs of halves.
template <class Weight>
struct Weights;

template <>
struct Weights<half_bits> {
  Quad part[2];

  __device__ void read(const half_bits* from) {
    part[0] = load_once(from);
    part[1] = load_once(from + 8);
  }
  __device__ void pairs(int product, word& b0, word& b1) const {
    const Quad& q = part[product / 2];
    b0 = product % 2 ? q.z : q.x;
    b1 = product % 2 ? q.w : q.y;
  }
};

template <>
struct Weights<signed char> {
  Quad part;

  __device__ void read(const signed char* from) { part = load_once(from); }
  __device__ void pairs(int product, word& b0, word& b1) const {
    const word four = product == 0 ? part.x : product == 1 ? part.y : product == 2 ? part.z : part.w;
    b0 = halves_of_bytes(four), b1 = halves_of_bytes(four >> 16);
  }
};

// The work on one unit of outputs, cut in two so that the first weights can be on their way while
// the block still waits for the rows.
template <class Weight>
struct MatrixUnit {
  const Weight* own;  // this lane's first weight
  int from, end;      // of K
  bool real;          // whether the lane's output exists
  Weights<Weight> next;

  // Outputs from 64 · unit on; of K from `first` to before `last`, multiples of 16.
  __device__ void begin(const Weight* matrix, int outputs, int inner, int unit, int first,
                        int last) {
    const int lane = threadIdx.x % WARP;
    const int output = unit * UNIT + threadIdx.x / WARP * 8 + lane / 4;
    from = first, end = last, real = output < outputs;
    own = matrix + static_cast<long long>(real ? output : 0) * inner + lane % 4 * 16;
    ask(from);
  }

  __device__ void ask(int at) {
    next = Weights<Weight>{};
    if (real && at + static_cast<int>(threadIdx.x % 4) * 16 < end) next.read(own + at);
  }

  // sum: per tile of 16 rows what `multiply_add` gives, of this warp's 8 outputs.
  __device__ void multiply(const half_bits* rows, int count, int inner, RowMemory& memory,
                           float (&sum)[ROW_TILES][4]) {
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m)
      for (int i = 0; i < 4; ++i) sum[m][i] = 0;
    int side = 0;
    for (int at = from; at < end; at += PART, side ^= 1) {
      const Weights<Weight> weights = next;
      stage(memory.rows[side], rows, count, inner, at);
      __syncthreads();  // two sides: nobody can still read the one before the last
      ask(at + PART);
#pragma unroll
      for (int m = 0; m < ROW_TILES; ++m) {
        if (16 * m >= count) continue;
        const half_bits* low = memory.rows[side] + (16 * m + g) * ROW_STRIDE + 16 * t;
        const half_bits* high = low + 8 * ROW_STRIDE;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Quad a = load(low + 8 * half), b = load(high + 8 * half);
          word b0, b1;
          weights.pairs(2 * half, b0, b1);
          multiply_add(sum[m], a.x, b.x, a.y, b.y, b0, b1);
          weights.pairs(2 * half + 1, b0, b1);
          multiply_add(sum[m], a.z, b.z, a.w, b.w, b0, b1);
        }
      }
    }
  }

  __device__ void stage(half_bits* to, const half_bits* rows, int count, int inner, int at) {
    constexpr int PIECES = PART / 8;
    const int padded = (count + 15) / 16 * 16;
    for (int i = threadIdx.x; i < padded * PIECES; i += MATRIX_THREADS) {
      const int row = i / PIECES, column = at + i % PIECES * 8;
      Quad piece{0, 0, 0, 0};
      if (row < count && column < end)
        piece = load_shared_by_blocks(rows + static_cast<long long>(row) * inner + column);
      store(to + row * ROW_STRIDE + i % PIECES * 8, piece);
    }
  }
};

// Calls use(row, output, value) for what this lane holds of a unit.
template <class Use>
__device__ inline void for_each_output(const float (&sum)[ROW_TILES][4], int unit, int outputs,
                                       int rows, const Use& use) {
  const int lane = threadIdx.x % WARP;
  const int output = unit * UNIT + threadIdx.x / WARP * 8 + lane % 4 * 2;
#pragma unroll
  for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = 16 * m + lane / 4 + i / 2 * 8, column = output + i % 2;
      if (row < rows && column < outputs) use(row, column, sum[m][i]);
    }
}
