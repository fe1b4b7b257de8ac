#include "layers/cpu/tiles/depthwise_row.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/depthwise_row.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// The picture's row under kernel row ky.
HWY_INLINE const float* input_row(const DepthwiseRow& r, std::int64_t ky) {
  const std::int64_t y = r.y * r.layer.stride - r.layer.padding + ky * r.layer.dilation;
  return r.in + (y - r.first_row) * r.in_width * r.in_pitch;
}

// Residual, activation and store of kPixels pixels' sums, kVectors vectors each, pixel by pixel.
template <int kPixels, int kVectors, class D, class V = hn::Vec<D>>
HWY_INLINE void finish(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c,
                       V (&sum)[kPixels * kVectors]) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (r.residual) {
    const float* residual = r.residual + x * r.residual_pitch + c;
    HWY_UNROLL(32)
    for (int i = 0; i < kPixels * kVectors; ++i)
      sum[i] =
          hn::Add(sum[i], hn::LoadU(d, residual + i / kVectors * r.residual_pitch + i % kVectors * lanes));
  }
  activate_all(d, r.layer.activation, sum);
  float* out = r.out + x * r.out_pitch + c;
  HWY_UNROLL(32)
  for (int i = 0; i < kPixels * kVectors; ++i)
    hn::StoreU(sum[i], d, out + i / kVectors * r.out_pitch + i % kVectors * lanes);
}

// Pixels [x, x + kPixels) of the row, kVectors vectors of channels from c on. Taps `rows` and `columns` lie
// inside the picture for all of the pixels.
template <int kPixels, int kVectors, class D>
HWY_INLINE void block(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c, TapRange rows,
                      TapRange columns) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const Conv2d& layer = r.layer;
  const std::int64_t kernel_w = layer.weight.kernel_w;
  const std::int64_t to_next_pixel = layer.stride * r.in_pitch, to_next_tap = layer.dilation * r.in_pitch;
  const std::int64_t in_x = x * layer.stride - layer.padding + columns.first * layer.dilation;

  hn::Vec<D> sum[kPixels * kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const auto bias = hn::LoadU(d, r.bias + c + v * lanes);
    for (int p = 0; p < kPixels; ++p) sum[p * kVectors + v] = bias;
  }
  for (std::int64_t ky = rows.first; ky < rows.last; ++ky) {
    const float* HWY_RESTRICT in = input_row(r, ky) + in_x * r.in_pitch + c;
    const float* HWY_RESTRICT weight = r.weights + (ky * kernel_w + columns.first) * r.weight_pitch + c;
    for (std::int64_t kx = columns.first; kx < columns.last; ++kx) {
      for (int v = 0; v < kVectors; ++v) {
        const auto w = hn::LoadU(d, weight + v * lanes);
        for (int p = 0; p < kPixels; ++p)
          sum[p * kVectors + v] =
              hn::MulAdd(hn::LoadU(d, in + p * to_next_pixel + v * lanes), w, sum[p * kVectors + v]);
      }
      in += to_next_tap;
      weight += r.weight_pitch;
    }
  }
  finish<kPixels, kVectors>(d, r, x, c, sum);
}

// The same for one vector of a kernel whose width, stride and dilation are known: every input pixel of a row
// is loaded once and meets all the taps that it lies under. At the edges of the picture some lie in the
// padding.
template <int kWidth, int kStride, int kDilation, int kPixels, bool kEdge, class D>
HWY_INLINE void sliding_block(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c, TapRange rows) {
  constexpr int kInputs = (kPixels - 1) * kStride + (kWidth - 1) * kDilation + 1;
  const std::int64_t first = x * kStride - r.layer.padding;  // the picture's column of input 0
  hn::Vec<D> sum[kPixels];
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p) sum[p] = hn::LoadU(d, r.bias + c);
  for (std::int64_t ky = rows.first; ky < rows.last; ++ky) {
    const float* HWY_RESTRICT in = input_row(r, ky) + c;
    hn::Vec<D> weight[kWidth];
    HWY_UNROLL(32)
    for (int kx = 0; kx < kWidth; ++kx)
      weight[kx] = hn::LoadU(d, r.weights + (ky * kWidth + kx) * r.weight_pitch + c);
    HWY_UNROLL(32)
    for (int i = 0; i < kInputs; ++i) {
      if (kEdge && (first + i < 0 || first + i >= r.in_width)) continue;
      const auto pixel = hn::LoadU(d, in + (first + i) * r.in_pitch);
      HWY_UNROLL(32)
      for (int kx = 0; kx < kWidth; ++kx) {
        const int from_first = i - kx * kDilation;
        if (from_first < 0 || from_first % kStride != 0 || from_first / kStride >= kPixels) continue;
        sum[from_first / kStride] = hn::MulAdd(pixel, weight[kx], sum[from_first / kStride]);
      }
    }
  }
  finish<kPixels, 1>(d, r, x, c, sum);
}

// Calls body(c, number of vectors) over all channels, kVectors vectors at a time while they last. The last
// vector ends with the last channel, and may do some channels a second time.
template <int kVectors, class D, class Body>
HWY_INLINE void over_channels(D d, std::int64_t channels, Body&& body) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes)
    body(c, std::integral_constant<int, kVectors>());
  for (; c < channels; c += lanes) body(std::min(c, channels - lanes), std::integral_constant<int, 1>());
}

constexpr int few = 4, many = 8;  // pixels of a block

// Pixels [first, last) see all taps of their rows; those beside them, of which there may be none, do not.
struct Inner {
  std::int64_t first, last;
};

// Needs a row of at least `few` pixels.
template <int kWidth, int kStride, int kDilation, class D>
void run_sliding(D d, const DepthwiseRow& r, Inner inner, TapRange rows) {
  over_channels<1>(d, r.channels, [&](std::int64_t c, auto) HWY_ATTR {
    std::int64_t x = 0;
    for (; x + many <= r.out_width; x += many)
      if (x >= inner.first && x + many <= inner.last)
        sliding_block<kWidth, kStride, kDilation, many, false>(d, r, x, c, rows);
      else
        sliding_block<kWidth, kStride, kDilation, many, true>(d, r, x, c, rows);
    for (; x < r.out_width; x += few)
      sliding_block<kWidth, kStride, kDilation, few, true>(d, r, std::min(x, r.out_width - few), c, rows);
  });
}

template <class D>
void run_any(D d, const DepthwiseRow& r, Inner inner, TapRange rows) {
  const std::int64_t taps = r.layer.weight.kernel_w;
  if (inner.last - inner.first < few) inner = {r.out_width, r.out_width};
  const auto one_by_one = [&](std::int64_t from, std::int64_t to) HWY_ATTR {
    for (std::int64_t x = from; x < to; ++x) {
      const TapRange columns = taps_inside(r.layer, taps, x, r.in_width);
      const TapRange seen = columns.first < columns.last ? rows : TapRange{0, 0};
      over_channels<4>(d, r.channels, [&](std::int64_t c, auto vectors) HWY_ATTR {
        block<1, vectors>(d, r, x, c, seen, columns);
      });
    }
  };
  one_by_one(0, inner.first);
  over_channels<2>(d, r.channels, [&](std::int64_t c, auto vectors) HWY_ATTR {
    for (std::int64_t x = inner.first; x < inner.last; x += few)
      block<few, vectors>(d, r, std::min(x, inner.last - few), c, rows, {0, taps});
  });
  one_by_one(inner.last, r.out_width);
}

// Needs at least as many channels as D has lanes.
template <class D>
void run_row(D d, const DepthwiseRow& r) {
  const Conv2d& l = r.layer;
  const std::int64_t taps = l.weight.kernel_w;
  const std::int64_t room = r.in_width - 1 - (taps - 1) * l.dilation + l.padding;
  const Inner inner{std::min((l.padding + l.stride - 1) / l.stride, r.out_width),
                    room < 0 ? 0 : std::min(room / l.stride + 1, r.out_width)};
  const TapRange rows = taps_inside(l, l.weight.kernel_h, r.y, r.in_height);
  // Narrow networks and machines of long ago can do without copies of the code for them.
  if constexpr (HWY_TARGET != HWY_SSE4 && hn::MaxLanes(D()) > 1 &&
                hn::MaxLanes(D()) == hn::MaxLanes(hn::ScalableTag<float>())) {
    const auto is = [&](std::int64_t width, std::int64_t stride, std::int64_t dilation) {
      return taps == width && l.stride == stride && l.dilation == dilation && r.out_width >= few;
    };
    if (is(3, 1, 1)) return run_sliding<3, 1, 1>(d, r, inner, rows);
    if (is(3, 2, 1)) return run_sliding<3, 2, 1>(d, r, inner, rows);
    if (is(5, 1, 1)) return run_sliding<5, 1, 1>(d, r, inner, rows);
    if (is(5, 2, 1)) return run_sliding<5, 2, 1>(d, r, inner, rows);
    if (is(5, 1, 2)) return run_sliding<5, 1, 2>(d, r, inner, rows);
  }
  run_any(d, r, inner, rows);
}

}  // namespace

void run_depthwise_row(const DepthwiseRow& r) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 4> half;
  const hn::CappedTag<float, 1> narrow;
  if (r.channels >= static_cast<std::int64_t>(hn::Lanes(wide)))
    run_row(wide, r);
  else if (r.channels >= static_cast<std::int64_t>(hn::Lanes(half)))
    run_row(half, r);
  else
    run_row(narrow, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

RunDepthwiseRow depthwise_row(Isa isa) { return ATROUS_FOR_ISA(isa, run_depthwise_row); }

PackedDepthwise::PackedDepthwise(const Conv2d& layer) {
  const std::int64_t channels = layer.out_channels(), taps = layer.weight.kernel_h * layer.weight.kernel_w;
  weights = Tensor({1, 1, taps, channels});
  bias = Tensor::zeros({1, 1, 1, channels});
  for (std::int64_t tap = 0; tap < taps; ++tap)
    for (std::int64_t c = 0; c < channels; ++c)
      weights.data()[tap * channels + c] = layer.weight.data.get()[c * taps + tap];
  if (layer.bias) std::copy_n(layer.bias.get(), channels, bias.data());
}

}  // namespace atrous
#endif
