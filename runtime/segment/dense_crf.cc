#include "runtime/segment/dense_crf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/base/large_pages.h"
#include "layers/cpu/parallel.h"
#include "runtime/segment/permutohedral_lattice.h"

namespace atrous {

namespace {

constexpr std::int64_t pixels_of_task = 512;

// A Gaussian kernel reaches so many standard deviations: vertices of a lattice lie one of them apart, a pixel
// at most that far from its corners, and blur takes a value two further.
constexpr float reach = 4;
// Where it reaches further than this, vertices are so few that tiles save nothing.
constexpr float most_reach_of_tiles = 6;

void check(const Image& photo, ConstView values, const CrfOptions& o) {
  check(values, "probabilities");
  check(photo, "photo");
  check(o.parameters);
  const Shape& s = values.shape;
  if (s.n != 1 || s.h != photo.height || s.w != photo.width)
    fail(ErrorCode::invalid_argument, "probabilities of ", s.n, "x", s.h, "x", s.w, " pixels for a photo of ",
         photo.height, "x", photo.width);
  if (s.c < 2) fail(ErrorCode::invalid_argument, "a CRF is for two classes or more, found ", s.c);
  const auto c = static_cast<std::size_t>(s.c);
  if (!o.compatibility.empty() && o.compatibility.size() != c && o.compatibility.size() != c * c)
    fail(ErrorCode::invalid_argument, "a compatibility of ", o.compatibility.size(), " numbers for ", c,
         " classes");
  const auto bad = [&o](float x) { return o.logits ? !std::isfinite(x) : !(x >= 0); };
  for (std::int64_t i = 0; i < s.h * s.w; ++i) {
    const float* of_pixel = values.data + i * values.pitch;
    bool any = false;
    for (std::int64_t k = 0; k < s.c; ++k) any |= bad(of_pixel[k]);
    for (std::int64_t k = 0; any && k < s.c; ++k)
      if (bad(of_pixel[k]))
        fail(ErrorCode::invalid_argument, o.logits ? "a logit of " : "a probability of ", of_pixel[k],
             " of class ", k, " at pixel ", i);
  }
}

struct Rectangle {
  int left = 0, top = 0, width = 0, height = 0;
  std::int64_t pixels() const { return std::int64_t{width} * height; }
};

// [2][pixels], and behind the place [3] of colour for the bilateral kernel.
LargeVector<float> features_of(const Image& photo, const Rectangle& of, float xy, std::optional<float> rgb) {
  const auto pixels = static_cast<std::size_t>(of.pixels());
  LargeVector<float> features(pixels * (rgb ? 5 : 2));
  float* out = features.data();
  for (int y = of.top; y < of.top + of.height; ++y)
    for (int x = of.left; x < of.left + of.width; ++x, ++out) {
      out[0] = static_cast<float>(x) / xy;
      out[pixels] = static_cast<float>(y) / xy;
      if (!rgb) continue;
      const std::uint8_t* colour = photo.row(y) + x * photo.channels;
      for (std::size_t c = 0; c < 3; ++c)
        out[(2 + c) * pixels] = static_cast<float>(colour[photo.channels < 3 ? 0 : c]) / *rgb;
    }
  return features;
}

std::int64_t stride_of(std::int64_t classes) {
  return checked_add(classes, crf_lanes - 1, "classes") / crf_lanes * crf_lanes;
}

// The more of what a vertex takes while its lattice is made and afterwards, with its row of classes.
std::size_t bytes_of_vertex(std::int64_t stride) {
  return std::max(PermutohedralLattice::building_bytes_of_vertex,
                  PermutohedralLattice::bytes_of_vertex + static_cast<std::size_t>(stride) * sizeof(float));
}

struct PairwiseKernel {
  PermutohedralLattice lattice;
  float weight;
  LargeVector<float> vertices;  // [lattice.vertices()][stride]
};

// Weights of pixels as they are taken in and come out.
struct PixelWeights {
  std::vector<float> before, after;
};

// ones: L(1).
PixelWeights weights_of(std::vector<float> ones, CrfNormalisation how) {
  std::vector<float>& n = ones;
  const std::vector<float> one(n.size(), 1.f);
  if (how == CrfNormalisation::none) {
    float sum = 0;
    for (const float x : n) sum += x;
    std::ranges::fill(n, static_cast<float>(n.size()) / sum);
  } else {
    for (float& x : n) x = 1.f / (how == CrfNormalisation::symmetric ? std::sqrt(x + 1e-20f) : x + 1e-20f);
  }
  const bool before = how == CrfNormalisation::symmetric || how == CrfNormalisation::before;
  const bool after = how != CrfNormalisation::before;
  return {before ? n : one, after ? n : one};
}

// A kernel that reaches few pixels, tile by tile: each has a lattice of its own, of the pixels in it and of
// those that they hear, which stays in the cache from splat to slice. The bits are those of one lattice of
// all pixels.
struct Tile {
  Rectangle own, all;
  std::optional<PermutohedralLattice> lattice;
};

// None where the kernel reaches far. Measured on Zen 5 with 21 classes: 128 x 64 pixels, a megabyte of
// vertices, are quicker than half and twice as many.
std::vector<Tile> tiles_of(int width, int height, float xy, int threads) {
  if (!(reach * xy < most_reach_of_tiles)) return {};
  const int margin = static_cast<int>(reach * xy) + 1;
  int wide = 128, high = 64;
  const auto parts_of = [](int whole, int of_part) { return (whole + of_part - 1) / of_part; };
  while (high > 32 && parts_of(width, wide) * parts_of(height, high) < 3 * threads)
    (wide > high ? wide : high) /= 2;
  const int columns = parts_of(width, wide), rows = parts_of(height, high);
  const auto begin_of = [](int whole, int part, int parts) {
    return static_cast<int>(std::int64_t{whole} * part / parts);
  };
  std::vector<Tile> tiles(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows));
  Tile* tile = tiles.data();
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column, ++tile) {
      const int left = begin_of(width, column, columns), right = begin_of(width, column + 1, columns),
                top = begin_of(height, row, rows), bottom = begin_of(height, row + 1, rows);
      tile->own = {left, top, right - left, bottom - top};
      Rectangle& all = tile->all = {std::max(left - margin, 0), std::max(top - margin, 0), 0, 0};
      all.width = std::min(right + margin, width) - all.left;
      all.height = std::min(bottom + margin, height) - all.top;
    }
  return tiles;
}

// As messages are multiplied by: compatibilities are costs.
struct Compatibility {
  std::vector<float> diagonal, matrix;  // [stride]; [classes][stride]
};

Compatibility compatibility_of(const CrfOptions& options, std::int64_t classes, std::int64_t stride) {
  Compatibility out;
  const auto c = static_cast<std::size_t>(classes), row = static_cast<std::size_t>(stride);
  const std::vector<float>& costs = options.compatibility;
  if (costs.size() == c) {
    out.diagonal.assign(row, 0.f);
    for (std::size_t i = 0; i < c; ++i) out.diagonal[i] = -costs[i];
  } else if (!costs.empty()) {
    out.matrix.assign(c * row, 0.f);
    for (std::size_t i = 0; i < c; ++i)
      for (std::size_t j = 0; j < c; ++j)
        out.matrix[i * row + j] = -0.5f * (costs[i * c + j] + costs[j * c + i]);
  }
  return out;
}

}  // namespace

void dense_crf(const Image& photo, View probabilities, const CrfOptions& options) try {
  check(photo, probabilities, options);
  const int threads = resolve_threads(options.threads);
  const std::int64_t pixels = probabilities.shape.h * probabilities.shape.w, classes = probabilities.shape.c,
                     stride = stride_of(classes);

  const auto rows_bytes = checked_multiply<std::size_t>(
      static_cast<std::size_t>(pixels), static_cast<std::size_t>(stride) * sizeof(float), "a CRF");
  const std::size_t bytes_of_row = static_cast<std::size_t>(stride) * sizeof(float);
  const int iterations = options.parameters.iterations;
  const auto& gaussian = options.parameters.gaussian;
  const auto& bilateral = options.parameters.bilateral;
  std::vector<Tile> tiles;
  if (gaussian.weight != 0) tiles = tiles_of(photo.width, photo.height, gaussian.xy, threads);
  std::size_t taken =
      checked_multiply(rows_bytes, std::size_t{tiles.empty() ? 1u : 2u}, "a CRF");  // q, and q before
  const auto room_beside = [&](std::size_t bytes) {
    taken += bytes;
    if (options.memory_limit == 0) return static_cast<std::size_t>(-1);
    if (taken > options.memory_limit)
      fail(ErrorCode::limit, "a CRF of ", photo.width, "x", photo.height, " pixels and ", classes,
           " classes takes more than ", taken, " bytes, the limit is ", options.memory_limit);
    return options.memory_limit - taken;
  };
  std::int64_t vertices_of_tile = 0;
  if (!tiles.empty()) {
    std::int64_t pixels_of_tiles = 0;
    for (const Tile& tile : tiles) pixels_of_tiles += tile.all.pixels();
    // All are kept, and each thread makes one at a time, or has the rows of one.
    const std::size_t of_vertex = tiles.size() * PermutohedralLattice::bytes_of_vertex +
                                  static_cast<std::size_t>(threads) * bytes_of_vertex(stride);
    const PermutohedralLattice::Bounds bounds{
        .most_vertices = room_beside(PermutohedralLattice::bytes(2, pixels_of_tiles)) / of_vertex};
    std::vector<float> ones(static_cast<std::size_t>(pixels));
    FirstFailure failure;
    parallel_tasks(threads, static_cast<std::int64_t>(tiles.size()), [&](std::int64_t task, int) {
      failure.guard([&] {
        Tile& tile = tiles[static_cast<std::size_t>(task)];
        const Rectangle &own = tile.own, &all = tile.all;
        tile.lattice.emplace(features_of(photo, all, gaussian.xy, std::nullopt), 2, bounds, options.isa, 1,
                             PermutohedralLattice::Window{std::int64_t{all.top} * photo.width + all.left,
                                                          all.width, photo.width});
        const std::vector<float> here = tile.lattice->ones(1);
        for (int y = 0; y < own.height; ++y)
          std::copy_n(here.begin() + std::int64_t{own.top + y - all.top} * all.width + own.left - all.left,
                      own.width, ones.begin() + std::int64_t{own.top + y} * photo.width + own.left);
      });
    });
    failure.rethrow();
    const PixelWeights weights = weights_of(std::move(ones), options.normalisation);
    for (Tile& tile : tiles) tile.lattice->scale(weights.before, weights.after, threads);
    for (const Tile& tile : tiles) {
      vertices_of_tile = std::max(vertices_of_tile, tile.lattice->vertices());
      taken += static_cast<std::size_t>(tile.lattice->vertices()) * PermutohedralLattice::bytes_of_vertex;
    }
    taken += static_cast<std::size_t>(threads) * static_cast<std::size_t>(vertices_of_tile) * bytes_of_row;
  }
  std::vector<PairwiseKernel> kernels;
  const auto add = [&](float weight, float xy, std::optional<float> rgb) {
    const int dimensions = rgb ? 5 : 2;
    const PermutohedralLattice::Bounds bounds{
        .with_origin = options.in_fours && pixels % 4 != 0,
        .most_vertices =
            room_beside(PermutohedralLattice::bytes(dimensions, pixels)) / bytes_of_vertex(stride)};
    PairwiseKernel kernel{{features_of(photo, {0, 0, photo.width, photo.height}, xy, rgb), dimensions, bounds,
                           options.isa, threads},
                          weight,
                          {}};
    const PixelWeights weights = weights_of(kernel.lattice.ones(threads), options.normalisation);
    kernel.lattice.scale(weights.before, weights.after, threads);
    kernel.vertices.resize(checked_multiply(static_cast<std::size_t>(kernel.lattice.vertices()),
                                            static_cast<std::size_t>(stride), "a CRF"));
    taken += static_cast<std::size_t>(kernel.lattice.vertices()) *
             (PermutohedralLattice::bytes_of_vertex + bytes_of_row);
    kernels.push_back(std::move(kernel));
  };
  if (gaussian.weight != 0 && tiles.empty()) add(gaussian.weight, gaussian.xy, std::nullopt);
  if (bilateral.weight != 0) add(bilateral.weight, bilateral.xy, bilateral.rgb);
  const Compatibility compatibility = compatibility_of(options, classes, stride);

  const CrfRows rows = crf_rows(options.isa);
  LargeVector<float> q(rows_bytes / sizeof(float)), before(tiles.empty() ? 0 : q.size());
  const auto room_of_thread = 4 * stride;  // two messages, and what update() asks for beside them
  std::vector<float> room(static_cast<std::size_t>(threads * room_of_thread));
  LargeVector<float> of_tiles(static_cast<std::size_t>(threads * vertices_of_tile * stride));
  const auto by_pixels = [&](const auto& work) {  // work(first, last, thread)
    parallel_tasks(threads, (pixels + pixels_of_task - 1) / pixels_of_task,
                   [&](std::int64_t task, int thread) {
                     work(task * pixels_of_task, std::min(pixels, (task + 1) * pixels_of_task), thread);
                   });
  };
  const CrfEvidence evidence{probabilities.data,
                             probabilities.data + (pixels - 1) * probabilities.pitch + classes,
                             probabilities.pitch, classes};
  const auto update = [&](std::span<const CrfMessage> messages) {
    by_pixels([&](std::int64_t first, std::int64_t last, int thread) {
      rows.update(evidence, messages, stride, {first, last, 0, pixels}, q.data(),
                  room.data() + thread * room_of_thread);
    });
  };

  const auto copy_out = [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t p = first; p < last; ++p)
      std::copy_n(q.data() + p * stride, classes, probabilities.data + p * probabilities.pitch);
  };
  if (options.logits) {
    update({});
    by_pixels(copy_out);
  }
  by_pixels([&](std::int64_t first, std::int64_t last, int) {
    if (probabilities.dense())
      return rows.logarithms(probabilities.data + first * classes, (last - first) * classes);
    for (std::int64_t p = first; p < last; ++p)
      rows.logarithms(probabilities.data + p * probabilities.pitch, classes);
  });
  update({});
  const auto message_of = [&](const PermutohedralLattice& lattice, const float* vertices, float weight) {
    CrfMessage message = lattice.message(vertices);
    message.scale = weight;
    message.diagonal = compatibility.diagonal.empty() ? nullptr : compatibility.diagonal.data();
    message.matrix = compatibility.matrix.empty() ? nullptr : compatibility.matrix.data();
    return message;
  };
  for (int i = 0; i < iterations; ++i) {
    std::vector<CrfMessage> messages;
    for (PairwiseKernel& kernel : kernels) {
      kernel.lattice.spread(q.data(), stride, kernel.vertices.data(), threads);
      messages.push_back(message_of(kernel.lattice, kernel.vertices.data(), kernel.weight));
    }
    if (tiles.empty()) {
      update(messages);
      continue;
    }
    q.swap(before);
    parallel_tasks(threads, static_cast<std::int64_t>(tiles.size()), [&](std::int64_t task, int thread) {
      const Tile& tile = tiles[static_cast<std::size_t>(task)];
      const Rectangle &own = tile.own, &all = tile.all;
      float* const vertices = of_tiles.data() + thread * vertices_of_tile * stride;
      tile.lattice->spread(before.data(), stride, vertices, 1);
      std::array<CrfMessage, 2> here{message_of(*tile.lattice, vertices, gaussian.weight)};
      here[0].near = true;
      std::ranges::copy(messages, here.begin() + 1);
      for (int y = own.top; y < own.top + own.height; ++y) {
        const std::int64_t first = std::int64_t{y} * photo.width + own.left;
        here[0].first = first - (std::int64_t{y - all.top} * all.width + own.left - all.left);
        rows.update(evidence, std::span(here).first(1 + messages.size()), stride,
                    {first, first + own.width, photo.width - own.width, pixels}, q.data(),
                    room.data() + thread * room_of_thread);
      }
    });
  }
  by_pixels(copy_out);
} catch (...) {
  rethrow_as_error();
}

std::size_t dense_crf_bytes(std::int64_t pixels, std::int64_t classes) try {
  const std::int64_t stride = stride_of(classes);
  std::size_t of_pixel = static_cast<std::size_t>(stride) * sizeof(float);
  for (const int dimensions : {2, 5})
    of_pixel += PermutohedralLattice::bytes(dimensions, 1) + PermutohedralLattice::bytes_of_vertex +
                static_cast<std::size_t>(stride) * sizeof(float);
  return checked_multiply(static_cast<std::size_t>(std::max<std::int64_t>(pixels, 0)), of_pixel, "a CRF");
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
