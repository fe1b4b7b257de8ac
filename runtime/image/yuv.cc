#include "runtime/image/yuv.h"

#include <algorithm>

#include "layers/base/checked.h"

namespace atrous {

namespace {

bool halves_width(Chroma c) { return c != Chroma::c444 && c != Chroma::mono; }
bool halves_height(Chroma c) { return halves_width(c) && c != Chroma::c422; }
// Whether a chroma sample lies at the first of its two pixels, not between them.
bool at_the_left(Chroma c) { return c != Chroma::c420_jpeg; }
bool at_the_top(Chroma c) { return c == Chroma::c420_paldv; }

int chroma_side(int side, bool halved) { return halved ? (side + 1) / 2 : side; }

std::uint8_t clamped_sample(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

// ---- weights, which are 4 in all in each direction, and 16 in both

struct Between {
  int near = 0, far = 0, weight = 4;  // of the near one
};

// Where pixel i lies among `count` chroma samples.
Between between(int i, int count, bool halved, bool cosited) {
  if (!halved) return {i, i, 4};
  const int k = i / 2, last = count - 1;
  const bool odd = i % 2 == 1;
  if (cosited) return odd ? Between{k, std::min(k + 1, last), 2} : Between{k, k, 4};
  return {k, std::clamp(odd ? k + 1 : k - 1, 0, last), 3};
}

struct Around {
  int place[3] = {}, weight[3] = {};
};

// The pixels of `count` that chroma sample k is an average of.
Around around(int k, int count, bool halved, bool cosited) {
  const auto place = [count](int i) { return std::clamp(i, 0, count - 1); };
  if (!halved) return {{k, k, k}, {4, 0, 0}};
  const int i = 2 * k;
  if (cosited) return {{place(i - 1), i, place(i + 1)}, {1, 2, 1}};
  return {{i, place(i + 1), i}, {2, 2, 0}};
}

// ---- the matrix, with 16 bits of fraction

constexpr double kr = 0.299, kg = 0.587, kb = 0.114, cb_scale = 1.772, cr_scale = 1.402;
constexpr int fraction = 16;

constexpr int fixed_point(double value) {
  return static_cast<int>(value * (1 << fraction) + (value < 0 ? -0.5 : 0.5));
}

struct ToRgb {
  int black, luma, red_cr, green_cb, green_cr, blue_cb;
};
constexpr ToRgb to_rgb(bool full) {
  const double y = full ? 1 : 255.0 / 219, c = full ? 1 : 255.0 / 224;
  return {full ? 0 : 16,
          fixed_point(y),
          fixed_point(c * cr_scale),
          fixed_point(-c * cb_scale * kb / kg),
          fixed_point(-c * cr_scale * kr / kg),
          fixed_point(c * cb_scale)};
}

struct ToYuv {
  int black, y[3], cb[3], cr[3];
};
constexpr ToYuv to_yuv(bool full) {
  const double y = full ? 1 : 219.0 / 255, c = full ? 1 : 224.0 / 255;
  return {full ? 0 : 16,
          {fixed_point(y * kr), fixed_point(y * kg), fixed_point(y * kb)},
          {fixed_point(-c * kr / cb_scale), fixed_point(-c * kg / cb_scale),
           fixed_point(c * (1 - kb) / cb_scale)},
          {fixed_point(c * (1 - kr) / cr_scale), fixed_point(-c * kg / cr_scale),
           fixed_point(-c * kb / cr_scale)}};
}

// ---- to RGB

// A chroma plane's values at the pixels of a row, times 16, zero in the middle.
class ChromaRows {
 public:
  ChromaRows(const std::uint8_t* plane, int width, int height, Chroma c)
      : plane_(plane),
        columns_(chroma_side(width, halves_width(c))),
        rows_(chroma_side(height, halves_height(c))),
        halves_height_(halves_height(c)),
        at_the_top_(at_the_top(c)),
        sums_(static_cast<std::size_t>(columns_)),
        row_(static_cast<std::size_t>(width)) {
    for (int x = 0; x < width; ++x) across_.push_back(between(x, columns_, halves_width(c), at_the_left(c)));
  }

  // Of row y of the picture; valid until the next call.
  const int* row(int y) {
    const Between down = between(y, rows_, halves_height_, at_the_top_);
    const std::uint8_t *near = line(down.near), *far = line(down.far);
    for (std::size_t k = 0; k < sums_.size(); ++k)
      sums_[k] = down.weight * near[k] + (4 - down.weight) * far[k];
    for (std::size_t x = 0; x < row_.size(); ++x) {
      const Between& at = across_[x];
      row_[x] = at.weight * sums_[static_cast<std::size_t>(at.near)] +
                (4 - at.weight) * sums_[static_cast<std::size_t>(at.far)] - 16 * 128;
    }
    return row_.data();
  }

 private:
  const std::uint8_t* line(int y) const {
    return plane_ + static_cast<std::size_t>(y) * static_cast<std::size_t>(columns_);
  }

  const std::uint8_t* plane_;
  const int columns_, rows_;
  const bool halves_height_, at_the_top_;
  std::vector<Between> across_;
  std::vector<int> sums_, row_;
};

void fill_rgb(const std::uint8_t* luma, const int* cb, const int* cr, int width, const ToRgb& m,
              std::uint8_t* to) {
  constexpr int shift = fraction + 4, half = 1 << (shift - 1);
  for (int x = 0; x < width; ++x, to += 3) {
    const int y = 16 * (luma[x] - m.black) * m.luma + half;
    to[0] = clamped_sample((y + m.red_cr * cr[x]) >> shift);
    to[1] = clamped_sample((y + m.green_cb * cb[x] + m.green_cr * cr[x]) >> shift);
    to[2] = clamped_sample((y + m.blue_cb * cb[x]) >> shift);
  }
}

// ---- from RGB

void append_luma(const Image& rgb, const ToYuv& m, std::vector<std::byte>& to) {
  constexpr int half = 1 << (fraction - 1);
  const std::uint8_t* p = rgb.pixels.data();
  for (std::size_t i = 0; i < rgb.pixels.size(); i += 3, p += 3) {
    const int y = (m.y[0] * p[0] + m.y[1] * p[1] + m.y[2] * p[2] + half) >> fraction;
    to.push_back(static_cast<std::byte>(clamped_sample(y + m.black)));
  }
}

// A colour plane: the matrix's row of sums of pixels whose weights are 16.
void append_chroma(const Image& rgb, Chroma c, const int (&m)[3], std::vector<std::byte>& to) {
  constexpr int shift = fraction + 4, half = 1 << (shift - 1);
  const int columns = chroma_side(rgb.width, halves_width(c)),
            rows = chroma_side(rgb.height, halves_height(c));
  std::vector<int> sums(rgb.row_bytes());  // of rows
  for (int k = 0; k < rows; ++k) {
    const Around down = around(k, rgb.height, halves_height(c), at_the_top(c));
    const std::uint8_t *a = rgb.row(down.place[0]), *b = rgb.row(down.place[1]), *d = rgb.row(down.place[2]);
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i] = down.weight[0] * a[i] + down.weight[1] * b[i] + down.weight[2] * d[i];
    for (int x = 0; x < columns; ++x) {
      const Around across = around(x, rgb.width, halves_width(c), at_the_left(c));
      int value = half;
      for (int t = 0; t < 3; ++t) {
        const int* pixel = sums.data() + std::ptrdiff_t{3} * across.place[t];
        value += across.weight[t] * (m[0] * pixel[0] + m[1] * pixel[1] + m[2] * pixel[2]);
      }
      to.push_back(static_cast<std::byte>(clamped_sample((value >> shift) + 128)));
    }
  }
}

}  // namespace

std::size_t yuv_bytes(int width, int height, const YuvFormat& format) try {
  if (width < 1 || height < 1)
    fail(ErrorCode::invalid_argument, "a picture of ", width, "x", height, " has no pixels");
  const std::int64_t luma = std::int64_t{width} * height;
  const std::int64_t chroma = format.chroma == Chroma::mono
                                  ? 0
                                  : std::int64_t{chroma_side(width, halves_width(format.chroma))} *
                                        chroma_side(height, halves_height(format.chroma));
  return checked_cast<std::size_t>(
      checked_add(luma, checked_multiply(chroma, std::int64_t{2}, "planes"), "planes"), "planes");
} catch (...) {
  rethrow_as_error();
}

Image rgb_of_yuv(std::span<const std::byte> planes, int width, int height, const YuvFormat& format) try {
  const std::size_t expected = yuv_bytes(width, height, format);
  if (planes.size() != expected || format.chroma == Chroma::mono)
    fail(ErrorCode::invalid_argument, "planes of ", width, "x", height, " have ", expected, " bytes, found ",
         planes.size(), format.chroma == Chroma::mono ? " without colours" : "");
  const auto* luma = reinterpret_cast<const std::uint8_t*>(planes.data());
  const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  ChromaRows cb(luma + pixels, width, height, format.chroma),
      cr(luma + pixels + (expected - pixels) / 2, width, height, format.chroma);
  const ToRgb matrix = to_rgb(format.full_range);
  Image image = make_image(width, height, 3);
  for (int y = 0; y < height; ++y, luma += width)
    fill_rgb(luma, cb.row(y), cr.row(y), width, matrix, image.row(y));
  return image;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> yuv_of_rgb(const Image& image, const YuvFormat& format) try {
  check(image, "picture");
  const int channels = format.chroma == Chroma::mono ? 1 : 3;
  if (image.channels != channels)
    fail(ErrorCode::invalid_argument, "planes are made of ", channels, " channels, not ", image.channels);
  std::vector<std::byte> planes;
  planes.reserve(yuv_bytes(image.width, image.height, format));
  if (format.chroma == Chroma::mono) {
    const auto samples = std::as_bytes(std::span(image.pixels));
    planes.assign(samples.begin(), samples.end());
    return planes;
  }
  const ToYuv matrix = to_yuv(format.full_range);
  append_luma(image, matrix, planes);
  append_chroma(image, format.chroma, matrix.cb, planes);
  append_chroma(image, format.chroma, matrix.cr, planes);
  return planes;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
