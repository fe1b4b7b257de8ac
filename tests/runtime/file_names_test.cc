// A file's name may hold anything but a slash and a NUL. Whoever shows an Error's sentence, in a terminal or
// a log, need not look at what is in it.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "layers/base/visible_text.h"
#include "layers/graph/state_dict.h"
#include "runtime/evaluation.h"
#include "runtime/evaluation/class_dict.h"
#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/coco_annotations.h"
#include "runtime/evaluation/coco_instances.h"
#include "runtime/evaluation/coco_results.h"
#include "runtime/image/npy.h"
#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"
#include "weights_tools/config.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::file_names_test {

using namespace atrous::testing;

namespace {

// A line of its own, escape sequences with an ESC and with a C1 control, a mark that turns the direction of
// writing, and a byte that is no UTF-8.
const std::string hostile = "a\n  b\natrous: error: c\x1b[2J\u009b2J\u202e\xff",
                  shown = "a\\x0a  b\\x0aatrous: error: c\\x1b[2J\\u009b2J\\u202e\\xff";

using Read = std::function<void(const std::string& path)>;
struct Reader {
  const char* name;
  Read read;
};

const Reader readers[] = {
    {"read_file", [](const std::string& path) { read_file(path, 0); }},
    {"write_file", [](const std::string& path) { write_file(path + "/x", {}); }},
    {"read_image_file", [](const std::string& path) { read_image_file(path); }},
    {"read_image", [](const std::string& path) { read_image(bytes("GIF89a"), path); }},
    {"read_image, a PNG", [](const std::string& path) { read_image(bytes("\x89PNG\r\n\x1a\n"), path); }},
    {"read_image, a JPEG", [](const std::string& path) { read_image(bytes("\xff\xd8\xff\xe0"), path); }},
    {"read_image, a BMP", [](const std::string& path) { read_image(bytes("BM"), path); }},
    {"read_image, a PNM", [](const std::string& path) { read_image(bytes("P6 1"), path); }},
    {"read_labels_file", [](const std::string& path) { read_labels_file(path); }},
    {"read_labels, a PNG", [](const std::string& path) { read_labels(bytes("\x89PNG\r\n\x1a\n"), path); }},
    {"read_labels, a BMP", [](const std::string& path) { read_labels(bytes("BM"), path); }},
    {"read_labels, a PNM", [](const std::string& path) { read_labels(bytes("P6 1"), path); }},
    {"read_labels, an array", [](const std::string& path) { read_labels(bytes("\x93NUMPY\1"), path); }},
    {"read_npy", [](const std::string& path) { read_npy(bytes("\x93NUMPY\1"), path); }},
    {"load_checkpoint", [](const std::string& path) { load_checkpoint(path); }},
    {"load_checkpoint, a folder",
     [](const std::string& path) { load_checkpoint(std::filesystem::path(path).parent_path().string()); }},
    {"load_checkpoint in memory", [](const std::string& path) { load_checkpoint({}, path); }},
    {"load_model", [](const std::string& path) { load_model(path); }},
    {"read_config", [](const std::string& path) { read_config("{", path); }},
    {"open_dataset, no folder", [](const std::string& path) { open_dataset("voc", path + "-not-there"); }},
    {"open_dataset, an empty folder",
     [](const std::string& path) {
       open_dataset("camvid", std::filesystem::path(path).parent_path().string());
     }},
    {"open_dataset, a file",
     [](const std::string& path) {
       open_dataset("pairs", path, {"", path + "-not-there"});
     }},
    {"read_label_palette", [](const std::string& path) { read_label_palette(path); }},
    {"read_coco_instances", [](const std::string& path) { read_coco_instances(path); }},
    {"read_coco_annotations", [](const std::string& path) { read_coco_annotations(path); }},
    {"read_coco_results", [](const std::string& path) { read_coco_results(path); }},
};

}  // namespace

TEST_CASE("no reader's error has a control character of the name it was given") {
  const TemporaryFolder folder;
  // In a folder of such a name too: some sentences name that alone.
  const std::string inside = folder / hostile;
  std::filesystem::create_directory(inside);
  const std::string path = inside + '/' + hostile;
  write_file(path, as_bytes("neither this nor that\n"));
  for (const Reader& reader : readers) {
    CAPTURE(reader.name);
    const std::string said = sentence([&] { reader.read(path); });
    CAPTURE(said);
    CHECK(contains(said, shown));
    CHECK(visible(said) == said);
  }
}

TEST_CASE(
    "an error shows its strings as they are visible, keeps its own words, and str_cat() changes nothing") {
  const auto said = [](auto action) { return sentence(action); };
  CHECK(said([] { fail(ErrorCode::io, hostile, ": ", 3); }) == shown + ": 3");
  CHECK(said([] { fail(ErrorCode::io, std::string_view(hostile)); }) == shown);
  CHECK(said([] { fail(ErrorCode::io, "one\n  two"); }) == "one\n  two");
  CHECK(said([] { fail(ErrorCode::io, str_cat(hostile)); }) == shown);
  CHECK(str_cat(hostile, 1) == hostile + "1");
}

}  // namespace atrous::file_names_test
