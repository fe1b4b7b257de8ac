#include "layers/cpu/maps/group_norm_channelwise.h"

#include <algorithm>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/group_norm_channelwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Of `pixels` pixels and every channel: the mean as fp32 has it, and the sum and the sum of squares of what
// is beside that. The sum of the values themselves is rounded where they are large; what is beside their mean
// is small.
void channel_moments(const float* in, std::int64_t pitch, std::int64_t pixels, std::int64_t channels,
                     float* mean, float* beside, float* squares) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t whole = channels / lanes * lanes;
  std::fill_n(mean, channels, 0.f);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const float* x = in + p * pitch;
    for (std::int64_t c = 0; c < whole; c += lanes)
      hn::StoreU(hn::Add(hn::LoadU(d, mean + c), hn::LoadU(d, x + c)), d, mean + c);
    for (std::int64_t c = whole; c < channels; ++c) mean[c] += x[c];
  }
  for (std::int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<float>(pixels);
  std::fill_n(beside, channels, 0.f);
  std::fill_n(squares, channels, 0.f);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const float* x = in + p * pitch;
    for (std::int64_t c = 0; c < whole; c += lanes) {
      const auto apart = hn::Sub(hn::LoadU(d, x + c), hn::LoadU(d, mean + c));
      hn::StoreU(hn::Add(hn::LoadU(d, beside + c), apart), d, beside + c);
      hn::StoreU(hn::MulAdd(apart, apart, hn::LoadU(d, squares + c)), d, squares + c);
    }
    for (std::int64_t c = whole; c < channels; ++c) {
      const float apart = x[c] - mean[c];
      beside[c] += apart;
      squares[c] += apart * apart;
    }
  }
}

// out = (in - mean) * scale + shift, of one pixel
void normalise_pixel(const float* in, const float* mean, const float* scale, const float* shift,
                     std::int64_t channels, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    const auto beside = hn::Sub(hn::LoadU(d, in + c), hn::LoadU(d, mean + c));
    hn::StoreU(hn::MulAdd(beside, hn::LoadU(d, scale + c), hn::LoadU(d, shift + c)), d, out + c);
  }
  for (; c < channels; ++c) out[c] = (in[c] - mean[c]) * scale[c] + shift[c];
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

constexpr std::int64_t chunk_pixels = 64;

class ChannelwiseGroupNorm final : public Kernel {
 public:
  ChannelwiseGroupNorm(const GroupNorm& layer, Isa isa)
      : layer_(layer),
        channel_moments_(ATROUS_FOR_ISA(isa, channel_moments)),
        normalise_pixel_(ATROUS_FOR_ISA(isa, normalise_pixel)) {}

  std::string_view name() const override { return "channelwise"; }
  std::size_t packed_bytes() const override {
    return static_cast<std::size_t>(2 * layer_.channels) * sizeof(float);
  }

  // The moments of every channel of every chunk; mean, scale and shift of every channel of an
  // image.
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int) const override {
    const std::int64_t floats = checked_product(
        {in[0].n, 3 * checked_add(chunks(in[0]), std::int64_t{1}, "group_norm"), in[0].c}, "group_norm");
    return checked_multiply(static_cast<std::size_t>(floats), sizeof(float), "group_norm: workspace");
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const std::int64_t C = in.shape.c, pixels = in.shape.h * in.shape.w, count = chunks(in.shape);
    auto* moments = reinterpret_cast<float*>(call.workspace.data());  // [n][chunk][mean, beside, squares][C]
    float* factors = moments + in.shape.n * count * 3 * C;            // [n][mean, scale, shift][C]
    const auto pixels_of = [&](std::int64_t chunk) {
      return std::min(chunk_pixels, pixels - chunk * chunk_pixels);
    };
    const auto offset = [&](std::int64_t n, std::int64_t chunk) { return n * pixels + chunk * chunk_pixels; };

    parallel_tasks(call.threads, in.shape.n * count, [&](std::int64_t task, int) {
      float* mean = moments + task * 3 * C;
      channel_moments_(in.data + offset(task / count, task % count) * in.pitch, in.pitch,
                       pixels_of(task % count), C, mean, mean + C, mean + 2 * C);
    });
    parallel_for(call.threads, in.shape.n * layer_.groups, [&](std::int64_t group) {
      const std::int64_t n = group / layer_.groups, width = C / layer_.groups;
      join(moments + n * count * 3 * C, pixels_of, count, group % layer_.groups * width, width,
           factors + n * 3 * C);
    });
    parallel_tasks(call.threads, in.shape.n * count, [&](std::int64_t task, int) {
      const float* mean = factors + task / count * 3 * C;
      const std::int64_t first = offset(task / count, task % count);
      for (std::int64_t p = first; p < first + pixels_of(task % count); ++p)
        normalise_pixel_(in.data + p * in.pitch, mean, mean + C, mean + 2 * C, C,
                         call.out().data + p * call.output.pitch);
    });
  }

 private:
  static std::int64_t chunks(const Shape& in) { return divide_up(in.h * in.w, chunk_pixels); }

  // Mean, scale and shift of the channels [first, first + width), which are a group. The mean is subtracted
  // as fp32 has it; what it is beside the true one goes into the shift.
  template <class PixelsOf>
  void join(const float* moments, PixelsOf&& pixels_of, std::int64_t chunks, std::int64_t first,
            std::int64_t width, float* factors) const {
    const std::int64_t C = layer_.channels;
    const auto each = [&](auto&& visit) {  // (values, their mean, the squares beside it)
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        for (std::int64_t c = first; c < first + width; ++c) {
          const float* at = moments + chunk * 3 * C + c;
          const auto n = static_cast<double>(pixels_of(chunk)), beside = static_cast<double>(at[C]);
          visit(n, static_cast<double>(at[0]) + beside / n,
                static_cast<double>(at[2 * C]) - beside * beside / n);
        }
    };
    double values = 0, sum = 0, squares = 0;
    each([&](double n, double m, double) { values += n, sum += n * m; });
    const double mean = sum / values;
    each([&](double n, double m, double q) { squares += q + n * (m - mean) * (m - mean); });
    const double factor = 1 / std::sqrt(std::max(squares, 0.0) / values + layer_.eps);
    for (std::int64_t c = first; c < first + width; ++c) {
      const double by = factor * static_cast<double>(layer_.weight.get()[c]);
      factors[c] = static_cast<float>(mean);
      factors[C + c] = static_cast<float>(by);
      factors[2 * C + c] = static_cast<float>(static_cast<double>(layer_.bias.get()[c]) -
                                              (mean - static_cast<double>(factors[c])) * by);
    }
  }

  GroupNorm layer_;
  decltype(&ATROUS_BASELINE::channel_moments) channel_moments_;
  decltype(&ATROUS_BASELINE::normalise_pixel) normalise_pixel_;
};

}  // namespace

std::unique_ptr<Kernel> make_group_norm_channelwise(const GroupNorm& layer, Isa isa) {
  return std::make_unique<ChannelwiseGroupNorm>(layer, isa);
}

}  // namespace atrous
#endif
