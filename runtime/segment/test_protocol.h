// Published test protocols: a photo at several sizes, in tiles, mirrored, and what a network says of all of
// them averaged. Scores in papers are measured so.
//
//   style      size at a scale                    tiles                                what is averaged
//   whole      both sides times the scale         none                                 probabilities
//   semseg     longer side round(scale * base)    the last one ends with the picture;  probabilities
//                                                 mean colour around small pictures
//   encnet     longer side ceil(scale * base)     black where they reach beyond it     exp(logits + mirrored)
//   deeplabv2  floor(scale * side)                none                                 nothing: the largest
//                                                                                      logit of all scales
//
// Sources: tool/test.py of hszhao/semseg; MultiEvalModule in encoding/models/sseg/base.py of
// zhanghang1989/PyTorch-Encoding; libs/models/msc.py and main.py of kazuto1011/deeplab-pytorch. `whole` is
// what is usual where a publisher has no protocol.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "layers/networks/preparation.h"
#include "runtime/engine/session.h"
#include "runtime/image/image.h"
#include "runtime/segment/model.h"

namespace ATROUS_PUBLIC atrous {

struct PixelSize {
  int width = 0, height = 0;
};

enum class TestStyle { whole, semseg, encnet, deeplabv2 };
std::string_view name_of(TestStyle);

struct TestProtocol {
  TestStyle style = TestStyle::whole;
  std::vector<double> scales = {1};
  bool flip = false;  // each input mirrored left to right too
  // Of semseg and encnet: the longer side at scale 1, and the tiles that the network sees.
  int base_size = 0, tile_width = 0, tile_height = 0;
  int overlap = -1;  // pixels that neighbouring tiles share; -1: a third, rounded as the style has it
  std::optional<ResizeRule> resize = {};  // of the photo before all that; none: the model's
  bool operator==(const TestProtocol&) const = default;
};

// "semseg", "encnet", "deeplabv2" or "torchvision" (one scale, the shorter side 520), as published for a
// network of so many classes: Cityscapes' 19 have larger sizes with semseg, and a DeepLabV2 that holds its
// scales itself (-msc) is given one. Error(invalid_argument) for another name.
TestProtocol published_protocol(std::string_view name, const Model&);

// Error(invalid_argument), naming what is wrong: 1 to 16 scales, each above 0 and at most 8; overlap less
// than a tile; sizes where the style has none or wants some; deeplabv2 without scale 1 or with flips.
void check(const TestProtocol&);

// What a photo is resized by: as asked for, else by the protocol's rule, else by the model's.
ResizeRule resize_rule(const std::optional<ResizeRule>& asked, const std::optional<TestProtocol>&,
                       const Model&);

// Whether all of it is the one run on the whole picture that segment() makes anyway.
bool is_single_run(const TestProtocol&);

// "semseg: scales 0.5, 1 of longer side 512, tiles of 473x473, mirrored too, probabilities averaged"
std::string in_words(const TestProtocol&);

// Width and height of a width x height picture at a scale. Error(limit) for more than 16384 on a side,
// Error(invalid_argument) where no pixel is left.
std::pair<int, int> scaled_size(const TestProtocol&, double scale, int width, int height);

// Where tiles of `tile` pixels begin along a side of `size`: negative, or ending beyond the side, where the
// tile holds more than the picture.
std::vector<int> tile_starts(const TestProtocol&, int size, int tile);

// Bytes that protocol_probabilities() takes beside the session's, its result among them, for a picture and a
// result of so many columns and rows. Errors as scaled_size().
std::size_t protocol_bytes(const TestProtocol&, const Model&, PixelSize picture, PixelSize result);

// Probabilities at height x width, [1, height, width, classes]: of encnet each class's share of the sums, of
// a binary network those of its two classes. The picture is normalised, then resized: by bilinear
// interpolation without antialiasing, as all styles do it; its preparation's own resize rule has been
// applied. Bitwise the same for any number of threads. Error(not_finite) for logits that are not, and where
// encnet's exponentials overflow; others as check() and Session::run().
Tensor protocol_probabilities(Session&, const Model&, const Image& picture, const Preparation&, PixelSize,
                              const TestProtocol&, const std::string& output = "out");

}  // namespace atrous
