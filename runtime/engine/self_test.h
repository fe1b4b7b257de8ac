// The self-test that a model file carries: the network's answer to an input that is a formula, not a file.
#pragma once

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "runtime/engine/session.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// in[0, y, x, c] = ((31 y + 17 x + 101 c + 7 (x y mod 13)) mod 256) / 64 - 2: within the range of a
// normalised photo.
Tensor self_test_input(int height, int width);

// Both: Error(not_finite) as Session::check_finite(). Runs the network on it and keeps up to `count` logits
// spread over the low-resolution map.
SelfTest make_self_test(Session&, int height = 65, int width = 97, int count = 64);

// The largest deviation from the expected logits, as a share of the largest absolute logit; the test holds
// when it is at most test.tolerance. Error(mismatch) when the network gives a map too small for it.
double run_self_test(Session&, const SelfTest& test);

}  // namespace atrous
