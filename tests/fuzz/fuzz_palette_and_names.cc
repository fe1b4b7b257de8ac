// Palettes and class dictionaries as text, and names out of files on their way to a terminal: what visible()
// and printable() give is clean, stays so, and is short of the latter.
#include <set>

#include "layers/base/visible_text.h"
#include "runtime/evaluation/class_dict.h"
#include "runtime/image/palette.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/io/clean_text.h"

namespace atrous::fuzz {

void palette_and_names(Bytes input) {
  const std::string_view text = as_text(input);
  may_refuse([&] {
    const Palette palette = read_palette(text, "fuzz.txt");
    promise(!palette.empty() && palette.size() <= 256, "a palette of ", palette.size(), " colours");
  });
  may_refuse([&] {
    const ClassDict dict = read_class_dict(text, "class_dict.csv");
    promise(!dict.classes.empty() && dict.classes.size() <= 255, dict.classes.size(), " classes");
    promise(dict.palette.size() == dict.classes.size(), "classes and colours differ in number");
    for (const std::string& name : dict.classes)
      promise(is_clean_text(name) && !name.empty(), "a class has no name: ", printable(name));
    promise(std::set(dict.palette.begin(), dict.palette.end()).size() == dict.palette.size(),
            "a colour twice");
  });
  const std::string shown = printable(text);
  promise(is_clean_text(shown), "printable() gives control characters");
  promise(shown.size() <= 4 * 120 + 3, "printable() gives ", shown.size(), " bytes");
  if (text.size() <= 120) promise(shown == visible(text), "printable() cuts ", shown);
  promise(visible(shown) == shown, "visible() leaves something to escape in ", shown);
  promise(is_clean_text(visible(text)), "visible() gives control characters");
  const bool is_key = may_refuse([&] { check_key(text); });
  promise(is_key == (is_clean_text(text) && !text.empty() && text.size() <= 1024), "as a key: ", shown);
}

}  // namespace atrous::fuzz
