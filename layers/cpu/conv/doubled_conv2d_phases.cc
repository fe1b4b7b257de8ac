#include "layers/cpu/conv/doubled_conv2d_phases.h"

#include <vector>

#include "layers/cpu/conv/row_convolution.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

// Along one axis: an even output reads the pixel before its own with tap 0, and its own with taps 1 and 2; an
// odd one its own with taps 0 and 1, and the next with tap 2.
constexpr int pixel_of_tap[2][3] = {{0, 1, 1}, {0, 0, 1}};

Conv2d phase_of(const Conv2d& conv, int vertical, int horizontal) {
  const Filter& w = conv.weight;
  const std::int64_t filters = w.d0 * w.d1;
  std::shared_ptr<float[]> summed(new float[static_cast<std::size_t>(4 * filters)]);
  for (std::int64_t f = 0; f < filters; ++f) {
    double sums[2][2] = {};
    for (int ky = 0; ky < 3; ++ky)
      for (int kx = 0; kx < 3; ++kx)
        sums[pixel_of_tap[vertical][ky]][pixel_of_tap[horizontal][kx]] +=
            static_cast<double>(w.data.get()[9 * f + 3 * ky + kx]);
    for (int i = 0; i < 4; ++i) summed[4 * f + i] = static_cast<float>(sums[i / 2][i % 2]);
  }
  Conv2d phase = conv;
  phase.weight = {.d0 = w.d0, .d1 = w.d1, .kernel_h = 2, .kernel_w = 2, .data = {summed, summed.get()}};
  return phase;
}

class Phases final : public Kernel {
 public:
  Phases(const Conv2d& conv, Isa isa) {
    phases_.reserve(4);
    for (int phase = 0; phase < 4; ++phase) {
      const int vertical = phase / 2, horizontal = phase % 2;
      phases_.emplace_back(phase_of(conv, vertical, horizontal), isa, 1 - vertical, 1 - horizontal);
    }
  }

  std::string_view name() const override { return "phases"; }
  std::size_t packed_bytes() const override { return 4 * phases_[0].bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape& out, int threads) const override {
    return phases_[0].workspace_bytes(out.w / 2, threads);
  }

  void run(const KernelCall& call) const override {
    const View out = call.output;
    const Shape& shape = out.shape;
    parallel_for(call.threads, shape.n * shape.h, [&](std::int64_t row, int thread) {
      const std::int64_t n = row / shape.h, y = row % shape.h;
      for (std::int64_t x = 0; x < 2; ++x)
        phases_[static_cast<std::size_t>(2 * (y % 2) + x)].run(
            call.inputs[0], n, y / 2,
            {.out = out.pixel(n, y, x), .pitch = 2 * out.pitch, .width = shape.w / 2}, call.workspace,
            thread);
    });
  }

 private:
  std::vector<RowConvolution> phases_;  // of even and odd columns of even rows, then of odd ones
};

}  // namespace

std::unique_ptr<Kernel> make_doubled_conv2d_phases(const DoubledConv2d& layer, Isa isa) {
  constexpr std::int64_t winograds_least_inputs = 16, most_inputs = 64, most_outputs = 32;
  const std::int64_t inputs = layer.conv.in_channels();
  if (inputs >= winograds_least_inputs && (inputs > most_inputs || layer.conv.out_channels() > most_outputs))
    return nullptr;
  return std::make_unique<Phases>(layer.conv, isa);
}

}  // namespace atrous
