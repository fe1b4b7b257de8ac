#include "runtime/image/palette.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

constexpr int max_classes = 256;  // a label is a byte

Palette empty_palette(int classes) {
  if (classes < 1 || classes > max_classes)
    fail(ErrorCode::invalid_argument, "a palette of ", classes, " classes; 1 to ", max_classes,
         " are possible");
  return Palette(static_cast<std::size_t>(classes));
}

// Removes and returns the next word of the line.
std::string_view next_word(std::string_view& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return line = {};
  const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

std::optional<std::uint8_t> number(std::string_view word, int base) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc{} || end != word.data() + word.size() || value > 255) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

std::optional<Colour> parse_colour(std::string_view line) {
  const std::string_view first = next_word(line);
  const bool hex = first.starts_with('#');
  if (hex && first.size() != 7) return std::nullopt;
  Colour colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    const std::string_view word = hex ? first.substr(1 + 2 * c, 2) : c == 0 ? first : next_word(line);
    const std::optional<std::uint8_t> value = number(word, hex ? 16 : 10);
    if (!value) return std::nullopt;
    colour[c] = *value;
  }
  return colour;
}

bool is_comment(std::string_view line) {
  const std::string_view first = next_word(line);
  return first.empty() || first == "#";
}

}  // namespace

Palette voc_palette(int classes) try {
  Palette palette = empty_palette(classes);
  for (unsigned i = 0; i < palette.size(); ++i)
    for (unsigned bit = 0; bit < 8; ++bit)
      palette[i][bit % 3] = static_cast<std::uint8_t>(palette[i][bit % 3] | (i >> bit & 1) << (7 - bit / 3));
  return palette;
} catch (...) {
  rethrow_as_error();
}

Palette hub_palette(int classes) try {
  constexpr std::array<std::uint64_t, 3> factors{(1u << 25) - 1, (1u << 15) - 1, (1u << 21) - 1};
  Palette palette = empty_palette(classes);
  for (std::size_t i = 0; i < palette.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c) palette[i][c] = static_cast<std::uint8_t>(i * factors[c] % 255);
  return palette;
} catch (...) {
  rethrow_as_error();
}

Palette read_palette(std::string_view text, std::string_view name) try {
  Palette palette;
  each_line(text, name, [&](std::size_t number, std::string_view line) {
    if (is_comment(line)) return;
    const std::optional<Colour> colour = parse_colour(line);
    if (!colour)
      fail(ErrorCode::malformed, name, ": line ", number,
           ": expected \"R G B\" (0..255) or \"#rrggbb\", found ", printable(line));
    if (palette.size() == max_classes)
      fail(ErrorCode::limit, name, ": line ", number, ": more than ", max_classes, " colours");
    palette.push_back(*colour);
  });
  if (palette.empty()) fail(ErrorCode::malformed, name, ": no colour in the palette");
  return palette;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::string> voc_classes() try {
  return {"__background__",
          "aeroplane",
          "bicycle",
          "bird",
          "boat",
          "bottle",
          "bus",
          "car",
          "cat",
          "chair",
          "cow",
          "diningtable",
          "dog",
          "horse",
          "motorbike",
          "person",
          "pottedplant",
          "sheep",
          "sofa",
          "train",
          "tvmonitor"};
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
