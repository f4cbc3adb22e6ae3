// Modules, their functions, and launches in emulation.
#pragma once

#include "state.h"

namespace driver {

namespace {

std::size_t argument_bytes(const Function* function) {
  if (function->name.rfind("denoise", 0) == 0) return sizeof(DenoiseCall);
  return function->name == "preprocess" ? sizeof(PreprocessCall) : sizeof(AttentionCall);
}

int launched(Function* function, emulation::Index grid, emulation::Index block, unsigned shared,
             Stream* stream, const void* argument) {
  if (shared != 0 || block.y != 1 || block.z != 1) return INVALID_VALUE;
  const std::string name = function->name;
  const char* bytes = static_cast<const char*>(argument);
  const std::vector<char> copy(bytes, bytes + argument_bytes(function));
  return into(stream, [=] {
    const unsigned sizes[] = {grid.x, grid.y, grid.z, block.x, block.y, block.z};
    std::vector<std::max_align_t> aligned(copy.size() / sizeof(std::max_align_t) + 1);
    std::memcpy(aligned.data(), copy.data(), copy.size());
    const char* wrong = emulate(name.c_str(), aligned.data(), sizes, sizes + 3, MULTIPROCESSORS);
    return *wrong ? LAUNCH_FAILED : SUCCESS;
  });
}

// The arguments stand in a buffer: its address and a pointer to its length, each after its mark.
const void* from_buffer(void** extra, std::size_t wanted) {
  enum Mark : std::uintptr_t { END, POINTER, SIZE };
  const void* buffer = nullptr;
  std::size_t size = 0;
  for (; reinterpret_cast<std::uintptr_t>(*extra) != END; extra += 2) {
    const auto mark = reinterpret_cast<std::uintptr_t>(*extra);
    if (mark == POINTER) buffer = extra[1];
    else if (mark == SIZE) size = *static_cast<std::size_t*>(extra[1]);
    else return nullptr;
  }
  return size == wanted ? buffer : nullptr;
}

}  // namespace

extern "C" {

int cuModuleLoadData(Module** module, const char* image) {
  if (!current()) return INVALID_CONTEXT;
  if (std::memcmp(image, "\x7f" "ELF", 4) != 0) return INVALID_IMAGE;
  std::uint64_t sections;  // of an ELF file of 64 bits: the table of sections is its end
  std::uint16_t size, count;
  std::memcpy(&sections, image + 40, 8);
  std::memcpy(&size, image + 58, 2);
  std::memcpy(&count, image + 60, 2);
  *module = new Module{std::string(image, sections + size * count)};
  modules.insert(*module);
  return SUCCESS;
}

// The lengths of what it logs, which is nothing, are written where the logs' sizes came in.
int cuModuleLoadDataEx(Module** module, const char* image, unsigned count, const int* options,
                       void** values) {
  constexpr int INFO_LOG_SIZE = 4, ERROR_LOG_SIZE = 6;
  for (unsigned i = 0; i < count; ++i)
    if (options[i] == INFO_LOG_SIZE || options[i] == ERROR_LOG_SIZE) values[i] = nullptr;
  return cuModuleLoadData(module, image);
}

int cuModuleUnload(Module* module) {
  if (!current()) return INVALID_CONTEXT;
  if (!modules.erase(module)) return INVALID_HANDLE;
  for (auto function = functions.begin(); function != functions.end();)
    function = (*function)->module == module ? functions.erase(function) : std::next(function);
  delete module;
  return SUCCESS;
}

int cuModuleGetFunction(Function** function, Module* module, const char* name) {
  if (!modules.count(module)) return INVALID_HANDLE;
  if (module->image.find(std::string(".text.") + name + '\0') == std::string::npos)
    return NOT_FOUND;
  *function = new Function{name, module};
  functions.insert(*function);
  return SUCCESS;
}

int cuFuncSetBlockShape(Function* function, int x, int y, int z) {
  if (!functions.count(function)) return INVALID_HANDLE;
  return x > 0 && y > 0 && z > 0 ? SUCCESS : INVALID_VALUE;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads, std::size_t) {
  *blocks = 1;
  return functions.count(function) && threads > 0 ? SUCCESS : INVALID_VALUE;
}

int cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, Stream* stream, void** arguments,
                   void** extra) {
  if (!functions.count(function)) return INVALID_HANDLE;
  if ((arguments == nullptr) == (extra == nullptr)) return INVALID_VALUE;
  const void* argument = extra == nullptr ? arguments[0] : from_buffer(extra, argument_bytes(function));
  if (argument == nullptr) return INVALID_VALUE;
  return launched(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, argument);
}

int cuLaunchCooperativeKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                    unsigned by, unsigned bz, unsigned shared, Stream* stream, void** arguments) {
  if (!functions.count(function)) return INVALID_HANDLE;
  if (gx * gy * gz > MULTIPROCESSORS) return COOPERATIVE_LAUNCH_TOO_LARGE;
  if (arguments == nullptr) return INVALID_VALUE;
  return launched(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments[0]);
}

}  // extern "C"

}  // namespace driver
