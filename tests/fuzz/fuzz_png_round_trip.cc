// Pictures and label maps written as PNG come back equal. The input is the picture: width, height, kind, then
// samples, repeated where they end.
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/png.h"
#include "runtime/tiles/png_writer.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

std::vector<std::uint8_t> samples(Bytes from, std::size_t count) {
  std::vector<std::uint8_t> out(count);
  for (std::size_t i = 0; i < count && !from.empty(); ++i)
    out[i] = std::to_integer<std::uint8_t>(from[i % from.size()]);
  return out;
}

// As read_image gives it: alpha dropped, grey three times.
Image as_rgb(const Image& image) {
  Image out = make_image(image.width, image.height, 3);
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < out.pixels.size(); ++i)
    out.pixels[i] = image.pixels[i / 3 * channels + (channels == 1 ? 0 : i % 3)];
  return out;
}

void write_picture(int width, int height, int channels, Bytes from) {
  Image image = make_image(width, height, channels);
  image.pixels = samples(from, image.pixels.size());
  promise(read_image(encode_png(image), "fuzz") == as_rgb(image), "a picture of ", width, "x", height,
          " and ", channels, " channels comes back otherwise");
  std::vector<std::byte> file;
  PngWriter writer(width, height, channels,
                   [&](Bytes more) { file.insert(file.end(), more.begin(), more.end()); });
  for (int y = 0; y < height; ++y) writer.write({image.row(y), image.row_bytes()});
  writer.finish();
  promise(read_image(file, "fuzz") == as_rgb(image), "written by rows it comes back otherwise");
}

void write_labels(int width, int height, std::size_t colours, Bytes from) {
  LabelMap map{width, height, samples(from, static_cast<std::size_t>(width * height))};
  Palette palette(colours);
  for (std::size_t i = 0; i < colours; ++i) palette[i] = {static_cast<std::uint8_t>(i), 1, 2};
  const std::size_t largest = std::ranges::max(map.labels);
  std::vector<std::byte> file;
  const bool written = may_refuse([&] { file = encode_png(map, palette); });
  promise(written == (largest < colours), "label ", largest, " of ", colours, " colours");
  if (!written) return;
  promise(read_labels(file, "fuzz") == map, "labels of ", width, "x", height, " come back otherwise");
  const Image photo = read_image(file, "fuzz");
  for (std::size_t i = 0; i < map.labels.size(); ++i)
    promise(photo.pixels[3 * i] == map.labels[i], "pixel ", i, " has another label's colour");
}

}  // namespace

void png_round_trip(Bytes input) {
  Draws draws(input);
  const auto width = static_cast<int>(draws.pick(1, 128)), height = static_cast<int>(draws.pick(1, 64));
  const std::int64_t kind = draws.pick(0, 3);
  if (kind == 3)
    write_labels(width, height, static_cast<std::size_t>(draws.pick(1, 256)), draws.rest());
  else
    write_picture(width, height, kind == 0 ? 1 : static_cast<int>(kind + 2), draws.rest());
}

}  // namespace atrous::fuzz
