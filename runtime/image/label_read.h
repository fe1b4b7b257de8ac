// Reading annotations: pictures whose pixels are classes, by number or by colour.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "runtime/image/image_read.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// Which colours stand for which labels.
struct LabelColours {
  Palette palette;                     // of label 0, 1 and so on
  Palette voids = {};                  // colours that mean void, 255
  std::string source = "the palette";  // as sentences name the palette: "class_dict.csv"
  // The palette comes with these labels (class_dict.csv), and is not just how a model or a dataset draws its
  // classes: pictures of grey levels may be meant as colours too.
  bool of_labels = false;
};

enum class LabelForm {
  indices,     // samples, palette indices and numbers are the labels
  colours,     // colours are looked up
  renumbered,  // palette indices whose own palette holds the labels' colours at other places: looked up too
};

struct ReadLabels {
  LabelMap map;
  LabelForm form = LabelForm::indices;
  // Read as indices, but the file's own palette has some of the labels' colours at other indices.
  bool other_order = false;
};

// Labels from PNG, BMP, PNM (P5, P6) and .npy:
// - a picture with a palette, of 1 to 8 bits: its indices. Where every colour that occurs is a label's, some
// of them at
//   another index, and the file's palette holds none but labels' colours, black and white, an image editor
//   has renumbered the colours: then the colours are looked up. An index beyond the palette is a label like
//   any other: void may well have no colour;
// - a grey picture of 1 to 16 bits, or one of colours whose three channels are equal everywhere: its samples
//   as stored, of 2 bits 0..3, not spread over 0..255 (Pillow spreads PNG's grey of 2 and 4 bits and PNM's
//   whose maximum is not 255; for all others the result is what numpy.asarray(PIL.Image.open(file)) gives). A
//   16-bit 65535 is void, 255. The levels are colours instead where each is a label's and either not all can
//   be labels of the palette (0 up to its size, 255) or the palette is grey throughout, or for a picture of
//   colours of_labels;
// - any other picture of 8-bit colours, whose alpha is dropped: each colour looked up in `colours`;
// - a .npy file, which is read_npy_labels().
//
// An EXIF orientation is not applied, since annotations are drawn on what was seen. Error(malformed) for a
// colour that no label or more than one has, with its first pixel and how many have it; Error(unsupported)
// for colours without a palette to look in, for colours of 16 bits and for other formats; otherwise as
// read_image. `name` begins every sentence.
ReadLabels read_labels(std::span<const std::byte> file, std::string_view name, const LabelColours& colours,
                       const ReadOptions& = {});
ReadLabels read_labels_file(const std::string& path, const LabelColours& colours, const ReadOptions& = {});

// By its header a picture of colours that read_labels() reads.
bool holds_colours(const std::string& path);

// Without colours: indices alone.
LabelMap read_labels(std::span<const std::byte> file, std::string_view name, const ReadOptions& = {});
LabelMap read_labels_file(const std::string& path, const ReadOptions& = {});

// The label map at width x height, to the bit as Pillow's resize((width, height), NEAREST): the source pixel
// under the centre of each new one. Error(limit) for a side outside 1..16384.
LabelMap resize_nearest(const LabelMap&, int width, int height);

}  // namespace atrous
