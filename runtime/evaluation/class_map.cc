#include "runtime/evaluation/class_map.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/label_step.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

using Names = std::vector<std::string>;

constexpr std::size_t model_limit = 255;
constexpr std::uint64_t map_file_limit = std::uint64_t{1} << 20;

// Letters and digits in lower case; bytes of other alphabets as they are.
std::string normalised(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (is_letter(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80) out += lower(c);
  }
  return out;
}

// The name of class i to compare with, or empty.
std::string name_of(const Names& names, std::size_t i) {
  return is_unnamed(names[i], i) ? std::string() : normalised(names[i]);
}

// Classes by normalised name; -1 where several share it.
std::map<std::string, int> indices(const Names& names) {
  std::map<std::string, int> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = name_of(names, i);
    if (name.empty()) continue;
    const auto [entry, added] = out.emplace(name, static_cast<int>(i));
    if (!added) entry->second = -1;
  }
  return out;
}

void check_model(const Names& model) {
  if (model.empty()) fail(ErrorCode::invalid_argument, "a class map needs the model's classes");
  if (model.size() > model_limit)
    fail(ErrorCode::limit, "the model has ", model.size(), " classes, more than ", model_limit,
         ": the label 255 is void");
}

void give(ClassMap& map, std::size_t label, int cls) {
  map.to[label] = static_cast<std::uint8_t>(cls);
  map.known[label] = true;
  map.identity = map.identity && map.to[label] == label;
}

ClassMap same_indices(std::size_t classes) {
  ClassMap map;
  map.to.fill(ClassMap::void_label);
  for (std::size_t i = 0; i < classes; ++i) give(map, i, static_cast<int>(i));
  return map;
}

// The first class whose two names contradict each other.
std::optional<std::size_t> contradiction(const Names& dataset, const Names& model) {
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::string a = name_of(dataset, i), b = name_of(model, i);
    if (!a.empty() && !b.empty() && a != b) return i;
  }
  return std::nullopt;
}

// Reads one file: which of two lists a word names, and what has been given.
class MapReader {
 public:
  MapReader(std::string_view file, const Names& dataset, const Names& model, int ignore)
      : file_(file), dataset_(dataset), model_(model), ignore_(ignore) {
    map_.to.fill(ClassMap::void_label);
  }

  void line(std::size_t number, std::string_view text) {
    line_ = number;
    if (text.front() == '#') return;
    const std::size_t sign = text.rfind('=');
    if (sign == text.npos) refuse("expected LABEL = CLASS, found ", printable(text));
    const std::string_view label = trimmed(text.substr(0, sign)), cls = trimmed(text.substr(sign + 1));
    const int target = cls == "ignore" ? ClassMap::void_label : find(cls, model_, model_.size(), "model");
    if (label == "*") {
      if (rest_) refuse("* is given twice");
      rest_ = target;
      return;
    }
    const std::size_t from =
        label == "255" ? last_label() : static_cast<std::size_t>(find(label, dataset_, labels(), "dataset"));
    if (map_.known[from]) refuse("class ", from, " of the dataset is given twice");
    give(map_, from, target);
  }

  ClassMap finish() {
    for (std::size_t i = 0; i < labels(); ++i) {
      if (map_.known[i]) continue;
      if (rest_)
        give(map_, i, *rest_);
      else if (!dataset_.empty())
        fail(ErrorCode::malformed, file_, ": class ", i, " of the dataset, ", printable(dataset_[i]),
             ", is not given; \"* = ignore\" makes all others void");
    }
    if (rest_ && dataset_.empty() && ignore_ != ClassMap::void_label && !map_.known[ClassMap::void_label])
      give(map_, ClassMap::void_label, *rest_);
    return map_;
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, file_, ": line ", line_, ": ", parts...);
  }

  std::size_t labels() const {
    return dataset_.empty() ? std::size_t{ClassMap::void_label} : std::min(dataset_.size(), model_limit);
  }

  // 255, which is a label like others where it is not void.
  std::size_t last_label() const {
    if (ignore_ == ClassMap::void_label)
      refuse("the label 255 is void; --ignore none, or another label, gives it");
    return ClassMap::void_label;
  }

  int find(std::string_view word, const Names& names, std::size_t count, std::string_view whose) const {
    int number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size()) {
      if (number < 0 || static_cast<std::size_t>(number) >= count)
        refuse("the ", whose, " has no class ", number, ", it has ", count);
      return number;
    }
    const auto known = indices(names);
    const auto found = known.find(normalised(word));
    if (found == known.end()) refuse("the ", whose, " has no class ", printable(word));
    if (found->second < 0) refuse("the ", whose, " has several classes ", printable(word));
    return found->second;
  }

  std::string_view file_;
  const Names &dataset_, &model_;
  int ignore_;
  std::size_t line_ = 0;
  std::optional<int> rest_;
  ClassMap map_;
};

}  // namespace

bool means_void(std::string_view name) {
  const std::string word = normalised(name);
  constexpr std::string_view words[]{"void", "ignore", "ignored", "unlabelled", "unlabeled"};
  return std::ranges::count(words, word) > 0;
}

ClassMap default_class_map(const Names& dataset, const Names& model) try {
  check_model(model);
  if (dataset.empty()) return same_indices(model.size());
  if (dataset.size() == model.size() && !contradiction(dataset, model)) return same_indices(model.size());

  ClassMap map;
  map.to.fill(ClassMap::void_label);
  const auto theirs = indices(model), ours = indices(dataset);
  Names others;  // the dataset's classes but for void
  for (std::size_t i = 0; i < dataset.size(); ++i)
    if (means_void(dataset[i]) && !theirs.contains(name_of(dataset, i)))
      give(map, i, ClassMap::void_label);
    else
      others.push_back(is_unnamed(dataset[i], i) ? std::string() : dataset[i]);
  const bool in_order =
      others.size() < dataset.size() && others.size() == model.size() && !contradiction(others, model);
  int next = 0;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    if (map.known[i]) continue;
    const std::string name = name_of(dataset, i);
    const auto found = theirs.find(name);
    if (in_order)
      give(map, i, next++);
    else if (name.empty() || ours.at(name) < 0 || found == theirs.end() || found->second < 0)
      fail(ErrorCode::mismatch, "the dataset has ", dataset.size(), " classes, the model ", model.size(),
           ", and class ", i, " of the dataset, ", printable(dataset[i]),
           ", is not found by name in the model; a class map (--map) can say which is which");
    else
      give(map, i, found->second);
  }
  return map;
} catch (...) {
  rethrow_as_error();
}

ClassMap read_class_map(std::string_view content, std::string_view file, const Names& dataset,
                        const Names& model, int ignore) try {
  check_model(model);
  MapReader reader(file, dataset, model, ignore);
  each_line(content, file, [&](std::size_t number, std::string_view line) { reader.line(number, line); });
  return reader.finish();
} catch (...) {
  rethrow_as_error();
}

ClassMap read_class_map_file(const std::string& path, const Names& dataset, const Names& model,
                             int ignore) try {
  const std::vector<std::byte> bytes = read_file(path, map_file_limit);
  return read_class_map(as_text(bytes), path, dataset, model, ignore);
} catch (...) {
  rethrow_as_error();
}

LabelMap apply(const ClassMap& map, LabelMap truth, int ignore, std::string_view name) try {
  check(truth, name);
  return apply(class_step(map, ignore), std::move(truth), name);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
