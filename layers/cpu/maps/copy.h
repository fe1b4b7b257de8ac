// Crop and Concat: rows of pixels copied, by as many threads as there are. Of a concatenation's inputs those
// that have other readers cannot be laid in place (runtime/engine/plan.h), and are copied here.
#pragma once

#include <memory>

#include "layers/graph/kernel.h"
#include "layers/ops/concat.h"
#include "layers/ops/crop.h"

namespace atrous {

std::unique_ptr<Kernel> make_crop_copy(const Crop&);
std::unique_ptr<Kernel> make_concat_copy(const Concat&);

}  // namespace atrous
