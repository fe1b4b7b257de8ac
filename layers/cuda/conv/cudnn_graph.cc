#include "layers/cuda/conv/cudnn_graph.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace atrous::cuda {

namespace {

std::string attribute_text(cudnnBackendAttributeName_t name) {
  return str_cat("attribute ", static_cast<int>(name));
}

}  // namespace

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  check(cudnnBackendCreateDescriptor(type, &raw), "cudnnBackendCreateDescriptor");
  descriptor_.reset(raw);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                     const void* values) {
  const cudnnStatus_t status = cudnnBackendSetAttribute(get(), name, type, count, values);
  check(status, attribute_text(name));
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::span<const Descriptor> values) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& d : values) raw.push_back(d.get());
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()), raw.data());
  return *this;
}

bool Descriptor::try_finalize(std::string_view what, std::string& why) {
  const cudnnStatus_t status = cudnnBackendFinalize(get());
  if (!is_refusal(status)) {
    check(status, what);
    return true;
  }
  why = cudnn_sentence(status);
  return false;
}

Descriptor& Descriptor::finalize(std::string_view what) {
  check(cudnnBackendFinalize(get()), what);
  return *this;
}

std::int64_t Descriptor::count(cudnnBackendAttributeName_t name) const {
  std::int64_t n = 0;
  const auto status = cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n, nullptr);
  if (is_refusal(status)) return 0;
  check(status, attribute_text(name));
  return n;
}

std::int64_t Descriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                             std::int64_t count, void* values) const {
  if (count == 0) return 0;
  std::int64_t n = 0;
  const cudnnStatus_t status = cudnnBackendGetAttribute(get(), name, type, count, &n, values);
  check(status, attribute_text(name));
  return std::min(n, count);
}

std::vector<Descriptor> Descriptor::get_all(cudnnBackendAttributeName_t name,
                                            cudnnBackendDescriptorType_t type, std::int64_t most) const {
  std::vector<Descriptor> values;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < most; ++i) {
    values.emplace_back(type);
    raw.push_back(values.back().get());
  }
  values.resize(static_cast<std::size_t>(get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data())));
  return values;
}

Descriptor make_tensor(const GraphTensor& t) {
  const std::array<std::int64_t, 4> dimensions{t.n, t.c, t.h, t.w};
  const std::array<std::int64_t, 4> strides{t.h * t.w * t.c, 1, t.w * t.c, t.c};
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, t.uid)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, t.type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(dimensions))
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(strides))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16})
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, t.is_virtual)
      .finalize("tensor");
  return d;
}

Descriptor make_convolution(const GraphConvolution& c, const Descriptor& x, const Descriptor& filter,
                            const Descriptor& y) {
  const std::array<std::int64_t, 2> stride{c.stride, c.stride}, padding{c.padding, c.padding},
      dilation{c.dilation, c.dilation};
  Descriptor how(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  how.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const std::int64_t>(stride))
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const std::int64_t>(padding))
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const std::int64_t>(padding))
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const std::int64_t>(dilation))
      .finalize("convolution");
  Descriptor d(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, filter)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0f)
      .finalize("convolution of these tensors");
  return d;
}

namespace {

// y = mode(x) or mode(x, b), in fp32.
Descriptor make_pointwise(const GraphPointwise& p, const Descriptor& x, const Descriptor* b,
                          const Descriptor& y) {
  Descriptor how(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how.set(CUDNN_ATTR_POINTWISE_MODE, p.mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (p.upper_clip > 0) how.set(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, p.upper_clip);
  how.finalize("pointwise");
  Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  if (b) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  d.finalize("pointwise operation on these tensors");
  return d;
}

}  // namespace

Descriptor make_add(const Descriptor& x, const Descriptor& b, const Descriptor& y) {
  return make_pointwise({CUDNN_POINTWISE_ADD}, x, &b, y);
}

Descriptor make_activation(const GraphPointwise& p, const Descriptor& x, const Descriptor& y) {
  return make_pointwise(p, x, nullptr, y);
}

Descriptor make_device(std::string_view json) {
  Descriptor d(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  d.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json)).finalize("device");
  return d;
}

Descriptor make_operation_graph(const Planner& planner, std::span<const Descriptor> operations) {
  Descriptor d(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (planner.handle) d.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, planner.handle);
  d.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations).finalize("operation graph");
  return d;
}

std::string to_text(const EngineChoice& choice) {
  std::string text = std::to_string(choice.engine);
  for (const EngineChoice::Knob& k : choice.knobs)
    text += " " + std::to_string(k.type) + ":" + std::to_string(k.value);
  return text;
}

std::optional<EngineChoice> parse_engine_choice(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](std::int64_t& to) {
    const auto [next, error] = std::from_chars(at, end, to);
    at = next;
    return error == std::errc();
  };
  const auto skip = [&](char c) { return at != end && *at++ == c; };
  EngineChoice choice;
  if (!number(choice.engine)) return std::nullopt;
  while (at != end) {
    EngineChoice::Knob knob;
    if (!skip(' ') || !number(knob.type) || !skip(':') || !number(knob.value)) return std::nullopt;
    choice.knobs.push_back(knob);
  }
  return choice;
}

namespace {

std::vector<cudnnBackendNumericalNote_t> notes_of(const Descriptor& engine) {
  return engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                     CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
}

Descriptor engine_of(const Descriptor& config) {
  auto engines = config.get_all(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  if (engines.empty()) fail(ErrorCode::unsupported, "cuDNN: an engine configuration without an engine");
  return std::move(engines.front());
}

}  // namespace

EngineChoice choice_of(const EngineConfig& config) {
  EngineChoice choice;
  choice.engine = engine_of(config.descriptor).get_one<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  for (const Descriptor& knob : config.descriptor.get_all(
           CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
    choice.knobs.push_back({knob.get_one<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                            knob.get_one<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE)});
  return choice;
}

std::vector<EngineConfig> advise(const Planner& planner, const Descriptor& graph,
                                 cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (planner.device) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *planner.device);
  std::string why;
  if (!heuristics.try_finalize("heuristics", why)) return {};
  std::vector<EngineConfig> configs;
  for (Descriptor& config :
       heuristics.get_all(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                          heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS))) {
    auto notes = notes_of(engine_of(config));
    configs.push_back({std::move(config), std::move(notes)});
  }
  return configs;
}

std::optional<EngineConfig> configure(const Planner& planner, const Descriptor& graph,
                                      const EngineChoice& choice) {
  try {
    Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine);
    if (planner.device) engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *planner.device);
    engine.finalize("engine");
    std::vector<Descriptor> knobs;
    for (const EngineChoice::Knob& k : choice.knobs) {
      Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
      knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(k.type))
          .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, k.value)
          .finalize("knob");
    }
    Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (!knobs.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::span<const Descriptor>(knobs));
    config.finalize("engine configuration");
    auto notes = notes_of(engine);
    return EngineConfig{std::move(config), std::move(notes)};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    return std::nullopt;
  }
}

std::optional<ExecutionPlan> make_plan(const Planner& planner, const EngineConfig& config, std::string& why) {
  ExecutionPlan plan{Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)};
  if (planner.handle) plan.descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, planner.handle);
  if (planner.device) plan.descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *planner.device);
  plan.descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config.descriptor);
  if (!plan.descriptor.try_finalize("plan", why)) return std::nullopt;
  plan.workspace_bytes = static_cast<std::size_t>(std::max<std::int64_t>(
      0, plan.descriptor.get_one<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)));
  return plan;
}

void execute(cudnnHandle_t handle, const ExecutionPlan& plan, std::span<const std::int64_t> uids,
             std::span<void* const> addresses, void* workspace) {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
      .finalize("addresses");
  const std::lock_guard lock(*plan.executing);
  check(cudnnBackendExecute(handle, plan.descriptor.get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace atrous::cuda
