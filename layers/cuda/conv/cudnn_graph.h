// cuDNN's graph API (cudnnBackend...) in C++: descriptors that own themselves, attributes whose types follow
// from what is set, and the few kinds of operations that a convolution is made of.
//
// One describes tensors by number (uid), operations by tensors, and a graph by operations. Asked about a
// graph, cuDNN's heuristics list engines and settings for them (knobs), best first; one that can be finalised
// is an execution plan, which runs on any addresses given for the uids of the tensors that are not virtual.
//
// Source: cuDNN's documentation, "Backend API".
#pragma once

#include <array>
#include <compare>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "layers/cuda/cuda.h"

namespace atrous::cuda {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(cudnnBackendDescriptorType_t);

  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set(name, type_of<T>(), static_cast<std::int64_t>(values.size()), values.data());
    return *this;
  }
  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T> ||
           std::is_pointer_v<T>) Descriptor& set(cudnnBackendAttributeName_t name, T value) {
    return set(name, std::span<const T>(&value, 1));
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    const cudnnBackendDescriptor_t raw = value.get();
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const Descriptor> values);

  Descriptor& finalize(std::string_view what);  // errors as check() (cuda.h)
  // False, and cuDNN's sentence, where that is a refusal.
  bool try_finalize(std::string_view what, std::string& why);

  // As many of the attribute's values as there are, at most so many.
  template <class T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name, std::int64_t most) const {
    std::vector<T> values(static_cast<std::size_t>(most));
    values.resize(static_cast<std::size_t>(get(name, type_of<T>(), most, values.data())));
    return values;
  }
  template <class T>
  T get_one(cudnnBackendAttributeName_t name) const {
    T value{};
    get(name, type_of<T>(), 1, &value);
    return value;
  }
  // Of attributes that are descriptors themselves: cuDNN fills in descriptors made by the caller.
  std::vector<Descriptor> get_all(cudnnBackendAttributeName_t, cudnnBackendDescriptorType_t,
                                  std::int64_t most) const;
  // How many descriptors such an attribute has. Not every attribute tells: knobs say 0.
  std::int64_t count(cudnnBackendAttributeName_t) const;

 private:
  template <class T>
  static constexpr cudnnBackendAttributeType_t type_of() {
    if constexpr (std::is_same_v<T, std::int64_t>) return CUDNN_TYPE_INT64;
    if constexpr (std::is_same_v<T, std::int32_t>) return CUDNN_TYPE_INT32;
    if constexpr (std::is_same_v<T, bool>) return CUDNN_TYPE_BOOLEAN;
    if constexpr (std::is_same_v<T, float>) return CUDNN_TYPE_FLOAT;
    if constexpr (std::is_same_v<T, double>) return CUDNN_TYPE_DOUBLE;
    if constexpr (std::is_same_v<T, char>) return CUDNN_TYPE_CHAR;
    if constexpr (std::is_same_v<T, void*>) return CUDNN_TYPE_VOID_PTR;
    if constexpr (std::is_same_v<T, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
    if constexpr (std::is_same_v<T, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
    if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>) return CUDNN_TYPE_CONVOLUTION_MODE;
    if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
    if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
    if constexpr (std::is_same_v<T, cudnnBackendKnobType_t>) return CUDNN_TYPE_KNOB_TYPE;
    if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  }
  void set(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, std::int64_t count, const void*);
  std::int64_t get(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, std::int64_t count, void*) const;

  struct Destroy {
    void operator()(void* descriptor) const { cudnnBackendDestroyDescriptor(descriptor); }
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

// A tensor of a graph: [n, c, h, w] in cuDNN's order of dimensions, in memory channels last, without gaps:
// cuDNN copies maps that have any.
struct GraphTensor {
  std::int64_t uid = 0;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::int64_t n = 1, c = 1, h = 1, w = 1;
  bool is_virtual = false;  // between two operations, never in memory
};
Descriptor make_tensor(const GraphTensor&);

struct GraphConvolution {
  std::int64_t stride = 1, padding = 0, dilation = 1;
};
Descriptor make_convolution(const GraphConvolution&, const Descriptor& x, const Descriptor& filter,
                            const Descriptor& y);

struct GraphPointwise {
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
  double upper_clip = 0;  // of RELU_FWD; 0 for none
};
Descriptor make_add(const Descriptor& x, const Descriptor& b, const Descriptor& y);
Descriptor make_activation(const GraphPointwise&, const Descriptor& x, const Descriptor& y);

// What plans are made for: the device of a handle or, with none, one described in JSON
// (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), whose plans can be looked at but not run.
struct Planner {
  cudnnHandle_t handle = nullptr;
  const Descriptor* device = nullptr;
};
Descriptor make_device(std::string_view json);

Descriptor make_operation_graph(const Planner&, std::span<const Descriptor> operations);

// An engine by its number, and the settings it is run with.
struct EngineChoice {
  struct Knob {
    std::int64_t type = 0, value = 0;
    auto operator<=>(const Knob&) const = default;
  };
  std::int64_t engine = 0;
  std::vector<Knob> knobs;
  auto operator<=>(const EngineChoice&) const = default;
};
std::string to_text(const EngineChoice&);  // "38 2:5 13:0"
std::optional<EngineChoice> parse_engine_choice(std::string_view);

struct EngineConfig {
  Descriptor descriptor;
  std::vector<cudnnBackendNumericalNote_t> notes;
};
EngineChoice choice_of(const EngineConfig&);

// What cuDNN's heuristics advise, best first; none where they have no advice.
std::vector<EngineConfig> advise(const Planner&, const Descriptor& graph, cudnnBackendHeurMode_t);
// The very choice, or none where cuDNN does not take it for this graph.
std::optional<EngineConfig> configure(const Planner&, const Descriptor& graph, const EngineChoice&);

struct ExecutionPlan {
  Descriptor descriptor;
  std::size_t workspace_bytes = 0;
  // Plans are not promised to run in several threads at once, whatever their handles: cudnnBackendExecute is
  // called under this.
  std::unique_ptr<std::mutex> executing = std::make_unique<std::mutex>();
};
// None where the engine turns out not to do it; then `why` is cuDNN's sentence.
std::optional<ExecutionPlan> make_plan(const Planner&, const EngineConfig&, std::string& why);

// Puts the plan's work on the handle's stream.
void execute(cudnnHandle_t, const ExecutionPlan&, std::span<const std::int64_t> uids,
             std::span<void* const> addresses, void* workspace);

}  // namespace atrous::cuda
