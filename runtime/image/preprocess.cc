#include "runtime/image/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "layers/base/error.h"

namespace atrous {

namespace {

void check(const Preparation& p) {
  if (p.range != 1 && p.range != 255)
    fail(ErrorCode::invalid_argument, "preparation: range ", p.range, " is neither 1 nor 255");
  for (std::size_t c = 0; c < 3; ++c) {
    if (!std::isfinite(p.mean[c]))
      fail(ErrorCode::invalid_argument, "preparation: mean ", p.mean[c], " of channel ", c, " is not finite");
    if (!(p.std[c] > 0 && std::isfinite(p.std[c])))
      fail(ErrorCode::invalid_argument, "preparation: std ", p.std[c], " of channel ", c, " is not above 0");
  }
}

}  // namespace

DeviceQueue::NormaliseTable normalisation(const Preparation& preparation) try {
  check(preparation);
  DeviceQueue::NormaliseTable table;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t v = 0; v < 256; ++v) {
      const float sample = preparation.range == 1 ? static_cast<float>(v) / 255.0f : static_cast<float>(v);
      table[c][v] = (sample - preparation.mean[c]) / preparation.std[c];
    }
  return table;
} catch (...) {
  rethrow_as_error();
}

std::array<std::size_t, 3> source_channels(ChannelOrder order) {
  if (order == ChannelOrder::bgr) return {2, 1, 0};
  return {0, 1, 2};
}

std::string in_words(const ResizeRule& rule) try {
  const std::string cropped = rule.center_crop > 0 ? str_cat(", centre crop ", rule.center_crop) : "";
  switch (rule.kind) {
    case ResizeRule::Kind::none:
      return "the photos' own size" + cropped;
    case ResizeRule::Kind::shorter_side:
      return str_cat("shorter side ", rule.width, cropped);
    case ResizeRule::Kind::longer_side:
      return str_cat("longer side ", rule.width, cropped);
    case ResizeRule::Kind::exact:
      return str_cat(rule.width, "x", rule.height, cropped);
  }
  return "?";
} catch (...) {
  rethrow_as_error();
}

std::string in_words(const Preparation& p) try {
  const auto three = [](const std::array<float, 3>& v) { return str_cat(v[0], ", ", v[1], ", ", v[2]); };
  return str_cat(p.order == ChannelOrder::rgb ? "RGB" : "BGR", " of 0 to ", p.range, ", mean ", three(p.mean),
                 ", std ", three(p.std));
} catch (...) {
  rethrow_as_error();
}

std::string in_words(const CrfParameters& p) try {
  return str_cat(p.iterations, " iterations, Gaussian ", p.gaussian.weight, ',', p.gaussian.xy,
                 ", bilateral ", p.bilateral.weight, ',', p.bilateral.xy, ',', p.bilateral.rgb);
} catch (...) {
  rethrow_as_error();
}

void normalise(const Image& image, const Preparation& preparation, View out) try {
  check(image, "normalise");
  const Shape expected{1, image.height, image.width, 3};
  if (image.channels != 3)
    fail(ErrorCode::invalid_argument, "normalise: expected 3 channels, found ", image.channels);
  if (out.shape.n != 1 || out.shape.c != 3 || out.shape.h < expected.h || out.shape.w < expected.w)
    fail(ErrorCode::invalid_argument, "normalise: expected an output of ", expected, ", found ", out.shape);
  check(ConstView(out), "normalise");
  const auto table = normalisation(preparation);
  const auto source = source_channels(preparation.order);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* from = image.row(y);
    float* to = out.pixel(0, y, 0);
    for (int x = 0; x < image.width; ++x, from += 3, to += out.pitch)
      for (std::size_t c = 0; c < 3; ++c) to[c] = table[c][from[source[c]]];
    for (std::int64_t x = image.width; x < out.shape.w; ++x, to += out.pitch) std::fill_n(to, 3, 0.f);
  }
  for (std::int64_t y = image.height; y < out.shape.h; ++y)
    for (std::int64_t x = 0; x < out.shape.w; ++x) std::fill_n(out.pixel(0, y, x), 3, 0.f);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
