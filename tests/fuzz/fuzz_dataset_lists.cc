// What a dataset brings along as text: class maps, lists of a set's names, class names. A class map that is
// read sends every known label to a class of the model or to void; a set's names are plain and each there
// once.
#include <set>

#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/dataset_files.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

const std::vector<std::string> streets = {"road", "sidewalk", "traffic light", "class 3", "person"},
                               model = {"__background__", "person", "Traffic_Light", "road"};

void class_map(std::string_view text, const std::vector<std::string>& dataset) {
  may_refuse([&] {
    const ClassMap map = read_class_map(text, "fuzz.txt", dataset, model);
    for (std::size_t label = 0; label < map.to.size(); ++label) {
      const std::size_t to = map.to[label];
      promise(!map.known[label] || to < model.size() || to == ClassMap::void_label, "label ", label,
              " becomes ", to);
      if (label < dataset.size()) promise(map.known[label], "label ", label, " is not known");
    }
  });
}

void set_list(Bytes input) {
  const MemoryFile file(input);
  const std::string root = "/nowhere";
  const DatasetOptions options;
  const DatasetRequest request{dataset_kinds().front(), root, options};
  may_refuse([&] {
    const auto names = read_set(request, file.path());
    promise(std::ranges::all_of(names, is_plain_name), "a name that leads elsewhere");
    promise(std::set(names.begin(), names.end()).size() == names.size(), "a name twice");
  });
  may_refuse([&] { read_names_file(file.path(), 3, 0); });
}

}  // namespace

void dataset_lists(Bytes input) {
  class_map(as_text(input), streets);
  class_map(as_text(input), {});
  set_list(input);
}

}  // namespace atrous::fuzz
