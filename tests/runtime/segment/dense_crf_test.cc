#include "runtime/segment/dense_crf.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/segment/permutohedral_lattice.h"
#include "tests/support/image_helpers.h"
#include "tests/support/layers_testing.h"
#include "weights_tools/io/file.h"

namespace atrous::dense_crf_test {

namespace {

const std::string data_folder = ATROUS_SOURCE_DIR "/../shared/data/networks/densecrf";

struct Parameters {
  const char* name;
  CrfOptions options;
};

// The sets of the conformance data's meta.json.
const Parameters sets[] = {
    {"deeplab", {.parameters = {.gaussian = {3, 1}, .bilateral = {4, 67, 3}}}},
    {"kk2011", {.parameters = {.gaussian = {3, 3}, .bilateral = {10, 80, 13}}}},
};

// C x H x W, turned into pixels of classes and made probabilities.
Tensor softmax_of(const Tensor& logits) {
  Tensor out(logits.shape());
  const Shape& s = logits.shape();
  for (std::int64_t p = 0; p < s.h * s.w; ++p) {
    const float* from = logits.data() + p * s.c;
    const float largest = *std::max_element(from, from + s.c);
    double sum = 0;
    for (std::int64_t c = 0; c < s.c; ++c) sum += std::exp(static_cast<double>(from[c] - largest));
    for (std::int64_t c = 0; c < s.c; ++c)
      out.data()[p * s.c + c] = static_cast<float>(std::exp(static_cast<double>(from[c] - largest)) / sum);
  }
  return out;
}

Tensor read_map(const std::string& path) { return read_npy(read_file(path, 1 << 24), path, 0); }

double most_apart(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a.values()[i]) - static_cast<double>(b.values()[i])));
  return most;
}

Image drawn_photo(int width, int height, Random& random) {
  Image photo{width, height, 3, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        photo.pixels.push_back(
            static_cast<std::uint8_t>((x < width / 2 ? 60 : 180) + 10 * c + pick(random, -8, 8)));
  return photo;
}

Tensor drawn_probabilities(const Shape& shape, Random& random) {
  Tensor logits(shape);
  for (float& x : logits.values()) x = static_cast<float>(pick(random, -2000, 2000)) / 1000.f;
  return softmax_of(logits);
}

// sum over all j of exp(-|f_i - f_j|^2 / 2) v_j, in double.
std::vector<double> all_pairs(const std::vector<float>& features, int d, const std::vector<double>& values) {
  const std::size_t n = values.size(), dims = static_cast<std::size_t>(d);
  std::vector<double> out(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double distance = 0;
      for (std::size_t k = 0; k < dims; ++k) {
        const double apart =
            static_cast<double>(features[k * n + i]) - static_cast<double>(features[k * n + j]);
        distance += apart * apart;
      }
      out[i] += std::exp(-distance / 2) * values[j];
    }
  return out;
}

Tensor q_of(const Image& photo, const Tensor& probabilities, const CrfOptions& options) {
  Tensor q(probabilities.shape());
  std::ranges::copy(probabilities.values(), q.data());
  dense_crf(photo, q.view(), options);
  return q;
}

}  // namespace

TEST_CASE("dense CRF: Q is what the authors' code gives after 1, 5 and 10 iterations") {
  if (!std::filesystem::is_directory(data_folder)) {
    std::puts("skipped: ../shared/data is absent");
    return;
  }
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder)) {
    const std::string folder = entry.path().string();
    CAPTURE(folder);
    const Image photo = read_image(read_file(folder + "/image.png", 1 << 24), "image.png");
    const Tensor probabilities = softmax_of(read_map(folder + "/logits.npy"));
    for (const Parameters& set : sets)
      for (const int iterations : {1, 5, 10}) {
        CAPTURE(set.name);
        CAPTURE(iterations);
        const Tensor expected =
            read_map(folder + "/q_" + set.name + "_" + std::to_string(iterations) + ".npy");
        CrfOptions options = set.options;
        options.parameters.iterations = iterations;
        const bool fours = photo.width * photo.height % 4 == 0;
        const double apart = most_apart(q_of(photo, probabilities, options), expected);
        CHECK(apart <= (fours ? 5e-6 : 2e-4));
        options.in_fours = true;
        const double as_they = most_apart(q_of(photo, probabilities, options), expected);
        CHECK(as_they <= 5e-6);
        ++compared;
      }
  }
  CHECK(compared >= 24);
}

TEST_CASE("the permutohedral lattice is near the sum over all pairs") {
  Random random(3);
  const Image photo = drawn_photo(24, 18, random);
  for (const int d : {2, 5}) {
    CAPTURE(d);
    std::vector<float> features;
    for (int i = 0; i < d; ++i)
      for (int y = 0; y < photo.height; ++y)
        for (int x = 0; x < photo.width; ++x)
          features.push_back(i == 0   ? static_cast<float>(x) / 4.f
                             : i == 1 ? static_cast<float>(y) / 4.f
                                      : static_cast<float>(photo.row(y)[x * 3 + i - 2]) / 20.f);
    const std::size_t n = features.size() / static_cast<std::size_t>(d);
    const PermutohedralLattice lattice(features, d, {}, supported_isas().front(), 1);
    const std::vector<float> ones = lattice.ones(1);
    const std::vector<double> exact = all_pairs(features, d, std::vector<double>(n, 1.));
    // Normalised, as a CRF takes it: a constant apart does not matter. The lattice's kernel is piecewise
    // linear, some percent off (figure 6 of the paper); its worst pixels lie at the edge.
    double scale = 0, apart = 0;
    for (std::size_t i = 0; i < n; ++i)
      scale += static_cast<double>(ones[i]) / exact[i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
      apart += std::abs(static_cast<double>(ones[i]) / exact[i] / scale - 1) / static_cast<double>(n);
    MESSAGE(d, " dimensions: scale ", scale, ", mean deviation ", apart);
    CHECK(scale > 0.5);
    CHECK(scale < 1.3);
    CHECK(apart < 0.1);
  }
}

TEST_CASE("dense CRF: any number of threads gives the same bits, and instruction sets differ by rounding") {
  Random random(5);
  const Image photo = drawn_photo(61, 47, random);
  for (const std::int64_t classes : {2, 3, 8, 21, 40}) {
    CAPTURE(classes);
    const Tensor p = drawn_probabilities({1, 47, 61, classes}, random);
    CrfOptions options{.parameters = {.iterations = 3}};
    options.threads = 1;
    const Tensor first = q_of(photo, p, options);
    for (const Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      options.isa = isa;
      options.threads = 1;
      const Tensor one = q_of(photo, p, options);
      CHECK(most_apart(one, first) <= 5e-6);
      for (const int threads : {2, 3}) {
        options.threads = threads;
        CHECK(most_apart(q_of(photo, p, options), one) == 0);
      }
    }
  }
}

TEST_CASE(
    "dense CRF: a Gaussian kernel of few pixels, taken tile by tile, gives the bits of one lattice of all") {
  Random random(31);
  const Image photo = drawn_photo(300, 141, random);
  const std::int64_t pixels = 300 * 141, classes = 3, stride = crf_lanes;
  const Tensor p = drawn_probabilities({1, 141, 300, classes}, random);
  for (const float xy : {0.3f, 1.f, 1.4f}) {
    CAPTURE(xy);
    std::vector<float> features(static_cast<std::size_t>(2 * pixels));
    for (std::int64_t i = 0; i < pixels; ++i) {
      features[static_cast<std::size_t>(i)] = static_cast<float>(i % 300) / xy;
      features[static_cast<std::size_t>(pixels + i)] = static_cast<float>(i / 300) / xy;
    }
    const Isa isa = supported_isas().front();
    const CrfRows rows = crf_rows(isa);
    PermutohedralLattice lattice(features, 2, {}, isa, 1);
    std::vector<float> n = lattice.ones(1);
    for (float& x : n) x = 1.f / std::sqrt(x + 1e-20f);
    lattice.scale(n, n, 1);
    Tensor logarithms(p.shape()), expected(p.shape());
    std::ranges::copy(p.values(), logarithms.data());
    rows.logarithms(logarithms.data(), pixels * classes);
    const CrfEvidence evidence{logarithms.data(), logarithms.data() + pixels * classes, classes, classes};
    std::vector<float> q(static_cast<std::size_t>(pixels * stride)), room(4 * crf_lanes);
    std::vector<float> vertices(static_cast<std::size_t>(lattice.vertices() * stride));
    rows.update(evidence, {}, stride, {0, pixels, 0, pixels}, q.data(), room.data());
    for (int i = 0; i < 2; ++i) {
      lattice.spread(q.data(), stride, vertices.data(), 1);
      CrfMessage message = lattice.message(vertices.data());
      message.scale = 3;
      rows.update(evidence, {&message, 1}, stride, {0, pixels, 0, pixels}, q.data(), room.data());
    }
    for (std::int64_t i = 0; i < pixels; ++i)
      std::copy_n(&q[static_cast<std::size_t>(i * stride)], classes, expected.data() + i * classes);
    CrfOptions options{.parameters = {.iterations = 2, .gaussian = {3, xy}, .bilateral = {0, 67, 3}}};
    for (const int threads : {1, 2}) {
      options.threads = threads;
      CHECK(most_apart(q_of(photo, p, options), expected) == 0);
    }
  }
}

TEST_CASE("dense CRF: without iterations or weights Q is what came in, clipped") {
  Random random(7);
  const Image photo = drawn_photo(9, 7, random);
  const Tensor p = drawn_probabilities({1, 7, 9, 4}, random);
  CrfOptions options{.parameters = {.iterations = 0}};
  CHECK(most_apart(q_of(photo, p, options), p) <= 1e-6);
  options.parameters = {.iterations = 4, .gaussian = {0, 1}, .bilateral = {0, 67, 3}};
  CHECK(most_apart(q_of(photo, p, options), p) <= 1e-6);
}

TEST_CASE("dense CRF: Potts' model is the diagonal and the matrix of as many equal costs") {
  Random random(11);
  const Image photo = drawn_photo(20, 16, random);
  const Tensor p = drawn_probabilities({1, 16, 20, 5}, random);
  CrfOptions options{.parameters = {.iterations = 4, .gaussian = {3, 2}, .bilateral = {3, 30, 20}}};
  const Tensor potts = q_of(photo, p, options);
  options.compatibility.assign(5, -3.f);
  CHECK(most_apart(q_of(photo, p, options), potts) <= 1e-6);
  options.compatibility.assign(25, 0.f);
  for (std::size_t i = 0; i < 5; ++i) options.compatibility[i * 6] = -3.f;
  CHECK(most_apart(q_of(photo, p, options), potts) <= 1e-6);
  // The symmetric part counts.
  options.compatibility[1] = 1.f, options.compatibility[5] = -1.f;
  CHECK(most_apart(q_of(photo, p, options), potts) <= 1e-6);
}

TEST_CASE("dense CRF: logits are what their softmax is") {
  Random random(17);
  const Image photo = drawn_photo(23, 19, random);
  Tensor logits({1, 19, 23, 5});
  for (float& x : logits.values()) x = static_cast<float>(pick(random, -9000, 9000)) / 1000.f;
  const CrfOptions options{.parameters = {.iterations = 3}};
  CrfOptions from_logits = options;
  from_logits.logits = true;
  CHECK(most_apart(q_of(photo, logits, from_logits), q_of(photo, softmax_of(logits), options)) <= 2e-6);
}

TEST_CASE("dense CRF: a view with gaps between pixels is sharpened in place, and the gaps stay") {
  Random random(19);
  const Image photo = drawn_photo(13, 11, random);
  const Tensor p = drawn_probabilities({1, 11, 13, 3}, random);
  const CrfOptions options{.parameters = {.iterations = 2}};
  const Tensor expected = q_of(photo, p, options);
  Tensor wide({1, 11, 13, 5});
  for (std::int64_t i = 0; i < 11 * 13; ++i)
    for (std::int64_t c = 0; c < 5; ++c) wide.data()[5 * i + c] = c < 3 ? p.data()[3 * i + c] : 7.f;
  dense_crf(photo, {wide.data(), {1, 11, 13, 3}, 5}, options);
  for (std::int64_t i = 0; i < 11 * 13; ++i)
    for (std::int64_t c = 0; c < 5; ++c)
      CHECK(wide.data()[5 * i + c] == (c < 3 ? expected.data()[3 * i + c] : 7.f));
}

// Where kernels are so narrow that no pixel hears of another, each hears itself: K is the identity, and
// Q = softmax(log p + (sum of weights) Q) again and again. The lattice's keys then take more than 64 bits.
TEST_CASE("dense CRF: pixels that are alone hear themselves") {
  Random random(23);
  const Image photo = drawn_photo(40, 30, random);
  const Tensor p = drawn_probabilities({1, 30, 40, 3}, random);
  const CrfOptions options{
      .parameters = {.iterations = 4, .gaussian = {0.5f, 0.02f}, .bilateral = {0.75f, 0.02f, 0.02f}}};
  const Tensor q = q_of(photo, p, options);
  double apart = 0;
  for (std::int64_t i = 0; i < 30 * 40; ++i) {
    double here[3], u[3];
    for (int c = 0; c < 3; ++c) here[c] = u[c] = static_cast<double>(p.data()[3 * i + c]);
    for (int iteration = 0; iteration < 4; ++iteration) {
      double sum = 0;
      for (int c = 0; c < 3; ++c) sum += here[c] = u[c] * std::exp(1.25 * here[c]);
      for (double& x : here) x /= sum;
    }
    for (int c = 0; c < 3; ++c)
      apart = std::max(apart, std::abs(here[c] - static_cast<double>(q.data()[3 * i + c])));
  }
  CHECK(apart <= 2e-6);
}

TEST_CASE("dense CRF: no more memory than there may be, and the probabilities are then as they were") {
  Random random(29);
  const Image photo = drawn_photo(64, 48, random);
  const Tensor p = drawn_probabilities({1, 48, 64, 3}, random);
  Tensor q(p.shape());
  std::ranges::copy(p.values(), q.data());
  CrfOptions options{.memory_limit = 1000};
  const std::string none = error_of(ErrorCode::limit, [&] { dense_crf(photo, q.view(), options); });
  CHECK(contains(none, "a CRF of 64x48 pixels and 3 classes takes more than "));
  CHECK(contains(none, " bytes, the limit is 1000"));
  options.memory_limit = dense_crf_bytes(48 * 64, 3) / 2;
  CHECK(contains(error_of(ErrorCode::limit, [&] { dense_crf(photo, q.view(), options); }), "vertices"));
  CHECK(most_apart(q, p) == 0);
  options.memory_limit = 16 * dense_crf_bytes(48 * 64, 3);
  dense_crf(photo, q.view(), options);
  CHECK(most_apart(q, q_of(photo, p, {})) == 0);
}

TEST_CASE("dense CRF: what cannot be is refused") {
  Random random(13);
  const Image photo = drawn_photo(6, 5, random);
  const Tensor p = drawn_probabilities({1, 5, 6, 3}, random);
  const auto refusal = [&](const Image& of, const Tensor& from, const CrfOptions& options) {
    return error_of(ErrorCode::invalid_argument, [&] { q_of(of, from, options); });
  };
  CHECK(contains(refusal(drawn_photo(5, 6, random), p, {}), "photo of 6x5"));
  CHECK(contains(refusal(photo, drawn_probabilities({1, 5, 6, 1}, random), {}), "two classes"));
  CHECK(contains(refusal(photo, p, {.compatibility = {1, 2}}), "2 numbers for 3 classes"));
  CHECK(contains(refusal(photo, p, {.parameters = {.iterations = -1}}), "-1 iterations"));
  CHECK(contains(refusal(photo, p, {.parameters = {.gaussian = {3, 0}}}), "standard deviation of 0"));
  CHECK(
      contains(refusal(photo, p, {.parameters = {.bilateral = {std::nanf(""), 67, 3}}}), "a finite number"));
  Tensor broken = drawn_probabilities({1, 5, 6, 3}, random);
  broken.values()[4] = std::nanf("");
  CHECK(contains(refusal(photo, broken, {}), "class 1 at pixel 1"));
}

}  // namespace atrous::dense_crf_test
