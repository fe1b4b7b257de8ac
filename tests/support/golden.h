// Reads tests/goldens/*.txt, which tests/python/make_goldens.py writes: cases with settings, inputs and what
// torch computed from them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/ops/filter.h"

namespace atrous {

struct GoldenTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;

  // A map, which the files keep as NHWC.
  Tensor map() const {
    Tensor t({shape.at(0), shape.at(1), shape.at(2), shape.at(3)});
    std::ranges::copy(values, t.data());
    return t;
  }
  std::shared_ptr<const float> shared() const {
    const auto owner = std::make_shared<const std::vector<float>>(values);
    return {owner, owner->data()};
  }
  Filter filter() const { return {shape.at(0), shape.at(1), shape.at(2), shape.at(3), shared()}; }
};

struct Golden {
  std::string name;
  std::map<std::string, std::string> settings;
  std::map<std::string, GoldenTensor> tensors;

  const std::string& text(const std::string& key) const { return settings.at(key); }
  std::int64_t integer(const std::string& key) const { return std::stoll(settings.at(key)); }
  double number(const std::string& key) const { return std::stod(settings.at(key)); }
  bool has(const std::string& key) const { return tensors.contains(key); }
  const GoldenTensor& operator[](const std::string& key) const { return tensors.at(key); }
};

// All cases of tests/goldens/NAME.txt; throws where the file cannot be read or holds none.
inline std::vector<Golden> read_goldens(const std::string& name) {
  const std::string path = std::string(ATROUS_SOURCE_DIR) + "/tests/goldens/" + name + ".txt";
  std::ifstream file(path);
  std::vector<Golden> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, key, word;
    words >> kind >> key;
    if (kind == "#") continue;
    if (kind == "case") {
      cases.push_back({key, {}, {}});
    } else if (kind == "set") {
      words >> cases.back().settings[key];
    } else if (kind == "tensor") {
      GoldenTensor& t = cases.back().tensors[key];
      std::int64_t elements = 1;
      while (words >> word && word != ":") elements *= t.shape.emplace_back(std::stoll(word));
      while (words >> word) t.values.push_back(std::strtof(word.c_str(), nullptr));
      if (elements != static_cast<std::int64_t>(t.values.size()))
        throw std::runtime_error(path + ": " + cases.back().name + ": " + key + " is cut short");
    } else {
      throw std::runtime_error(path + ": not understood: " + line);
    }
  }
  if (cases.empty()) throw std::runtime_error(path + ": no cases");
  return cases;
}

}  // namespace atrous
