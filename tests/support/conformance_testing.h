// Networks with the weights of ../shared/data/networks, which follow from the names of their keys; README.md
// there.
#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/graph/state_dict.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json.h"
#include "weights_tools/random_state.h"
#include "weights_tools/seeded.h"

namespace atrous::conformance_testing {

namespace fs = std::filesystem;

inline const fs::path networks_folder = fs::path(ATROUS_SOURCE_DIR) / "../shared/data/networks";

inline bool data_is_there() {
  const bool there = fs::is_directory(networks_folder);
  if (!there) std::puts("skipped: ../shared/data/networks is absent");
  return there;
}

using Row = std::map<std::string, std::string>;  // by the heading of the column

inline std::vector<std::string> split(const std::string& line, char at) {
  std::vector<std::string> parts;
  std::istringstream in(line);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

inline std::vector<Row> read_table(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  REQUIRE_MESSAGE(std::getline(in, line), path.string());
  const std::vector<std::string> headings = split(line, '\t');
  std::vector<Row> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> cells = split(line, '\t');
    Row row;
    for (std::size_t i = 0; i < headings.size(); ++i)
      row[headings[i]] = i < cells.size() ? cells[i] : std::string();
    rows.push_back(row);
  }
  return rows;
}

inline std::vector<std::int64_t> shape_of(const std::string& written) {
  std::vector<std::int64_t> shape;
  for (const std::string& size : split(written, ',')) shape.push_back(std::stoll(size));
  return shape;
}

// Which keys a folder's network has, without values.
inline StateDict keys_of(const fs::path& folder) {
  StateDict keys;
  for (const Row& row : read_table(folder / "keys.tsv"))
    keys.add(row.at("name"),
             {row.at("dtype") == "int64" ? DType::i64 : DType::f32, shape_of(row.at("shape")), nullptr});
  return keys;
}

// The values by formula; those of an entry that shares its storage with another follow from the other's name.
inline StateDict state_of(const fs::path& folder) {
  const auto json_of = [&](const char* name) {
    const auto file = read_file((folder / name).string(), 1 << 24);
    auto json = parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, 100, name);
    REQUIRE(json);
    return std::move(*json);
  };
  const bool overridden = fs::exists(folder / "overrides.json");
  const Json meta = json_of(overridden ? "overrides.json" : "meta.json");
  const Json* const factors = meta.find(overridden ? "scale" : "weight_scale");
  const Json* const set = overridden ? meta.find("set") : nullptr;
  std::map<std::string, std::string> storage;
  for (const Row& row : read_table(folder / "keys.tsv"))
    storage[row.at("name")] = row.at("same_as").empty() ? row.at("name") : row.at("same_as");
  StateDict state;
  const StateDict keys = keys_of(folder);
  for (const auto& [key, tensor] : keys.entries()) {
    StateTensor made = seeded_tensor(storage.at(key), tensor.dtype, tensor.shape);
    if (const Json* factor = factors ? factors->find(key) : nullptr) {
      const auto before = to_float(made);
      const auto values = std::make_shared<std::vector<float>>(before.get(), before.get() + made.elements());
      for (float& value : *values) value *= static_cast<float>(factor->number().value());
      made.data = {values, reinterpret_cast<const std::byte*>(values->data())};
    }
    if (const Json* numbers = set ? set->find(key) : nullptr) {
      const auto values = std::make_shared<std::vector<float>>();
      for (const Json& number : *numbers->list())
        values->push_back(static_cast<float>(number.number().value()));
      REQUIRE(static_cast<std::int64_t>(values->size()) == made.elements());
      made.data = {values, reinterpret_cast<const std::byte*>(values->data())};
    }
    state.add(key, made);
  }
  return state;
}

// Normals in the order of [n, channels, h, w], as torch has them.
inline Tensor input_of(const Row& row) {
  const std::vector<std::int64_t> shape = shape_of(row.at("input_shape"));
  REQUIRE(shape.size() == 4);
  RandomState draw(static_cast<std::uint32_t>(std::stoul(row.at("seed"))));
  Tensor input({shape[0], shape[2], shape[3], shape[1]});
  const View view = input.view();
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t c = 0; c < shape[1]; ++c)
      for (std::int64_t y = 0; y < shape[2]; ++y)
        for (std::int64_t x = 0; x < shape[3]; ++x)
          view.pixel(n, y, x)[c] = static_cast<float>(draw.normal());
  return input;
}

}  // namespace atrous::conformance_testing
