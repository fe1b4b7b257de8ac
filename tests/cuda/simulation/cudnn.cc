#include <cudnn.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "tests/cuda/simulation/cudnn_objects.h"
#include "tests/cuda/simulation/simulation.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
  std::atomic<bool> in_use = false;
};

namespace {

using namespace simulated::cudnn;

struct Handle {
  std::shared_ptr<Object> object;
};

struct State {
  std::mutex mutex;
  std::vector<simulated::Engine> engines = simulated::default_engines();
  std::vector<std::int64_t> run;
  std::set<cudnnHandle_t> handles;
  std::size_t descriptors = 0, plans = 0;
  cudnnStatus_t failure = CUDNN_STATUS_SUCCESS;  // of the call after `calls_to_failure` others
  std::size_t calls_to_failure = 0;
  bool failed = false;
};

State& state() {
  static State s;
  return s;
}

thread_local std::string last_error;

cudnnStatus_t refuse(cudnnStatus_t status, const std::string& why) {
  last_error = why;
  return status;
}
// Under the lock.
bool fails() {
  State& s = state();
  if (s.failure == CUDNN_STATUS_SUCCESS) return false;
  s.failed = s.calls_to_failure == 0;
  if (!s.failed) --s.calls_to_failure;
  return s.failed;
}
cudnnStatus_t failure() {
  return refuse(std::exchange(state().failure, CUDNN_STATUS_SUCCESS), "as a test wants");
}
cudnnStatus_t bad(const std::string& why) { return refuse(CUDNN_STATUS_BAD_PARAM, why); }

// ---- what descriptors have

struct Attribute {
  Type type;
  std::int64_t least, most;
  bool required = true;
};

const std::map<cudnnBackendDescriptorType_t, std::map<Name, Attribute>>& attributes() {
  constexpr Type descriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
  static const std::map<cudnnBackendDescriptorType_t, std::map<Name, Attribute>> table{
      {CUDNN_BACKEND_TENSOR_DESCRIPTOR,
       {{CUDNN_ATTR_TENSOR_UNIQUE_ID, {CUDNN_TYPE_INT64, 1, 1}},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, {CUDNN_TYPE_DATA_TYPE, 1, 1}},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, {CUDNN_TYPE_INT64, 1, 8}},
        {CUDNN_ATTR_TENSOR_STRIDES, {CUDNN_TYPE_INT64, 1, 8}},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {CUDNN_TYPE_INT64, 1, 1}},
        {CUDNN_ATTR_TENSOR_IS_VIRTUAL, {CUDNN_TYPE_BOOLEAN, 1, 1, false}}}},
      {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
       {{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, {CUDNN_TYPE_DATA_TYPE, 1, 1}},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, {CUDNN_TYPE_CONVOLUTION_MODE, 1, 1}},
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {CUDNN_TYPE_INT64, 1, 1}},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {CUDNN_TYPE_INT64, 2, 2}},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {CUDNN_TYPE_INT64, 2, 2}},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {CUDNN_TYPE_INT64, 2, 2}},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, {CUDNN_TYPE_INT64, 2, 2}}}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, {CUDNN_TYPE_FLOAT, 1, 1}},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, {CUDNN_TYPE_FLOAT, 1, 1}}}},
      {CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
       {{CUDNN_ATTR_POINTWISE_MODE, {CUDNN_TYPE_POINTWISE_MODE, 1, 1}},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, {CUDNN_TYPE_DATA_TYPE, 1, 1}},
        {CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, {CUDNN_TYPE_DOUBLE, 1, 1, false}}}},
      {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, {descriptor, 1, 1}},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, {descriptor, 1, 1, false}},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, {descriptor, 1, 1}}}},
      {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATIONGRAPH_HANDLE, {CUDNN_TYPE_HANDLE, 1, 1}},
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, {descriptor, 1, 16}}}},
      {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, {descriptor, 1, 1}},
        {CUDNN_ATTR_ENGINEHEUR_MODE, {CUDNN_TYPE_HEUR_MODE, 1, 1}}}},
      {CUDNN_BACKEND_ENGINE_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINE_OPERATION_GRAPH, {descriptor, 1, 1}},
        {CUDNN_ATTR_ENGINE_GLOBAL_INDEX, {CUDNN_TYPE_INT64, 1, 1}}}},
      {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
       {{CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, {CUDNN_TYPE_KNOB_TYPE, 1, 1}},
        {CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, {CUDNN_TYPE_INT64, 1, 1}}}},
      {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINECFG_ENGINE, {descriptor, 1, 1}},
        {CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, {descriptor, 1, CUDNN_KNOB_TYPE_COUNTS, false}}}},
      {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
       {{CUDNN_ATTR_EXECUTION_PLAN_HANDLE, {CUDNN_TYPE_HANDLE, 1, 1}},
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, {descriptor, 1, 1}}}},
      {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
       {{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, {CUDNN_TYPE_INT64, 1, 64}},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, {CUDNN_TYPE_VOID_PTR, 1, 64}},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {CUDNN_TYPE_VOID_PTR, 1, 1}}}},
  };
  return table;
}

std::size_t bytes_of(Type type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
      return sizeof(bool);
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
      return 8;
    default:
      return 4;
  }
}

// ---- what finalising checks

cudnnStatus_t check_tensor(const Object& o) {
  const auto dimensions = o.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  const auto strides = o.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  if (dimensions.size() != 4 || strides.size() != 4) return bad("tensor: not of 4 dimensions");
  const auto [n, c, h, w] = sizes_of(o);
  if (std::min({n, c, h, w}) < 1) return bad("tensor: empty");
  if (strides != std::vector<std::int64_t>{h * w * c, 1, w * c, c})
    return refuse(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, "tensor: not channels last");
  if (o.one<std::int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) != 16) return bad("tensor: alignment");
  if (type_of(o) == CUDNN_DATA_HALF ? c % 8 != 0 : c % 4 != 0)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "tensor: channels that are not padded");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_convolution(const Object& o) {
  const Object& how = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  const Object& x = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
  const Object& f = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W);
  const Object& y = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
  const Sizes in = sizes_of(x), filter = sizes_of(f), out = sizes_of(y);
  if (how.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
      how.one<std::int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 ||
      how.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
    return bad("convolution: not one of two dimensions in fp32");
  if (type_of(x) != type_of(f) || in[1] % filter[1] != 0 || out[0] != in[0] || out[1] != filter[0])
    return bad("convolution: types or channels do not fit");
  if (out[1] % (in[1] / filter[1]) != 0) return bad("convolution: groups do not fit");
  const auto stride = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const auto before = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const auto after = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  const auto dilation = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  for (std::size_t i = 0; i < 2; ++i)
    if (out[2 + i] !=
        (in[2 + i] + before[i] + after[i] - dilation[i] * (filter[2 + i] - 1) - 1) / stride[i] + 1)
      return bad("convolution: the output's size is not what it must be");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_pointwise(const Object& o) {
  const Object& how = o.object(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  const bool is_add = how.one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD;
  const Sizes x = sizes_of(o.object(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
  if (x != sizes_of(o.object(CUDNN_ATTR_OPERATION_POINTWISE_YDESC))) return bad("pointwise: sizes differ");
  if (is_add != o.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) return bad("pointwise: one operand or two");
  if (how.one<cudnnDataType_t>(CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT)
    return bad("pointwise: not in fp32");
  if (!is_add) return CUDNN_STATUS_SUCCESS;
  const Sizes b = sizes_of(o.object(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
  for (std::size_t i = 0; i < 4; ++i)
    if (b[i] != x[i] && b[i] != 1) return bad("pointwise: operands do not fit");
  return CUDNN_STATUS_SUCCESS;
}

// Every virtual tensor is made before it is read, and only the last operation's output is not virtual. The
// real library knows graphs of other forms; ours have this one.
cudnnStatus_t check_graph(const Object& o) {
  const auto& operations = o.objects(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  std::set<std::int64_t> made, given;
  if (!is_convolution(*operations.front())) return bad("graph: does not begin with a convolution");
  for (const Reference& operation : operations) {
    for (const Object* in : inputs_of(*operation)) {
      if (is_virtual(*in) != made.contains(uid_of(*in))) return bad("graph: a tensor that nothing makes");
      if (!is_virtual(*in) && !given.insert(uid_of(*in)).second) return bad("graph: a uid twice");
    }
    const Object& out = operation->object(output_of(*operation));
    if (is_virtual(out) == (operation == operations.back())) return bad("graph: an output in the middle");
    if (given.contains(uid_of(out)) || !made.insert(uid_of(out)).second) return bad("graph: a uid twice");
    // cuDNN's convolutions with a bias want its type to be the data's.
    if (operation->has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) &&
        type_of(operation->object(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) !=
            type_of(operations.front()->object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X)))
      return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "graph: an operand of another type");
  }
  return CUDNN_STATUS_SUCCESS;
}

const simulated::Engine* engine_at(std::int64_t index) {
  const auto it = std::ranges::find(state().engines, index, &simulated::Engine::index);
  return it == state().engines.end() ? nullptr : &*it;
}

bool takes(const simulated::Engine& engine, const Object& graph) {
  return engine.takes_pointwise || graph.objects(CUDNN_ATTR_OPERATIONGRAPH_OPS).size() == 1;
}

cudnnStatus_t check_engine(Object& o) {
  o.engine = o.one<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  const simulated::Engine* engine = engine_at(o.engine);
  if (!engine || !takes(*engine, o.object(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)))
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "engine: does not take the graph");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_pack(const Object& o) {
  const auto uids = o.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  if (uids.size() != o.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size())
    return bad("variant pack: counts differ");
  if (std::set(uids.begin(), uids.end()).size() != uids.size()) return bad("variant pack: a uid twice");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_whole(Object& o) {
  for (const auto& [name, attribute] : attributes().at(o.type))
    if (attribute.required && !o.has(name))
      return bad("attribute " + std::to_string(static_cast<int>(name)) + " is missing");
  switch (o.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return check_tensor(o);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return check_convolution(o);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return check_pointwise(o);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return check_graph(o);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
      return check_engine(o);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
      o.engine = o.object(CUDNN_ATTR_ENGINECFG_ENGINE).engine;
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      o.engine = o.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine;
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return check_pack(o);
    default:
      return CUDNN_STATUS_SUCCESS;
  }
}

// ---- what runs

const Object& graph_of(const Object& plan) {
  return plan.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
      .object(CUDNN_ATTR_ENGINECFG_ENGINE)
      .object(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
}

std::shared_ptr<Object>& at(cudnnBackendDescriptor_t descriptor) {
  return static_cast<Handle*>(descriptor)->object;
}

// As many references as there are to the caller's descriptors.
cudnnStatus_t give(const std::vector<std::shared_ptr<Object>>& objects, std::int64_t requested,
                   std::int64_t* count, void* values) {
  *count = static_cast<std::int64_t>(objects.size());
  auto* descriptors = static_cast<cudnnBackendDescriptor_t*>(values);
  for (std::int64_t i = 0; i < std::min(requested, *count); ++i) {
    const auto& object = objects[static_cast<std::size_t>(i)];
    if (at(descriptors[i])->type != object->type) return bad("get: a descriptor of another type");
    at(descriptors[i]) = object;
  }
  return CUDNN_STATUS_SUCCESS;
}

template <class T>
cudnnStatus_t give_values(const std::vector<T>& found, std::int64_t requested, std::int64_t* count,
                          void* values) {
  *count = static_cast<std::int64_t>(found.size());
  std::copy_n(found.begin(), std::min(requested, *count), static_cast<T*>(values));
  return CUDNN_STATUS_SUCCESS;
}

std::shared_ptr<Object> object_of(cudnnBackendDescriptorType_t type, std::int64_t engine) {
  auto object = std::make_shared<Object>();
  object->type = type;
  object->engine = engine;
  object->finalized = true;
  return object;
}

template <class T>
Value value_of(const T& value) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&value);
  return {{bytes, bytes + sizeof(value)}, {}};
}

// The engines that take the graph, each with one knob, of its own number.
std::vector<std::shared_ptr<Object>> advice(const Object& heuristics) {
  const bool fallback =
      heuristics.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK;
  const auto& graph = heuristics.objects(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  std::vector<std::shared_ptr<Object>> configs;
  for (const simulated::Engine& e : state().engines) {
    if (e.advised == fallback || !takes(e, *graph.front())) continue;
    const auto engine = object_of(CUDNN_BACKEND_ENGINE_DESCRIPTOR, e.index);
    engine->values[CUDNN_ATTR_ENGINE_GLOBAL_INDEX] = value_of(e.index);
    engine->values[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = {{}, graph};
    const auto knob = object_of(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, e.index);
    knob->values[CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE] = value_of(CUDNN_KNOB_TYPE_TILE_SIZE);
    knob->values[CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE] = value_of(e.index);
    configs.push_back(object_of(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, e.index));
    configs.back()->values[CUDNN_ATTR_ENGINECFG_ENGINE] = {{}, {engine}};
    configs.back()->values[CUDNN_ATTR_ENGINECFG_KNOB_CHOICES] = {{}, {knob}};
  }
  return configs;
}

}  // namespace

namespace simulated {

std::vector<Engine> default_engines() {
  return {{1, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, true, true, 512},
          {2, {}, true, true, 1000},
          {0, {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, false}};
}

void set_engines(std::vector<Engine> engines) {
  const std::lock_guard lock(state().mutex);
  state().engines = std::move(engines);
}

std::vector<std::int64_t> engines_run() {
  const std::lock_guard lock(state().mutex);
  return std::exchange(state().run, {});
}

std::size_t plans_made() {
  const std::lock_guard lock(state().mutex);
  return std::exchange(state().plans, 0);
}

std::size_t descriptors() {
  const std::lock_guard lock(state().mutex);
  return state().descriptors;
}

void fail_after(std::size_t calls, cudnnStatus_t status) {
  const std::lock_guard lock(state().mutex);
  state().failure = status;
  state().calls_to_failure = calls;
  state().failed = false;
}

bool cudnn_has_failed() {
  const std::lock_guard lock(state().mutex);
  return state().failed;
}

}  // namespace simulated

// ---- the API

std::size_t cudnnGetVersion() { return CUDNN_VERSION; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  if (status == CUDNN_STATUS_SUCCESS) return "CUDNN_STATUS_SUCCESS";
  switch (CUDNN_STATUS_CATEGORY(status)) {
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR:
      return "CUDNN_STATUS_INTERNAL_ERROR";
    default:
      return "CUDNN_STATUS_EXECUTION_FAILED";
  }
}

void cudnnGetLastErrorString(char* message, std::size_t size) {
  const std::size_t length = last_error.copy(message, size - 1);
  message[length] = '\0';
  last_error.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  const std::lock_guard lock(state().mutex);
  if (fails()) return failure();
  *handle = new cudnnContext;
  state().handles.insert(*handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  const std::lock_guard lock(state().mutex);
  if (state().handles.erase(handle) == 0) return bad("not a handle");
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  const std::lock_guard lock(state().mutex);
  if (fails()) return failure();
  if (!attributes().contains(type)) return refuse(CUDNN_STATUS_NOT_SUPPORTED, "not simulated");
  auto object = std::make_shared<Object>();
  object->type = type;
  *descriptor = new Handle{object};
  ++state().descriptors;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  const std::lock_guard lock(state().mutex);
  delete static_cast<Handle*>(descriptor);
  --state().descriptors;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, Name name, Type type,
                                       std::int64_t count, const void* values) {
  const std::lock_guard lock(state().mutex);
  if (fails()) return failure();
  Object& o = *at(descriptor);
  if (o.finalized) return bad("set: finalised already");
  const auto& known = attributes().at(o.type);
  const auto attribute = known.find(name);
  if (attribute == known.end()) return bad("set: not an attribute of this descriptor");
  if (attribute->second.type != type) return refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "set: type");
  if (count < attribute->second.least || count > attribute->second.most) return bad("set: count");
  Value value;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto& other = at(static_cast<const cudnnBackendDescriptor_t*>(values)[i]);
      if (!other->finalized) return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "set: not finalised");
      value.references.push_back(other);
    }
  } else {
    const auto* bytes = static_cast<const unsigned char*>(values);
    value.bytes.assign(bytes, bytes + static_cast<std::size_t>(count) * bytes_of(type));
    cudnnHandle_t handle = nullptr;
    if (type == CUDNN_TYPE_HANDLE) std::memcpy(&handle, bytes, sizeof(handle));
    if (handle && !state().handles.contains(handle)) return bad("set: not a handle");
  }
  o.values[name] = std::move(value);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  const std::lock_guard lock(state().mutex);
  if (fails()) return failure();
  Object& o = *at(descriptor);
  if (o.finalized) return bad("finalised twice");
  const cudnnStatus_t status = check_whole(o);
  o.finalized = status == CUDNN_STATUS_SUCCESS;
  state().plans += o.finalized && o.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor, Name name, Type type,
                                       std::int64_t requested, std::int64_t* count, void* values) {
  const std::lock_guard lock(state().mutex);
  if (fails()) return failure();
  const Object& o = *at(descriptor);
  if (!o.finalized) return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "get: not finalised");
  const simulated::Engine* engine = engine_at(o.engine);
  const auto is = [&](Name n, Type t) { return name == n && type == t; };
  std::vector<std::shared_ptr<Object>> objects;
  if (is(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR))
    return give(advice(o), requested, count, values);
  if (is(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE) && engine)
    return give_values(engine->notes, requested, count, values);
  if (is(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64) && engine)
    return give_values(std::vector{static_cast<std::int64_t>(engine->workspace_bytes)}, requested, count,
                       values);
  const auto it = o.values.find(name);
  if (it == o.values.end()) return bad("get: no such attribute");
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (const Reference& r : it->second.references) objects.push_back(std::const_pointer_cast<Object>(r));
    // As the real one, which does not tell how many knobs there are.
    if (requested == 0) return *count = 0, CUDNN_STATUS_SUCCESS;
    return give(objects, requested, count, values);
  }
  const std::size_t size = bytes_of(type);
  *count = static_cast<std::int64_t>(it->second.bytes.size() / size);
  std::memcpy(values, it->second.bytes.data(), size * static_cast<std::size_t>(std::min(requested, *count)));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_descriptor,
                                  cudnnBackendDescriptor_t pack_descriptor) {
  {
    const std::lock_guard lock(state().mutex);
    if (fails()) return failure();
  }
  const Object& plan = *at(plan_descriptor);
  const Object& pack = *at(pack_descriptor);
  if (plan.executing->exchange(true) || handle->in_use.exchange(true))
    return bad("execute: a plan or a handle in two threads at once");
  Run run;
  cudnnStatus_t status = bad("execute: not finalised");
  if (plan.finalized && pack.finalized) {
    const Object& graph = graph_of(plan);
    run.graph = plan.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
                    .object(CUDNN_ATTR_ENGINECFG_ENGINE)
                    .objects(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)
                    .front();
    const std::string wrong = gather(graph, pack, run.addresses);
    status = wrong.empty() ? CUDNN_STATUS_SUCCESS : bad(wrong);
    {
      const std::lock_guard lock(state().mutex);
      run.engine = *engine_at(plan.engine);
    }
    run.rounds =
        std::ranges::find(run.engine.notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE) != run.engine.notes.end();
    auto* workspace = pack.one<unsigned char*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    const std::size_t bytes = run.engine.workspace_bytes;
    if (status == CUDNN_STATUS_SUCCESS && bytes > 0 && !simulated::on_device(workspace, bytes))
      status = bad("execute: the workspace is too small");
    if (status == CUDNN_STATUS_SUCCESS)
      simulated::enqueue(handle->stream, [run, workspace, bytes] {
        if (bytes > 0) std::memset(workspace, 0xff, bytes);
        {
          const std::lock_guard lock(state().mutex);
          state().run.push_back(run.engine.index);
        }
        Run fresh = run;
        fresh();
      });
  }
  handle->in_use = false;
  *plan.executing = false;
  return status;
}
