// CUDA's execution model on one host thread: a fiber for every CUDA thread.
//
// Included before a kernel's source. Blocks, warps, barriers and votes behave as CUDA specifies
// (CUDA C++ Programming Guide, sections 2.2 and 7.6); a thread, a warp and a block each run until they
// have to wait for others, so that what a missing barrier would have ordered is out of order. Only `resident` blocks are
// alive at a time. When nobody can go on, the launch fails and says why.
#pragma once

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define DREAMVLA_ON_HOST
#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)

namespace emulation {

struct Index {
  unsigned x, y, z;
};

constexpr int LANES = 32;
constexpr std::size_t STACK_BYTES = 64 * 1024, SLOT_BYTES = 64;

struct Warp {
  int arrived = 0;
  unsigned generation = 0;
  const void* site = nullptr;
  alignas(16) unsigned char slot[LANES][SLOT_BYTES];
};

struct Block {
  Index index;
  std::vector<Warp> warps;
  int alive, arrived = 0;
  unsigned generation = 0;
  bool vote = false, result = false;
  std::map<const void*, std::shared_ptr<void>> shared;
};

// Where a fiber or the scheduler goes on. glibc's own switch asks the kernel twice for the signal
// mask, which takes most of the time of an emulated launch.
#if defined(__x86_64__)
struct Context {
  void* stack_pointer = nullptr;
};
extern "C" void emulation_switch(void** save, void* load);
asm(R"(
  .text
  .globl emulation_switch
  .type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emulation_switch, .-emulation_switch
)");
inline void switch_to(Context& from, Context& to) {
  emulation_switch(&from.stack_pointer, to.stack_pointer);
}
inline void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  void** top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + size) & ~15ull);
  *--top = nullptr;  // the return address of `entry`, which never returns
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
}
#else
using Context = ucontext_t;
inline void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }
inline void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = size, context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}
#endif

struct Fiber {
  Index index;
  Block* block;
  Context context;
  std::unique_ptr<char[]> stack;
  bool started = false, done = false;
};

inline Index grid_size, block_size;
inline Fiber* running = nullptr;
inline Context scheduler;
inline std::function<void()> kernel;
inline unsigned long long progress = 0, bytes_read_once = 0;
inline std::string failure;

#if defined(__SANITIZE_ADDRESS__)
inline const void* scheduler_stack;
inline std::size_t scheduler_size;
#endif

inline void leave(bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_size);
#endif
  switch_to(running->context, scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
}

inline void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  kernel();
  Block& block = *running->block;
  block.alive--;
  running->done = true;
  ++progress;
  if (block.alive > 0 && block.arrived == block.alive) {  // who has left waits for nobody
    block.result = block.vote, block.vote = false, block.arrived = 0, ++block.generation;
  }
  leave(true);
}

inline void resume(Fiber& fiber) {
  if (!fiber.started) {
    fiber.started = true;
    fiber.stack.reset(new char[STACK_BYTES]);
    prepare(fiber.context, fiber.stack.get(), STACK_BYTES, enter);
  }
  running = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), STACK_BYTES);
#endif
  switch_to(scheduler, fiber.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

inline void wait_while(const std::function<bool()>& condition) {
  while (condition()) leave(false);
}

// All lanes of a warp give a value; `compute` sees and changes them once, and each gets its own.
template <class T>
T together(const T& mine, const void* site, const std::function<void(T*)>& compute) {
  static_assert(sizeof(T) <= SLOT_BYTES, "a slot is too small");
  const unsigned thread = running->index.x;
  Warp& warp = running->block->warps[thread / LANES];
  if (warp.arrived > 0 && warp.site != site)
    failure = "lanes of a warp are at different collective operations";
  warp.site = site;
  std::memcpy(warp.slot[thread % LANES], &mine, sizeof(T));
  if (++warp.arrived == LANES) {
    std::vector<T> all(LANES);
    for (int i = 0; i < LANES; ++i) std::memcpy(&all[i], warp.slot[i], sizeof(T));
    compute(all.data());
    for (int i = 0; i < LANES; ++i) std::memcpy(warp.slot[i], &all[i], sizeof(T));
    warp.arrived = 0, ++warp.generation, ++progress;
  } else {
    const unsigned generation = warp.generation;
    wait_while([&] { return warp.generation == generation; });
  }
  T own;
  std::memcpy(&own, warp.slot[thread % LANES], sizeof(T));
  return own;
}

inline bool meet_block(bool vote) {
  Block& block = *running->block;
  block.vote |= vote;
  if (++block.arrived == block.alive) {
    block.result = block.vote, block.vote = false, block.arrived = 0;
    ++block.generation, ++progress;
  } else {
    const unsigned generation = block.generation;
    wait_while([&] { return block.generation == generation; });
  }
  return block.result;
}

template <class T>
T& shared(const void* site) {
  std::shared_ptr<void>& memory = running->block->shared[site];
  if (!memory) {
    memory = std::make_shared<T>();
    std::memset(memory.get(), 0xff, sizeof(T));  // NaN, as nobody has written it yet
  }
  return *static_cast<T*>(memory.get());
}

// Runs a grid; false, and `failure`, if it cannot come to its end.
inline bool launch(const std::function<void()>& body, Index grid, Index block, unsigned resident) {
  kernel = body, grid_size = grid, block_size = block;
  failure.clear(), progress = 0, bytes_read_once = 0;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<std::vector<std::unique_ptr<Fiber>>> alive;
  const unsigned total = grid.x * grid.y * grid.z;
  unsigned begun = 0;
  while (failure.empty()) {
    alive.erase(std::remove_if(alive.begin(), alive.end(),
                               [](const auto& fibers) { return fibers[0]->block->alive == 0; }),
                alive.end());
    for (; begun < total && alive.size() < resident; ++begun) {
      blocks.push_back(std::make_unique<Block>());
      Block& own = *blocks.back();
      own.index = {begun % grid.x, begun / grid.x % grid.y, begun / grid.x / grid.y};
      own.alive = static_cast<int>(block.x), own.warps.resize((block.x + LANES - 1) / LANES);
      alive.emplace_back();
      for (unsigned thread = 0; thread < block.x; ++thread) {
        alive.back().push_back(std::make_unique<Fiber>());
        alive.back().back()->index = {thread, 0, 0}, alive.back().back()->block = &own;
      }
    }
    if (alive.empty()) return true;
    const unsigned long long before = progress;
    for (auto& fibers : alive)  // a block, and in it a warp, gets as far as it can
      for (unsigned long long of_block = ~0ull; of_block != progress && failure.empty();) {
        of_block = progress;
        for (unsigned warp = 0; warp < block.x; warp += LANES)
          for (unsigned long long of_warp = ~0ull; of_warp != progress && failure.empty();) {
            of_warp = progress;
            for (unsigned lane = warp; lane < std::min(warp + LANES, block.x); ++lane)
              if (!fibers[lane]->done) resume(*fibers[lane]);
          }
      }
    if (progress == before && failure.empty())
      failure = begun < total ? "the grid is not resident: blocks wait for others that never began"
                              : "every thread waits";
  }
  return false;
}

}  // namespace emulation

#define threadIdx (emulation::running->index)
#define blockIdx (emulation::running->block->index)
#define gridDim (emulation::grid_size)
#define blockDim (emulation::block_size)

inline void __syncthreads() { emulation::meet_block(false); }
inline int __syncthreads_or(int vote) { return emulation::meet_block(vote != 0); }
inline void __syncwarp() {
  static const char site = 0;
  emulation::together<char>(0, &site, [](char*) {});
}
inline unsigned atomicOr(unsigned* at, unsigned value) {
  const unsigned before = *at;
  *at |= value;
  return before;
}
