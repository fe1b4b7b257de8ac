#include "runtime/image/pillow_resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr int weight_bits = 22;

// For each output position: the first source position and the weights from there on, `stride` apart in
// `weights`.
struct TriangleFilter {
  std::vector<int> first, count;
  std::size_t stride = 0;
  std::vector<std::int32_t> weights;

  const std::int32_t* row(int i) const { return weights.data() + static_cast<std::size_t>(i) * stride; }
};

TriangleFilter triangle_filter(int source, int target) {
  const double scale = static_cast<double>(source) / target;
  const double support = std::max(scale, 1.0);
  TriangleFilter f;
  f.first.resize(static_cast<std::size_t>(target));
  f.count.resize(f.first.size());
  f.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  f.weights.resize(f.first.size() * f.stride);
  std::vector<double> exact(f.stride);
  for (int x = 0; x < target; ++x) {
    // The order of the operations is Pillow's: weights are doubles that must round to the same integers.
    const double centre = (x + 0.5) * scale, per_support = 1.0 / support;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int last = std::min(source, static_cast<int>(centre + support + 0.5));
    double sum = 0;
    for (int i = first; i < last; ++i) {
      const double distance = std::abs((i - centre + 0.5) * per_support);
      const double weight = distance < 1.0 ? 1.0 - distance : 0.0;
      exact[static_cast<std::size_t>(i - first)] = weight;
      sum += weight;
    }
    std::int32_t* weights = f.weights.data() + static_cast<std::size_t>(x) * f.stride;
    for (int i = 0; i < last - first; ++i) {
      const double share = sum != 0.0 ? exact[static_cast<std::size_t>(i)] / sum : 0.0;
      weights[i] = static_cast<std::int32_t>(0.5 + share * (1 << weight_bits));
    }
    f.first[static_cast<std::size_t>(x)] = first;
    f.count[static_cast<std::size_t>(x)] = last - first;
  }
  return f;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255));
}
constexpr std::int32_t half = 1 << (weight_bits - 1);

template <int channels>
void resize_row(const TriangleFilter& f, const std::uint8_t* in, std::uint8_t* out, int width) {
  for (int x = 0; x < width; ++x, out += channels) {
    const std::int32_t* weights = f.row(x);
    const int count = f.count[static_cast<std::size_t>(x)];
    const std::uint8_t* pixel =
        in + static_cast<std::ptrdiff_t>(f.first[static_cast<std::size_t>(x)]) * channels;
    std::int32_t sums[channels];
    std::fill_n(sums, channels, half);
    for (int i = 0; i < count; ++i, pixel += channels)
      for (int c = 0; c < channels; ++c) sums[c] += weights[i] * pixel[c];
    for (int c = 0; c < channels; ++c) out[c] = rounded(sums[c]);
  }
}

Image resize_width(const Image& in, int width, int threads) {
  const TriangleFilter f = triangle_filter(in.width, width);
  Image out = make_image(width, in.height, in.channels);
  parallel_for(threads, in.height, [&](std::int64_t row) {
    const int y = static_cast<int>(row);
    if (in.channels == 1)
      resize_row<1>(f, in.row(y), out.row(y), width);
    else if (in.channels == 3)
      resize_row<3>(f, in.row(y), out.row(y), width);
    else
      resize_row<4>(f, in.row(y), out.row(y), width);
  });
  return out;
}

// Row y of the output, in tiles whose sums stay in the L1 cache: all taps of a tile, then the next
// tile.
void resize_column_tiles(const TriangleFilter& f, const Image& in, int y, std::uint8_t* out) {
  constexpr std::size_t tile = 1024;
  const std::int32_t* weights = f.row(y);
  const int first = f.first[static_cast<std::size_t>(y)], count = f.count[static_cast<std::size_t>(y)];
  for (std::size_t begin = 0; begin < in.row_bytes(); begin += tile) {
    const std::size_t n = std::min(tile, in.row_bytes() - begin);
    std::array<std::int32_t, tile> sums;
    std::fill_n(sums.begin(), n, half);
    for (int i = 0; i < count; ++i) {
      const std::uint8_t* from = in.row(first + i) + begin;
      for (std::size_t j = 0; j < n; ++j) sums[j] += weights[i] * from[j];
    }
    for (std::size_t j = 0; j < n; ++j) out[begin + j] = rounded(sums[j]);
  }
}

Image resize_height(const Image& in, int height, int threads) {
  const TriangleFilter f = triangle_filter(in.height, height);
  Image out = make_image(in.width, height, in.channels);
  parallel_for(threads, height, [&](std::int64_t row) {
    const int y = static_cast<int>(row);
    resize_column_tiles(f, in, y, out.row(y));
  });
  return out;
}

void check_target(std::int64_t width, std::int64_t height, std::string_view way_out = {}) {
  for (const std::int64_t side : {width, height})
    if (side < 1 || side > max_picture_side)
      fail(ErrorCode::limit, "resize to ", width, "x", height, ": a side is outside 1..", max_picture_side,
           way_out);
}

}  // namespace

Image resize_bilinear(const Image& image, int width, int height, int threads) try {
  check(image, "resize");
  check_target(width, height);
  if (threads < 1) fail(ErrorCode::invalid_argument, "resize with ", threads, " threads");
  if (width == image.width && height == image.height) return image;
  if (width == image.width) return resize_height(image, height, threads);
  Image wide = resize_width(image, width, threads);
  return height == image.height ? wide : resize_height(wide, height, threads);
} catch (...) {
  rethrow_as_error();
}

std::pair<int, int> resized_size(const ResizeRule& rule, int width, int height) try {
  if (width < 1 || height < 1)
    fail(ErrorCode::invalid_argument, "resize of a ", width, "x", height, " picture");
  if (rule.kind == ResizeRule::Kind::none) return {width, height};
  if (rule.kind == ResizeRule::Kind::exact) {
    check_target(rule.width, rule.height);
    return {rule.width, rule.height};
  }
  const int shorter = std::min(width, height), longer = std::max(width, height);
  if (rule.kind == ResizeRule::Kind::longer_side) {
    const std::int64_t scaled =
        (2 * static_cast<std::int64_t>(rule.width) * shorter + longer) / (2LL * longer);
    const int other = static_cast<int>(std::max<std::int64_t>(1, scaled));
    check_target(rule.width, other);
    return width < height ? std::pair{other, rule.width} : std::pair{rule.width, other};
  }
  // torchvision's int(size * long / short) divides in double and truncates. Whole numbers give the same: a
  // quotient up to max_picture_side that is not whole is at least 2^-31 below the next whole number, and a
  // double there is finer than that.
  const std::int64_t stretched = static_cast<std::int64_t>(rule.width) * longer / shorter;
  const auto [to_width, to_height] = width <= height
                                         ? std::pair<std::int64_t, std::int64_t>{rule.width, stretched}
                                         : std::pair<std::int64_t, std::int64_t>{stretched, rule.width};
  check_target(to_width, to_height, "; an exact size (--size) or none (--no-resize) leads around that");
  return {static_cast<int>(to_width), static_cast<int>(to_height)};
} catch (...) {
  rethrow_as_error();
}

Image center_crop(const Image& image, int side) try {
  check(image, "centre crop");
  check_target(side, side);
  // Where the square begins in the picture's coordinates; negative inside padding.
  const auto begin = [side](int size) {
    if (size < side) return -((side - size) / 2);
    return static_cast<int>(std::nearbyint((size - side) / 2.0));
  };
  const int x0 = begin(image.width), y0 = begin(image.height);
  Image out = make_image(side, side, image.channels);
  const int from_x = std::max(x0, 0), to_x = std::min(x0 + side, image.width);
  for (int y = std::max(y0, 0); y < std::min(y0 + side, image.height); ++y)
    std::copy_n(image.row(y) + static_cast<std::ptrdiff_t>(from_x) * image.channels,
                static_cast<std::ptrdiff_t>(to_x - from_x) * image.channels,
                out.row(y - y0) + static_cast<std::ptrdiff_t>(from_x - x0) * image.channels);
  return out;
} catch (...) {
  rethrow_as_error();
}

bool leaves_alone(const ResizeRule& rule, int width, int height) try {
  return rule.center_crop == 0 && resized_size(rule, width, height) == std::pair{width, height};
} catch (...) {
  rethrow_as_error();
}

std::size_t apply_bytes(const ResizeRule& rule, int width, int height, int channels) try {
  const auto bytes = [channels](std::int64_t w, std::int64_t h) {
    return static_cast<std::size_t>(checked_product({w, h, channels}, "resize"));
  };
  const auto [w, h] = resized_size(rule, width, height);
  const std::size_t crop = rule.center_crop > 0 ? bytes(rule.center_crop, rule.center_crop) : 0;
  const std::size_t wide = w != width ? bytes(w, height) : 0, high = h != height ? bytes(w, h) : 0;
  const std::size_t resized = high > 0 ? high : wide;
  return std::max(checked_add(wide, high, "resize"), checked_add(resized, crop, "resize"));
} catch (...) {
  rethrow_as_error();
}

Image apply(const ResizeRule& rule, const Image& image, int threads) try {
  check(image, "resize");
  const auto [width, height] = resized_size(rule, image.width, image.height);
  if (width == image.width && height == image.height)
    return rule.center_crop > 0 ? center_crop(image, rule.center_crop) : image;
  Image resized = resize_bilinear(image, width, height, threads);
  return rule.center_crop > 0 ? center_crop(resized, rule.center_crop) : resized;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
