// What the tests of the runtime share: networks small enough to run a thousand times, and comparisons.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/error.h"
#include "runtime/segment/model.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/seeded.h"

namespace atrous::runtime_testing {

// Stems of 8 channels and five classes; one block a stage.
inline StateDict tiny_state(std::string_view head) {
  return seeded_state(std::string(head) + "_resnet(1,1,1,1)", {.classes = 5, .width = 8});
}

// The same keys with the weights that other keys have.
inline StateDict other_tiny_state(std::string_view head) {
  StateDict state;
  const StateDict tiny = tiny_state(head);
  for (const auto& [key, tensor] : tiny.entries())
    state.add(key, seeded_tensor("other." + key, tensor.dtype, tensor.shape));
  return state;
}

// The narrowest MobileNetV3-Large there is, with five classes.
inline StateDict tiny_mobilenet_state(std::string_view head) {
  return seeded_state(std::string(head) + "_mobilenet_v3_large", {.classes = 5, .width = 8});
}

// One of each kind.
struct Sample {
  const char* name;
  StateDict state;
  bool aux;
};
inline std::vector<Sample> samples() {
  return {{"fcn, ResNet", tiny_state("fcn"), true},
          {"deeplabv3, ResNet", tiny_state("deeplabv3"), true},
          {"deeplabv3, MobileNetV3", tiny_mobilenet_state("deeplabv3"), true},
          {"lraspp, MobileNetV3", tiny_mobilenet_state("lraspp"), false}};
}

inline Model tiny_model(std::string_view head, ModelOptions options = {.threads = 1}) {
  return make_model(tiny_state(head), std::nullopt, options);
}

// The state dict with one tensor's values changed, each to change(value).
template <class Change>
StateDict changed(const StateDict& state, std::string_view which, Change&& change) {
  StateDict out;
  for (const auto& [name, tensor] : state.entries()) {
    StateTensor copy = tensor;
    if (name == which) {
      const auto count = static_cast<std::size_t>(tensor.elements());
      const auto values = std::make_shared<std::vector<float>>(count);
      const auto before = to_float(tensor);
      for (std::size_t i = 0; i < count; ++i) (*values)[i] = change(before.get()[i]);
      copy.data = {values, reinterpret_cast<const std::byte*>(values->data())};
    }
    out.add(name, copy);
  }
  return out;
}
inline StateDict scaled(const StateDict& state, std::string_view which, float factor) {
  return changed(state, which, [factor](float v) { return v * factor; });
}

// Uniform in -2..2, about what a normalised photo holds.
inline Tensor noise(const Shape& shape, std::uint32_t seed = 1) {
  Tensor tensor(shape);
  for (float& v : tensor.values()) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(seed >> 8) * 0x1p-24f * 4.f - 2.f;
  }
  return tensor;
}

// A photo with structure at several scales.
inline Image photo(int width, int height, unsigned seed = 1) {
  Image image = make_image(width, height, 3);
  std::uint8_t* to = image.pixels.data();
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        seed = seed * 1664525u + 1013904223u;
        const double wave = 90 * std::sin(0.21 * x + 1.7 * c) + 60 * std::cos(0.13 * y * (c + 1));
        *to++ = static_cast<std::uint8_t>(std::clamp(128 + wave + (seed >> 27), 0.0, 255.0));
      }
  return image;
}

// The values without their pitch.
inline std::vector<float> values(ConstView v) {
  std::vector<float> out;
  for (std::int64_t p = 0; p < v.shape.pixels(); ++p)
    out.insert(out.end(), v.data + p * v.pitch, v.data + p * v.pitch + v.shape.c);
  return out;
}

inline std::vector<float> run(Session& session, ConstView input, std::string_view output = "out") {
  session.run(input);
  return values(session.output(output));
}

// A network of one logit, as it is trained by binary cross-entropy; about half of the pixels of photo(48, 32)
// are foreground.
inline StateDict binary_state() {
  const StateDict state = seeded_state("fcn_resnet(1,1,1,1)", {.classes = 1, .width = 8, .aux = false});
  const Model model = make_model(state, std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  const SegmentOptions how{.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}, .logits = true};
  std::vector<float> logits = values(segment(session, model, photo(48, 32), how).logits.view());
  std::ranges::nth_element(logits, logits.begin() + std::ssize(logits) / 2);
  const float median = logits[logits.size() / 2];
  return changed(state, "classifier.4.bias", [median](float v) { return v - median; });
}

// Weights that are finite, and activations that are not: a last layer's products overflow.
inline StateDict overflowing(const StateDict& state) {
  return scaled(scaled(state, "backbone.layer4.0.bn3.weight", 1e25f), "classifier.4.weight", 1e20f);
}

// Bit for bit: NaNs and signed zeros count.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b, [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

// The largest deviation as a share of the largest expected magnitude; huge for other sizes and for NaN.
inline double deviation(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size()) return 1e30;
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (!(difference <= 1e30)) return 1e30;
    worst = std::max(worst, difference);
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return worst / std::max(largest, 1e-30);
}

// The sentence of the Error that `action` throws; "" if it throws none or one of another code.
template <class Action>
std::string sentence(ErrorCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code() == code ? error.what() : "";
  }
  return "";
}

inline bool mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace atrous::runtime_testing
