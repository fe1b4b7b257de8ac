#include "runtime/segment/dense_crf.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "layers/base/error.h"
#include "layers/cpu/parallel.h"
#include "runtime/segment/permutohedral_lattice.h"

namespace atrous {

namespace {

constexpr float least_probability = 1e-5f, never = -1e30f;
constexpr std::int64_t pixels_of_task = 512;

void check(const Image& photo, ConstView p, const CrfOptions& o) {
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
    fail(ErrorCode::invalid_argument, "weights that are not finite");
}

// [pixels][2], and behind the place [3] of colour for the bilateral kernel.
std::vector<float> features_of(const Image& photo, float xy, std::optional<float> rgb) {
  std::vector<float> features;
  features.reserve(static_cast<std::size_t>(photo.width) * static_cast<std::size_t>(photo.height) *
                   (rgb ? 5 : 2));
  for (int y = 0; y < photo.height; ++y)
    for (int x = 0; x < photo.width; ++x) {
      features.push_back(static_cast<float>(x) / xy);
      features.push_back(static_cast<float>(y) / xy);
      const std::uint8_t* colour = photo.row(y) + x * photo.channels;
      for (int c = 0; rgb && c < 3; ++c)
        features.push_back(static_cast<float>(colour[photo.channels < 3 ? 0 : c]) / *rgb);
    }
  return features;
}

struct PairwiseKernel {
  PermutohedralLattice lattice;
  float weight;
  std::vector<float> vertices;  // [lattice.vertices()][stride]
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
  lattice.scale(before ? n : one, after ? n : one);
}

}  // namespace

Tensor dense_crf(const Image& photo, ConstView probabilities, const CrfOptions& options) {
  check(photo, probabilities, options);
  const int threads = resolve_threads(options.threads);
  const std::int64_t pixels = probabilities.shape.h * probabilities.shape.w, classes = probabilities.shape.c,
                     stride = (classes + crf_lanes - 1) / crf_lanes * crf_lanes;

  std::vector<PairwiseKernel> kernels;
  const auto add = [&](const std::vector<float>& features, int dimensions, float weight) {
    const std::int64_t touched = options.in_fours ? (pixels + 3) / 4 * 4 : pixels;
    PairwiseKernel kernel{{features, dimensions, touched, options.isa, threads}, weight, {}};
    normalise(kernel.lattice, options.normalisation, threads);
    kernel.vertices.resize(static_cast<std::size_t>(kernel.lattice.vertices() * stride));
    kernels.push_back(std::move(kernel));
  };
  if (options.gaussian.weight != 0)
    add(features_of(photo, options.gaussian.xy, std::nullopt), 2, options.gaussian.weight);
  if (options.bilateral.weight != 0)
    add(features_of(photo, options.bilateral.xy, options.bilateral.rgb), 5, options.bilateral.weight);

  // Compatibilities are costs, messages are added.
  const auto c = static_cast<std::size_t>(classes);
  std::vector<float> diagonal, matrix;
  if (options.compatibility.size() == c) {
    diagonal.assign(static_cast<std::size_t>(stride), 0.f);
    for (std::size_t i = 0; i < c; ++i) diagonal[i] = -options.compatibility[i];
  } else if (!options.compatibility.empty()) {
    matrix.assign(c * static_cast<std::size_t>(stride), 0.f);
    for (std::size_t i = 0; i < c; ++i)
      for (std::size_t j = 0; j < c; ++j)
        matrix[i * static_cast<std::size_t>(stride) + j] =
            -0.5f * (options.compatibility[i * c + j] + options.compatibility[j * c + i]);
  }

  std::vector<float> evidence(static_cast<std::size_t>(pixels * stride), never), q(evidence.size());
  for (std::int64_t p = 0; p < pixels; ++p) {
    const float* from = probabilities.pixel(0, p / photo.width, p % photo.width);
    for (std::int64_t k = 0; k < classes; ++k) {
      if (!(from[k] >= 0))
        fail(ErrorCode::invalid_argument, "a probability of ", from[k], " of class ", k, " at pixel ", p);
      evidence[static_cast<std::size_t>(p * stride + k)] =
          std::log(std::clamp(from[k], least_probability, 1.f));
    }
  }

  const CrfRows rows = crf_rows(options.isa);
  std::vector<float> room(static_cast<std::size_t>(2 * threads * stride));
  const auto update = [&](std::span<const CrfMessage> messages) {
    parallel_tasks(threads, (pixels + pixels_of_task - 1) / pixels_of_task,
                   [&](std::int64_t task, int thread) {
                     rows.update(evidence.data(), messages, classes, stride, task * pixels_of_task,
                                 std::min(pixels, (task + 1) * pixels_of_task), q.data(),
                                 room.data() + 2 * thread * stride);
                   });
  };
  update({});
  for (int i = 0; i < options.iterations; ++i) {
    std::vector<CrfMessage> messages;
    for (PairwiseKernel& kernel : kernels) {
      kernel.lattice.spread(q.data(), stride, kernel.vertices, threads);
      CrfMessage message = kernel.lattice.message(kernel.vertices);
      message.scale = kernel.weight;
      message.diagonal = diagonal.empty() ? nullptr : diagonal.data();
      message.matrix = matrix.empty() ? nullptr : matrix.data();
      messages.push_back(message);
    }
    update(messages);
  }

  Tensor out(probabilities.shape);
  for (std::int64_t p = 0; p < pixels; ++p)
    std::copy_n(q.data() + p * stride, classes, out.data() + p * classes);
  return out;
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
