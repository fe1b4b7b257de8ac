// Networks of two stages against torchvision's own values in ../shared/data/networks, at each stage.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "runtime/image/image_read.h"
#include "runtime/instances/detector.h"
#include "runtime/instances/detector_trace.h"
#include "tests/support/conformance_testing.h"
#include "tests/support/instance_testing.h"

namespace atrous::conformance_testing {

struct CaseFiles {
  fs::path folder;
  std::vector<float> operator()(const char* name) const {
    return npy_values(folder / (std::string(name) + ".npy"));
  }
  double number(const char* key) const { return numbers(key).at(0); }
  std::vector<double> numbers(const char* key) const {
    const auto file = read_file((folder / "meta.json").string(), 1 << 24);
    const auto meta = parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, 100, "meta.json");
    const Json* found = meta->find(key);
    REQUIRE(found);
    std::vector<double> out;
    if (const auto* list = found->list())
      for (const Json& one : *list) out.push_back(one.number().value());
    else
      out.push_back(found->number().value());
    return out;
  }
  bool has(const char* key) const {
    const auto file = read_file((folder / "meta.json").string(), 1 << 24);
    const auto meta = parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, 100, "meta.json");
    return meta->find(key) != nullptr;
  }
};

// Of map[0, ::every, ::step, ::step], channels first as torch has them.
inline std::vector<float> sliced(const Tensor& map, std::int64_t every, std::int64_t step) {
  std::vector<float> out;
  const Shape& s = map.shape();
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t c = 0; c < s.c; c += every)
      for (std::int64_t y = 0; y < s.h; y += step)
        for (std::int64_t x = 0; x < s.w; x += step) out.push_back(map.view().pixel(n, y, x)[c]);
  return out;
}

inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

inline double largest_of(std::span<const float> values) {
  double largest = 0;
  for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
  return largest;
}

inline float distance(const Box& a, const Box& b) {
  return std::max(
      {std::abs(a.x1 - b.x1), std::abs(a.y1 - b.y1), std::abs(a.x2 - b.x2), std::abs(a.y2 - b.y2)});
}

// As the data's README says: as a set, the nearest box within 0.01 pixel; a few strays of which suppression
// decided within rounding.
inline void check_proposals(const std::vector<Proposal>& found, const std::vector<Box>& expected) {
  REQUIRE(found.size() == expected.size());
  int strays = 0;
  for (const Box& box : expected)
    strays += std::ranges::none_of(found, [&](const Proposal& p) { return distance(p.box, box) <= 0.01F; });
  CHECK(strays <= 2);
}

// A case of ../shared/data/networks, stage by stage, on the processor or the device of the options.
inline void check_instances(const std::string& name, const fs::path& folder, ModelOptions options = {}) {
  CAPTURE(folder.string());
  const CaseFiles file{folder};
  StateDict state = state_of(folder.parent_path());
  if (file.has("background_bias")) {
    StateDict other;
    for (auto [key, tensor] : state.entries()) {
      if (key == "roi_heads.box_predictor.cls_score.bias") {
        const auto* from = reinterpret_cast<const float*>(tensor.data.get());
        const auto values = std::make_shared<std::vector<float>>(from, from + tensor.elements());
        values->front() = static_cast<float>(file.number("background_bias"));
        tensor.data = {values, reinterpret_cast<const std::byte*>(values->data())};
      }
      other.add(key, tensor);
    }
    state = std::move(other);
  }
  const std::string sides =
      str_cat("min_size=", file.number("min_size"), ",max_size=", file.number("max_size"));
  options.hyper = Hyper(sides);
  options.threads = 2;
  const Model model = make_model(std::move(state), std::nullopt, options);
  CHECK(model.architecture == name);
  CHECK(model.task() == Task::instances);
  CHECK(model.classes.size() == 91);
  Detector detector(model, {.threads = 2});
  const Image photo = read_image_file((folder / "image.png").string());
  DetectorTrace trace;
  const Instances found = detector.detect(photo, {}, &trace);

  const auto resized = file.numbers("resized_hw");
  CHECK(found.input_height == resized.at(0));
  CHECK(found.input_width == resized.at(1));
  const auto padded = file.numbers("padded_hw");
  Tensor input =
      Tensor::zeros({1, static_cast<std::int64_t>(padded.at(0)), static_cast<std::int64_t>(padded.at(1)), 3});
  for (std::int64_t y = 0; y < trace.input.shape().h; ++y)
    std::copy_n(trace.input.view().pixel(0, y, 0), 3 * trace.input.shape().w, input.view().pixel(0, y, 0));
  CHECK(largest_difference(sliced(input, 1, 16), file("resized_slice")) <= 2e-5);
  const auto meta_file = read_file((folder / "meta.json").string(), 1 << 24);
  const auto meta =
      parse_json({reinterpret_cast<const char*>(meta_file.data()), meta_file.size()}, 100, "meta.json");
  for (int i = 0; i < pyramid_maps; ++i) {
    const auto step = *meta->find("fpn_slice_step")->find(std::to_string(i))->integer();
    const auto expected = file(str_cat("fpn_", i, "_slice").c_str());
    CHECK(largest_difference(sliced(trace.maps[static_cast<std::size_t>(i)], 32, step), expected) <=
          2e-5 * largest_of(expected));
  }
  CHECK(std::ssize(trace.candidates) == *meta->find("rpn")->find("pre_nms_candidates")->integer());
  check_proposals(trace.proposals, boxes_of(file("proposals")));

  const auto boxes = boxes_of(file("boxes")), inside = boxes_of(file("det_boxes_resized"));
  const auto scores = file("scores"), labels = file("labels"), masks = file("mask_prob");
  REQUIRE(found.found.size() == boxes.size());
  // A thousandth of a pixel, or twice what torchvision's own floats are off by against doubles.
  const auto noise = meta->find("max_abs_diff_float32_vs_float64")->find("det_boxes")->number().value();
  const auto pixels = static_cast<float>(std::max(1e-3, 2 * noise));
  const auto bits = file("pasted_bits"), uncertain = file("pasted_uncertain_bits");
  const auto area = static_cast<std::size_t>(photo.width * photo.height), bytes = (area + 7) / 8;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    CAPTURE(i);
    const Instance& one = found.found[i];
    CHECK(static_cast<float>(one.label) == labels[i]);
    CHECK(std::abs(one.score - scores[i]) <= 5e-5F);
    CHECK(distance(trace.detections[i].box, inside[i]) <= pixels);
    CHECK(distance(one.box, boxes[i]) <= 1e-3F);
    if (masks.empty()) continue;
    CHECK(largest_difference(one.mask, std::span(masks).subspan(i * 784, 784)) <= 5e-5);
    const std::vector<std::uint8_t> pasted = pasted_mask(found, i);
    std::size_t wrong = 0;
    for (std::size_t p = 0; p < area; ++p) {
      const int mask = 128 >> (p % 8);
      const bool is_uncertain = (static_cast<int>(uncertain[i * bytes + p / 8]) & mask) != 0,
                 is_set = (static_cast<int>(bits[i * bytes + p / 8]) & mask) != 0;
      wrong += !is_uncertain && (pasted[p] != 0) != is_set;
    }
    CHECK(wrong == 0);
  }
}

}  // namespace atrous::conformance_testing
