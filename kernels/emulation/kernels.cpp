// All kernels as one shared library: the host's side of kernels/emulation/emulation.py.
#include "execution.h"

#include "denoise.cu"
#include "masked_attention.cu"
#include "preprocess.cu"

namespace {

using Run = bool (*)(const void* call, emulation::Index grid, emulation::Index block,
                     unsigned resident);

template <class Call, void (*KERNEL)(Call)>
bool run(const void* call, emulation::Index grid, emulation::Index block, unsigned resident) {
  Call& own = *static_cast<Call*>(call);
  return emulation::launch([&own] { KERNEL(own); }, grid, block, resident);
}

const std::map<std::string, Run> KERNELS = {
    {"denoise_half", run<const DenoiseCall, denoise_half>},
    {"denoise_int8", run<const DenoiseCall, denoise_int8>},
    {"masked_attention_32", run<const AttentionCall, masked_attention_32>},
    {"masked_attention_64", run<const AttentionCall, masked_attention_64>},
    {"masked_attention_96", run<const AttentionCall, masked_attention_96>},
    {"masked_attention_128", run<const AttentionCall, masked_attention_128>},
    {"preprocess", run<const PreprocessCall, preprocess>},
};

}  // namespace

// Why the launch failed, nothing if it did not.
extern "C" const char* emulate(const char* name, const void* call, const unsigned* grid,
                               const unsigned* block, unsigned resident) {
  const auto found = KERNELS.find(name);
  if (found == KERNELS.end()) return "no such kernel";
  found->second(call, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, resident);
  return emulation::failure.c_str();
}

extern "C" unsigned long long bytes_read_once() { return emulation::bytes_read_once; }
