// A CUDA driver for a machine without GPU: what kernels/cuda_device.py calls of libcuda.so.1, with
// the kernels in emulation behind its launches.
//
// A call that the real driver would refuse (CUDA driver API reference) is refused here, with its
// error: without context, with memory, a stream, a function or a graph that is not known, beyond
// an allocation's end, of pageable memory during a capture. One GPU, sm_87, 4 multiprocessors with
// room for one block each. Limits: streams are done as they are given; a module's code is only
// looked at for its kernels' names.
#include "kernels.cpp"

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace driver {

enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  NOT_INITIALIZED = 3,
  INVALID_CONTEXT = 201,
  INVALID_IMAGE = 200,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
  COOPERATIVE_LAUNCH_TOO_LARGE = 720,
  CAPTURE_UNSUPPORTED = 900,
};

using Address = unsigned long long;
using Work = std::function<Result()>;

constexpr unsigned MULTIPROCESSORS = 4;

struct Stream {
  bool capturing = false;
  std::vector<Work> captured;
};
struct Module {
  std::string image;
};
struct Function {
  std::string name;
};
struct Graph {
  std::vector<Work> work;
};

bool ready = false;
char the_context;
thread_local void* current = nullptr;
std::map<Address, std::size_t> allocations;
std::set<Stream*> streams;
std::set<Module*> modules;
std::set<Function*> functions;
std::set<Graph*> graphs;

bool inside(Address from, std::size_t bytes) {
  auto found = allocations.upper_bound(from);
  if (found == allocations.begin()) return false;
  --found;
  return from + bytes <= found->first + found->second;
}

// Now, or when the graph is launched that the stream is captured for.
Result into(Stream* stream, const Work& work, bool pageable = false) {
  if (current == nullptr) return INVALID_CONTEXT;
  if (!streams.count(stream)) return INVALID_HANDLE;
  if (!stream->capturing) return work();
  if (pageable) return CAPTURE_UNSUPPORTED;
  stream->captured.push_back(work);
  return SUCCESS;
}

int init(unsigned flags) {
  ready = flags == 0;
  return ready ? SUCCESS : INVALID_VALUE;
}

int device_get(int* device, int ordinal) {
  if (!ready) return NOT_INITIALIZED;
  *device = ordinal;
  return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

int device_attribute(int* value, int attribute, int device) {
  const std::map<int, int> known = {{16, MULTIPROCESSORS}, {75, 8}, {76, 7}};
  if (!ready || device != 0 || !known.count(attribute)) return INVALID_VALUE;
  *value = known.at(attribute);
  return SUCCESS;
}

int primary_retain(void** context, int device) {
  *context = &the_context;
  return ready && device == 0 ? SUCCESS : INVALID_VALUE;
}

int set_current(void* context) {
  if (context != &the_context && context != nullptr) return INVALID_CONTEXT;
  current = context;
  return SUCCESS;
}

int stream_create(Stream** stream, unsigned flags) {
  if (current == nullptr) return INVALID_CONTEXT;
  *stream = new Stream;
  streams.insert(*stream);
  return flags <= 1 ? SUCCESS : INVALID_VALUE;
}

int stream_synchronize(Stream* stream) {
  if (current == nullptr) return INVALID_CONTEXT;
  if (!streams.count(stream)) return INVALID_HANDLE;
  return stream->capturing ? CAPTURE_UNSUPPORTED : SUCCESS;
}

int mem_alloc(Address* memory, std::size_t bytes) {
  if (current == nullptr) return INVALID_CONTEXT;
  if (bytes == 0) return INVALID_VALUE;
  void* made = nullptr;
  if (posix_memalign(&made, 256, bytes) != 0) return 2;
  std::memset(made, 0xff, bytes);  // NaN, as nobody has written it yet
  *memory = reinterpret_cast<Address>(made);
  allocations[*memory] = bytes;
  return SUCCESS;
}

int mem_free(Address memory) {
  if (!allocations.erase(memory)) return INVALID_VALUE;
  std::free(reinterpret_cast<void*>(memory));
  return SUCCESS;
}

int copy_to_device(Address to, const void* from, std::size_t bytes, Stream* stream) {
  if (!inside(to, bytes)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return SUCCESS;
  }, true);
}

int copy_to_host(void* to, Address from, std::size_t bytes, Stream* stream) {
  if (!inside(from, bytes)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return SUCCESS;
  }, true);
}

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

int copy_rows(const Copy2D* given, Stream* stream) {
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

int set_bytes(Address to, unsigned char value, std::size_t count, Stream* stream) {
  if (!inside(to, count)) return INVALID_VALUE;
  return into(stream, [=] {
    std::memset(reinterpret_cast<void*>(to), value, count);
    return SUCCESS;
  });
}

int module_load(Module** module, const char* image) {
  if (current == nullptr) return INVALID_CONTEXT;
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

int module_function(Function** function, Module* module, const char* name) {
  if (!modules.count(module)) return INVALID_HANDLE;
  if (module->image.find(std::string(".text.") + name + '\0') == std::string::npos)
    return NOT_FOUND;
  *function = new Function{name};
  functions.insert(*function);
  return SUCCESS;
}

int occupancy(int* blocks, Function* function, int threads, std::size_t) {
  *blocks = 1;
  return functions.count(function) && threads > 0 ? SUCCESS : INVALID_VALUE;
}

std::size_t argument_bytes(const std::string& kernel) {
  if (kernel.rfind("denoise", 0) == 0) return sizeof(DenoiseCall);
  return kernel == "preprocess" ? sizeof(PreprocessCall) : sizeof(AttentionCall);
}

int launched(Function* function, emulation::Index grid, emulation::Index block,
             std::size_t shared, Stream* stream, void** arguments) {
  if (!functions.count(function)) return INVALID_HANDLE;
  if (arguments == nullptr || shared != 0 || block.y != 1 || block.z != 1) return INVALID_VALUE;
  const std::string name = function->name;
  const std::vector<char> copy(static_cast<char*>(arguments[0]),
                               static_cast<char*>(arguments[0]) + argument_bytes(name));
  return into(stream, [=] {
    const unsigned sizes[] = {grid.x, grid.y, grid.z, block.x, block.y, block.z};
    std::vector<std::max_align_t> aligned(copy.size() / sizeof(std::max_align_t) + 1);
    std::memcpy(aligned.data(), copy.data(), copy.size());
    const char* wrong = emulate(name.c_str(), aligned.data(), sizes, sizes + 3, MULTIPROCESSORS);
    return *wrong ? LAUNCH_FAILED : SUCCESS;
  });
}

int launch(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
           unsigned bz, unsigned shared, Stream* stream, void** arguments, void** extra) {
  if (extra != nullptr) return INVALID_VALUE;
  return launched(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments);
}

int launch_together(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                    unsigned by, unsigned bz, unsigned shared, Stream* stream, void** arguments) {
  if (gx * gy * gz > MULTIPROCESSORS) return COOPERATIVE_LAUNCH_TOO_LARGE;
  return launched(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments);
}

int begin_capture(Stream* stream, int mode) {
  if (!streams.count(stream) || stream->capturing) return INVALID_HANDLE;
  stream->capturing = true;
  stream->captured.clear();
  return mode >= 0 && mode <= 2 ? SUCCESS : INVALID_VALUE;
}

int end_capture(Stream* stream, Graph** graph) {
  if (!streams.count(stream) || !stream->capturing) return INVALID_HANDLE;
  stream->capturing = false;
  *graph = new Graph{stream->captured};
  graphs.insert(*graph);
  return SUCCESS;
}

int instantiate(Graph** executable, Graph* graph, unsigned long long flags) {
  if (!graphs.count(graph) || flags != 0) return INVALID_VALUE;
  *executable = new Graph{graph->work};
  graphs.insert(*executable);
  return SUCCESS;
}

int destroy(Graph* graph) {
  if (!graphs.erase(graph)) return INVALID_VALUE;
  delete graph;
  return SUCCESS;
}

int launch_graph(Graph* graph, Stream* stream) {
  if (!graphs.count(graph) || !streams.count(stream) || stream->capturing) return INVALID_HANDLE;
  for (const Work& work : graph->work) {
    const Result result = work();
    if (result != SUCCESS) return result;
  }
  return SUCCESS;
}

int version(int* number) {
  *number = 13000;
  return SUCCESS;
}

int proc_address(const char* name, void** function, int, unsigned long long, int* status);

template <class F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

const std::map<std::string, void*> ENTRIES = {
    {"cuInit", address(init)},
    {"cuDriverGetVersion", address(version)},
    {"cuGetProcAddress", address(proc_address)},
    {"cuDeviceGet", address(device_get)},
    {"cuDeviceGetAttribute", address(device_attribute)},
    {"cuDevicePrimaryCtxRetain", address(primary_retain)},
    {"cuCtxSetCurrent", address(set_current)},
    {"cuStreamCreate", address(stream_create)},
    {"cuStreamSynchronize", address(stream_synchronize)},
    {"cuMemAlloc", address(mem_alloc)},
    {"cuMemFree", address(mem_free)},
    {"cuMemcpyHtoDAsync", address(copy_to_device)},
    {"cuMemcpyDtoHAsync", address(copy_to_host)},
    {"cuMemcpy2DAsync", address(copy_rows)},
    {"cuMemsetD8Async", address(set_bytes)},
    {"cuModuleLoadData", address(module_load)},
    {"cuModuleGetFunction", address(module_function)},
    {"cuOccupancyMaxActiveBlocksPerMultiprocessor", address(occupancy)},
    {"cuLaunchKernel", address(launch)},
    {"cuLaunchCooperativeKernel", address(launch_together)},
    {"cuStreamBeginCapture", address(begin_capture)},
    {"cuStreamEndCapture", address(end_capture)},
    {"cuGraphInstantiate", address(instantiate)},
    {"cuGraphInstantiateWithFlags", address(instantiate)},
    {"cuGraphDestroy", address(destroy)},
    {"cuGraphLaunch", address(launch_graph)},
};

int proc_address(const char* name, void** function, int, unsigned long long, int* status) {
  const auto found = ENTRIES.find(name);
  *function = found == ENTRIES.end() ? nullptr : found->second;
  if (status != nullptr) *status = *function == nullptr ? 1 : 0;
  return *function == nullptr ? NOT_FOUND : SUCCESS;
}

}  // namespace driver

extern "C" int cuGetProcAddress_v2(const char* name, void** function, int version,
                                   unsigned long long flags, int* status) {
  return driver::proc_address(name, function, version, flags, status);
}

// Memory that nobody has given back.
extern "C" unsigned long long stand_in_allocations() { return driver::allocations.size(); }
