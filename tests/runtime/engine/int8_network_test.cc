// Whole networks in 8 bits: to the bit what the definition gives, on every instruction set and for any number
// of threads, and what they save.
#include <doctest/doctest.h>

#include "runtime/engine/plan.h"
#include "runtime/engine/session.h"
#include "runtime/quantisation/calibrate.h"
#include "runtime/segment/segmenter.h"
#include "tests/support/runtime_testing.h"

namespace atrous::int8_network_test {

using namespace runtime_testing;

namespace {

struct Quantised {
  StateDict state;
  Metadata metadata;
};

Quantised quantised(const StateDict& state) {
  Metadata metadata;
  metadata.architecture = make_model(state, std::nullopt, {.threads = 1}).architecture;
  metadata.preparation.resize = {.kind = ResizeRule::Kind::none};
  Calibration c = calibrate(state, metadata,
                            {3, [](std::size_t i) { return photo(64, 48, static_cast<unsigned>(i + 1)); }},
                            {.max_loss = 1, .threads = 1});
  metadata.activations = std::move(c.activations);
  return {std::move(c.state), std::move(metadata)};
}

Model in(std::optional<Precision> precision, const Quantised& q, std::string force = {},
         Isa isa = supported_isas().front()) {
  ModelOptions options{.isa = isa, .force = std::move(force), .threads = 1};
  options.precision = precision;
  return make_model(q.state, q.metadata, options);
}

// Every map that a run makes, as an observer sees them.
std::vector<std::vector<float>> maps_of(const Model& model, const Tensor& input, int threads) {
  Session session(model.program, {.threads = threads});
  std::vector<std::vector<float>> maps;
  session.run(input.view(), [&](std::size_t, double, ConstView out) { maps.push_back(values(out)); });
  return maps;
}

std::size_t in_8_bits(const Model& model) {
  return static_cast<std::size_t>(std::ranges::count(model.program->graph.values, DType::u8, &Value::dtype));
}

}  // namespace

TEST_CASE("a quantised checkpoint runs in 8 bits unless told otherwise, and others are refused") {
  const Quantised q = quantised(tiny_state("fcn"));
  const Model model = in({}, q);
  CHECK(model.program->precision() == "int8");
  CHECK(in_8_bits(model) > 5);
  const Model floats = in(Precision::fp32, q);
  CHECK(floats.program->precision() == "fp32");
  CHECK(in_8_bits(floats) == 0);
  CHECK(in(Precision::bf16, q).program->precision() == "bf16");
  CHECK(
      mentions(sentence(ErrorCode::invalid_argument,
                        [] { make_model(tiny_state("fcn"), std::nullopt, {.precision = Precision::int8}); }),
               "is not calibrated for it"));
}

TEST_CASE("networks in 8 bits answer about as in fp32, to the bit alike on any number of threads") {
  const Tensor input = noise({2, 65, 49, 3});
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const Quantised q = quantised(sample.state);
    const Model model = in({}, q);
    CHECK(in_8_bits(model) > 5);
    const auto one = maps_of(model, input, 1);
    for (const int threads : {2, 3}) {
      const auto other = maps_of(model, input, threads);
      REQUIRE(other.size() == one.size());
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(other[i], one[i]));
    }
    // Of a photo like those of the ranges, beyond which noise reaches.
    const Tensor like_photos = prepare(photo(64, 48, 9), model.preparation, 1).input;
    CHECK(deviation(maps_of(model, like_photos, 1).back(),
                    maps_of(in(Precision::fp32, q), like_photos, 1).back()) <= 0.25);
  }
}

// The layers in fp32 around them round each in its way, which may be a step in 8 bits. So maps are compared
// where their inputs are the same bytes.
TEST_CASE("layers in 8 bits give the definition's bytes within whole networks") {
  const Tensor input = noise({1, 49, 65, 3});
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const Quantised q = quantised(sample.state);
    const Model defined = in({}, q, "reference");
    const auto exact = maps_of(defined, input, 1);
    const Graph& graph = defined.program->graph;
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const Model model = in({}, q, {}, isa);
      const auto found = maps_of(model, input, 2);
      REQUIRE(found.size() == exact.size());
      std::vector<bool> same(graph.values.size());
      same[static_cast<std::size_t>(graph.input)] = true;
      std::size_t compared = 0, seen = 0;
      const Session planned(model.program, {.threads = 1});
      for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
        const Node& node = graph.nodes[i];
        const auto out = static_cast<std::size_t>(node.output);
        const bool inputs =
            std::ranges::all_of(node.inputs, [&](ValueId v) { return same[static_cast<std::size_t>(v)]; });
        // Concatenations in place are done when their inputs are made, and nobody sees them.
        if (std::holds_alternative<Concat>(node.layer) && found.size() < graph.nodes.size()) {
          same[out] = inputs;
          continue;
        }
        same[out] = same_bits(found[seen], exact[seen]);
        const auto* conv = std::get_if<Conv2d>(&node.layer);
        const Value& read = graph.values[static_cast<std::size_t>(node.inputs[0])];
        const bool of_floats = read.quantisation != Quantisation{} && !(conv && conv->is_depthwise()) &&
                               q.state.find(node.name + ".weight.scale");
        const bool defined_layer = conv && (read.dtype == DType::u8 || of_floats);
        ++seen;
        if (!inputs || !defined_layer) continue;
        CAPTURE(node.name);
        CHECK(same[out]);
        ++compared;
      }
      CHECK(compared > 0);
    }
  }
}

TEST_CASE("in 8 bits a ResNet's packed weights and maps take a quarter, or little more") {
  const StateDict state = seeded_state("fcn_resnet(1,1,1,1)", {.classes = 5, .width = 32});
  const Quantised q = quantised(state);
  const Model floats = in(Precision::fp32, q), bytes = in({}, q);
  CHECK(static_cast<double>(bytes.packed_bytes()) < 0.3 * static_cast<double>(floats.packed_bytes()));
  const Shape input{1, 257, 257, 3};
  Session wide(floats.program, {.threads = 1}), narrow(bytes.program, {.threads = 1});
  CHECK(static_cast<double>(narrow.plan(input).activation_bytes) <
        0.6 * static_cast<double>(wide.plan(input).activation_bytes));
}

}  // namespace atrous::int8_network_test
