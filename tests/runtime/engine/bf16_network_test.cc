// Whole networks in bfloat16: which maps are in it, what it saves, and that threads change no bit.
#include <doctest/doctest.h>

#include <set>

#include "runtime/engine/plan.h"
#include "runtime/engine/session.h"
#include "tests/support/runtime_testing.h"

namespace atrous::bf16_network_test {

using namespace runtime_testing;

namespace {

Model in(Precision precision, const StateDict& state, std::string force = {}) {
  ModelOptions options{.threads = 1};
  options.precision = precision;
  options.force = std::move(force);
  return make_model(state, std::nullopt, options);
}

std::vector<float> logits_of(const Model& model, const Tensor& input, int threads) {
  Session session(model.program, {.threads = threads});
  return run(session, input.view());
}

}  // namespace

TEST_CASE("in bfloat16 the input, the outputs and what is made of means stay in fp32, other maps do not") {
  for (const char* head : {"fcn", "deeplabv3"}) {
    CAPTURE(head);
    const Model model = in(Precision::bf16, tiny_state(head));
    const Graph& graph = model.program->graph;
    CHECK(model.program->precision() == "bf16");
    std::set<ValueId> floats{graph.input};
    for (const auto& [name, value] : graph.outputs) floats.insert(value);
    for (const Node& node : graph.nodes)
      if (node.name.find("convs.4") != node.name.npos || node.name.ends_with(".pixel"))
        floats.insert(node.output);
    for (const Node& node : graph.nodes) {
      CAPTURE(node.name);
      const bool kept = floats.contains(node.output);
      CHECK(graph.values[static_cast<std::size_t>(node.output)].dtype == (kept ? DType::f32 : DType::bf16));
    }
    CHECK(graph.values[static_cast<std::size_t>(graph.input)].dtype == DType::f32);
  }
}

TEST_CASE("networks in bfloat16 answer as in fp32 but for its rounding, alike on any number of threads") {
  const Tensor input = noise({2, 65, 49, 3});
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const auto exact = logits_of(in(Precision::fp32, sample.state), input, 1);
    const Model model = in(Precision::bf16, sample.state);
    const auto one = logits_of(model, input, 1);
    CHECK(deviation(one, exact) <= 0.05);
    CHECK(deviation(one, exact) > 0);
    for (const int threads : {2, 3}) CHECK(same_bits(logits_of(model, input, threads), one));
    // The plain loops on the same maps, rounded where they are.
    CHECK(deviation(one, logits_of(in(Precision::bf16, sample.state, "reference"), input, 1)) <= 0.03);
  }
}

TEST_CASE("in bfloat16 a ResNet's packed weights and maps take half") {
  const StateDict state = seeded_state("fcn_resnet(1,1,1,1)", {.classes = 5, .width = 32});
  const Model floats = in(Precision::fp32, state), halves = in(Precision::bf16, state);
  CHECK(static_cast<double>(halves.packed_bytes()) < 0.52 * static_cast<double>(floats.packed_bytes()));
  const Shape input{1, 257, 257, 3};
  Session wide(floats.program, {.threads = 1}), narrow(halves.program, {.threads = 1});
  const auto maps = [&](Session& session) {
    return static_cast<double>(session.plan(input).activation_bytes);
  };
  CHECK(maps(narrow) < 0.6 * maps(wide));
}

TEST_CASE("an observer sees maps of bfloat16 as floats") {
  const Model model = in(Precision::bf16, tiny_state("fcn"));
  Session session(model.program, {.threads = 1});
  std::size_t seen = 0, narrow = 0;
  session.run(noise({1, 33, 33, 3}).view(), [&](std::size_t node, double, ConstView output) {
    ++seen;
    const ValueId value = model.program->graph.nodes[node].output;
    if (model.program->graph.values[static_cast<std::size_t>(value)].dtype != DType::bf16) return;
    for (const float x : std::span(output.data, static_cast<std::size_t>(output.shape.c)))
      narrow += (std::bit_cast<std::uint32_t>(x) & 0xffffU) == 0 ? 1 : 0;
  });
  CHECK(seen == model.program->graph.nodes.size());
  CHECK(narrow > seen);
}

TEST_CASE("the processor refuses a precision that it has not") {
  for (const Precision precision : {Precision::fp16, Precision::tf32})
    CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { in(precision, tiny_state("fcn")); }),
                   str_cat("the processor computes in fp32, bf16 or int8, not in ", name_of(precision))));
}

}  // namespace atrous::bf16_network_test
