// The inner loops of a dense CRF (runtime/segment/dense_crf.h): where pixels lie in a permutohedral lattice,
// sums over its vertices on rows of classes, and the update of a pixel's distribution. A row has `stride`
// floats, a multiple of crf_lanes; those beyond the classes are padding.
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

// Simplexes of a lattice of d dimensions that a block of pixels lies in, for pixel i and each of d + 1
// coordinates c: the nearest point of the lattice whose coordinates are multiples of d + 1, the coordinate
// that comes r-th when they are sorted by how far the pixel lies beyond that point, the largest first, and
// how near the pixel is to corner r of its simplex (barycentric coordinates).
constexpr std::int64_t crf_block = 64;
struct CrfSimplexes {
  std::int32_t nearest[6][crf_block], sorted[6][crf_block];
  float weights[6][crf_block];
};

// Message that a pixel hears through one lattice: factor * sum over its corners of weight * row of the
// vertex. The sum is scaled by `scale`, or multiplied by `diagonal` [stride] or by `matrix`
// [classes][stride], whichever is there.
struct CrfMessage {
  const float* vertices;       // [vertex][stride]
  const std::uint32_t* index;  // [pixel - first][corners]
  const float* weights;        // likewise
  std::int64_t first;
  std::int64_t corners;
  float factor, scale;
  const float *diagonal, *matrix;
  bool near;  // the vertices are in the processor's cache, others are fetched ahead
};

// Pixels [first, last) of `all`, behind which come those from last + gap on.
struct CrfPixels {
  std::int64_t first, last, gap, all;
};

// Evidence of a pixel itself: `classes` logarithms, those of the next pixel `pitch` floats on. Memory up to
// `end` may be read.
struct CrfEvidence {
  const float *logarithms, *end;
  std::int64_t pitch, classes;
};

struct CrfRows {
  // The least and the largest of `count` numbers and 0; false where not all are finite.
  bool (*range)(const float*, std::int64_t count, float& low, float& high);
  // Section 3.1 of the lattice's paper for crf_block pixels. features: [dimensions][crf_block], 2 or 5
  // dimensions; scale: [dimensions].
  void (*locate)(const float* features, int dimensions, const float* scale, CrfSimplexes& out);
  // Each of `count` probabilities becomes log(clamp(probability, 1e-5, 1)).
  void (*logarithms)(float* probabilities, std::int64_t count);
  // to[i] = sum over sources[begins[i] .. begins[i + 1]) of weight * from[pixel], for i in [first, last).
  void (*splat)(const float* from, std::int64_t stride, const std::uint32_t* begins, const CrfSource* sources,
                std::int64_t first, std::int64_t last, float* to);
  // Chains [first, last) of vertices that follow each other along an axis, chain i being order[begins[i] ..
  // begins[i + 1]), two or more: each vertex becomes itself and half of both neighbours, of which the ends
  // have one.
  void (*blur)(float* vertices, std::int64_t stride, const std::uint32_t* order, const std::uint32_t* begins,
               std::int64_t first, std::int64_t last);
  // distribution = softmax(evidence + all messages) for these pixels. room: scratch, [2 + messages][stride].
  void (*update)(const CrfEvidence&, std::span<const CrfMessage>, std::int64_t stride, const CrfPixels&,
                 float* distribution, float* room);
};

CrfRows crf_rows(Isa);

}  // namespace atrous
