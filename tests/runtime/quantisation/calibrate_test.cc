#include "runtime/quantisation/calibrate.h"

#include <doctest/doctest.h>

#include "layers/networks/segmentation.h"

#include <cmath>

#include "runtime/engine/program.h"
#include "runtime/quantisation/quantisable_layers.h"
#include "runtime/segment/segmenter.h"
#include "tests/support/layers_testing.h"
#include "tests/support/runtime_testing.h"

namespace atrous::calibrate_test {

using namespace atrous::runtime_testing;

namespace {

// As `atrous convert` makes it.
Metadata metadata_of(const StateDict& state) {
  Metadata m;
  m.architecture = make_model(state, std::nullopt, {.threads = 1}).architecture;
  m.preparation.resize = {.kind = ResizeRule::Kind::none};
  return m;
}

CalibrationPhotos photos_of(std::size_t count) {
  return {count, [](std::size_t i) { return photo(48, 32, static_cast<unsigned>(i + 1)); }};
}

Calibration calibrated(const StateDict& state, const CalibrationOptions& options, std::size_t photos = 3) {
  return calibrate(state, metadata_of(state), photos_of(photos), options);
}

const CalibratedLayer& layer_of(const Calibration& c, std::string_view name) {
  const auto found = std::ranges::find(c.layers, name, &CalibratedLayer::name);
  REQUIRE(found != c.layers.end());
  return *found;
}

}  // namespace

TEST_CASE("layers of one channel group, of the photo, of scores and of one pixel stay in fp32") {
  const StateDict state = tiny_mobilenet_state("deeplabv3");
  const Network network = build_network(state, {});
  for (const WeightedLayer& layer : weighted_layers(network.graph, state)) {
    CAPTURE(layer.name);
    const auto kind = [&](std::string_view part) { return layer.name.find(part) != layer.name.npos; };
    if (layer.name == "backbone.0.0") CHECK(layer.in_fp32 == "reads the photo");
    if (layer.name == "classifier.4") CHECK(layer.in_fp32 == "makes the scores");
    if (kind(".fc1") || kind(".fc2") || kind("convs.4")) CHECK(layer.in_fp32 == "of one pixel");
    if (layer.kind == "depthwise") CHECK(layer.in_fp32 == "");
    if (layer.in_fp32.empty()) CHECK((layer.conv->is_depthwise() || layer.conv->weight.d1 % 4 == 0));
    REQUIRE(layer.keys.size() == 1);
    CHECK(layer.keys[0] == layer.name + ".weight");
  }
}

TEST_CASE("a calibrated state dict holds the same network, rounded, with scales and corrections beside") {
  std::vector<Sample> all = samples();
  // Whose modules are called otherwise in the file.
  all.push_back(
      {"PSPNet of Caffe", seeded_state("pspnet-caffe-resnet(1,1,1,1)", {.classes = 5, .width = 8}), false});
  for (const Sample& sample : all) {
    CAPTURE(sample.name);
    const Calibration c = calibrated(sample.state, {.max_loss = 1, .threads = 1});
    CHECK(c.quantised() > 5);
    std::size_t quantised = 0, equalised = 0;
    for (const auto& entry : sample.state.entries()) {
      const std::string& key = entry.first;
      const StateTensor& tensor = entry.second;
      CAPTURE(key);
      const StateTensor* now = c.state.find(key);
      REQUIRE(now);
      CHECK(now->shape == tensor.shape);
      if (now->dtype != DType::i8) {
        CHECK(now->dtype == tensor.dtype);
        CHECK(std::ranges::equal(now->bytes(), tensor.bytes()));
        continue;
      }
      ++quantised;
      const StateTensor* scale = c.state.find(key + ".scale");
      const StateTensor* correction = c.state.find(key + ".correction");
      REQUIRE(scale);
      REQUIRE(correction);
      for (const StateTensor* t : {scale, correction}) {
        CHECK(t->dtype == DType::f32);
        CHECK(t->shape == std::vector{tensor.shape[0]});
      }
      const auto before = to_float(tensor), after = to_float(*now), scales = to_float(*scale);
      const StateTensor* equalisation = c.state.find(key + ".equalisation");
      equalised += equalisation != nullptr;
      const std::int64_t each = tensor.elements() / tensor.shape[0], taps = tensor.shape[2] * tensor.shape[3];
      for (std::int64_t i = 0; i < tensor.elements(); ++i) {
        float w = before.get()[i];
        if (equalisation)
          w *= to_float(*equalisation).get()[tensor.shape[1] == 1 ? i / each : i % each / taps];
        const float s = scales.get()[i / each];
        const bool cut = std::abs(w) > 127.5f * s;
        CHECK((cut ? std::abs(after.get()[i]) == 127 : std::abs(w - s * after.get()[i]) <= 0.501f * s));
      }
    }
    CHECK(quantised == c.quantised());
    // The auxiliary head's convolution too, and the network runs with it.
    if (sample.aux) {
      CHECK(c.state.find("aux_classifier.0.weight")->dtype == DType::i8);
      CHECK(c.state.find("aux_classifier.4.weight")->dtype == DType::f32);
      Metadata metadata = metadata_of(sample.state);
      metadata.activations = c.activations;
      const Model model = make_model(c.state, metadata, {.aux = true, .threads = 1});
      Session session(model.program, {.threads = 1});
      const Model exact = make_model(sample.state, std::nullopt, {.aux = true, .threads = 1});
      Session exact_session(exact.program, {.threads = 1});
      const Tensor input = prepare(photos_of(1).read(0), model.preparation, 1).input;
      const auto found = run(session, input.view(), "aux"),
                 expected = run(exact_session, input.view(), "aux");
      CHECK(deviation(found, expected) < 0.1);
      CHECK(deviation(found, expected) > 0);
    }
    CHECK(c.state.size() == sample.state.size() + 2 * quantised + equalised);
  }
}

TEST_CASE("ranges are of what a session's maps hold") {
  const StateDict state = tiny_state("deeplabv3");
  const Calibration c = calibrated(state, {.max_loss = 1, .threads = 1});
  Metadata metadata = metadata_of(state);
  const Model model = make_model(state, metadata, {.threads = 1, .device_layers = true});
  Session session(model.program, {.threads = 1});
  std::map<std::string, ValueRange> seen;
  for (std::size_t i = 0; i < 3; ++i)
    session.run(prepare(photos_of(3).read(i), model.preparation, 1).input.view(), [&](std::size_t node,
                                                                                      double, ConstView out) {
      const Graph& graph = model.program->graph;
      const std::vector<float> all = values(out);
      const auto [low, high] = std::ranges::minmax(all);
      ValueRange& range = seen[graph.values[static_cast<std::size_t>(graph.nodes[node].output)].name];
      range = {std::min(range.lowest, low), std::max(range.highest, high)};
    });
  CHECK(c.values.size() > 10);
  for (const CalibratedValue& value : c.values) {
    CAPTURE(value.name);
    if (seen.contains(value.name)) CHECK(value.seen == seen[value.name]);
    CHECK(c.activations.at(value.name) == value.range);
    const double chosen = value.errors[static_cast<std::size_t>(value.estimator)];
    for (const double error : value.errors) CHECK(chosen <= error);
    if (value.name.ends_with("relu")) CHECK(value.range.lowest == 0);
  }
  CHECK_FALSE(c.activations.contains("classifier.4"));
  // Maps that are joined have one range, and so have a pool's two.
  CHECK(c.activations.at("classifier.0.convs.concat") == c.activations.at("classifier.0.convs.1.1.relu"));
  CHECK(c.activations.at("backbone.maxpool") == c.activations.at("backbone.bn1.relu"));
}

TEST_CASE("small channels before a depthwise layer are equalised, and the logits then differ less") {
  // A map has every other channel 100 times smaller than the rest.
  StateDict state = tiny_mobilenet_state("deeplabv3");
  const auto every_other = [](std::int64_t each, float factor) {
    return [each, factor, at = std::int64_t{0}](float x) mutable {
      return at++ / each % 2 == 0 ? x * factor : x;
    };
  };
  state = changed(state, "backbone.2.block.0.1.weight", every_other(1, 0.01f));
  state = changed(state, "backbone.2.block.0.1.bias", every_other(1, 0.01f));
  state = changed(state, "backbone.2.block.1.0.weight", every_other(9, 100));
  const Calibration c = calibrated(state, {.max_loss = 1, .threads = 1});
  CHECK(layer_of(c, "backbone.2.block.1.0").equalised);
  const StateTensor* divisors = c.state.find("backbone.2.block.1.0.weight.equalisation");
  REQUIRE(divisors);
  CHECK(divisors->dtype == DType::f32);
  const auto values = to_float(*divisors);
  for (std::int64_t i = 0; i < divisors->elements(); ++i) {
    CHECK(values.get()[i] > 0);
    CHECK(values.get()[i] <= 1);
  }
  for (const CalibratedLayer& layer : c.layers)
    CHECK(layer.equalised == (c.state.find(layer.name + ".weight.equalisation") != nullptr));

  Metadata metadata = metadata_of(state);
  const Tensor input = prepare(photos_of(1).read(0), metadata.preparation, 1).input;
  const auto logits = [&](const StateDict& of, const std::map<std::string, ValueRange>& activations) {
    metadata.activations = activations;
    const Model model = make_model(of, metadata, {.threads = 1});
    Session session(model.program, {.threads = 1});
    return run(session, input.view());
  };
  const std::vector<float> exact = logits(state, {});
  CHECK(deviation(logits(c.state, c.activations), exact) < 0.2);
  CHECK(deviation(logits(c.state, {}), exact) < 0.2);  // in fp32
  const StateDict broken =
      changed(c.state, "backbone.2.block.1.0.weight.equalisation", [](float) { return 0.f; });
  CHECK(contains(error_of(ErrorCode::mismatch, [&] { logits(broken, c.activations); }),
                 "backbone.2.block.1.0.weight.equalisation: expected positive numbers"));
}

TEST_CASE("a calibration is the same for any number of threads") {
  const StateDict state = tiny_mobilenet_state("lraspp");
  const Calibration one = calibrated(state, {.max_loss = 1, .threads = 1}),
                    two = calibrated(state, {.max_loss = 1, .threads = 2});
  CHECK(one.activations == two.activations);
  REQUIRE(one.state.size() == two.state.size());
  for (const auto& [key, tensor] : one.state.entries())
    CHECK(std::ranges::equal(tensor.bytes(), two.state.find(key)->bytes()));
}

TEST_CASE("layers that change the logits most stay in fp32 until few enough labels change") {
  const StateDict state = tiny_state("fcn");
  const Calibration all = calibrated(state, {.max_loss = 1, .threads = 1});
  REQUIRE(all.loss() > 0);
  for (const CalibratedLayer& layer : all.layers) CHECK_FALSE(layer.loss.has_value());
  const double allowed = all.loss() / 2;
  const Calibration some = calibrated(state, {.max_loss = allowed, .threads = 1});
  CHECK(some.loss() <= allowed);
  CHECK(some.quantised() < all.quantised());
  double best_kept = 1e9, worst_quantised = 0;
  for (const CalibratedLayer& layer : some.layers)
    if (layer.loss) {
      if (layer.in_fp32.empty())
        worst_quantised = std::max(worst_quantised, *layer.loss);
      else
        best_kept = std::min(best_kept, *layer.loss);
    }
  CHECK(best_kept >= worst_quantised);
  const Calibration none = calibrated(state, {.max_loss = 0, .threads = 1});
  CHECK(none.loss() == 0);
}

TEST_CASE("the number of layers to keep is found by doubling and halving") {
  for (std::size_t layers = 1; layers <= 40; ++layers)
    for (std::size_t needed = 1; needed <= layers; ++needed) {
      std::size_t calls = 0;
      const auto loss = [&](std::size_t kept) {
        ++calls;
        CHECK(kept >= 1);
        CHECK(kept < layers);
        return kept >= needed ? 0.01 : 0.5;
      };
      CHECK(layers_to_keep(layers, 0.01, loss) == needed);
      CHECK(calls <= 12);
    }
}

TEST_CASE("progress counts to its end, and photos that are few, and maps of zeros, are said") {
  StateDict state = tiny_state("fcn");
  // No channel of this layer is above zero.
  state = changed(state, "backbone.layer2.0.bn1.bias", [](float) { return -1e4f; });
  std::vector<std::string> done;
  const Calibration c = calibrate(
      state, metadata_of(state), photos_of(2), {.max_loss = 1, .threads = 1},
      [&](const CalibrationProgress& p) { done.push_back(str_cat(p.doing, ' ', p.done, '/', p.all)); });
  CHECK(done == std::vector<std::string>{"ranges 1/2", "ranges 2/2", "labels 1/2", "labels 2/2"});
  const auto warned = [&](std::string_view part) {
    return std::ranges::any_of(c.warnings, [&](const std::string& w) { return contains(w, part); });
  };
  CHECK(warned("photos are few: 2"));
  CHECK(warned("backbone.layer2.0.bn1.relu"));
  const CalibratedLayer& reader = layer_of(c, "backbone.layer2.0.conv2");
  CHECK(reader.input == "backbone.layer2.0.bn1.relu");
  CHECK(c.photos == 2);
  CHECK(c.agreement.pixels() == 2 * 48 * 32);
}

TEST_CASE("what cannot be calibrated says why") {
  const StateDict state = tiny_state("fcn");
  const Metadata metadata = metadata_of(state);
  CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { calibrate(state, metadata, photos_of(0)); }),
                 "no photos"));
  const Calibration c = calibrated(state, {.max_loss = 1, .threads = 1}, 1);
  CHECK(contains(error_of(ErrorCode::unsupported, [&] { calibrate(c.state, metadata, photos_of(1)); }),
                 "is quantised already"));
}

}  // namespace atrous::calibrate_test
