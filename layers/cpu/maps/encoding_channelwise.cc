#include "layers/cpu/maps/encoding_channelwise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/encoding_channelwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

float squared_distance(const float* a, const float* b, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto apart = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    sum = hn::MulAdd(apart, apart, sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

// sum[i] += factor * (a[i] - b[i])
void add_difference(const float* a, const float* b, float factor, std::int64_t count, float* sum) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::MulAdd(f, hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), hn::LoadU(d, sum + i)), d,
               sum + i);
  for (; i < count; ++i) sum[i] += factor * (a[i] - b[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

class ChannelwiseEncoding final : public Kernel {
 public:
  ChannelwiseEncoding(const Encoding& layer, Isa isa)
      : layer_(layer),
        squared_distance_(ATROUS_FOR_ISA(isa, squared_distance)),
        add_difference_(ATROUS_FOR_ISA(isa, add_difference)) {}

  std::string_view name() const override { return "channelwise"; }
  std::size_t packed_bytes() const override { return weight_bytes_of(layer_); }

  // [chunk][codeword][channel] of one image, then [chunk][codeword].
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int) const override {
    const std::int64_t floats =
        checked_product({chunks(in[0]), layer_.codewords, layer_.channels + 1}, "encoding: workspace");
    return checked_multiply(static_cast<std::size_t>(floats), sizeof(float), "encoding: workspace");
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const std::int64_t K = layer_.codewords, C = layer_.channels, count = chunks(in.shape),
                       pixels = in.shape.h * in.shape.w, size = divide_up(pixels, count);
    auto* sums = reinterpret_cast<float*>(call.workspace.data());
    float* shares = sums + count * K * C;
    for (std::int64_t n = 0; n < in.shape.n; ++n) {
      parallel_tasks(call.threads, count, [&](std::int64_t chunk, int) {
        float *sum = sums + chunk * K * C, *share = shares + chunk * K;
        std::fill_n(sum, K * C, 0.f);
        for (std::int64_t i = chunk * size; i < std::min((chunk + 1) * size, pixels); ++i)
          add_pixel(in.pixel(n, 0, 0) + i * in.pitch, share, sum);
      });
      parallel_for(call.threads, C, [&](std::int64_t c) {
        double mean = 0;
        for (std::int64_t k = 0; k < K; ++k) {
          double e = 0;
          for (std::int64_t chunk = 0; chunk < count; ++chunk)
            e += static_cast<double>(sums[(chunk * K + k) * C + c]);
          mean += std::max(
              static_cast<double>(layer_.scale.get()[k]) * e + static_cast<double>(layer_.shift.get()[k]),
              0.0);
        }
        call.out().at(n, 0, 0, c) = static_cast<float>(mean / static_cast<double>(K));
      });
    }
  }

 private:
  static std::size_t weight_bytes_of(const Encoding& e) {
    return static_cast<std::size_t>(e.codewords * (e.channels + 3)) * sizeof(float);
  }
  // Of at least 256 pixels, at most 64.
  static std::int64_t chunks(const Shape& in) { return std::clamp<std::int64_t>(in.h * in.w / 256, 1, 64); }

  void add_pixel(const float* x, float* share, float* sum) const {
    const std::int64_t K = layer_.codewords, C = layer_.channels;
    const float* codeword = layer_.codeword.get();
    for (std::int64_t k = 0; k < K; ++k)
      share[k] = layer_.smoothing.get()[k] * squared_distance_(x, codeword + k * C, C);
    const float largest = *std::max_element(share, share + K);
    float total = 0;
    for (std::int64_t k = 0; k < K; ++k) total += share[k] = std::exp(share[k] - largest);
    for (std::int64_t k = 0; k < K; ++k)
      add_difference_(x, codeword + k * C, share[k] / total, C, sum + k * C);
  }

  Encoding layer_;
  decltype(&ATROUS_BASELINE::squared_distance) squared_distance_;
  decltype(&ATROUS_BASELINE::add_difference) add_difference_;
};

}  // namespace

std::unique_ptr<Kernel> make_encoding_channelwise(const Encoding& layer, Isa isa) {
  return std::make_unique<ChannelwiseEncoding>(layer, isa);
}

}  // namespace atrous
#endif
