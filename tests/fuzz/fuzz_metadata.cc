// The metadata of a model file, as lines of a key, a space and a value. What is accepted can be written, and
// comes back the same. The same bytes are tried as a config.json.
#include "tests/fuzz/targets.h"
#include "weights_tools/config.h"
#include "weights_tools/metadata.h"

namespace atrous::fuzz {

namespace {

using Strings = std::map<std::string, std::string>;

Strings lines(std::string_view rest) {
  Strings out;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t space = std::min(line.find(' '), line.size());
    out[std::string(line.substr(0, space))] = line.substr(std::min(space + 1, line.size()));
  }
  return out;
}

bool same(const Metadata& a, const Metadata& b) {
  return a.architecture == b.architecture && a.classes == b.classes && a.palette == b.palette &&
         a.preparation == b.preparation && a.source == b.source && a.source_sha256 == b.source_sha256 &&
         a.self_test == b.self_test && a.activations == b.activations;
}

}  // namespace

void metadata(Bytes input) {
  may_refuse([&] { read_config(as_text(input), "config.json"); });
  std::optional<Metadata> read;
  if (!may_refuse([&] { read = metadata_from_strings(lines(as_text(input))); }) || !read) return;
  const Strings written = to_strings(*read);
  const std::optional<Metadata> again = metadata_from_strings(written);
  promise(again && same(*again, *read), "metadata that was written is read otherwise");
  for (const auto& [key, value] : to_strings(*again))
    promise(written.at(key) == value, key, " is written as ", written.at(key), " and as ", value);
}

}  // namespace atrous::fuzz
