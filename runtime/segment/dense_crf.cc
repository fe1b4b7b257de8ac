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
                     stride = stride_of(classes);

  const auto rows_bytes = checked_multiply<std::size_t>(
      static_cast<std::size_t>(pixels), static_cast<std::size_t>(stride) * sizeof(float), "a CRF");
  std::size_t taken = rows_bytes;  // q
  std::vector<PairwiseKernel> kernels;
  const auto add = [&](const LargeVector<float>& features, int dimensions, float weight) {
    taken += PermutohedralLattice::bytes(dimensions, pixels);
    PermutohedralLattice::Bounds bounds{.with_origin = options.in_fours && pixels % 4 != 0};
    if (options.memory_limit != 0) {
      if (taken > options.memory_limit)
        fail(ErrorCode::limit, "a CRF of ", photo.width, "x", photo.height, " pixels and ", classes,
             " classes takes more than ", taken, " bytes, the limit is ", options.memory_limit);
      const std::size_t left = options.memory_limit - taken;
      bounds.most_vertices = left / bytes_of_vertex(stride);
    }
    PairwiseKernel kernel{{features, dimensions, bounds, options.isa, threads}, weight, {}};
    normalise(kernel.lattice, options.normalisation, threads);
    kernel.vertices.resize(checked_multiply(static_cast<std::size_t>(kernel.lattice.vertices()),
                                            static_cast<std::size_t>(stride), "a CRF"));
    taken += static_cast<std::size_t>(kernel.lattice.vertices()) *
             (PermutohedralLattice::bytes_of_vertex + static_cast<std::size_t>(stride) * sizeof(float));
    kernels.push_back(std::move(kernel));
  };
  const auto& [iterations, gaussian, bilateral] = options.parameters;
  if (gaussian.weight != 0) add(features_of(photo, gaussian.xy, std::nullopt), 2, gaussian.weight);
  if (bilateral.weight != 0) add(features_of(photo, bilateral.xy, bilateral.rgb), 5, bilateral.weight);
  const Compatibility compatibility = compatibility_of(options, classes, stride);

  const CrfRows rows = crf_rows(options.isa);
  LargeVector<float> q(rows_bytes / sizeof(float));
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
  for (int i = 0; i < iterations; ++i) {
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
