// Names and colours of the classes that an evaluation compares.
#include <algorithm>
#include <utility>

#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/evaluate.h"

namespace atrous {

void take_names(Model& model, const Dataset& dataset) try {
  for (std::size_t c = 0; c < model.classes.size(); ++c)
    if (!is_unnamed(model.classes[c], c)) return;
  std::vector<std::string> names = dataset.classes;
  Palette palette = dataset.palette;
  if (palette.size() != names.size()) palette.clear();
  if (names.size() != model.classes.size())
    for (std::size_t i = names.size(); i-- > 0;)
      if (means_void(names[i])) {
        names.erase(names.begin() + static_cast<std::ptrdiff_t>(i));
        if (!palette.empty()) palette.erase(palette.begin() + static_cast<std::ptrdiff_t>(i));
      }
  if (names.size() != model.classes.size()) return;
  model.classes = std::move(names);
  if (!palette.empty()) model.palette = std::move(palette);
} catch (...) {
  rethrow_as_error();
}

Palette evaluation_palette(const std::vector<std::string>& classes, Palette palette, bool void_class) try {
  if (void_class && std::ranges::find(classes, "void") == classes.end()) palette.push_back({255, 255, 255});
  return palette;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
