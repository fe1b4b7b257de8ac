// The permutohedral lattice: Gaussian filtering of values that lie anywhere in a space of few dimensions, in
// time that grows with their number only. Adams, Baek & Davis 2010, "Fast High-Dimensional Filtering Using
// the Permutohedral Lattice"; constants and order as in Krähenbühl & Koltun's densecrf.
//
// The filter takes each value to the corners of the simplex of the lattice that it lies in (splat), lets
// neighbouring vertices mix along every axis (blur), and brings the mixture back (slice):
//
//   L(v)[i] = sum over all j of about exp(-|feature i - feature j|^2 / 2) * v[j]
//
// Vertices are numbered in the order in which pixels first touch them, and each of its steps sums in an order
// that no thread changes: the bits are the same for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/base/large_pages.h"
#include "layers/cpu/isa.h"
#include "layers/cpu/tiles/crf_rows.h"

namespace atrous {

class PermutohedralLattice {
 public:
  static constexpr int most_dimensions = 5;
  // Bytes of a lattice beside its vertices; of a vertex: where its sources begin and its places in chains;
  // and of a vertex while the lattice is made: keys, slots that grow by doubling, in parts of threads,
  // neighbours.
  static std::size_t bytes(int dimensions, std::int64_t pixels);
  static constexpr std::size_t bytes_of_vertex = 4 + 6 * 6, building_bytes_of_vertex = 400;

  // Which row of the values a pixel's are, where a lattice holds a part of a picture only: rows of `width`
  // pixels, each `pitch` after the one above.
  struct Window {
    std::int64_t first = 0, width = 0, pitch = 0;  // width 0: pixel i is row i
    std::int64_t row_of(std::int64_t pixel) const {
      return width == 0 ? pixel : first + pixel / width * pitch + pixel % width;
    }
  };

  struct Bounds {
    bool with_origin = false;  // the simplex of a feature of 0 is part of the lattice, and weighs nothing
    std::size_t most_vertices = static_cast<std::size_t>(-1);
  };

  // features: [dimensions][pixels], 2 or 5 dimensions, in standard deviations. Error(invalid_argument) for
  // features beyond what whole numbers hold, Error(limit) for too many pixels or vertices.
  PermutohedralLattice(std::span<const float> features, int dimensions, const Bounds&, Isa, int threads,
                       const Window& = {0, 0, 0});

  std::int64_t vertices() const { return static_cast<std::int64_t>(begins_.size()) - 1; }

  // L(1) for each pixel.
  std::vector<float> ones(int threads) const;

  // The values of row i count times before[i] when they are taken in, and times after[i] when they come out.
  void scale(std::span<const float> before, std::span<const float> after, int threads);

  // Splat and blur: values [rows][stride] to vertices [vertices()][stride].
  void spread(const float* values, std::int64_t stride, float* vertices, int threads) const;

  // The message that update() of layers/cpu/tiles/crf_rows.h slices; its sum's scale is left to the caller.
  CrfMessage message(const float* vertices) const;

  struct Coordinate;

 private:
  // Vertices in a row along an axis, two or more.
  struct Axis {
    LargeVector<std::uint32_t> order, begins;  // chain i: order[begins[i] .. begins[i + 1])
  };

  // Numbers the vertices and fills index_ and weights_; returns the neighbour after each vertex along each
  // axis, [dimensions + 1][vertices].
  template <class Key>
  LargeVector<std::uint32_t> number(std::span<const float> features, std::span<const Coordinate>,
                                    const float* scale, const Bounds&, int threads);
  void list_sources(std::size_t vertices, int threads);
  void list_chains(const LargeVector<std::uint32_t>& after, int threads);

  int dimensions_;
  std::int64_t pixels_;
  Window window_;
  CrfRows rows_;
  LargeVector<std::uint32_t> index_;  // [pixels][dimensions + 1]
  LargeVector<float> weights_;        // likewise: barycentric, times `after`
  LargeVector<std::uint32_t> begins_;
  LargeVector<CrfSource> sources_;
  std::vector<Axis> axes_;
};

}  // namespace atrous
