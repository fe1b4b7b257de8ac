// The ladder: one convolution, written again and again, each time faster. layers/cpu/README.md tells it;
// `make ladder` times it.
//
// The layer is 3x3, stride 1, padding = dilation, without bias, so that its output has its input's size. On
// the page: 512 -> 512 channels, dilation 4, 65x65, which is 10 thousand million multiply-accumulates (macs).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace atrous::ladder {

struct Layer {
  std::int64_t height = 65, width = 65, dilation = 4;
  std::int64_t inputs = 512, outputs = 512;  // multiples of 16 and of 32
  std::int64_t pixels() const { return height * width; }
  std::int64_t macs() const { return pixels() * inputs * outputs * 9; }  // taps in the padding included
};

// The weights in every order that a rung reads, made before the clock runs. A rung that wants another has a
// field of its own here, which weights_of() fills.
struct Weights {
  std::vector<float> torch;     // [output][input][ky][kx], as a checkpoint has them
  std::vector<float> rows;      // [ky][kx][input][output]
  std::vector<float> panels;    // [panel of outputs][ky][kx][input][output of the panel]
  std::vector<float> winograd;  // [point of 4 x 4][panel of outputs][input][output of the panel]
};
Weights weights_of(const Layer&, std::vector<float> torch);

struct Run {
  const Layer& layer;
  const Weights& weights;
  const float* in;  // [input][y][x] where the rung has planes, [y][x][input] otherwise
  float* out;       // the same of outputs
  int threads;
};

struct Rung {
  std::string_view name, step;  // what is new in it
  void (*run)(const Run&);
  bool planes = false;   // torch's order of a map
  bool threads = false;  // uses as many as it is given
  // How far from the definition an output may be, as a share of the largest one. 0 where all that the rung
  // adds up is exact for small whole numbers and quarters, as halves in its transforms are and sixths are
  // not.
  double tolerance = 0;
};
std::span<const Rung> rungs();

// GFLOP/s of fused multiply-adds on registers alone, on so many threads at once: what no kernel exceeds.
double peak_gflops(int threads);

}  // namespace atrous::ladder
