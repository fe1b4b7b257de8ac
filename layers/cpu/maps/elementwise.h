// Add, Mul, Max, Scale and Activation along the channels, where no convolution has taken them over.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/activation.h"
#include "layers/ops/arithmetic.h"

namespace atrous {

// Equal to the references to the bit.
std::unique_ptr<Kernel> make_add_elementwise(const Add&, Isa);
std::unique_ptr<Kernel> make_mul_elementwise(const Mul&, Isa);
std::unique_ptr<Kernel> make_max_elementwise(const Max&, Isa);
std::unique_ptr<Kernel> make_scale_elementwise(const Scale&, Isa);

// Within rounding of the reference.
std::unique_ptr<Kernel> make_activation_elementwise(const Activation&, Isa);

}  // namespace atrous
