// The part of TensorRT's plugin interface that our plugin implements, so that it compiles and runs
// without TensorRT. Names and signatures are those of TensorRT 10 and 11 (developer guide, "Adding
// custom layers using the C++ API"); `make test-all` compiles the same harness with NVIDIA's own
// headers where they are (tools/tensorrt_headers.sh).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace nvinfer1 {

enum class DataType : std::int32_t { kFLOAT, kHALF, kINT8, kINT32 };
enum class TensorFormat : std::int32_t { kLINEAR, kCHW2 };
enum class TensorRTPhase : std::int32_t { kBUILD, kRUNTIME };
enum class PluginCapabilityType : std::int32_t { kCORE, kBUILD, kRUNTIME };
enum class PluginFieldType : std::int32_t { kFLOAT16, kFLOAT32, kINT32, kUNKNOWN };

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

class IDimensionExpr;
class IExprBuilder {};
class IPluginResourceContext;
class ILoggerFinder;

struct DimsExprs {
  std::int32_t nbDims;
  const IDimensionExpr* d[8];
};

struct PluginTensorDesc {
  Dims dims;
  DataType type;
  TensorFormat format;
  float scale;
};

struct DynamicPluginTensorDesc {
  PluginTensorDesc desc;
  Dims min, max, opt;
};

struct PluginField {
  const char* name = nullptr;
  const void* data = nullptr;
  PluginFieldType type = PluginFieldType::kUNKNOWN;
  std::int32_t length = 0;
};

struct PluginFieldCollection {
  std::int32_t nbFields;
  const PluginField* fields;
};

class IPluginCapability {
 public:
  virtual ~IPluginCapability() = default;
};

class IPluginV3 {
 public:
  virtual ~IPluginV3() = default;
  virtual IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept = 0;
  virtual IPluginV3* clone() noexcept = 0;
};

class IPluginV3OneCore : public IPluginCapability {
 public:
  virtual const char* getPluginName() const noexcept = 0;
  virtual const char* getPluginVersion() const noexcept = 0;
  virtual const char* getPluginNamespace() const noexcept = 0;
};

class IPluginV3OneBuild : public IPluginCapability {
 public:
  virtual std::int32_t configurePlugin(const DynamicPluginTensorDesc*, std::int32_t,
                                       const DynamicPluginTensorDesc*, std::int32_t) noexcept = 0;
  virtual std::int32_t getOutputDataTypes(DataType*, std::int32_t, const DataType*,
                                          std::int32_t) const noexcept = 0;
  virtual std::int32_t getOutputShapes(const DimsExprs*, std::int32_t, const DimsExprs*,
                                       std::int32_t, DimsExprs*, std::int32_t,
                                       IExprBuilder&) noexcept = 0;
  virtual bool supportsFormatCombination(std::int32_t, const DynamicPluginTensorDesc*, std::int32_t,
                                         std::int32_t) noexcept = 0;
  virtual std::int32_t getNbOutputs() const noexcept = 0;
};

class IPluginV3OneRuntime : public IPluginCapability {
 public:
  virtual std::int32_t onShapeChange(const PluginTensorDesc*, std::int32_t, const PluginTensorDesc*,
                                     std::int32_t) noexcept = 0;
  virtual std::int32_t enqueue(const PluginTensorDesc*, const PluginTensorDesc*, const void* const*,
                               void* const*, void*, cudaStream_t) noexcept = 0;
  virtual IPluginV3* attachToContext(IPluginResourceContext*) noexcept = 0;
  virtual const PluginFieldCollection* getFieldsToSerialize() noexcept = 0;
};

class IPluginCreatorInterface {
 public:
  virtual ~IPluginCreatorInterface() = default;
};

class IPluginCreatorV3One : public IPluginCreatorInterface {
 public:
  virtual IPluginV3* createPlugin(const char*, const PluginFieldCollection*,
                                  TensorRTPhase) noexcept = 0;
  virtual const PluginFieldCollection* getFieldNames() noexcept = 0;
  virtual const char* getPluginName() const noexcept = 0;
  virtual const char* getPluginVersion() const noexcept = 0;
  virtual const char* getPluginNamespace() const noexcept = 0;
};

}  // namespace nvinfer1
