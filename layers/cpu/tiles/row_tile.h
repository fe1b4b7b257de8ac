// The innermost loop of convolutions that read their pixels where they lie: a few neighbouring output pixels
// times one to three vectors of output channels.
//
//   c[r][j] = activation(bias[j] + sum over s, k of a[r * a_pitch + s * to_next_segment + k] * b[s][k][j]
//                        + residual[r][j])                              s < segments, k < depth
//
// All sums stay in registers until they are finished, whatever the depth. gemm_tile.h, by contrast, has its
// pixels packed, which pays once many channels or scattered taps are summed.
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

struct RowTileCall {
  const float* a;             // the first pixel's first float
  std::int64_t a_pitch;       // floats from one pixel to the next
  std::int64_t segments = 1;  // stretches of neighbouring floats under one pixel, and
  std::int64_t to_next_segment = 0;
  std::int64_t depth;  // floats in each
  const float* b;      // [segments][depth][vectors], packed
  const float* bias;   // [vectors]
  float* c;            // the first pixel's first float; pixels are c_pitch apart
  std::int64_t c_pitch;
  const float* residual = nullptr;  // likewise, or null
  std::int64_t residual_pitch = 0;
  std::int64_t columns;  // floats that exist of the vectors; all but the last vector are full
  ActivationKind activation;
};

// The tiles of an instruction set: for v vectors (1 to 3) one that takes `rows[v]` pixels and one that takes
// a single pixel.
struct RowTiles {
  static constexpr int most_vectors = 3;
  int lanes;  // floats in a vector
  int rows[most_vectors + 1];
  void (*many[most_vectors + 1])(const RowTileCall&);
  void (*one[most_vectors + 1])(const RowTileCall&);

  // `count` pixels in a row, as many at a time as a tile takes. Where some are left over the last tile
  // overlaps the one before it, and results are written twice: c must lie apart from a; unless it is the
  // residual itself, for then the rest is done one by one.
  void run(RowTileCall, int vectors, std::int64_t count) const;
};

RowTiles row_tiles(Isa);

}  // namespace atrous
