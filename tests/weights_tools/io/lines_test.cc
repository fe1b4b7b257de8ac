// Lists of one entry a line, as editors of all systems write them.
#include "weights_tools/io/lines.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/image/palette.h"
#include "tests/support/image_helpers.h"

namespace atrous::lines_test {

using namespace atrous::testing;

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  each_line(text, "list.txt", [&](std::size_t number, std::string_view line) {
    out.push_back(std::to_string(number) + ' ' + std::string(line));
  });
  return out;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("lines end in LF, CRLF or CR, and empty ones are counted") {
  for (const char* text : {"a\nb\n\nc", "a\r\nb\r\n\r\nc\r\n", "a\rb\r\rc\r"})
    CHECK(lines_of(text) == Lines{"1 a", "2 b", "4 c"});
  CHECK(lines_of("") == Lines{});
  CHECK(lines_of("\n\r\n \t\n") == Lines{});
}

TEST_CASE("a byte order mark and what shows nothing at a line's ends are no part of an entry") {
  CHECK(lines_of("\ufeffroad\r\n car \t\r\n") == Lines{"1 road", "2 car"});
  CHECK(lines_of("\ufeff") == Lines{});
  CHECK(lines_of("road\n\ufeffcar\u00a0\n\u3000traffic light\u3000") ==
        Lines{"1 road", "2 car", "3 traffic light"});
  CHECK(trimmed("\f\v a b \f\v") == "a b");
}

TEST_CASE("UTF-16 is refused by name") {
  for (const std::string_view text : {std::string_view("\xff\xfe"
                                                       "a\0\n\0",
                                                       6),
                                      std::string_view("\xfe\xff\0a", 4)})
    CHECK(sentence([&] { lines_of(text); }) == "list.txt: is UTF-16 text; save the file as UTF-8");
}

TEST_CASE("maps, palettes and class names are read alike with a byte order mark and CRLF") {
  const std::vector<std::string> names{"road", "car"};
  const ClassMap map = read_class_map("\ufeff0 = car\r\n1 = road \r\n", "map.txt", names, names);
  CHECK(map.to[0] == 1);
  CHECK(map.to[1] == 0);
  CHECK(read_palette("\ufeff1 2 3\r\n#0a0b0c \r\n", "colours.txt") == Palette{{1, 2, 3}, {10, 11, 12}});
  CHECK(read_class_names("\ufeff0: road\r\n1: car \r\n", "labels.txt", 2, 0) == names);
}

TEST_CASE("what cannot be seen in an entry is shown in the sentence that refuses it") {
  CHECK(sentence([] { read_palette("0 0 0\n1\u200b 2 3", "colours.txt"); }) ==
        "colours.txt: line 2: expected \"R G B\" (0..255) or \"#rrggbb\", found 1\\u200b 2 3");
  CHECK(sentence([] { read_class_map("ca\u200br = 0", "map.txt", {"car"}, {"car"}); }) ==
        "map.txt: line 1: the dataset has no class ca\\u200br");
}

}  // namespace atrous::lines_test
