// A CUDA driver for a machine without GPU: what kernels/cuda_device.py and kernels/pycuda_device.py
// call of libcuda.so.1, with the kernels in emulation behind its launches.
//
// A call that the real driver would refuse (CUDA driver API reference) is refused here, with its
// error: without context, with memory, a stream, a function or a graph that is not known, beyond
// an allocation's end, of pageable memory during a capture, with arguments that are not as long as
// the kernel's. One GPU, sm_87, 4 multiprocessors with room for one block each. Limits: streams are
// done as they are given; a module's code is only looked at for its kernels' names; what is left
// when the context is released last is not given back, so that it can be counted.
#include "graph.h"
#include "launch.h"
#include "memory.h"

#include <dlfcn.h>

namespace driver {

extern "C" {

int cuInit(unsigned flags) {
  ready = flags == 0;
  return ready ? SUCCESS : INVALID_VALUE;
}

int cuDeviceGet(int* device, int ordinal) {
  if (!ready) return NOT_INITIALIZED;
  *device = ordinal;
  return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const std::map<int, int> known = {{16, MULTIPROCESSORS}, {75, MAJOR}, {76, MINOR}};
  if (!ready || device != 0 || !known.count(attribute)) return INVALID_VALUE;
  *value = known.at(attribute);
  return SUCCESS;
}

int cuDeviceComputeCapability(int* major, int* minor, int device) {
  if (!ready || device != 0) return INVALID_VALUE;
  *major = MAJOR, *minor = MINOR;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  if (!ready || device != 0) return INVALID_VALUE;
  *context = &the_context;
  ++retained;
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  if (!ready || device != 0) return INVALID_VALUE;
  if (retained == 0) return INVALID_CONTEXT;
  --retained;
  return SUCCESS;
}

int cuCtxSetCurrent(void* context) {
  if (context != &the_context && context != nullptr) return INVALID_CONTEXT;
  if (!contexts.empty()) contexts.pop_back();
  if (context != nullptr) contexts.push_back(context);
  return SUCCESS;
}

int cuCtxPushCurrent_v2(void* context) {
  if (context != &the_context || retained == 0) return INVALID_CONTEXT;
  contexts.push_back(context);
  return SUCCESS;
}

int cuCtxPopCurrent_v2(void** context) {
  if (contexts.empty()) return INVALID_CONTEXT;
  *context = contexts.back();
  contexts.pop_back();
  return SUCCESS;
}

int cuCtxGetCurrent(void** context) {
  if (!ready) return NOT_INITIALIZED;
  *context = contexts.empty() ? nullptr : contexts.back();
  return SUCCESS;
}

int cuStreamCreate(Stream** stream, unsigned flags) {
  if (!current()) return INVALID_CONTEXT;
  *stream = new Stream;
  streams.insert(*stream);
  return flags <= 1 ? SUCCESS : INVALID_VALUE;
}

int cuStreamSynchronize(Stream* stream) {
  if (!current()) return INVALID_CONTEXT;
  if (!streams.count(stream)) return INVALID_HANDLE;
  return stream->capturing ? CAPTURE_UNSUPPORTED : SUCCESS;
}

int cuStreamDestroy_v2(Stream* stream) {
  if (!current()) return INVALID_CONTEXT;
  if (!streams.erase(stream)) return INVALID_HANDLE;
  delete stream;
  return SUCCESS;
}

int cuDriverGetVersion(int* number) {
  *number = 13000;
  return SUCCESS;
}

int cuGetErrorString(int error, const char** words) {
  const auto found = WORDS.find(error);
  *words = found == WORDS.end() ? nullptr : found->second;
  return found == WORDS.end() ? INVALID_VALUE : SUCCESS;
}

// What is exported under the name, or under that of its second version, which came in its place.
int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int* status) {
  static void* const library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  const std::string asked = name, flags = asked == "cuGraphInstantiate" ? "WithFlags" : "";
  *function = dlsym(library, (asked + "_v2").c_str());
  if (*function == nullptr) *function = dlsym(library, (asked + flags).c_str());
  if (status != nullptr) *status = *function == nullptr ? 1 : 0;
  return *function == nullptr ? NOT_FOUND : SUCCESS;
}

// Memory that nobody has given back.
unsigned long long stand_in_allocations() { return allocations.size(); }

}  // extern "C"

}  // namespace driver
