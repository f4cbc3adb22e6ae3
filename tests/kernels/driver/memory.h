// Allocations, and what fills and copies them.
#pragma once

#include "state.h"

namespace driver {

namespace {

struct Copy2D {  // CUDA_MEMCPY2D
  std::size_t source_x, source_y;
  int source_kind;
  const void* source_host;
  Address source;
  void* source_array;
  std::size_t source_pitch, to_x, to_y;
  int to_kind;
  void* to_host;
  Address to;
  void* to_array;
  std::size_t to_pitch, width, height;
};

}  // namespace

extern "C" {

int cuMemAlloc_v2(Address* memory, std::size_t bytes) {
  if (!current()) return INVALID_CONTEXT;
  if (bytes == 0) return INVALID_VALUE;
  void* made = nullptr;
  if (posix_memalign(&made, 256, bytes) != 0) return OUT_OF_MEMORY;
  std::memset(made, 0xff, bytes);  // NaN, as nobody has written it yet
  *memory = reinterpret_cast<Address>(made);
  allocations[*memory] = bytes;
  return SUCCESS;
}

int cuMemFree_v2(Address memory) {
  if (!current()) return INVALID_CONTEXT;
  if (!allocations.erase(memory)) return INVALID_VALUE;
  std::free(reinterpret_cast<void*>(memory));
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t bytes, Stream* stream) {
  if (!inside(to, bytes)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return SUCCESS;
  }, true);
}

int cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t bytes, Stream* stream) {
  if (!inside(from, bytes)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return SUCCESS;
  }, true);
}

int cuMemcpy2DAsync_v2(const Copy2D* given, Stream* stream) {
  const Copy2D copy = *given;
  constexpr int DEVICE = 2;
  const bool plain = copy.source_x == 0 && copy.source_y == 0 && copy.to_x == 0 && copy.to_y == 0 &&
                     copy.source_kind == DEVICE && copy.to_kind == DEVICE && copy.height > 0;
  if (!plain || copy.width > copy.source_pitch || copy.width > copy.to_pitch) return INVALID_VALUE;
  if (!inside(copy.source, copy.source_pitch * (copy.height - 1) + copy.width) ||
      !inside(copy.to, copy.to_pitch * (copy.height - 1) + copy.width))
    return INVALID_VALUE;
  return into(stream, [=] {
    for (std::size_t i = 0; i < copy.height; ++i)
      std::memcpy(reinterpret_cast<void*>(copy.to + i * copy.to_pitch),
                  reinterpret_cast<const void*>(copy.source + i * copy.source_pitch), copy.width);
    return SUCCESS;
  });
}

int cuMemsetD8Async(Address to, unsigned char value, std::size_t count, Stream* stream) {
  if (!inside(to, count)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memset(reinterpret_cast<void*>(to), value, count);
    return SUCCESS;
  });
}

}  // extern "C"

}  // namespace driver
