// A whole diffusion sampler in one launch: every evaluation of the denoiser, guidance included.
//
// The denoiser is a diffusion transformer whose condition is a prefix of tokens (model/denoiser.py;
// DiT, arXiv 2212.09748, section 3.2): per point of the sampler's grid and per branch of guidance
// (with and without condition) 2·P tokens, P of condition and P actions, each a row. All rows of an
// evaluation share one read of the weights.
//
// The sampler is a table. At point j of the grid the noisy actions are
//     x_j = c_j0 · noise + Σ_{i<j} c_j(i+1) · D_i,     D_j = (x_j - σ_j · ε(x_j)) / α_j,
// and D of the last point is what comes out: DDIM and DPM-Solver++(2M), unrolled, as well as the
// sweeps of parallel DDIM, which evaluate many points at once from the D of the sweep before. After
// two sweeps these move D on, along the secant through both, to the state that is there by then.
//
// The grid stays resident and meets at a counter in memory between the phases of a block: LN, qkv,
// attention, projection, LN, fc1, fc2. Projection and fc2 are also cut along K, so that every
// multiprocessor has weights to read; the parts are added in a fixed order by the LN that follows,
// so equal inputs give equal bits.
#pragma once

#include "matrix.cuh"

constexpr int ACTION = 7;
constexpr int MAX_TOKENS = 16;  // of a sequence
constexpr float LN_EPSILON = 1e-6f;

// Of secants, as in kernels/table.py.
constexpr float STEEPEST = 1.0f, STILL = 1e-4f;

// An evaluation: points from `first` to before `end`; D of the first one is given to all points
// behind it if `spread`; `secant` if all have been evaluated before in this launch.
struct Evaluation {
  int first, end, spread, secant;
};

// All that a launch is given, in the order that kernels/denoise.py writes. It stays in constant
// memory, so that no register holds a pointer for long.
struct DenoiseCall {
  const half_bits* condition;  // (P, D)
  const float* noise;          // (P, 7)
  float* actions;              // (P, 7)
  const void* matrices;        // per block qkv (3W, W), projection (W, W), fc1 (H, W), fc2 (W, H)
  const float* scales;         // per block one per output of these, then one bias per output
  const half_bits* embedder;   // (W, D)
  const float* embedder_bias;  // (W)
  const float* no_condition;   // (W): the embedded condition of the other branch
  const float* time;           // (points, W)
  const float* position;       // (2P, W)
  const float *x_weight, *x_bias, *out_weight, *out_bias;  // (7, W), (W), (7, W), (7)
  const float* table;                                      // (points, 3 + points): α, σ, c_0 …
  const Evaluation* evaluations;
  // Between blocks of the grid; rows are those of the largest evaluation.
  float *x, *parts, *embedded;               // (rows, W), (split, rows, W), (P, W)
  float *clean, *change;                     // D (points, P, 7), by how much the last evaluation
                                             // changed that of the last point (P, 7)
  float *slope, *visited;                    // of D over x, and x where D is (points, P, 7)
  float* noisy;                              // x_j of each row (rows, 7)
  half_bits *normed, *qkv, *mixed, *hidden;  // (rows, …)
  unsigned* counter;                         // zero before the launch
  int width, heads, hidden_width, layers;    // W, …, H
  int features, steps;                       // D, P
  int points, branches, evaluation_count;
  int split;  // parts of K in projection and fc2
  float guidance;
};

// One linear layer of a block.
template <class Weight>
struct Linear {
  const Weight* weight;
  const float *scale, *bias;
  int outputs, inner;
};

union DenoiseMemory {
  RowMemory rows;
  float weight[MATRIX_WARPS][MAX_TOKENS * MAX_TOKENS];
};

__device__ inline float gelu(float x) {  // the tanh form, as in the network
  return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}

__device__ inline void unpack(const Quad& q, float (&eight)[8]) {
  const word words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
  for (int i = 0; i < 8; ++i)
    eight[i] = to_float(static_cast<half_bits>(words[i / 2] >> 16 * (i % 2)));
}

template <class Weight>
struct Denoiser {
  const DenoiseCall& call;
  DenoiseMemory& memory;
  unsigned met = 0;         // meetings of the grid so far, times its blocks
  int first = 0, rows = 0;  // of this evaluation

  __device__ Denoiser(const DenoiseCall& call, DenoiseMemory& memory)
      : call(call), memory(memory) {}

  __device__ void run() {
    embed_condition();
    for (int e = 0; e < call.evaluation_count; ++e) {
      const Evaluation now = call.evaluations[e];
      first = now.first;
      rows = (now.end - now.first) * call.branches * tokens();
      // `secant` is read there: held in a register it makes others spill on sm_90.
      for_each_row([&](int row) { make_noisy(row, e > 0 && call.evaluations[e].secant); },
                   [&](int row, int at) { return token(row, at); });
      for (int layer = 0; layer < call.layers; ++layer) {
        if (layer > 0) add(linear(layer - 1, FC2));
        block(layer);
      }
      predict(now);
      meet([] {});
    }
    const float* last = call.clean + (call.points - 1) * call.steps * ACTION;
    if (blockIdx.x == 0)
      for (int i = threadIdx.x; i < call.steps * ACTION; i += MATRIX_THREADS)
        call.actions[i] = load_shared_by_blocks(last + i);
  }

 private:
  enum Which { QKV, PROJECTION, FC1, FC2 };

  __device__ int tokens() const { return 2 * call.steps; }

  __device__ Linear<Weight> linear(int layer, Which which) const {
    const long long w = call.width, h = call.hidden_width;
    const long long weights[] = {0, 3 * w * w, 4 * w * w, 4 * w * w + w * h};
    const long long outputs[] = {0, 3 * w, 4 * w, 4 * w + h, 5 * w + h};
    const float* scale = call.scales + layer * 2 * outputs[4] + outputs[which];
    return {static_cast<const Weight*>(call.matrices) + layer * (4 * w * w + 2 * w * h) +
                weights[which],
            scale, scale + outputs[4], static_cast<int>(outputs[which + 1] - outputs[which]),
            static_cast<int>(which == FC2 ? h : w)};
  }

  __device__ void block(int layer) {
    const Linear<Weight> qkv = linear(layer, QKV), fc1 = linear(layer, FC1);
    multiply(call.normed, qkv, 1, [&](int, int row, int output, float value) {
      call.qkv[row * qkv.outputs + output] =
          to_half(value * qkv.scale[output] + qkv.bias[output]);
    });
    meet([] {});
    attend();
    multiply(call.mixed, linear(layer, PROJECTION), call.split, keep());
    meet([] {});
    add(linear(layer, PROJECTION));
    multiply(call.normed, fc1, 1, [&](int, int row, int output, float value) {
      call.hidden[row * fc1.outputs + output] =
          to_half(gelu(value * fc1.scale[output] + fc1.bias[output]));
    });
    multiply(call.hidden, linear(layer, FC2), call.split, keep());
    meet([] {});
  }

  // The grid meets; `meanwhile` may ask for memory that no block writes.
  template <class Meanwhile>
  __device__ void meet(const Meanwhile& meanwhile) {
    __syncthreads();
    met += gridDim.x;
    if (threadIdx.x == 0) arrive(call.counter);
    meanwhile();
    if (threadIdx.x == 0) wait_for(call.counter, met);
    __syncthreads();
  }

  // The grid meets, since the rows have just been written, and multiplies them with a layer's
  // weights; use(part of K, row, output, sum) gets every sum.
  template <class W, class Use>
  __device__ void multiply(const half_bits* a, const Linear<W>& layer, int split, const Use& use) {
    const int units = (layer.outputs + UNIT - 1) / UNIT, jobs = units * split;
    const int length = ((layer.inner + split - 1) / split + PART - 1) / PART * PART;
    MatrixUnit<W> unit;
    const auto begin = [&](int job) {
      const int from = job / units * length;
      const int to = from + length < layer.inner ? from + length : layer.inner;
      unit.begin(layer.weight, layer.outputs, layer.inner, job % units, from, to);
    };
    meet([&] {
      if (blockIdx.x < jobs) begin(blockIdx.x);
    });
    for (int job = blockIdx.x; job < jobs; job += gridDim.x) {
      if (job != blockIdx.x) begin(job);
      float sum[ROW_TILES][4];
      unit.multiply(a, rows, layer.inner, memory.rows, sum);
      for_each_output(sum, job % units, layer.outputs, rows, [&](int row, int output, float value) {
        use(job / units, row, output, value);
      });
      __syncthreads();
    }
  }

  __device__ void embed_condition() {
    rows = call.steps;
    const Linear<half_bits> embedder{call.embedder, nullptr, call.embedder_bias, call.width,
                                     call.features};
    multiply(call.condition, embedder, 1, [&](int, int row, int output, float value) {
      call.embedded[row * call.width + output] = value + embedder.bias[output];
    });
    meet([] {});
  }

  __device__ auto keep() {
    return [this](int part, int row, int output, float value) {
      call.parts[(part * rows + row) * call.width + output] = value;
    };
  }

  // A number of the residual stream with the parts of the layer that ran last.
  __device__ float added(int row, int at, const Linear<Weight>& layer) const {
    float sum = 0;
    for (int part = 0; part < call.split; ++part)
      sum += load_shared_by_blocks(call.parts + (part * rows + row) * call.width + at);
    return load_shared_by_blocks(call.x + row * call.width + at) + sum * layer.scale[at] +
           layer.bias[at];
  }

  __device__ void add(const Linear<Weight>& layer) {
    for_each_row([](int) {}, [&](int row, int at) { return added(row, at, layer); });
  }

  // A row's number before the first block: embedded condition and time, or embedded actions.
  __device__ float token(int row, int at) const {
    const int sequence = row / tokens(), token = row % tokens(), width = call.width;
    const int point = first + sequence / call.branches, branch = sequence % call.branches;
    float value = call.position[token * width + at];
    if (token < call.steps)
      return value + call.time[point * width + at] +
             (branch == 0 ? load_shared_by_blocks(call.embedded + token * width + at)
                          : call.no_condition[at]);
    value += call.x_bias[at];
    for (int i = 0; i < ACTION; ++i)
      value += call.x_weight[i * width + at] * call.noisy[row * ACTION + i];
    return value;
  }

  // x_j of a row that is an action. It is kept, since D that it was made of is written anew before
  // D_j is.
  __device__ void make_noisy(int row, bool secant) const {
    const int lane = threadIdx.x % WARP, step = row % tokens() - call.steps;
    const int point = first + row / tokens() / call.branches;
    if (step >= 0 && lane < ACTION)
      call.noisy[row * ACTION + lane] =
          secant ? state_along_secants(point, step * ACTION + lane)
                 : state(point, step * ACTION + lane);
    __syncwarp();
  }

  __device__ const float* coefficients(int point) const {
    return call.table + point * (3 + call.points) + 2;
  }

  // Number `at` of an array (points, P, 7).
  __device__ float number(const float* array, int point, int at) const {
    return load_shared_by_blocks(array + point * call.steps * ACTION + at);
  }

  __device__ float state(int point, int at) const {
    const float* c = coefficients(point);
    float x = c[0] * call.noise[at];
    for (int before = 0; before < point; ++before)
      if (c[before + 1] != 0) x += c[before + 1] * number(call.clean, before, at);
    return x;
  }

  // DDIM's x from one point to the next, in which a D counts for the x that is there now.
  __device__ float state_along_secants(int point, int at) const {
    float x = call.noise[at];
    for (int before = 0; before < point; ++before) {
      const float clean =
          number(call.clean, before, at) +
          number(call.slope, before, at) * (x - number(call.visited, before, at));
      const float *from = coefficients(before), *to = coefficients(before + 1);
      x = to[0] / from[0] * x + to[before + 1] * clean;
    }
    return x;
  }

  // Writes the residual stream and its LN, a warp a row; prepare(row) comes before value(row, at).
  template <class Prepare, class Value>
  __device__ void for_each_row(const Prepare& prepare, const Value& value) {
    const int lane = threadIdx.x % WARP, width = call.width;
    for (int row = own_warp(); row < rows; row += warps()) {
      float* x = call.x + row * width;
      prepare(row);
      float sum = 0;
      for (int at = lane; at < width; at += WARP) sum += x[at] = value(row, at);
      const float mean = sum_over_warp(sum) / width;
      float squares = 0;
      for (int at = lane; at < width; at += WARP) squares += (x[at] - mean) * (x[at] - mean);
      const float factor = 1.0f / sqrtf(sum_over_warp(squares) / width + LN_EPSILON);
      for (int at = lane; at < width; at += WARP)
        call.normed[row * width + at] = to_half((x[at] - mean) * factor);
    }
  }

  __device__ int own_warp() const { return blockIdx.x * MATRIX_WARPS + threadIdx.x / WARP; }
  __device__ int warps() const { return gridDim.x * MATRIX_WARPS; }

  // Attention of one sequence and head per warp; no token is hidden from another.
  __device__ void attend() {
    const int lane = threadIdx.x % WARP, width = call.width, dim = width / call.heads;
    const int count = tokens(), stride = 3 * width;
    const float scale = 1.0f / sqrtf(static_cast<float>(dim));
    float* weight = memory.weight[threadIdx.x / WARP];
    for (int job = own_warp(); job < rows / count * call.heads; job += warps()) {
      const int sequence = job / call.heads, column = job % call.heads * dim;
      const half_bits* q = call.qkv + sequence * count * stride + column;
      for (int pair = lane; pair < count * count; pair += WARP) {
        const half_bits* k = q + pair % count * stride + width;
        float dot = 0, left[8], right[8];
        for (int at = 0; at < dim; at += 8) {
          unpack(load_shared_by_blocks(q + pair / count * stride + at), left);
          unpack(load_shared_by_blocks(k + at), right);
#pragma unroll
          for (int i = 0; i < 8; ++i) dot += left[i] * right[i];
        }
        weight[pair] = dot * scale;
      }
      __syncwarp();
      if (lane < count) softmax(weight + lane * count, count);
      __syncwarp();
      half_bits* out = call.mixed + sequence * count * width + column;
      for (int at = 8 * lane; at < count * dim; at += 8 * WARP) {
        float sum[8] = {}, value[8];
        for (int key = 0; key < count; ++key) {
          unpack(load_shared_by_blocks(q + 2 * width + key * stride + at % dim), value);
#pragma unroll
          for (int i = 0; i < 8; ++i) sum[i] += weight[at / dim * count + key] * value[i];
        }
        store(out + at / dim * width + at % dim,
              Quad{pack(sum[0], sum[1]), pack(sum[2], sum[3]), pack(sum[4], sum[5]),
                   pack(sum[6], sum[7])});
      }
      __syncwarp();
    }
  }

  __device__ static void softmax(float* row, int count) {
    float top = row[0], sum = 0;
    for (int i = 1; i < count; ++i) top = fmaxf(top, row[i]);
    for (int i = 0; i < count; ++i) sum += row[i] = expf(row[i] - top);
    for (int i = 0; i < count; ++i) row[i] /= sum;
  }

  // D of every point and step of the evaluation, a warp each; a lane keeps one of 7 numbers.
  __device__ void predict(const Evaluation& now) {
    const int lane = threadIdx.x % WARP;
    for (int job = own_warp(); job < (now.end - now.first) * call.steps; job += warps()) {
      const int point = now.first + job / call.steps, step = job % call.steps;
      const int row = job / call.steps * call.branches * tokens() + call.steps + step;
      float noise = predict_noise(row);
      if (call.branches == 2) {
        const float free = predict_noise(row + tokens());
        noise = free + call.guidance * (noise - free);
      }
      if (lane >= ACTION) continue;
      const int at = step * ACTION + lane, own = point * call.steps * ACTION + at;
      const float* level = call.table + point * (3 + call.points);
      const float x = load_shared_by_blocks(call.noisy + row * ACTION + lane);
      const float clean = (x - level[1] * noise) / level[0];
      const float change = clean - number(call.clean, point, at);
      if (point == call.points - 1) call.change[at] = change;
      const float move = x - number(call.visited, point, at);
      const float slope = move * change / (move * move + STILL);
      call.slope[own] = now.secant ? fminf(fmaxf(slope, -STEEPEST), STEEPEST) : 0;
      call.visited[own] = x;
      for (int to = point; to <= (now.spread ? call.points - 1 : point); ++to)
        call.clean[(to * call.steps + step) * ACTION + lane] = clean;
    }
  }

  // Lane i < 7 gets number i of a row's noise.
  __device__ float predict_noise(int row) const {
    const int lane = threadIdx.x % WARP, width = call.width;
    const Linear<Weight> last = linear(call.layers - 1, FC2);
    float sum = 0;
    for (int at = lane; at < width; at += WARP) sum += added(row, at, last);
    const float mean = sum_over_warp(sum) / width;
    float squares = 0, dot[ACTION] = {}, own = 0;
    for (int at = lane; at < width; at += WARP) {
      const float value = added(row, at, last) - mean;
      squares += value * value;
#pragma unroll
      for (int i = 0; i < ACTION; ++i) dot[i] += value * call.out_weight[i * width + at];
    }
    const float factor = 1.0f / sqrtf(sum_over_warp(squares) / width + LN_EPSILON);
#pragma unroll
    for (int i = 0; i < ACTION; ++i) {
      const float number = sum_over_warp(dot[i]) * factor + call.out_bias[i];
      if (i == lane) own = number;
    }
    return own;
  }
};
