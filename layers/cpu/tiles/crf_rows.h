// The inner loops of a dense CRF (runtime/segment/dense_crf.h) on rows of classes: sums over a permutohedral
// lattice and the update of a pixel's distribution. A row has `stride` floats, a multiple of crf_lanes; those
// beyond the classes are padding.
#pragma once

#include <cstdint>
#include <span>

#include "layers/cpu/isa.h"

namespace atrous {

constexpr std::int64_t crf_lanes = 8;

// A pixel that weighs on a vertex of the lattice.
struct CrfSource {
  std::uint32_t pixel;
  float weight;
};

// What a pixel hears through one lattice: factor * sum over its corners of weight * row of the vertex. The
// sum is scaled by `scale`, or multiplied by `diagonal` [stride] or by `matrix` [classes][stride], whichever
// is there.
struct CrfMessage {
  const float* vertices;       // [vertex][stride]
  const std::uint32_t* index;  // [pixel][corners]
  const float* weights;        // [pixel][corners]
  std::int64_t corners;
  float factor, scale;
  const float *diagonal, *matrix;
};

struct CrfRows {
  // to[i] = sum over sources[begins[i] .. begins[i + 1]) of weight * from[pixel], for i in [first, last).
  void (*splat)(const float* from, std::int64_t stride, const std::uint32_t* begins, const CrfSource* sources,
                std::int64_t first, std::int64_t last, float* to);
  // Vertices that follow each other along an axis: each becomes itself and half of both neighbours, of which
  // the ends have one. before: [stride], scratch.
  void (*blur)(float* vertices, std::int64_t stride, const std::uint32_t* chain, std::int64_t length,
               float* before);
  // distribution = softmax(evidence + all messages), for pixels [first, last). Padding of the evidence is
  // very negative. room: [2][stride], scratch.
  void (*update)(const float* evidence, std::span<const CrfMessage> messages, std::int64_t classes,
                 std::int64_t stride, std::int64_t first, std::int64_t last, float* distribution,
                 float* room);
};

CrfRows crf_rows(Isa);

}  // namespace atrous
