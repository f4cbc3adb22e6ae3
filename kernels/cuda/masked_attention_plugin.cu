// Masked attention as a plugin of TensorRT: the node MaskedAttention of export/tensorrt/form.py.
//
// Inputs q, past_k, past_v, k, v (halves, as in masked_attention.cuh), then kind and slot of the
// rows (M) and of the keys (N + T) in int32; output (H, M, dim) in halves. Fields: scale; table, four
// integers a row; slots. The interface is IPluginV3 with its capabilities of version one, which
// every TensorRT from 10.0 on has; the library is found by getCreators, so that it links to nothing
// of TensorRT (IPluginRegistry::loadLibrary; trtexec --dynamicPlugins).
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "masked_attention.cu"

namespace {

using namespace nvinfer1;

constexpr char NAME[] = "MaskedAttention", VERSION[] = "1", NAMESPACE[] = "dreamvla";

enum Tensor { Q, PAST_K, PAST_V, K, V, ROW_KIND, ROW_SLOT, KEY_KIND, KEY_SLOT, OUT, TENSORS };
constexpr int INPUTS = OUT, OUTPUTS = 1, RULE = 4;

struct Settings {
  float scale = 0;
  std::int32_t slots = 0;
  std::vector<std::int32_t> table;

  // Every code must have its bit (masked_attention.cuh).
  bool valid() const {
    std::int32_t kinds = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
      const bool kind = i % RULE < 2;
      if (kind && table[i] < 0) return false;
      if (kind && table[i] >= kinds) kinds = table[i] + 1;
    }
    return scale > 0 && !table.empty() && table.size() % RULE == 0 && slots > 0 &&
           kinds <= NO_CODE / slots;
  }
};

const void* kernel_for(int dim) {
  if (dim <= 32) return reinterpret_cast<const void*>(&masked_attention_32);
  if (dim <= 64) return reinterpret_cast<const void*>(&masked_attention_64);
  if (dim <= 96) return reinterpret_cast<const void*>(&masked_attention_96);
  return reinterpret_cast<const void*>(&masked_attention_128);
}

bool same(const Dims& one, const Dims& other) {
  return one.nbDims == other.nbDims &&
         std::equal(one.d, one.d + one.nbDims, other.d);
}

class MaskedAttention : public IPluginV3,
                        public IPluginV3OneCore,
                        public IPluginV3OneBuild,
                        public IPluginV3OneRuntime {
 public:
  explicit MaskedAttention(Settings given) : settings(std::move(given)) {}

  ~MaskedAttention() override {
    if (table != nullptr) cudaFree(table);
  }

  // IPluginV3
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    switch (type) {
      case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
      case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
      case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }

  MaskedAttention* clone() noexcept override {
    try {
      return new MaskedAttention(settings);
    } catch (...) {
      return nullptr;
    }
  }

  // Core
  const char* getPluginName() const noexcept override { return NAME; }
  const char* getPluginVersion() const noexcept override { return VERSION; }
  const char* getPluginNamespace() const noexcept override { return NAMESPACE; }

  // Build
  std::int32_t getNbOutputs() const noexcept override { return OUTPUTS; }

  bool supportsFormatCombination(std::int32_t position, const DynamicPluginTensorDesc* tensors,
                                 std::int32_t, std::int32_t) noexcept override {
    const PluginTensorDesc& tensor = tensors[position].desc;
    const bool code = position >= ROW_KIND && position <= KEY_SLOT;
    return tensor.format == TensorFormat::kLINEAR &&
           tensor.type == (code ? DataType::kINT32 : DataType::kHALF);
  }

  std::int32_t getOutputDataTypes(DataType* types, std::int32_t outputs, const DataType*,
                                  std::int32_t inputs) const noexcept override {
    if (inputs != INPUTS || outputs != OUTPUTS) return -1;
    types[0] = DataType::kHALF;
    return 0;
  }

  std::int32_t getOutputShapes(const DimsExprs* shapes, std::int32_t inputs, const DimsExprs*,
                               std::int32_t, DimsExprs* out, std::int32_t outputs,
                               IExprBuilder&) noexcept override {
    if (inputs != INPUTS || outputs != OUTPUTS || shapes[Q].nbDims != 3) return -1;
    out[0] = shapes[Q];
    return 0;
  }

  std::int32_t configurePlugin(const DynamicPluginTensorDesc* in, std::int32_t inputs,
                               const DynamicPluginTensorDesc*,
                               std::int32_t outputs) noexcept override {
    if (inputs != INPUTS || outputs != OUTPUTS) return -1;
    for (int i = 0; i < INPUTS; ++i)
      if (in[i].desc.dims.nbDims != (i < ROW_KIND ? 3 : 1)) return -1;
    const auto dim = in[Q].desc.dims.d[2];
    return dim >= 8 && dim <= 128 && dim % 8 == 0 ? 0 : -1;
  }

  // Runtime
  std::int32_t onShapeChange(const PluginTensorDesc* in, std::int32_t inputs,
                             const PluginTensorDesc* out, std::int32_t outputs) noexcept override {
    if (inputs != INPUTS || outputs != OUTPUTS) return -1;
    const Dims &q = in[Q].dims, &past = in[PAST_K].dims, &fresh = in[K].dims;
    const bool agree = same(past, in[PAST_V].dims) && same(fresh, in[V].dims) &&
                       same(q, out[0].dims) && q.d[0] == past.d[0] && q.d[0] == fresh.d[0] &&
                       q.d[2] == past.d[2] && q.d[2] == fresh.d[2] &&
                       in[ROW_KIND].dims.d[0] == q.d[1] && in[ROW_SLOT].dims.d[0] == q.d[1] &&
                       in[KEY_KIND].dims.d[0] == past.d[1] + fresh.d[1] &&
                       in[KEY_SLOT].dims.d[0] == past.d[1] + fresh.d[1];
    return agree ? 0 : -1;
  }

  std::int32_t enqueue(const PluginTensorDesc* in, const PluginTensorDesc*,
                       const void* const* inputs, void* const* outputs, void*,
                       cudaStream_t stream) noexcept override {
    if (table == nullptr) return -1;
    const auto halves = [&](Tensor i) { return static_cast<const half_bits*>(inputs[i]); };
    const auto codes = [&](Tensor i) { return static_cast<const int*>(inputs[i]); };
    const auto length = [&](Tensor i, int axis) { return static_cast<int>(in[i].dims.d[axis]); };
    AttentionCall call{};
    call.q = halves(Q), call.past_k = halves(PAST_K), call.past_v = halves(PAST_V);
    call.k = halves(K), call.v = halves(V), call.out = static_cast<half_bits*>(outputs[0]);
    call.row_kind = codes(ROW_KIND), call.row_slot = codes(ROW_SLOT);
    call.key_kind = codes(KEY_KIND), call.key_slot = codes(KEY_SLOT);
    call.table = static_cast<const int*>(table);
    call.table_rows = static_cast<int>(settings.table.size()) / RULE;
    call.rows = length(Q, 1), call.past = length(PAST_K, 1), call.fresh = length(K, 1);
    call.dim = length(Q, 2), call.slots = settings.slots, call.scale = settings.scale;
    const unsigned blocks = (call.rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    const dim3 grid(blocks, length(Q, 0)), block(WARP * ATTENTION_WARPS);
    void* arguments[] = {&call};
    return cudaLaunchKernel(kernel_for(call.dim), grid, block, arguments, 0, stream) == cudaSuccess
               ? 0
               : -1;
  }

  // A context's own copy, with the table on its device.
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override {
    MaskedAttention* own = clone();
    if (own == nullptr) return nullptr;
    const std::size_t bytes = settings.table.size() * sizeof(settings.table[0]);
    if (cudaMalloc(&own->table, bytes) == cudaSuccess &&
        cudaMemcpy(own->table, settings.table.data(), bytes, cudaMemcpyHostToDevice) == cudaSuccess)
      return own;
    delete own;
    return nullptr;
  }

  const PluginFieldCollection* getFieldsToSerialize() noexcept override {
    const auto length = static_cast<std::int32_t>(settings.table.size());
    fields[0] = {"scale", &settings.scale, PluginFieldType::kFLOAT32, 1};
    fields[1] = {"table", settings.table.data(), PluginFieldType::kINT32, length};
    fields[2] = {"slots", &settings.slots, PluginFieldType::kINT32, 1};
    collection = {3, fields};
    return &collection;
  }

 private:
  const Settings settings;
  PluginField fields[3];
  PluginFieldCollection collection{};
  void* table = nullptr;  // of a context, on its device
};

class Creator : public IPluginCreatorV3One {
 public:
  const char* getPluginName() const noexcept override { return NAME; }
  const char* getPluginVersion() const noexcept override { return VERSION; }
  const char* getPluginNamespace() const noexcept override { return NAMESPACE; }

  const PluginFieldCollection* getFieldNames() noexcept override {
    fields[0] = {"scale", nullptr, PluginFieldType::kFLOAT32, 1};
    fields[1] = {"table", nullptr, PluginFieldType::kINT32, 0};
    fields[2] = {"slots", nullptr, PluginFieldType::kINT32, 1};
    collection = {3, fields};
    return &collection;
  }

  // From a node's attributes, or from what getFieldsToSerialize wrote; null if they do not fit.
  IPluginV3* createPlugin(const char*, const PluginFieldCollection* given,
                          TensorRTPhase) noexcept override {
    try {
      Settings settings;
      for (std::int32_t i = 0; i < given->nbFields; ++i) read(given->fields[i], settings);
      return settings.valid() ? new MaskedAttention(settings) : nullptr;
    } catch (...) {
      return nullptr;
    }
  }

 private:
  PluginField fields[3];
  PluginFieldCollection collection{};

  static void read(const PluginField& field, Settings& settings) {
    const std::string name = field.name;
    if (name == "scale" && field.type == PluginFieldType::kFLOAT32 && field.length == 1)
      settings.scale = *static_cast<const float*>(field.data);
    if (field.type != PluginFieldType::kINT32 || field.length < 1) return;
    const auto* numbers = static_cast<const std::int32_t*>(field.data);
    if (name == "slots") settings.slots = numbers[0];
    if (name == "table") settings.table.assign(numbers, numbers + field.length);
  }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface* const* getCreators(
    std::int32_t& count) {
  static Creator creator;
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&creator};
  count = 1;
  return creators;
}

// What goes wrong here is said by TensorRT, which knows the node.
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
