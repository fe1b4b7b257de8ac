#include "layers/cpu/maps/upsample_argmax.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/ops/resize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/upsample_argmax.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Two widened rows, [classes][pitch] each, blended with weights 1 - f and f. Writes `width` rounded up to
// whole vectors.
void label_row(const float* top, const float* bottom, float f, std::int64_t classes, std::int64_t pitch,
               std::int64_t width, float* best, std::int32_t* label, float* sum) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f0 = hn::Set(d, 1.f - f), f1 = hn::Set(d, f);
  for (std::int64_t x = 0; x < width; x += lanes) {
    const auto logit = [&](std::int64_t c) HWY_ATTR {
      const auto low = hn::Load(d, top + c * pitch + x), high = hn::Load(d, bottom + c * pitch + x);
      return hn::MulAdd(f0, low, hn::Mul(f1, high));
    };
    auto largest = logit(0);
    auto at = hn::Zero(di);
    for (std::int64_t c = 1; c < classes; ++c) {
      const auto value = logit(c);
      const auto better = hn::Gt(value, largest);
      largest = hn::IfThenElse(better, value, largest);
      at = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, static_cast<std::int32_t>(c)), at);
    }
    hn::Store(largest, d, best + x);
    hn::Store(at, di, label + x);
    if (!sum) continue;
    auto total = hn::Zero(d);
    for (std::int64_t c = 0; c < classes; ++c) total = hn::Add(total, hn::Exp(d, hn::Sub(logit(c), largest)));
    hn::Store(total, d, sum + x);
  }
}

// The same of one channel: label 1 above the threshold, and as sum 1 + exp(-|logit|).
void threshold_row(const float* top, const float* bottom, float f, float threshold, std::int64_t width,
                   std::int32_t* label, float* sum) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f0 = hn::Set(d, 1.f - f), f1 = hn::Set(d, f), least = hn::Set(d, threshold);
  for (std::int64_t x = 0; x < width; x += lanes) {
    const auto logit = hn::MulAdd(f0, hn::Load(d, top + x), hn::Mul(f1, hn::Load(d, bottom + x)));
    const auto above = hn::RebindMask(di, hn::Gt(logit, least));
    hn::Store(hn::IfThenElseZero(above, hn::Set(di, 1)), di, label + x);
    if (sum) hn::Store(hn::Add(hn::Set(d, 1.f), hn::Exp(d, hn::Neg(hn::Abs(logit)))), d, sum + x);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

constexpr std::int64_t band_rows = 32;

std::int64_t row_pitch(std::int64_t width) {
  return (width + 15) / 16 * 16;
}  // whole vectors of every target

std::size_t thread_bytes(std::int64_t classes, std::int64_t width) {
  // Two widened rows, then best, label and sum of one output row.
  const std::int64_t floats = checked_product({row_pitch(width), 2 * classes + 3}, "upsample: workspace");
  return checked_multiply<std::size_t>(static_cast<std::size_t>(floats), sizeof(float),
                                       "upsample: workspace");
}

std::size_t taps_bytes(std::int64_t height, std::int64_t width) {
  return (static_cast<std::size_t>(height + width) * sizeof(ResizeTap) + 63) / 64 * 64;
}

// One row of the low-resolution map at full width, its channels apart: to[c][x].
void widen(ConstView logits, std::int64_t y, const ResizeTap* columns, std::int64_t width, float* to) {
  const std::int64_t pitch = row_pitch(width);
  for (std::int64_t x = 0; x < width; ++x) {
    const float *low = logits.pixel(0, y, columns[x].low), *high = logits.pixel(0, y, columns[x].high);
    const float f = columns[x].f;
    for (std::int64_t c = 0; c < logits.shape.c; ++c) to[c * pitch + x] = (1.f - f) * low[c] + f * high[c];
  }
  for (std::int64_t c = 0; c < logits.shape.c; ++c)
    std::fill(to + c * pitch + width, to + (c + 1) * pitch, 0.f);
}

}  // namespace

std::size_t upsample_argmax_workspace(std::int64_t classes, std::int64_t height, std::int64_t width,
                                      int threads) {
  const std::size_t rows = checked_multiply(thread_bytes(classes, width), static_cast<std::size_t>(threads),
                                            "upsample: workspace");
  return checked_add(rows, taps_bytes(height, width), "upsample: workspace");
}

void upsample_argmax(Isa isa, const UpsampleArgmaxCall& call) {
  const std::int64_t classes = call.logits.shape.c, pitch = row_pitch(call.width);
  if (classes > 256) fail(ErrorCode::limit, "argmax: ", classes, " classes, at most 256 fit a label map");
  const auto run_row = ATROUS_FOR_ISA(isa, label_row);
  const auto run_threshold = ATROUS_FOR_ISA(isa, threshold_row);
  auto* rows = reinterpret_cast<ResizeTap*>(call.workspace.data());
  ResizeTap* columns = rows + call.height;
  const Resize bilinear{.mode = ResizeMode::bilinear, .align_corners = call.growth.align_corners};
  const auto whole = [](double out_size, std::int64_t size) {
    return out_size > 0 ? out_size : static_cast<double>(size);
  };
  resize_taps(bilinear, call.logits.shape.h, whole(call.growth.out_h, call.height),
              {rows, static_cast<std::size_t>(call.height)});
  resize_taps(bilinear, call.logits.shape.w, whole(call.growth.out_w, call.width),
              {columns, static_cast<std::size_t>(call.width)});

  const std::int64_t bands = (call.height + band_rows - 1) / band_rows;
  parallel_tasks(call.threads, bands, [&](std::int64_t band, int thread) {
    std::byte* scratch = call.workspace.data() + taps_bytes(call.height, call.width) +
                         static_cast<std::size_t>(thread) * thread_bytes(classes, call.width);
    float* top = reinterpret_cast<float*>(scratch);
    float* bottom = top + classes * pitch;
    float* best = bottom + classes * pitch;
    float* sum = best + pitch;
    auto* label = reinterpret_cast<std::int32_t*>(sum + pitch);
    std::int64_t top_row = -1, bottom_row = -1;
    for (std::int64_t y = band * band_rows; y < std::min((band + 1) * band_rows, call.height); ++y) {
      if (bottom_row == rows[y].low) {
        std::swap(top, bottom);
        std::swap(top_row, bottom_row);
      }
      if (top_row != rows[y].low) widen(call.logits, top_row = rows[y].low, columns, call.width, top);
      if (bottom_row != rows[y].high)
        widen(call.logits, bottom_row = rows[y].high, columns, call.width, bottom);
      float* const wanted_sum = call.confidence.empty() ? nullptr : sum;
      if (classes == 1)
        run_threshold(top, bottom, rows[y].f, call.threshold, call.width, label, wanted_sum);
      else
        run_row(top, bottom, rows[y].f, classes, pitch, call.width, best, label, wanted_sum);
      const std::int64_t at = y * call.width;
      std::transform(label, label + call.width, call.labels.begin() + at,
                     [](std::int32_t c) { return static_cast<std::uint8_t>(c); });
      if (!call.confidence.empty())
        std::transform(sum, sum + call.width, call.confidence.begin() + at, [](float s) { return 1.f / s; });
    }
  });
}

}  // namespace atrous
#endif
