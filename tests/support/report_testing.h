// A small evaluation and its report, made by formula, that the tests of the report share.
#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/image/png.h"
#include "runtime/report/report.h"
#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"

namespace atrous::report_testing {

using namespace atrous::testing;
using Json = nlohmann::json;

inline std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the page of a report carries.
inline Json data_of(const std::string& folder) {
  const std::string page = text_of(folder + "/index.html"), opening = "id=\"evaluation\">";
  const std::size_t begin = page.find(opening) + opening.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

// Stripes of the classes from 0 on, void in the last row; a prediction that is off by `shift` pixels.
inline LabelMap stripes(int width, int height, int classes, int shift) {
  LabelMap map{width, height, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      map.labels.push_back(static_cast<std::uint8_t>((x + shift) % width * classes / width));
  return map;
}
inline LabelMap with_void_row(LabelMap map, std::uint8_t label = 255) {
  std::fill_n(map.row(map.height - 1), map.width, label);
  return map;
}

// Adds an image to the evaluation's numbers, with scores that are surer the nearer they are to right.
inline void count(Evaluation& e, const std::string& name, const LabelMap& truth, const LabelMap& prediction) {
  const int classes = e.confusion.classes;
  ConfusionMatrix confusion(classes);
  confusion.add(truth, prediction, 255);
  e.confusion.add(confusion);
  ScoreHistogram scores(classes);
  if (e.scores.classes > 0) {
    std::vector<float> logits(truth.labels.size() * static_cast<std::size_t>(classes));
    for (std::size_t i = 0; i < truth.labels.size(); ++i) {
      float* pixel = logits.data() + i * static_cast<std::size_t>(classes);
      for (int c = 0; c < classes; ++c)
        pixel[c] = static_cast<float>((i * 37 + static_cast<std::size_t>(c) * 61) % 101) / 50.f;
      pixel[prediction.labels[i]] += 2;
    }
    scores.add(ConstView{logits.data(), {1, truth.height, truth.width, classes}, classes}, truth);
    e.scores.add(scores);
  }
  e.images.push_back(
      score_image(name, truth.width, truth.height, confusion, e.scores.classes > 0 ? &scores : nullptr));
  e.images.back().seconds = 0.01 * static_cast<double>(e.images.size());
}

// Of four classes the last, "hovercraft", occurs nowhere.
inline Evaluation evaluation(bool with_scores) {
  Evaluation e;
  e.model = "model.safetensors";
  e.architecture = "fcn_resnet18";
  e.dataset = "drawn, val";
  e.size = "the photos' own size";
  e.classes = {"sky", "road", "tree", "hovercraft"};
  e.palette = {{70, 130, 180}, {128, 64, 128}, {107, 142, 35}, {0, 0, 0}};
  e.confusion = ConfusionMatrix(4);
  if (with_scores) e.scores = ScoreHistogram(4);
  e.seconds = 2.5;
  return e;
}

}  // namespace atrous::report_testing
