#include "layers/cpu/maps/channelwise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "layers/base/checked.h"
#include "layers/cpu/maps/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/channelwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/bf16-inl.h"
#include "layers/cpu/tiles/u8-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Calls body(offset, tag): full vectors first, then single floats.
template <class Body>
HWY_INLINE void along_channels(std::int64_t channels, Body&& body) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(c, wide);
  for (; c < channels; ++c) body(c, narrow);
}

// As many elements as d has lanes, as floats; and back.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const Bf16* from) {
  return load_bf16(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* from) {
  return load_u8(d, from);
}
template <class D>
HWY_INLINE void store(D d, hn::Vec<D> value, float* to) {
  hn::StoreU(value, d, to);
}
template <class D>
HWY_INLINE void store(D d, hn::Vec<D> value, Bf16* to) {
  store_bf16(d, value, to);
}
template <class D>
HWY_INLINE void store(D d, hn::Vec<D> value, std::uint8_t* to) {
  store_u8(d, value, to);
}

// One output pixel: the largest of the pixels of in at rows [y0, y1) and columns [x0, x1).
template <class T>
void max_of_window_of(const BasicView<const T>& in, std::int64_t n, std::int64_t y0, std::int64_t y1,
                      std::int64_t x0, std::int64_t x1, T* out) {
  along_channels(in.shape.c, [&](std::int64_t c, auto d) HWY_ATTR {
    auto largest = hn::Set(d, -std::numeric_limits<float>::infinity());
    for (std::int64_t y = y0; y < y1; ++y)
      for (std::int64_t x = x0; x < x1; ++x) largest = hn::Max(largest, load(d, in.pixel(n, y, x) + c));
    store(d, largest, out + c);
  });
}
void max_of_window(const ConstAnyView& in, std::int64_t n, std::int64_t y0, std::int64_t y1, std::int64_t x0,
                   std::int64_t x1, std::byte* out) {
  if (in.dtype == DType::bf16)
    max_of_window_of(in.as<Bf16>(), n, y0, y1, x0, x1, reinterpret_cast<Bf16*>(out));
  else if (in.dtype == DType::u8)
    max_of_window_of(in.as<std::uint8_t>(), n, y0, y1, x0, x1, reinterpret_cast<std::uint8_t*>(out));
  else
    max_of_window_of(in.as<float>(), n, y0, y1, x0, x1, reinterpret_cast<float*>(out));
}

// One window of kernel x kernel pixels, `row` and `pixel` floats apart: `value` where the first of the
// largest of `before` stands, zeros at all other pixels of `out`.
void unpool_window(const float* value, const float* before, std::int64_t before_row,
                   std::int64_t before_pixel, std::int64_t kernel, std::int64_t channels, float* out,
                   std::int64_t out_row, std::int64_t out_pixel) {
  along_channels(channels, [&](std::int64_t c, auto d) HWY_ATTR {
    auto largest = hn::LoadU(d, before + c);
    for (std::int64_t y = 0; y < kernel; ++y)
      for (std::int64_t x = 0; x < kernel; ++x)
        largest = hn::Max(largest, hn::LoadU(d, before + y * before_row + x * before_pixel + c));
    const auto returned = hn::LoadU(d, value + c);
    auto given = hn::Ne(largest, largest);  // nothing yet
    for (std::int64_t y = 0; y < kernel; ++y)
      for (std::int64_t x = 0; x < kernel; ++x) {
        const auto is_largest = hn::Eq(hn::LoadU(d, before + y * before_row + x * before_pixel + c), largest);
        hn::StoreU(hn::IfThenElseZero(hn::AndNot(given, is_largest), returned), d,
                   out + y * out_row + x * out_pixel + c);
        given = hn::Or(given, is_largest);
      }
  });
}

// out[c] = weight[c] * x[c] / sqrt(sum of squares + eps). Four sums side by side, so that a sum waits for
// none.
void normalise_pixel(const float* x, const float* weight, double eps, std::int64_t channels, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  std::int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes)
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto v = hn::LoadU(d, x + c + i * lanes);
      sums[i] = hn::MulAdd(v, v, sums[i]);
    }
  const auto all = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  double sum = eps + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, all)));
  for (; c < channels; ++c) sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
  const auto factor = static_cast<float>(1 / std::sqrt(sum));
  along_channels(channels, [&](std::int64_t at, auto tag) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(tag, x + at), hn::Set(tag, factor));
    hn::StoreU(hn::Mul(scaled, hn::LoadU(tag, weight + at)), tag, out + at);
  });
}

// out[c] += the sum of a row's pixels [x0, x1). Four vectors side by side, so that a pixel is visited seldom.
void add_row(const ConstView& in, std::int64_t n, std::int64_t y, std::int64_t x0, std::int64_t x1,
             double* out) {
  const auto add = [&](auto d, auto vectors, std::int64_t c) HWY_ATTR {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    hn::Vec<decltype(d)> sum[vectors];
    for (int v = 0; v < vectors; ++v) sum[v] = hn::Zero(d);
    for (std::int64_t x = x0; x < x1; ++x) {
      const float* pixel = in.pixel(n, y, x) + c;
      for (int v = 0; v < vectors; ++v) sum[v] = hn::Add(sum[v], hn::LoadU(d, pixel + v * lanes));
    }
    HWY_ALIGN float sums[vectors * hn::MaxLanes(d)];
    for (int v = 0; v < vectors; ++v) hn::Store(sum[v], d, sums + v * lanes);
    for (std::int64_t i = 0; i < vectors * lanes; ++i) out[c + i] += static_cast<double>(sums[i]);
  };
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  constexpr std::integral_constant<int, 4> four;
  constexpr std::integral_constant<int, 1> one;
  std::int64_t c = 0;
  for (; c + four * lanes <= in.shape.c; c += four * lanes) add(wide, four, c);
  for (; c + lanes <= in.shape.c; c += lanes) add(wide, one, c);
  for (; c < in.shape.c; ++c) add(narrow, one, c);
}

// One output pixel between four input pixels: (1 - fy) * ((1 - fx) a + fx b) + fy * ((1 - fx) c + fx d).
template <class T>
void blend_of(const std::byte* const corner[4], float fx, float fy, std::int64_t channels, std::byte* to) {
  const auto* const* corners = reinterpret_cast<const T* const*>(corner);
  T* out = reinterpret_cast<T*>(to);
  along_channels(channels, [&](std::int64_t c, auto d) HWY_ATTR {
    const auto x0 = hn::Set(d, 1.f - fx), x1 = hn::Set(d, fx), y0 = hn::Set(d, 1.f - fy), y1 = hn::Set(d, fy);
    const auto top = hn::MulAdd(x0, load(d, corners[0] + c), hn::Mul(x1, load(d, corners[1] + c)));
    const auto bottom = hn::MulAdd(x0, load(d, corners[2] + c), hn::Mul(x1, load(d, corners[3] + c)));
    store(d, hn::MulAdd(y0, top, hn::Mul(y1, bottom)), out + c);
  });
}
void blend(DType dtype, const std::byte* const corners[4], float fx, float fy, std::int64_t channels,
           std::byte* out) {
  if (dtype == DType::bf16) return blend_of<Bf16>(corners, fx, fy, channels, out);
  if (dtype == DType::u8) return blend_of<std::uint8_t>(corners, fx, fy, channels, out);
  blend_of<float>(corners, fx, fy, channels, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

class ChannelwiseMaxPool2d final : public Kernel {
 public:
  ChannelwiseMaxPool2d(const MaxPool2d& layer, Isa isa)
      : layer_(layer), max_of_window_(ATROUS_FOR_ISA(isa, max_of_window)) {}
  std::string_view name() const override { return "channelwise"; }

  void run(const KernelCall& call) const override {
    const ConstAnyView& in = call.inputs[0];
    if (in.dtype != call.output.dtype) fail_other_dtype(call.output.dtype, in.dtype);
    const Shape& shape = call.output.shape;
    parallel_for(call.threads, shape.n * shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / shape.h, y = row % shape.h, top = y * layer_.stride - layer_.padding;
      for (std::int64_t x = 0; x < shape.w; ++x) {
        const std::int64_t left = x * layer_.stride - layer_.padding;
        max_of_window_(in, n, std::max<std::int64_t>(top, 0), std::min(top + layer_.kernel, in.shape.h),
                       std::max<std::int64_t>(left, 0), std::min(left + layer_.kernel, in.shape.w),
                       call.output.at(n, y, x, 0));
      }
    });
  }

 private:
  MaxPool2d layer_;
  decltype(&ATROUS_BASELINE::max_of_window) max_of_window_;
};

class ChannelwiseAdaptiveAvgPool2d final : public Kernel {
 public:
  ChannelwiseAdaptiveAvgPool2d(const AdaptiveAvgPool2d& layer, Isa isa)
      : layer_(layer), add_row_(ATROUS_FOR_ISA(isa, add_row)), conversion_(conversions(isa)) {}
  std::string_view name() const override { return "channelwise"; }

  // Sums of one channel slice at a time, so that a single cell (the global mean) still feeds every thread.
  static constexpr std::int64_t slice = 256;
  static constexpr std::int64_t widened = 16;  // pixels of bfloat16 or 8 bits, at a time

  void run(const KernelCall& call) const override {
    const ConstAnyView& in = call.inputs[0];
    const View out = call.output;
    const Shape& shape = out.shape;
    const std::int64_t slices = (shape.c + slice - 1) / slice;
    parallel_for(call.threads, shape.pixels() * slices, [&](std::int64_t task) {
      const std::int64_t cell = task / slices, first = task % slices * slice,
                         count = std::min(slice, shape.c - first);
      const std::int64_t x = cell % shape.w, y = cell / shape.w % shape.h, n = cell / shape.w / shape.h;
      const std::int64_t y0 = y * in.shape.h / shape.h, y1 = ((y + 1) * in.shape.h + shape.h - 1) / shape.h;
      const std::int64_t x0 = x * in.shape.w / shape.w, x1 = ((x + 1) * in.shape.w + shape.w - 1) / shape.w;
      double sums[slice] = {};
      for (std::int64_t in_y = y0; in_y < y1; ++in_y) add_row(in, n, in_y, x0, x1, first, count, sums);
      const auto area = static_cast<double>((y1 - y0) * (x1 - x0));
      for (std::int64_t c = 0; c < count; ++c)
        out.at(n, y, x, first + c) = static_cast<float>(sums[c] / area);
    });
  }

 private:
  // Adds the channels [first, first + count) of a row's pixels [x0, x1).
  void add_row(const ConstAnyView& in, std::int64_t n, std::int64_t y, std::int64_t x0, std::int64_t x1,
               std::int64_t first, std::int64_t count, double* sums) const {
    if (in.dtype == DType::f32) {
      add_row_(channels(in.as<float>(), first, count), n, y, x0, x1, sums);
      return;
    }
    float floats[widened * slice];
    for (std::int64_t x = x0; x < x1; x += widened) {
      const std::int64_t pixels = std::min(widened, x1 - x);
      for (std::int64_t i = 0; i < pixels; ++i) {
        const std::byte* pixel = in.at(n, y, x + i, first);
        if (in.dtype == DType::u8)
          conversion_.dequantise(reinterpret_cast<const std::uint8_t*>(pixel), in.quantisation,
                                 floats + i * count, count);
        else
          conversion_.widen(reinterpret_cast<const Bf16*>(pixel), floats + i * count, count);
      }
      add_row_({floats, {1, 1, pixels, count}, count}, 0, 0, 0, pixels, sums);
    }
  }

  AdaptiveAvgPool2d layer_;
  decltype(&ATROUS_BASELINE::add_row) add_row_;
  Conversion conversion_;
};

class ChannelwiseResize final : public Kernel {
 public:
  ChannelwiseResize(const Resize& layer, Isa isa) : layer_(layer), blend_(ATROUS_FOR_ISA(isa, blend)) {}
  std::string_view name() const override { return "channelwise"; }

  // The taps of all rows and columns.
  std::size_t workspace_bytes(std::span<const Shape>, const Shape& out, int) const override {
    return static_cast<std::size_t>(out.h + out.w) * sizeof(ResizeTap);
  }

  void run(const KernelCall& call) const override {
    const ConstAnyView& in = call.inputs[0];
    if (in.dtype != call.output.dtype) fail_other_dtype(call.output.dtype, in.dtype);
    const Shape& shape = call.output.shape;
    auto* rows = reinterpret_cast<ResizeTap*>(call.workspace.data());
    ResizeTap* columns = rows + shape.h;
    resize_taps(layer_, in.shape.h, {rows, static_cast<std::size_t>(shape.h)});
    resize_taps(layer_, in.shape.w, {columns, static_cast<std::size_t>(shape.w)});
    parallel_for(call.threads, shape.n * shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / shape.h, y = row % shape.h;
      for (std::int64_t x = 0; x < shape.w; ++x) {
        const std::byte* const corners[4] = {
            in.at(n, rows[y].low, columns[x].low, 0), in.at(n, rows[y].low, columns[x].high, 0),
            in.at(n, rows[y].high, columns[x].low, 0), in.at(n, rows[y].high, columns[x].high, 0)};
        blend_(in.dtype, corners, columns[x].f, rows[y].f, shape.c, call.output.at(n, y, x, 0));
      }
    });
  }

 private:
  Resize layer_;
  decltype(&ATROUS_BASELINE::blend) blend_;
};

class ChannelwiseMaxUnpool2d final : public Kernel {
 public:
  ChannelwiseMaxUnpool2d(const MaxUnpool2d& layer, Isa isa)
      : layer_(layer), unpool_window_(ATROUS_FOR_ISA(isa, unpool_window)) {}
  std::string_view name() const override { return "channelwise"; }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0], before = call.inputs[1];
    const View out = call.output;
    const std::int64_t kernel = layer_.kernel, bands = divide_up(out.shape.h, kernel);
    parallel_for(call.threads, out.shape.n * bands, [&](std::int64_t band) {
      const std::int64_t n = band / bands, y = band % bands;
      const bool windows = y < in.shape.h;
      for (std::int64_t x = 0; windows && x < in.shape.w; ++x)
        unpool_window_(in.pixel(n, y, x), before.pixel(n, y * kernel, x * kernel),
                       before.shape.w * before.pitch, before.pitch, kernel, in.shape.c,
                       out.pixel(n, y * kernel, x * kernel), out.shape.w * out.pitch, out.pitch);
      for (std::int64_t row = y * kernel; row < std::min((y + 1) * kernel, out.shape.h); ++row)
        for (std::int64_t x = windows ? in.shape.w * kernel : 0; x < out.shape.w; ++x)
          std::fill_n(out.pixel(n, row, x), out.shape.c, 0.f);
    });
  }

 private:
  MaxUnpool2d layer_;
  decltype(&ATROUS_BASELINE::unpool_window) unpool_window_;
};

class ChannelwiseL2Norm final : public Kernel {
 public:
  ChannelwiseL2Norm(const L2Norm& layer, Isa isa)
      : layer_(layer), normalise_pixel_(ATROUS_FOR_ISA(isa, normalise_pixel)) {}
  std::string_view name() const override { return "channelwise"; }
  std::size_t packed_bytes() const override {
    return static_cast<std::size_t>(layer_.channels) * sizeof(float);
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    parallel_for(call.threads, in.shape.pixels(), [&](std::int64_t p) {
      normalise_pixel_(in.data + p * in.pitch, layer_.weight.get(), layer_.eps, layer_.channels,
                       call.out().data + p * call.output.pitch);
    });
  }

 private:
  L2Norm layer_;
  decltype(&ATROUS_BASELINE::normalise_pixel) normalise_pixel_;
};

}  // namespace

std::unique_ptr<Kernel> make_max_unpool2d_channelwise(const MaxUnpool2d& layer, Isa isa) {
  return std::make_unique<ChannelwiseMaxUnpool2d>(layer, isa);
}
std::unique_ptr<Kernel> make_l2_norm_channelwise(const L2Norm& layer, Isa isa) {
  return std::make_unique<ChannelwiseL2Norm>(layer, isa);
}
std::unique_ptr<Kernel> make_max_pool2d_channelwise(const MaxPool2d& layer, Isa isa) {
  return std::make_unique<ChannelwiseMaxPool2d>(layer, isa);
}
std::unique_ptr<Kernel> make_adaptive_avg_pool2d_channelwise(const AdaptiveAvgPool2d& layer, Isa isa) {
  return std::make_unique<ChannelwiseAdaptiveAvgPool2d>(layer, isa);
}
std::unique_ptr<Kernel> make_resize_channelwise(const Resize& layer, Isa isa) {
  return std::make_unique<ChannelwiseResize>(layer, isa);
}

}  // namespace atrous
#endif
