// Annotations. What is read has no more pixels than allowed and can be resized; a picture that is read as
// labels is read as a photo of the same size, unless a label has no colour. With colours to look up, every
// label of those is one of theirs or void. A PNG that is read by rows gives the labels it gives read whole.
#include "runtime/image/image_formats.h"
#include "runtime/image/label_read.h"
#include "runtime/tiles/png_label_rows.h"
#include "tests/fuzz/png_repair.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

constexpr std::int64_t most_pixels = 1 << 14;

const LabelColours colours{.palette = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}, {7, 7, 7}},
                           .voids = {{224, 224, 192}},
                           .source = "these"};

void read_colours(Bytes file, bool of_labels) {
  LabelColours these = colours;
  these.of_labels = of_labels;
  may_refuse([&] {
    const ReadLabels labels = read_labels(file, "fuzz", these, {.max_pixels = most_pixels});
    check(labels.map, "fuzz");
    if (labels.form == LabelForm::colours)
      for (const std::uint8_t label : labels.map.labels)
        promise(label < colours.palette.size() || label == 255, "a colour is the label ", int{label});
  });
}

void read_rows(Bytes bytes, bool of_labels) {
  LabelColours these = colours;
  these.of_labels = of_labels;
  const InputFile file(bytes, "fuzz");
  LabelMap map;
  const bool whole = may_refuse([&] {
    PngLabelRows rows(file, "fuzz");
    if (rows.is_interlaced()) fail(ErrorCode::unsupported, "interlaced");
    if (std::int64_t{rows.width()} * rows.height() > most_pixels) fail(ErrorCode::limit, "large");
    rows.survey(these);
    map = {rows.width(), rows.height(), {}};
    map.labels.resize(static_cast<std::size_t>(rows.width()) * static_cast<std::size_t>(rows.height()));
    rows.read(map.labels);
  });
  if (whole) promise(read_labels(bytes, "fuzz", these).map == map, "labels by rows differ from the whole");
}

void read_as_map(Bytes file) {
  for (const bool of_labels : {false, true}) read_colours(file, of_labels);
  LabelMap map;
  if (!may_refuse([&] { map = read_labels(file, "fuzz", {.max_pixels = most_pixels}); })) return;
  check(map, "fuzz");
  promise(std::int64_t{map.width} * map.height <= most_pixels, "too many pixels");
  promise(resize_nearest(map, map.width, map.height) == map, "resized to its own size it changes");
  resize_nearest(map, 1 + map.height % 7, 1 + map.width % 5);
  Image photo;
  if (may_refuse([&] { photo = read_image(file, "fuzz", {.exif = false, .max_pixels = most_pixels}); }))
    promise(photo.width == map.width && photo.height == map.height, "labels and photo differ in size");
}

}  // namespace

void labels(Bytes input) {
  read_as_map(input);
  if (!formats::is_png(input)) return;
  const std::vector<std::byte> repaired = with_right_checksums(input);
  read_as_map(repaired);
  for (const bool of_labels : {false, true}) {
    read_rows(input, of_labels);
    read_rows(repaired, of_labels);
  }
}

}  // namespace atrous::fuzz
