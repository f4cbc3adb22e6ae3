// The plugin as TensorRT drives it, with the kernel in emulation: the C side of test_plugin.py.
//
// Compiled with the interface's double, or with NVIDIA's own headers of one version.
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#undef __device__
#undef __global__
#undef __grid_constant__
#undef __launch_bounds__
#include "execution.h"
#include "masked_attention_plugin.cu"

namespace {

char stream_memory;
cudaStream_t const STREAM = reinterpret_cast<cudaStream_t>(&stream_memory);
int allocations = 0;
std::string said;

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  ++allocations;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  std::free(memory);
  --allocations;
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                             std::size_t, cudaStream_t stream) {
  using Kernel = void (*)(const AttentionCall);
  if (stream != STREAM) {
    said = "another stream than TensorRT's";
    return cudaErrorInvalidValue;
  }
  const auto run = reinterpret_cast<Kernel>(reinterpret_cast<std::uintptr_t>(kernel));
  const auto& call = *static_cast<const AttentionCall*>(arguments[0]);
  emulation::launch([&] { run(call); }, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, 4);
  said = emulation::failure;
  return said.empty() ? cudaSuccess : cudaErrorInvalidValue;
}

const char* failure() { return said.c_str(); }

int device_allocations() { return allocations; }

static IPluginCreatorV3One* creator() {
  std::int32_t count = 0;
  auto* const* creators = getCreators(count);
  return count == 1 ? static_cast<IPluginCreatorV3One*>(creators[0]) : nullptr;
}

// name, version, namespace, and the fields that the parser looks for in a node, in one line.
const char* identity() {
  said = std::string(creator()->getPluginName()) + " " + creator()->getPluginVersion() + " " +
         creator()->getPluginNamespace();
  const PluginFieldCollection* fields = creator()->getFieldNames();
  for (int i = 0; i < fields->nbFields; ++i)
    said += std::string(" ") + fields->fields[i].name +
            (fields->fields[i].type == PluginFieldType::kFLOAT32 ? ":float" : ":int");
  return said.c_str();
}

void* made(float scale, const std::int32_t* table, int numbers, std::int32_t slots) {
  const PluginField fields[] = {{"slots", &slots, PluginFieldType::kINT32, 1},
                                {"table", table, PluginFieldType::kINT32, numbers},
                                {"scale", &scale, PluginFieldType::kFLOAT32, 1}};
  const PluginFieldCollection collection{3, fields};
  return creator()->createPlugin("node", &collection, TensorRTPhase::kBUILD);
}

static IPluginV3OneBuild* build_of(void* plugin) {
  return static_cast<IPluginV3OneBuild*>(
      static_cast<IPluginV3*>(plugin)->getCapabilityInterface(PluginCapabilityType::kBUILD));
}

static IPluginV3OneRuntime* runtime_of(void* plugin) {
  return static_cast<IPluginV3OneRuntime*>(
      static_cast<IPluginV3*>(plugin)->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
}

// What an engine file makes of it: another plugin, from a copy of the serialized fields.
void* loaded(void* plugin) {
  const PluginFieldCollection* given = runtime_of(plugin)->getFieldsToSerialize();
  std::vector<std::string> names, data;
  std::vector<PluginField> fields;
  for (int i = 0; i < given->nbFields; ++i) {
    names.emplace_back(given->fields[i].name);
    data.emplace_back(static_cast<const char*>(given->fields[i].data), 4 * given->fields[i].length);
  }
  for (int i = 0; i < given->nbFields; ++i)
    fields.push_back(
        {names[i].c_str(), data[i].data(), given->fields[i].type, given->fields[i].length});
  const PluginFieldCollection collection{given->nbFields, fields.data()};
  return creator()->createPlugin("node", &collection, TensorRTPhase::kRUNTIME);
}

void destroyed(void* plugin) { delete static_cast<IPluginV3*>(plugin); }

// type: h half, f float, i int32.
int supports(void* plugin, int position, char type, int linear) {
  std::vector<DynamicPluginTensorDesc> tensors(10);
  tensors[position].desc.type =
      type == 'h' ? DataType::kHALF : (type == 'f' ? DataType::kFLOAT : DataType::kINT32);
  tensors[position].desc.format = linear ? TensorFormat::kLINEAR : TensorFormat::kCHW2;
  return build_of(plugin)->supportsFormatCombination(position, tensors.data(), 9, 1);
}

int types_and_shape(void* plugin) {
  DataType type = DataType::kFLOAT;
  const DataType inputs[9] = {};
  if (build_of(plugin)->getOutputDataTypes(&type, 1, inputs, 9) != 0) return 0;
  DimsExprs shapes[9] = {}, out{};
  for (std::uintptr_t i = 0; i < 9; ++i) {
    shapes[i].nbDims = i < 5 ? 3 : 1;
    for (std::uintptr_t j = 0; j < 3; ++j)
      shapes[i].d[j] = reinterpret_cast<const IDimensionExpr*>(16 * i + j + 1);
  }
  alignas(16) char nothing[64];
  auto& builder = reinterpret_cast<IExprBuilder&>(nothing);
  if (build_of(plugin)->getOutputShapes(shapes, 9, nullptr, 0, &out, 1, builder) != 0) return 0;
  return type == DataType::kHALF && out.nbDims == 3 && out.d[0] == shapes[0].d[0] &&
         out.d[1] == shapes[0].d[1] && out.d[2] == shapes[0].d[2];
}

// One run of a context: shapes (9 inputs and the output, three lengths each), memory of each.
// 1 refused at build, 2 refused shapes, 3 failed, 0 done.
int ran(void* plugin, const std::int64_t* lengths, void* const* memory) {
  PluginTensorDesc tensors[10] = {};
  DynamicPluginTensorDesc dynamic[10] = {};
  for (int i = 0; i < 10; ++i) {
    const bool codes = i >= 5 && i < 9;
    tensors[i].dims.nbDims = codes ? 1 : 3;
    for (int j = 0; j < 3; ++j) tensors[i].dims.d[j] = lengths[3 * i + j];
    dynamic[i].desc = tensors[i];
    if (!codes) dynamic[i].desc.dims.d[1] = -1;
  }
  if (build_of(plugin)->configurePlugin(dynamic, 9, dynamic + 9, 1) != 0) return 1;
  IPluginV3* own = runtime_of(plugin)->attachToContext(nullptr);
  int result = 3;
  if (runtime_of(own)->onShapeChange(tensors, 9, tensors + 9, 1) != 0)
    result = 2;
  else if (runtime_of(own)->enqueue(tensors, tensors + 9, memory, memory + 9, nullptr, STREAM) == 0)
    result = 0;
  delete own;
  return result;
}

}  // extern "C"
