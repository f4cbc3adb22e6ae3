// What the driver knows, and the order in which a stream's work is done.
#pragma once

#include "kernels.cpp"

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace driver {

namespace {

enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
  COOPERATIVE_LAUNCH_TOO_LARGE = 720,
  CAPTURE_UNSUPPORTED = 900,
};

const std::map<int, const char*> WORDS = {
    {SUCCESS, "no error"},
    {INVALID_VALUE, "invalid argument"},
    {OUT_OF_MEMORY, "out of memory"},
    {NOT_INITIALIZED, "initialization error"},
    {INVALID_IMAGE, "device kernel image is invalid"},
    {INVALID_CONTEXT, "invalid device context"},
    {INVALID_HANDLE, "invalid resource handle"},
    {NOT_FOUND, "named symbol not found"},
    {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"},
    {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
};

using Address = unsigned long long;
using Work = std::function<Result()>;

constexpr unsigned MULTIPROCESSORS = 4;
constexpr int MAJOR = 8, MINOR = 7;

struct Stream {
  bool capturing = false;
  std::vector<Work> captured;
};
struct Module {
  std::string image;
};
struct Function {
  std::string name;
  Module* module;
};
struct Graph {
  std::vector<Work> work;
};

bool ready = false;
char the_context;
int retained = 0;
thread_local std::vector<void*> contexts;  // the last one is current
std::map<Address, std::size_t> allocations;
std::set<Stream*> streams;
std::set<Module*> modules;
std::set<Function*> functions;
std::set<Graph*> graphs;

bool current() { return retained > 0 && !contexts.empty(); }

bool inside(Address from, std::size_t bytes) {
  auto found = allocations.upper_bound(from);
  if (found == allocations.begin()) return false;
  --found;
  return from + bytes <= found->first + found->second;
}

// Now, or when the graph is launched that the stream is captured for.
Result into(Stream* stream, const Work& work, bool pageable = false) {
  if (!current()) return INVALID_CONTEXT;
  if (!streams.count(stream)) return INVALID_HANDLE;
  if (!stream->capturing) return work();
  if (pageable) return CAPTURE_UNSUPPORTED;
  stream->captured.push_back(work);
  return SUCCESS;
}

}  // namespace

}  // namespace driver
