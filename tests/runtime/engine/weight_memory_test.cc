#include "runtime/engine/weight_memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layers/cpu/conv/packed_conv2d.h"
#include "runtime/engine/program.h"
#include "runtime/engine/session.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temporary.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::weight_memory_test {

using namespace atrous::runtime_testing;
using Floats = std::vector<float>;

namespace {

Floats drawn(std::int64_t count, std::uint32_t seed = 3) {
  const Tensor tensor = noise({1, 1, 1, count}, seed);
  return {tensor.values().begin(), tensor.values().end()};
}

// As a file that holds so many floats.
class Stored final : public StoredWeights {
 public:
  explicit Stored(Floats floats) : floats_(std::move(floats)) {}
  void read(std::int64_t first, std::span<float> out) const override {
    if (first + std::ssize(out) > std::ssize(floats_)) fail(ErrorCode::io, "ends before");
    std::copy_n(floats_.begin() + first, out.size(), out.begin());
  }

 private:
  Floats floats_;
};

constexpr std::int64_t outputs = 70, inputs = 333;  // two blocks and a part of one

std::vector<double> factors() {
  std::vector<double> all;
  for (std::int64_t o = 0; o < outputs; ++o) all.push_back(0.3 + 0.1 * static_cast<double>(o));
  return all;
}

Conv2d pending(bool in_file, const Floats& weights, bool multiplied = true) {
  Conv2d conv{.weight = {outputs, inputs, 3, 3, nullptr}, .bias = nullptr};
  PendingWeights pending;
  if (in_file) {
    pending.stored = std::make_shared<const Stored>(weights);
  } else {
    const auto kept = std::make_shared<const Floats>(weights);
    conv.weight.data = {kept, kept->data()};
  }
  if (multiplied) pending.factors = factors();
  if (in_file || multiplied) conv.weight.pending = std::make_shared<const PendingWeights>(pending);
  return conv;
}

const Filter& filter_of(const Layer& layer) { return std::get<Conv2d>(layer).weight; }
Floats weights_of(const Layer& layer) {
  const Filter& w = filter_of(layer);
  return {w.data.get(), w.data.get() + w.elements()};
}

// Of a network at an odd size.
Floats logits_of(const Model& model) {
  Session session(model.program, {.threads = 1});
  return run(session, noise({1, 45, 61, 3}, 5).view());
}

std::string saved(const testing::TemporaryFolder& folder, const StateDict& state) {
  const std::string path = folder / "network.safetensors";
  write_safetensors(path, state, {});
  return path;
}

}  // namespace

TEST_CASE("weights are brought in as products in double, rounded once, on any number of threads") {
  const Floats weights = drawn(outputs * inputs * 9);
  const std::vector<double> by = factors();
  Floats expected;
  for (std::size_t i = 0; i < weights.size(); ++i)
    expected.push_back(static_cast<float>(static_cast<double>(weights[i]) * by[i / (inputs * 9)]));
  for (const bool in_file : {false, true})
    for (const int threads : {1, 2, 5}) {
      CAPTURE(in_file);
      CAPTURE(threads);
      WeightMemory memory;
      const Layer layer = memory.bring_in(pending(in_file, weights), threads);
      CHECK(same_bits(weights_of(layer), expected));
      CHECK_FALSE(filter_of(layer).pending);
    }
}

TEST_CASE("weights in memory that nothing multiplies stay where they are") {
  const Conv2d conv = pending(false, drawn(outputs * inputs * 9), false);
  CHECK(filter_of(WeightMemory().bring_in(conv, 2)).data == conv.weight.data);
}

TEST_CASE("both convolutions of an expansion and those of a gate and a doubled map are brought in") {
  const Floats weights = drawn(outputs * inputs * 9);
  const Conv2d conv = pending(true, weights, false);
  WeightMemory memory;
  const Layer both = memory.bring_in(ExpandDepthwise{conv, conv}, 1);
  for (const Conv2d& c : {std::get<ExpandDepthwise>(both).expand, std::get<ExpandDepthwise>(both).depthwise})
    CHECK(same_bits(weights_of(c), weights));
  CHECK(same_bits(weights_of(std::get<GatedConv2d>(memory.bring_in(GatedConv2d{conv}, 1)).conv), weights));
  CHECK(
      same_bits(weights_of(std::get<DoubledConv2d>(memory.bring_in(DoubledConv2d{conv}, 1)).conv), weights));
}

TEST_CASE("the memory is used again, but not while a layer is kept") {
  const Floats weights = drawn(outputs * inputs * 9), others = drawn(outputs * inputs * 9, 8);
  WeightMemory memory;
  const float* first = filter_of(memory.bring_in(pending(true, weights), 1)).data.get();
  const Layer kept = memory.bring_in(pending(true, weights, false), 1);
  CHECK(filter_of(kept).data.get() == first);
  const Layer later = memory.bring_in(pending(true, others, false), 1);
  CHECK(same_bits(weights_of(kept), weights));
  CHECK(same_bits(weights_of(later), others));
}

TEST_CASE("memory is lent from pages that have room, for as long as a layer holds it") {
  const Floats weights = drawn(outputs * inputs * 9), others = drawn(outputs * inputs * 9, 8);
  const auto pages = std::make_shared<WeightPages>(std::size_t{4} << 20);
  WeightMemory memory(pages);
  const Layer lent = memory.bring_in(pending(true, weights, false), 2);
  if (!ATROUS_ADDRESS_SANITIZER) CHECK(!pages->lend(64));
  const Layer beside = memory.bring_in(pending(true, others, false), 2);
  CHECK(same_bits(weights_of(lent), weights));
  CHECK(same_bits(weights_of(beside), others));
  memory.bring_in(pending(true, weights), 1);
  CHECK(same_bits(weights_of(lent), weights));
}

TEST_CASE("convolutions pack pending weights as they pack the same when they are brought in") {
  for (const std::int64_t groups : {1, 2})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool in_file : {false, true}) {
        CAPTURE(groups);
        CAPTURE(name_of(dtype));
        const std::int64_t channels = 34;  // of a group
        const Floats weights = drawn(outputs * channels * 9), bias = drawn(outputs, 7);
        Conv2d conv = pending(in_file, weights);
        conv.weight.d1 = channels;
        conv.groups = groups;
        const auto kept = std::make_shared<const Floats>(bias);
        conv.bias = {kept, kept->data()};
        const Layer whole = WeightMemory().bring_in(conv, 1);
        const PackedConv2d expected(std::get<Conv2d>(whole), supported_isas().front(), 1, dtype);
        for (const int threads : {1, 3}) {
          const PackedConv2d packed(conv, supported_isas().front(), threads, dtype);
          REQUIRE(packed.bytes() == expected.bytes());
          const auto* a = packed.weights<std::byte>(0, packed.stretches().front(), 0);
          const auto* b = expected.weights<std::byte>(0, expected.stretches().front(), 0);
          const std::size_t bytes =
              packed.bytes() - static_cast<std::size_t>(groups * packed.panels() * packed.tile().columns) * 4;
          CHECK(std::equal(a, a + bytes, b));
          for (std::int64_t g = 0; g < groups; ++g)
            for (std::int64_t p = 0; p < packed.panels(); ++p)
              CHECK(std::equal(packed.bias(g, p), packed.bias(g, p) + packed.tile().columns,
                               expected.bias(g, p)));
          CHECK(!packed.layer().weight.pending);
        }
      }
}

TEST_CASE("a convolution whose pending weights cannot be read is not packed") {
  Floats weights = drawn(outputs * inputs * 9);
  const Isa isa = supported_isas().front();
  weights.front() = std::numeric_limits<float>::quiet_NaN();
  CHECK(sentence(ErrorCode::not_finite, [&] { PackedConv2d(pending(true, weights), isa, 2); }) != "");
  weights.front() = 0;
  weights.pop_back();
  CHECK(sentence(ErrorCode::io, [&] { PackedConv2d(pending(true, weights), isa, 2); }) == "ends before");
}

TEST_CASE("a large convolution from a file computes the same bits as from memory, on any number of threads") {
  const std::int64_t many = 176;  // its weights are over a megabyte
  const Conv2d plain{.weight = {many, many, 3, 3, nullptr}, .bias = nullptr, .padding = 1};
  const Floats weights = drawn(many * many * 9);
  const auto logits = [&](bool in_file, int threads) {
    Conv2d conv = plain;
    const auto kept = std::make_shared<const Floats>(weights);
    if (in_file)
      conv.weight.pending =
          std::make_shared<const PendingWeights>(PendingWeights{std::make_shared<const Stored>(weights), {}});
    else
      conv.weight.data = {kept, kept->data()};
    Graph graph;
    graph.values.assign(2, {many});
    graph.input = 0;
    graph.nodes.push_back({"conv", conv, {0}, 1});
    graph.outputs = {{"out", 1}};
    const auto program = std::make_shared<const Program>(compile(std::move(graph), {.threads = threads}));
    Session session(program, {.threads = 1});
    return run(session, noise({1, 9, 11, many}, 5).view());
  };
  const Floats expected = logits(false, 1);
  for (const int threads : {1, 2}) CHECK(same_bits(logits(true, threads), expected));
}

TEST_CASE("weights in a file that is too short or that are not finite are errors") {
  Floats weights = drawn(outputs * inputs * 9);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    for (const bool multiplied : {false, true}) {
      weights.back() = bad;
      CHECK(sentence(ErrorCode::not_finite,
                     [&] { WeightMemory().bring_in(pending(true, weights, multiplied), 2); }) != "");
    }
  weights.pop_back();
  CHECK(sentence(ErrorCode::io, [&] { WeightMemory().bring_in(pending(true, weights), 2); }) ==
        "ends before");
}

TEST_CASE("a network packed from its file computes the same bits, whatever number of threads packs it") {
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const testing::TemporaryFolder folder;
    const std::string path = saved(folder, sample.state);
    const Floats expected = logits_of(make_model(sample.state, std::nullopt, {.threads = 1}));
    for (const int threads : {1, 2, 3}) {
      CHECK(same_bits(logits_of(load_model(path, {.threads = threads})), expected));
      CHECK(same_bits(logits_of(make_model(sample.state, std::nullopt, {.threads = threads})), expected));
    }
  }
}

TEST_CASE("a network whose weights are taken apart in their file computes the same bits as in memory") {
  const StateDict state = seeded_state("smp_unet_r18", {.classes = 2, .width = 8});
  const testing::TemporaryFolder folder;
  const std::string path = saved(folder, state);
  const Tensor input = noise({1, 64, 96, 3}, 5);
  const auto logits = [&](const Model& model) {
    Session session(model.program, {.threads = 1});
    return run(session, input.view());
  };
  const Floats expected = logits(make_model(state, std::nullopt, {.threads = 1}));
  for (const int threads : {1, 2, 3})
    CHECK(same_bits(logits(load_model(path, {.threads = threads})), expected));
}

TEST_CASE("a network from a file with a weight that is not a number is refused by the name of its key") {
  const testing::TemporaryFolder folder;
  const std::string key = "backbone.layer3.0.conv2.weight";
  const std::string path = saved(
      folder, changed(tiny_state("fcn"), key, [](float) { return std::numeric_limits<float>::quiet_NaN(); }));
  const std::string said = sentence(ErrorCode::mismatch, [&] { load_model(path); });
  CHECK(said.starts_with(path + ": "));
  CHECK(mentions(said, key + ": holds values that are infinite or not a number"));
}

TEST_CASE("a checkpoint's convolutions stay in its file where that is asked for") {
  const testing::TemporaryFolder folder;
  const std::string path = saved(folder, tiny_mobilenet_state("lraspp"));
  const Checkpoint whole = load_checkpoint(path), kept = load_checkpoint(path, {.keep_stored = true});
  REQUIRE(kept.state.size() == whole.state.size());
  for (const auto& entry : whole.state.entries()) {
    CAPTURE(entry.first);
    const StateTensor& tensor = entry.second;
    const StateTensor* const found = kept.state.find(entry.first);
    REQUIRE(found);
    CHECK(found->shape == tensor.shape);
    CHECK(bool(found->stored) == (tensor.shape.size() == 4));
    const auto count = static_cast<std::size_t>(tensor.elements());
    const auto a = to_float(*found), b = to_float(tensor);
    CHECK(std::equal(a.get(), a.get() + count, b.get()));
  }
}

}  // namespace atrous::weight_memory_test
