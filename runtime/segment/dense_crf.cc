#include "runtime/segment/dense_crf.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/base/large_pages.h"
#include "layers/cpu/parallel.h"
#include "runtime/segment/permutohedral_lattice.h"

namespace atrous {

namespace {

constexpr std::int64_t pixels_of_task = 512;

void check(const Image& photo, ConstView p, const CrfOptions& o) {
  check(p, "probabilities");
  if (p.shape.n != 1 || p.shape.h != photo.height || p.shape.w != photo.width)
    fail(ErrorCode::invalid_argument, "probabilities of ", p.shape.n, "x", p.shape.h, "x", p.shape.w,
         " pixels for a photo of ", photo.height, "x", photo.width);
  if (p.shape.c < 2) fail(ErrorCode::invalid_argument, "a CRF is for two classes or more, found ", p.shape.c);
  const auto c = static_cast<std::size_t>(p.shape.c);
  if (!o.compatibility.empty() && o.compatibility.size() != c && o.compatibility.size() != c * c)
    fail(ErrorCode::invalid_argument, "a compatibility of ", o.compatibility.size(), " numbers for ", c,
         " classes");
  if (o.iterations < 0 || o.iterations > 1000)
    fail(ErrorCode::invalid_argument, o.iterations, " iterations: expected 0 to 1000");
  const auto deviation = [](float x) { return x >= 0.01f && x <= 1e6f; };
  if (!deviation(o.gaussian.xy) || !deviation(o.bilateral.xy) || !deviation(o.bilateral.rgb))
    fail(ErrorCode::invalid_argument, "a standard deviation of ", o.gaussian.xy, ", ", o.bilateral.xy, " or ",
         o.bilateral.rgb, ": expected 0.01 to 1000000");
  if (!std::isfinite(o.gaussian.weight) || !std::isfinite(o.bilateral.weight))
    fail(ErrorCode::invalid_argument, "weights of ", o.gaussian.weight, " and ", o.bilateral.weight,
         ": expected finite numbers");
  for (std::int64_t i = 0; i < p.shape.h * p.shape.w; ++i) {
    const float* of_pixel = p.data + i * p.pitch;
    bool good = true;
    for (std::int64_t k = 0; k < p.shape.c; ++k) good = good && of_pixel[k] >= 0;
    for (std::int64_t k = 0; !good && k < p.shape.c; ++k)
      if (!(of_pixel[k] >= 0))
        fail(ErrorCode::invalid_argument, "a probability of ", of_pixel[k], " of class ", k, " at pixel ", i);
  }
}

// [2][pixels], and behind the place [3] of colour for the bilateral kernel.
LargeVector<float> features_of(const Image& photo, float xy, std::optional<float> rgb) {
  const std::size_t pixels = static_cast<std::size_t>(photo.width) * static_cast<std::size_t>(photo.height);
  LargeVector<float> features(pixels * (rgb ? 5 : 2));
  float* out = features.data();
  for (int y = 0; y < photo.height; ++y)
    for (int x = 0; x < photo.width; ++x, ++out) {
      out[0] = static_cast<float>(x) / xy;
      out[pixels] = static_cast<float>(y) / xy;
      const std::uint8_t* colour = photo.row(y) + x * photo.channels;
      for (std::size_t c = 0; rgb && c < 3; ++c)
        out[(2 + c) * pixels] = static_cast<float>(colour[photo.channels < 3 ? 0 : c]) / *rgb;
    }
  return features;
}

struct PairwiseKernel {
  PermutohedralLattice lattice;
  float weight;
  Tensor vertices;  // [lattice.vertices()][stride]
};

void normalise(PermutohedralLattice& lattice, CrfNormalisation how, int threads) {
  std::vector<float> n = lattice.ones(threads);
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
  lattice.scale(before ? n : one, after ? n : one, threads);
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
                     stride = checked_add(classes, crf_lanes - 1, "classes") / crf_lanes * crf_lanes;

  std::vector<PairwiseKernel> kernels;
  const auto add = [&](const LargeVector<float>& features, int dimensions, float weight) {
    const std::int64_t touched = options.in_fours ? (pixels + 3) / 4 * 4 : pixels;
    PairwiseKernel kernel{{features, dimensions, touched, options.isa, threads}, weight, {}};
    normalise(kernel.lattice, options.normalisation, threads);
    kernel.vertices = Tensor({1, 1, kernel.lattice.vertices(), stride});
    kernels.push_back(std::move(kernel));
  };
  if (options.gaussian.weight != 0)
    add(features_of(photo, options.gaussian.xy, std::nullopt), 2, options.gaussian.weight);
  if (options.bilateral.weight != 0)
    add(features_of(photo, options.bilateral.xy, options.bilateral.rgb), 5, options.bilateral.weight);
  const Compatibility compatibility = compatibility_of(options, classes, stride);

  const CrfRows rows = crf_rows(options.isa);
  Tensor q({1, 1, pixels, stride});
  const auto room_of_thread = (2 + static_cast<std::int64_t>(kernels.size())) * stride;
  std::vector<float> room(static_cast<std::size_t>(threads * room_of_thread));
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
      rows.update(evidence, messages, stride, first, last, q.data(), room.data() + thread * room_of_thread);
    });
  };

  by_pixels([&](std::int64_t first, std::int64_t last, int) {
    if (probabilities.dense())
      return rows.logarithms(probabilities.data + first * classes, (last - first) * classes);
    for (std::int64_t p = first; p < last; ++p)
      rows.logarithms(probabilities.data + p * probabilities.pitch, classes);
  });
  update({});
  for (int i = 0; i < options.iterations; ++i) {
    std::vector<CrfMessage> messages;
    for (PairwiseKernel& kernel : kernels) {
      kernel.lattice.spread(q.data(), stride, kernel.vertices.data(), threads);
      CrfMessage message = kernel.lattice.message(kernel.vertices.data());
      message.scale = kernel.weight;
      message.diagonal = compatibility.diagonal.empty() ? nullptr : compatibility.diagonal.data();
      message.matrix = compatibility.matrix.empty() ? nullptr : compatibility.matrix.data();
      messages.push_back(message);
    }
    update(messages);
  }
  by_pixels([&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t p = first; p < last; ++p)
      std::copy_n(q.data() + p * stride, classes, probabilities.data + p * probabilities.pitch);
  });
} catch (...) {
  rethrow_as_error();
}

std::size_t dense_crf_bytes(std::int64_t pixels, std::int64_t classes) {
  const auto c = static_cast<std::size_t>(std::max<std::int64_t>(classes, 2)),
             stride = static_cast<std::size_t>((classes + crf_lanes - 1) / crf_lanes * crf_lanes);
  // Every corner of every pixel's simplex a vertex of its own: 3 of the Gaussian kernel, 6 of the bilateral
  // one.
  constexpr std::size_t corners = 3 + 6, axes = 6;
  constexpr std::size_t of_corner = PermutohedralLattice::bytes_of_corner + axes * sizeof(std::uint32_t);
  return static_cast<std::size_t>(pixels) *
         (sizeof(float) * (2 * c + 2 * stride + corners * stride) + corners * of_corner);
}

}  // namespace atrous
