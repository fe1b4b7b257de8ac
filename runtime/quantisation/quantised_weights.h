// A convolution's weights in 8 bits, and what that changes in the mean.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/ops/filter.h"

namespace atrous {

// weight[o, ...] ~ scale[o] * values[o, ...], values from -127 to 127.
struct QuantisedWeights {
  std::vector<std::int8_t> values;
  std::vector<float> scale;   // [out]
  double relative_error = 0;  // root of sum (w - scale * q)^2 / sum w^2
};

// Of each output channel the scale with the smallest sum of squared errors, among 20 from max |w| / 127 down
// to half of that. The same for any number of threads.
QuantisedWeights quantise_weights(const Filter&, int threads);

// What to add to the sums of channel o, so that in the mean they are as before:
//   sum over i of (sum over taps of (w - scale[o] * q)[o, i, taps]) * mean[group's first channel + i]
// mean: [channels of the input], those of the map that the convolution reads. Padding is left out of account.
// Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2.
std::vector<float> bias_correction(const Filter&, const QuantisedWeights&, std::int64_t groups,
                                   std::span<const double> mean);

}  // namespace atrous
