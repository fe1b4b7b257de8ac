// Every function that atrous.h, evaluation.h and tensors.h offer ends in rethrow_as_error()
// (layers/base/error.h), so that a host sees no exception but an Error. Found in the sources' text; that it
// holds when memory runs out is tested by programs/injection.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace atrous::boundary_test {

namespace {

namespace fs = std::filesystem;

const std::string root = ATROUS_SOURCE_DIR;

// Without comments, and of a class without what is private.
std::string source_of(const std::string& path) {
  std::ifstream file(root + '/' + path);
  std::string out;
  bool is_private = false;
  for (std::string line; std::getline(file, line);) {
    line.erase(std::min(line.find("//"), line.size()));
    if (line == " private:") is_private = true;
    if (line == "};") is_private = false;
    if (!is_private) out += line + '\n';
  }
  return out;
}

std::vector<std::string> matches(const std::string& text, const std::regex& pattern, std::size_t group) {
  std::vector<std::string> all;
  for (std::sregex_iterator m(text.begin(), text.end(), pattern), end; m != end; ++m)
    all.push_back((*m)[group]);
  return all;
}

std::vector<std::string> public_headers() {
  std::vector<std::string> headers;
  for (const char* front : {"runtime/atrous.h", "runtime/evaluation.h", "runtime/tensors.h"})
    for (const std::string& header : matches(source_of(front), std::regex(R"re(#include "([^"]+)")re"), 1))
      headers.push_back(header);
  for (const char* behind :
       {"runtime/evaluation/class_map.h", "runtime/image/pillow_resize.h", "runtime/image/preprocess.h",
        "runtime/engine/plan.h", "weights_tools/metadata.h"})
    headers.emplace_back(behind);
  return headers;
}

std::set<std::string> declared(const std::string& header) {
  const auto names = matches(source_of(header), std::regex(R"((\w+)\([^;{}]*\)( const)?;)"), 1);
  return {names.begin(), names.end()};
}

// What neither takes memory but as Tensor does, by an OutOfMemory, nor throws but by fail(), which ends in
// rethrow_as_error() itself.
const std::set<std::string> plain{"name_of",
                                  "dataset_kinds",
                                  "picture_extensions",
                                  "is_npy",
                                  "pixels",
                                  "at",
                                  "truth_pixels",
                                  "predicted_pixels",
                                  "check",
                                  "rethrow_as_error",
                                  "means_void",
                                  "is_device_name",
                                  "source_channels",
                                  "has_sides",
                                  "f1",
                                  "names_default_model",
                                  "names_seeded_model",
                                  "has_masks",
                                  "answer",
                                  "logits",
                                  "macs",
                                  "version",
                                  "fail_other_dtype",
                                  "Buffer",
                                  "Tensor",
                                  "zeros"};

}  // namespace

TEST_CASE("every public function ends in rethrow_as_error()") {
  // A definition begins its line, outside of unnamed namespaces, whose functions no header declares.
  const std::regex definition(
      R"(\n(?!namespace|struct|class|using|static|constexpr|template|inline|#|\}| )([^\n;={}]*?[ &*:])?)"
      R"((\w+)\(((?:[^;{}]|\{\})*?)\{)");
  std::size_t guarded = 0;
  for (const std::string& header : public_headers()) {
    const std::set<std::string> names = declared(header);
    for (const auto& entry : fs::directory_iterator(fs::path(root + '/' + header).parent_path())) {
      if (entry.path().extension() != ".cc") continue;
      const std::string path = fs::relative(entry.path(), root).string(), source = source_of(path);
      for (std::sregex_iterator m(source.begin(), source.end(), definition), end; m != end; ++m) {
        const std::string name = (*m)[2], begin = (*m)[0];
        const bool of_header = names.contains(name) && source.find("#include \"" + header) != source.npos;
        const bool ends_a_life = begin.find('~') != begin.npos;
        if (!of_header || plain.contains(name) || ends_a_life) continue;
        const auto at = static_cast<std::size_t>(m->position());
        const bool unnamed = source.rfind("\nnamespace {", at) != source.npos &&
                             source.find("\n}  ", source.rfind("\nnamespace {", at)) > at;
        if (unnamed) continue;
        const bool is_guarded = begin.find(" try") != begin.npos;
        CHECK_MESSAGE(is_guarded, path, ": ", name, "() lets other exceptions through");
        guarded += is_guarded;
      }
    }
  }
  CHECK(guarded > 70);
}

}  // namespace atrous::boundary_test
