// Dense CRF: labels that follow the edges of the photo. A pixel's distribution over classes is drawn towards
// those of pixels that are near (Gaussian kernel) and of those that are near and of like colour (bilateral
// kernel), all pairs at once, by mean-field inference:
//
//   U = -log(clip(probabilities, 1e-5, 1))        Q = softmax(-U), then again and again
//   Q = softmax(-U + sum over kernels k of weight_k * K_k Q)
//   K = n * L(n * Q),  n = 1 / sqrt(L(1) + 1e-20)  (symmetric normalisation; L: permutohedral_lattice.h)
//
// Krähenbühl & Koltun 2011, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials";
// their code, as pydensecrf wraps it.
#pragma once

#include <vector>

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"
#include "layers/networks/preparation.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

enum class CrfNormalisation { none, before, after, symmetric };

struct CrfOptions {
  CrfParameters parameters = {};
  bool logits = false;  // the values are logits, whose softmax is the probabilities
  CrfNormalisation normalisation = CrfNormalisation::symmetric;
  // Compatibility: what classes do to each other, in the weights' place for both kernels: empty for Potts'
  // model, one number for each class (a diagonal), or classes x classes, of which the symmetric part counts.
  // Numbers are costs, as in the authors' code: equal classes attract each other where theirs is negative.
  std::vector<float> compatibility = {};
  // The authors' code for SSE takes pixels in fours, and where their number is no multiple of four the
  // missing ones lie at the origin: empty vertices, which carry blur. Differences of up to 2e-4.
  bool in_fours = false;
  std::size_t memory_limit = 0;  // bytes beside the arguments; 0: none
  Isa isa = supported_isas().front();
  int threads = 0;
};

// probabilities: one image, 1 x H x W x C as Tensors are laid out, not negative; Q takes their place. photo:
// of the same size, grey or RGB. Error(invalid_argument) for options or sizes that do not fit, Error(limit)
// for more memory than there may be and more pixels than lattices have numbers for; the values are then what
// they were.
void dense_crf(const Image& photo, View probabilities, const CrfOptions&);

// Bytes that dense_crf() takes beside its arguments where each lattice has as many vertices as pixels, or the
// Gaussian kernel reaches so few pixels that Q is kept twice in place of its vertices' rows. How
// many there are, the photo decides: 0.7 to 3.2 times as many with the default kernels on four photos of 500
// x 375.
std::size_t dense_crf_bytes(std::int64_t pixels, std::int64_t classes);

}  // namespace atrous
