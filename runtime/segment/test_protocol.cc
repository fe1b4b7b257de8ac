#include "runtime/segment/test_protocol.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/ops/softmax.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"

namespace atrous {

namespace {

constexpr std::size_t most_scales = 16;
constexpr double largest_scale = 8;

bool has_tiles(const TestProtocol& p) { return p.style == TestStyle::semseg || p.style == TestStyle::encnet; }

// Pixels from a tile to the next: two thirds of one.
int step_of(const TestProtocol& p, int tile) {
  if (p.overlap >= 0) return tile - p.overlap;
  const double step = tile * (2.0 / 3.0);
  return std::max(1, static_cast<int>(p.style == TestStyle::semseg ? std::ceil(step) : step));
}

PixelSize tile_of(const TestProtocol& p, PixelSize picture) {
  return has_tiles(p) ? PixelSize{p.tile_width, p.tile_height} : picture;
}

Resize bilinear_of(const TestProtocol& p) {
  return {.mode = ResizeMode::bilinear, .align_corners = p.style == TestStyle::encnet};
}

std::int64_t classes_of(const Model& model) { return std::max<std::int64_t>(model.logits(), 2); }

// A map on its way to another size, of which a pixel at a time is made.
struct Grown {
  ConstView map;
  std::vector<ResizeTap> rows, columns;

  Grown(ConstView small, const Resize& layer, double out_h, double out_w, PixelSize size)
      : map(small),
        rows(static_cast<std::size_t>(size.height)),
        columns(static_cast<std::size_t>(size.width)) {
    resize_taps(layer, map.shape.h, out_h, rows);
    resize_taps(layer, map.shape.w, out_w, columns);
  }
  Grown(ConstView small, const Resize& layer, PixelSize size)
      : Grown(small, layer, size.height, size.width, size) {}
  Grown(ConstView small, const Growth& growth, PixelSize size)
      : Grown(small, {.mode = ResizeMode::bilinear, .align_corners = growth.align_corners}, growth.out_h,
              growth.out_w, size) {}

  // Of a binary network's logit z the logits 0 and z.
  void pixel(std::int64_t y, std::int64_t x, float* to, std::int64_t classes) const {
    const ResizeTap &row = rows[static_cast<std::size_t>(y)], &column = columns[static_cast<std::size_t>(x)];
    const float *a = map.pixel(0, row.low, column.low), *b = map.pixel(0, row.low, column.high),
                *c = map.pixel(0, row.high, column.low), *d = map.pixel(0, row.high, column.high);
    if (map.shape.c < classes) *to++ = 0;
    for (std::int64_t i = 0; i < map.shape.c; ++i) {
      const float top = (1.f - column.f) * a[i] + column.f * b[i],
                  bottom = (1.f - column.f) * c[i] + column.f * d[i];
      to[i] = (1.f - row.f) * top + row.f * bottom;
    }
  }
};

void softmax(float* pixel, std::int64_t classes) {
  const View all{pixel, {1, 1, 1, classes}, classes};
  softmax_reference({}, all, all);
}

// Adds what is said of a tile, whose first pixel lies at (x0, y0) of the map, where it lies on the map.
void add(bool exponentials, const Grown& seen, const Grown* mirrored, View map, int x0, int y0, int threads) {
  const std::int64_t height = std::ssize(seen.rows), width = std::ssize(seen.columns), classes = map.shape.c;
  const std::int64_t first_y = std::max(0, -y0), last_y = std::min(height, map.shape.h - y0),
                     first_x = std::max(0, -x0), last_x = std::min(width, map.shape.w - x0);
  const std::int64_t room = round_up(2 * classes, 16) + 16;  // a cache line between threads
  std::vector<float> pixels(static_cast<std::size_t>(threads * room));
  parallel_for(threads, last_y - first_y, [&](std::int64_t row, int thread) {
    const std::int64_t y = first_y + row;
    float *one = pixels.data() + thread * room, *other = one + classes;
    for (std::int64_t x = first_x; x < last_x; ++x) {
      float* to = map.pixel(0, y0 + y, x0 + x);
      seen.pixel(y, x, one, classes);
      if (mirrored) mirrored->pixel(y, width - 1 - x, other, classes);
      if (exponentials) {
        for (std::int64_t c = 0; c < classes; ++c) to[c] += std::exp(mirrored ? one[c] + other[c] : one[c]);
        continue;
      }
      softmax(one, classes);
      if (mirrored) softmax(other, classes);
      for (std::int64_t c = 0; c < classes; ++c) to[c] += mirrored ? (one[c] + other[c]) / 2 : one[c];
    }
  });
}

// How many tiles each row or column of a side lies on.
std::vector<float> counts(const std::vector<int>& starts, int tile, int size) {
  std::vector<float> all(static_cast<std::size_t>(size));
  for (const int start : starts)
    for (int i = std::max(0, start); i < std::min(size, start + tile); ++i)
      ++all[static_cast<std::size_t>(i)];
  return all;
}

// Adds the mean over tiles, grown to the total's size.
void add_mean(const TestProtocol& p, View map, const std::vector<float>& rows,
              const std::vector<float>& columns, View total, int threads) {
  const std::int64_t classes = map.shape.c;
  parallel_for(threads, map.shape.h, [&](std::int64_t y) {
    for (std::int64_t x = 0; x < map.shape.w; ++x)
      for (std::int64_t c = 0; c < classes; ++c)
        map.at(0, y, x, c) /= rows[static_cast<std::size_t>(y)] * columns[static_cast<std::size_t>(x)];
  });
  const Grown grown(map, bilinear_of(p), {static_cast<int>(total.shape.w), static_cast<int>(total.shape.h)});
  std::vector<float> pixels(static_cast<std::size_t>(threads * round_up(classes, 16)));
  parallel_for(threads, total.shape.h, [&](std::int64_t y, int thread) {
    float* pixel = pixels.data() + thread * round_up(classes, 16);
    for (std::int64_t x = 0; x < total.shape.w; ++x) {
      grown.pixel(y, x, pixel, classes);
      for (std::int64_t c = 0; c < classes; ++c) total.at(0, y, x, c) += pixel[c];
    }
  });
}

// Every pixel divided by its sum.
void normalise_sums(View map, int threads) {
  std::atomic<bool> finite = true;
  parallel_for(threads, map.shape.h, [&](std::int64_t y) {
    for (std::int64_t x = 0; x < map.shape.w; ++x) {
      float *pixel = map.pixel(0, y, x), sum = 0;
      for (std::int64_t c = 0; c < map.shape.c; ++c) sum += pixel[c];
      if (!(std::isfinite(sum) && sum > 0)) finite = false;
      for (std::int64_t c = 0; c < map.shape.c; ++c) pixel[c] /= sum;
    }
  });
  if (!finite)
    fail(
        ErrorCode::not_finite,
        "the exponentials that the test protocol averages overflow or vanish: the logits are too far from 0");
}

// The part of a picture that lies on a tile, `fill` around it.
void cut(ConstView picture, int x0, int y0, const std::array<float, 3>& fill, bool mirrored, View tile) {
  for (std::int64_t y = 0; y < tile.shape.h; ++y)
    for (std::int64_t x = 0; x < tile.shape.w; ++x) {
      const std::int64_t from_y = y0 + y, from_x = x0 + (mirrored ? tile.shape.w - 1 - x : x);
      const bool inside = from_y >= 0 && from_y < picture.shape.h && from_x >= 0 && from_x < picture.shape.w;
      std::copy_n(inside ? picture.pixel(0, from_y, from_x) : fill.data(), 3, tile.pixel(0, y, x));
    }
}

Tensor resized(ConstView map, const Resize& layer, PixelSize size) {
  Tensor out({1, size.height, size.width, map.shape.c});
  const Grown grown(map, layer, size);
  resize_reference(map, grown.rows, grown.columns, out.view());
  return out;
}

class Protocol {
 public:
  Protocol(Session& session, const Model& model, const Image& picture, const Preparation& preparation,
           const TestProtocol& protocol, const std::string& output)
      : session_(session), protocol_(protocol), output_(output), classes_(classes_of(model)) {
    picture_ = Tensor({1, picture.height, picture.width, 3});
    normalise(picture, preparation, picture_.view());
    if (protocol.style == TestStyle::encnet) {
      const auto table = normalisation(preparation);
      for (std::size_t c = 0; c < 3; ++c) fill_[c] = table[c][0];
    }
  }

  Tensor run(PixelSize size) {
    Tensor total = Tensor::zeros({1, size.height, size.width, classes_});
    if (protocol_.style == TestStyle::deeplabv2)
      add_largest(total.view(), size);
    else
      for (const double scale : protocol_.scales) add_scale(scale, total.view());
    normalise_sums(total.view(), session_.threads());
    return total;
  }

 private:
  // The picture at a scale, made in `made` unless it is the picture as it is.
  ConstView at_scale(double scale, Tensor& made) const {
    const int width = static_cast<int>(picture_.shape().w), height = static_cast<int>(picture_.shape().h);
    const auto [w, h] = scaled_size(protocol_, scale, width, height);
    if (w == width && h == height) return picture_.view();
    Resize layer = bilinear_of(protocol_);
    if (protocol_.style == TestStyle::deeplabv2) layer.factor = scale;
    made = resized(picture_.view(), layer, {w, h});
    return made.view();
  }

  // The low-resolution logits, which the session keeps until its next run only.
  Tensor logits_of(ConstView input) {
    session_.run(input);
    session_.check_finite(0, output_);
    const ConstView low = image_of(session_.output(output_), 0);
    Tensor kept(low.shape);
    for (std::int64_t p = 0; p < low.shape.pixels(); ++p)
      std::copy_n(low.data + p * low.pitch, low.shape.c, kept.data() + p * low.shape.c);
    return kept;
  }

  void add_scale(double scale, View total) {
    Tensor made;
    const ConstView picture = at_scale(scale, made);
    const PixelSize size{static_cast<int>(picture.shape.w), static_cast<int>(picture.shape.h)},
        tile = tile_of(protocol_, size);
    const auto rows = tile_starts(protocol_, size.height, tile.height),
               columns = tile_starts(protocol_, size.width, tile.width);
    Tensor map = Tensor::zeros({1, size.height, size.width, classes_}),
           input({1, tile.height, tile.width, 3});
    const bool exponentials = protocol_.style == TestStyle::encnet;
    for (const int y : rows)
      for (const int x : columns) {
        cut(picture, x, y, fill_, false, input.view());
        const Tensor low = logits_of(input.view());
        const Growth growth = session_.growth(tile.height, tile.width);
        const Grown seen(low.view(), growth, tile);
        if (!protocol_.flip) {
          add(exponentials, seen, nullptr, map.view(), x, y, session_.threads());
          continue;
        }
        cut(picture, x, y, fill_, true, input.view());
        const Tensor mirrored = logits_of(input.view());
        const Grown other(mirrored.view(), growth, tile);
        add(exponentials, seen, &other, map.view(), x, y, session_.threads());
      }
    add_mean(protocol_, map.view(), counts(rows, tile.height, size.height),
             counts(columns, tile.width, size.width), total, session_.threads());
  }

  void add_largest(View total, PixelSize size) {
    Tensor largest = logits_of(picture_.view());
    const Growth growth = session_.growth(size.height, size.width);
    const PixelSize low{static_cast<int>(largest.shape().w), static_cast<int>(largest.shape().h)};
    for (const double scale : protocol_.scales) {
      if (scale == 1) continue;
      Tensor made;
      const Tensor other = logits_of(at_scale(scale, made));
      const Tensor grown = resized(other.view(), bilinear_of(protocol_), low);
      for (std::size_t i = 0; i < grown.values().size(); ++i)
        largest.values()[i] = std::max(largest.values()[i], grown.values()[i]);
    }
    add(false, Grown(largest.view(), growth, size), nullptr, total, 0, 0, session_.threads());
  }

  Session& session_;
  const TestProtocol& protocol_;
  const std::string& output_;
  std::int64_t classes_;
  Tensor picture_;
  std::array<float, 3> fill_{};  // the mean colour
};

}  // namespace

std::string_view name_of(TestStyle style) {
  constexpr std::string_view names[] = {"whole pictures", "semseg", "encnet", "deeplabv2"};
  return names[static_cast<std::size_t>(style)];
}

TestProtocol published_protocol(std::string_view name, const Model& model) try {
  const bool cityscapes = model.classes.size() == 19;
  if (name == "semseg") {
    const int base = cityscapes ? 2048 : 512, tile = cityscapes ? 713 : 473;
    return {TestStyle::semseg, {1}, true, base, tile, tile, -1, ResizeRule{.kind = ResizeRule::Kind::none}};
  }
  if (name == "encnet") {
    const bool large = model.classes.size() == 150 && model.architecture.find("101") != std::string::npos;
    const int base = large ? 640 : 520, tile = large ? 576 : 480;
    std::vector<double> scales{0.5, 0.75, 1, 1.25, 1.5, 1.75};
    if (cityscapes) scales = {0.75, 1, 1.25, 1.5, 1.75, 2, 2.25};
    return {TestStyle::encnet,
            std::move(scales),
            true,
            base,
            tile,
            tile,
            -1,
            ResizeRule{.kind = ResizeRule::Kind::none}};
  }
  if (name == "deeplabv2") {
    std::vector<double> scales{0.5, 0.75, 1};
    if (model.architecture.ends_with("-msc")) scales = {1};
    return {.style = TestStyle::deeplabv2,
            .scales = std::move(scales),
            .resize = ResizeRule{.kind = ResizeRule::Kind::none}};
  }
  if (name == "torchvision") return {.resize = ResizeRule{}};
  fail(ErrorCode::invalid_argument, "test protocol ", name,
       ": expected semseg, encnet, deeplabv2 or torchvision");
} catch (...) {
  rethrow_as_error();
}

void check(const TestProtocol& p) try {
  const auto refuse = [&](const auto&... why) {
    fail(ErrorCode::invalid_argument, "test protocol ", name_of(p.style), ": ", why...);
  };
  if (p.scales.empty() || p.scales.size() > most_scales)
    refuse(p.scales.size(), " scales, expected 1 to ", most_scales);
  for (const double scale : p.scales)
    if (!(scale > 0 && scale <= largest_scale))
      refuse("scale ", scale, ", expected more than 0 and at most ", largest_scale);
  if (!has_tiles(p) && (p.base_size != 0 || p.tile_width != 0 || p.tile_height != 0 || p.overlap >= 0))
    refuse("it has no tiles and no base size");
  if (has_tiles(p)) {
    for (const int side : {p.base_size, p.tile_width, p.tile_height})
      if (side < 1 || side > max_picture_side)
        refuse("a side of ", side, ", expected 1 to ", max_picture_side);
    if (const int least = std::min(p.tile_width, p.tile_height); p.overlap < -1 || p.overlap >= least)
      refuse("an overlap of ", p.overlap, ", expected less than a tile's ", least);
  }
  if (p.style != TestStyle::deeplabv2) return;
  if (p.flip) refuse("it mirrors nothing");
  if (std::ranges::find(p.scales, 1.0) == p.scales.end())
    refuse("its largest logits are those at the size of scale 1, which is missing");
} catch (...) {
  rethrow_as_error();
}

ResizeRule resize_rule(const std::optional<ResizeRule>& asked, const std::optional<TestProtocol>& protocol,
                       const Model& model) try {
  if (asked) return *asked;
  return protocol && protocol->resize ? *protocol->resize : model.preparation.resize;
} catch (...) {
  rethrow_as_error();
}

bool is_single_run(const TestProtocol& p) try {
  return p.scales == std::vector<double>{1} && !p.flip && !has_tiles(p);
} catch (...) {
  rethrow_as_error();
}

std::string in_words(const TestProtocol& p) try {
  std::string said = str_cat(name_of(p.style), p.scales.size() == 1 ? ": scale " : ": scales ");
  for (std::size_t i = 0; i < p.scales.size(); ++i) said += str_cat(i ? ", " : "", p.scales[i]);
  if (has_tiles(p)) {
    said += str_cat(" of longer side ", p.base_size, ", tiles of ", p.tile_width, "x", p.tile_height);
    if (p.overlap >= 0) said += str_cat(" that share ", p.overlap, " pixels");
  }
  if (p.flip) said += ", mirrored too";
  if (is_single_run(p)) return said;
  return said + (p.style == TestStyle::deeplabv2 ? ", largest logits"
                 : p.style == TestStyle::encnet  ? ", exponentials averaged"
                                                 : ", probabilities averaged");
} catch (...) {
  rethrow_as_error();
}

std::pair<int, int> scaled_size(const TestProtocol& p, double scale, int width, int height) try {
  double w = width * scale, h = height * scale;
  if (has_tiles(p)) {
    const bool semseg = p.style == TestStyle::semseg;
    const double longer = semseg ? std::nearbyint(scale * p.base_size) : std::ceil(p.base_size * scale);
    const double from = std::max(width, height), other = std::min(width, height);
    const double shorter =
        semseg ? std::nearbyint(longer / from * other) : std::floor(other * longer / from + 0.5);
    w = height > width ? shorter : longer;
    h = height > width ? longer : shorter;
  } else if (p.style == TestStyle::deeplabv2) {
    w = std::floor(w);
    h = std::floor(h);
  } else {
    w = std::nearbyint(w);
    h = std::nearbyint(h);
  }
  if (!(std::min(w, h) >= 1))
    fail(ErrorCode::invalid_argument, "scale ", scale, " leaves no pixel of ", width, "x", height);
  if (std::max(w, h) > max_picture_side)
    fail(ErrorCode::limit, "scale ", scale, " of ", width, "x", height, ": ", w, "x", h, ", at most ",
         max_picture_side, " on a side");
  return {static_cast<int>(w), static_cast<int>(h)};
} catch (...) {
  rethrow_as_error();
}

std::vector<int> tile_starts(const TestProtocol& p, int size, int tile) try {
  const int padded = std::max(size, tile), step = step_of(p, tile);
  std::vector<int> starts;
  for (int i = 0; i <= (padded - tile + step - 1) / step; ++i)
    starts.push_back(p.style == TestStyle::semseg
                         ? std::min(i * step + tile, padded) - tile - (padded - size) / 2
                         : i * step);
  return starts;
} catch (...) {
  rethrow_as_error();
}

std::size_t protocol_bytes(const TestProtocol& p, const Model& model, PixelSize picture,
                           PixelSize result) try {
  const auto floats = [](PixelSize size, std::int64_t channels) {
    return checked_product({size.width, size.height, channels}, "test protocol");
  };
  const std::int64_t classes = classes_of(model);
  std::int64_t most = 0;
  for (const double scale : p.scales) {
    const auto [w, h] = scaled_size(p, scale, picture.width, picture.height);
    const PixelSize size{w, h}, tile = tile_of(p, size);
    // The picture, its map, and of a tile the input and up to three maps of logits.
    const bool has_map = p.style != TestStyle::deeplabv2;
    const std::int64_t low = 3 * (floats(tile, classes) / model.output_stride / model.output_stride);
    most = std::max(
        most, checked_add(floats(size, has_map ? 3 + classes : 3), floats(tile, 3) + low, "test protocol"));
  }
  const std::int64_t all = checked_add(checked_add(most, floats(picture, 3), "test protocol"),
                                       floats(result, classes), "test protocol");
  return static_cast<std::size_t>(checked_multiply<std::int64_t>(all, sizeof(float), "test protocol"));
} catch (...) {
  rethrow_as_error();
}

Tensor protocol_probabilities(Session& session, const Model& model, const Image& picture,
                              const Preparation& preparation, PixelSize size, const TestProtocol& protocol,
                              const std::string& output) try {
  check(protocol);
  return Protocol(session, model, picture, preparation, protocol, output).run(size);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
