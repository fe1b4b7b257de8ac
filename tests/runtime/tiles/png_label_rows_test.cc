// Labels of a PNG by rows: those of the file read whole, or refused as that is.
#include "runtime/tiles/png_label_rows.h"

#include <doctest/doctest.h>

#include <optional>

#include "runtime/image/png.h"
#include "tests/support/png_helpers.h"
#include "tests/support/temporary.h"

namespace atrous::png_label_rows_test {

using namespace atrous::testing;

namespace {

constexpr int grey = 0, rgb = 2, indexed = 3, grey_alpha = 4, rgb_alpha = 6;

struct Outcome {
  std::optional<ErrorCode> refused;
  std::string said;
  ReadLabels read;
};

template <class Reading>
Outcome outcome_of(Reading&& reading) {
  Outcome out;
  try {
    out.read = reading();
  } catch (const Error& error) {
    out.refused = error.code();
    out.said = error.what();
  }
  return out;
}

ReadLabels by_rows(const FileBytes& bytes, const LabelColours& colours, int at_once = 3) {
  const InputFile file(bytes, "x.png");
  PngLabelRows rows(file, "x.png");
  rows.survey(colours);
  ReadLabels read{{rows.width(), rows.height(), {}}, rows.rule().form, rows.rule().other_order};
  LabelMap& map = read.map;
  map.labels.resize(static_cast<std::size_t>(map.width) * static_cast<std::size_t>(map.height));
  for (int y = 0; y < map.height; y += at_once) {
    const auto count = static_cast<std::size_t>(std::min(at_once, map.height - y) * map.width);
    rows.read({map.row(y), count});
  }
  for (std::size_t label = 0; label < 256; ++label) {
    const auto found = std::ranges::find(map.labels, static_cast<std::uint8_t>(label));
    CHECK(rows.rule().first[label] == (found == map.labels.end() ? -1 : found - map.labels.begin()));
  }
  return read;
}

// What both say; that they say the same.
std::string compare(const FileBytes& file, const LabelColours& colours = {}) {
  const Outcome whole = outcome_of([&] { return read_labels(file, "x.png", colours); }),
                rows = outcome_of([&] { return by_rows(file, colours); });
  CAPTURE(whole.said);
  CAPTURE(rows.said);
  CHECK(whole.refused == rows.refused);
  CHECK(whole.read.map == rows.read.map);
  CHECK(whole.read.form == rows.read.form);
  CHECK(whole.read.other_order == rows.read.other_order);
  if (rows.refused) CHECK(rows.said.starts_with("x.png: "));
  return rows.said;
}

const Palette classes{{0, 0, 0}, {128, 0, 0}, {0, 128, 0}, {7, 7, 7}, {255, 255, 255}};
const Palette greys{{0, 0, 0}, {3, 3, 3}, {1, 1, 1}, {2, 2, 2}};
const Palette repeated{{0, 0, 0}, {128, 0, 0}, {128, 0, 0}};

std::vector<LabelColours> palettes() {
  std::vector<LabelColours> all{{}};
  for (const Palette& palette : {classes, greys, repeated})
    for (const bool of_labels : {false, true})
      all.push_back({.palette = palette, .voids = {{224, 224, 192}}, .of_labels = of_labels});
  return all;
}

FileBytes palette_chunk(const Palette& colours) {
  FileBytes out;
  for (const Colour& c : colours)
    for (const std::uint8_t value : c) out.push_back(std::byte{value});
  return chunk("PLTE", out);
}

// 7 by 5 pixels, each one of `values`, samples of 8 bits.
FileBytes file_of(int colour, const std::vector<std::vector<int>>& values, const Palette& palette = {}) {
  FileBytes filtered;
  unsigned state = 7;
  for (int y = 0; y < 5; ++y) {
    filtered.push_back(std::byte{0});
    for (int x = 0; x < 7; ++x) {
      state = state * 1664525u + 1013904223u;
      for (const int sample : values[(state >> 16) % values.size()])
        filtered.push_back(static_cast<std::byte>(sample));
    }
  }
  return png(png_header(7, 5, 8, colour) + (palette.empty() ? FileBytes{} : palette_chunk(palette)) +
             chunk("IDAT", zlib(filtered)));
}

}  // namespace

TEST_CASE("label rows: grey, indices and colours of all kinds, by every palette, are those of the whole") {
  const std::vector<std::vector<std::vector<int>>> ones{{{0}, {1}, {2}}, {{0}, {3}, {255}}, {{0}, {255}},
                                                        {{7}, {128}},    {{4}, {9}, {200}}, {{255}}},
      threes{{{0, 0, 0}, {128, 0, 0}, {0, 128, 0}},
             {{0, 0, 0}, {128, 0, 0}, {224, 224, 192}},
             {{0, 0, 0}, {1, 1, 1}, {3, 3, 3}},
             {{7, 7, 7}, {0, 0, 0}},
             {{9, 9, 9}, {7, 7, 7}},
             {{128, 0, 0}, {128, 0, 1}, {128, 0, 2}},
             {{0, 128, 0}, {3, 3, 3}, {9, 9, 8}}};
  const std::vector<Palette> own{classes,
                                 {{0, 128, 0}, {0, 0, 0}, {128, 0, 0}},
                                 {{0, 0, 0}, {0, 128, 0}, {128, 0, 0}, {224, 224, 192}, {255, 255, 255}},
                                 {{0, 0, 0}, {0, 128, 0}, {5, 6, 7}, {9, 9, 9}},
                                 {{1, 1, 1}}};
  std::size_t read = 0, refused = 0;
  const auto check = [&](const FileBytes& file) {
    for (const LabelColours& colours : palettes()) {
      const std::string said = compare(file, colours);
      CHECK(said == outcome_of([&] { return read_labels(file, "x.png", colours); }).said);
      (said.empty() ? read : refused) += 1;
    }
  };
  for (const auto& values : ones) {
    check(file_of(grey, values));
    for (const Palette& palette : own) check(file_of(indexed, values, palette));
  }
  for (const auto& values : threes) {
    check(file_of(rgb, values));
    check(file_of(rgb, values, classes));  // a palette that is only suggested
    std::vector<std::vector<int>> with_alpha = values;
    for (std::vector<int>& colour : with_alpha) colour.push_back(99);
    check(file_of(rgb_alpha, with_alpha));
  }
  for (const auto& values : ones) {
    std::vector<std::vector<int>> with_alpha = values;
    for (std::vector<int>& level : with_alpha) level.push_back(99);
    check(file_of(grey_alpha, with_alpha));
  }
  CHECK(read > 200);
  CHECK(refused > 30);
}

TEST_CASE("label rows: samples of fewer bits are as stored, of 16 bits 0..255 and 65535") {
  for (const int depth : {1, 2, 4})
    for (const int colour : {grey, indexed}) {
      const FileBytes filtered = bytes({0, 0x1b, 0x80, 1, 0xe4, 0x40, 2, 0x11, 0x10});
      const auto width = static_cast<std::size_t>(16 / depth - 1);
      CHECK(compare(png(png_header(width, 3, depth, colour) +
                        (colour == indexed ? palette_chunk(classes) : FileBytes{}) +
                        chunk("IDAT", zlib(filtered)))) == "");
    }
  const auto sixteen = [](const std::vector<int>& samples) {
    FileBytes filtered;
    for (std::size_t i = 0; i < samples.size(); ++i)
      filtered =
          filtered + (i % 2 == 0 ? bytes({0}) : FileBytes{}) + be16(static_cast<std::size_t>(samples[i]));
    return png(png_header(2, samples.size() / 2, 16, grey) + chunk("IDAT", zlib(filtered)));
  };
  CHECK(compare(sixteen({0, 255, 65535, 3})) == "");
  CHECK(contains(compare(sixteen({0, 255, 65535, 3, 4, 256})), "the 16-bit label 256 at pixel (1, 2)"));
  CHECK(contains(compare(png(png_header(1, 1, 16, rgb) + chunk("IDAT", zlib(bytes({0, 0, 1, 0, 2, 0, 3}))))),
                 "this PNG is RGB of 16"));
}

TEST_CASE("label rows: a file that ends anywhere, or is damaged anywhere, is refused before a row is given") {
  const FileBytes file = file_of(indexed, {{0}, {1}, {2}}, classes);
  const auto survey = [](const FileBytes& bytes, const LabelColours& colours) {
    const InputFile input(bytes, "x.png");
    PngLabelRows rows(input, "x.png");
    rows.survey(colours);
  };
  const LabelColours colours{.palette = classes, .of_labels = true};
  for (std::size_t count = 8; count < file.size(); ++count) {
    CAPTURE(count);
    CHECK(contains(sentence([&] { survey(first(file, count), colours); }), "x.png: truncated: "));
    compare(first(file, count), colours);
  }
  for (std::size_t i = 8; i < file.size(); ++i) {
    CAPTURE(i);
    FileBytes damaged = file;
    damaged[i] ^= std::byte{0x41};
    const bool refused = !compare(damaged, colours).empty();
    CHECK(refused == !sentence([&] { survey(damaged, colours); }).empty());
  }
}

TEST_CASE("label rows: absurd headers cost nothing") {
  const auto refused = [](const FileBytes& head) {
    return sentence([&] { by_rows(png(head + chunk("IDAT", zlib(bytes({0, 0})))), {}); });
  };
  CHECK(contains(refused(png_header(65535, 65535, 8, grey)), "cannot hold"));
  CHECK(contains(refused(png_header(65536, 1, 8, grey)), "a side is over 65535"));
  CHECK(contains(refused(png_header(0, 5, 8, grey)), "has no pixels"));
}

TEST_CASE("label rows: a file that changes between the two readings is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.png";
  const auto one_colour = [](int width, std::uint8_t label, int channels) {
    Image image = make_image(width, 2, channels);
    std::ranges::fill(image.pixels, label);
    return encode_png(image);
  };
  // Over the same file, which is not replaced.
  const auto overwrite = [&](const FileBytes& bytes) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    REQUIRE(file);
    CHECK(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    std::fclose(file);
  };
  const auto changed = [&](const FileBytes& later) {
    overwrite(one_colour(3, 1, 1));
    const InputFile file(path);
    PngLabelRows rows(file, path);
    rows.survey({});
    overwrite(later);
    std::vector<std::uint8_t> labels(6);
    return sentence([&] { rows.read(labels); });
  };
  CHECK(changed(one_colour(3, 1, 1)) == "");
  CHECK(contains(changed(one_colour(3, 2, 1)), "x.png: was changed while it was read"));
  CHECK(changed(one_colour(40, 2, 1)) != "");
}

}  // namespace atrous::png_label_rows_test
