// Winograd along one axis: what the schemes compute, and how tiles cover a map.
#include <doctest/doctest.h>

#include <functional>

#include "layers/cpu/conv/winograd_tiles.h"
#include "tests/support/layers_testing.h"
#include "tests/support/winograd_testing.h"

namespace atrous::winograd_tiles_test {

using winograd::Axis;
using winograd::AxisTile;
using winograd::info;
using winograd::matrices;
using winograd::Scheme;

namespace {

constexpr int tile_sizes[] = {2, 3, 4, 6};
double uniform(Random& random) {
  return static_cast<double>(pick(random, -(1 << 30), 1 << 30)) / static_cast<double>(1 << 30);
}

std::vector<double> uniform(Random& random, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(uniform(random));
  return values;
}

// matrix * x
template <class M>
std::vector<double> product(const M& m, const std::vector<double>& x) {
  std::vector<double> y(static_cast<std::size_t>(M::rows));
  for (int r = 0; r < M::rows; ++r)
    for (int c = 0; c < M::columns; ++c)
      y[static_cast<std::size_t>(r)] += m.at[r][c] * x.at(static_cast<std::size_t>(c));
  return y;
}

// What a scheme makes of its inputs: A ((G w) * (B x)).
std::vector<double> filtered(Scheme scheme, const std::vector<double>& w, const std::vector<double>& x) {
  std::vector<double> y;
  for_each_scheme([&](auto constant) {
    if (constant() != scheme) return;
    const auto& m = matrices<constant()>;
    std::vector<double> points = product(m.filter, w);
    const std::vector<double> inputs = product(m.input, x);
    for (std::size_t p = 0; p < points.size(); ++p) points[p] *= inputs[p];
    y = product(m.output, points);
  });
  return y;
}

}  // namespace

TEST_CASE("every scheme computes the sum over three taps, those for whole maps with zeros around them") {
  Random random(1);
  for (Scheme scheme : all_schemes) {
    CAPTURE(static_cast<int>(scheme));
    const auto [outputs, inputs, points, first_point, first_input] = info(scheme);
    for (int round = 0; round < 100; ++round) {
      const auto w = uniform(random, 3), x = uniform(random, inputs);
      const auto y = filtered(scheme, w, x);
      REQUIRE(y.size() == static_cast<std::size_t>(outputs));
      for (int i = 0; i < outputs; ++i) {
        double expected = 0;
        for (int k = 0; k < 3; ++k) {
          const int at = i + k - first_input;
          if (at >= 0 && at < inputs)
            expected += w[static_cast<std::size_t>(k)] * x[static_cast<std::size_t>(at)];
        }
        CHECK(std::abs(y[static_cast<std::size_t>(i)] - expected) < 1e-12);
      }
    }
  }
}

TEST_CASE("a scheme of m outputs takes m + 2 products, those for whole maps one, three and four") {
  int next_point = 0;
  for_each_scheme([&](auto scheme) {
    CAPTURE(static_cast<int>(scheme()));
    constexpr auto s = info(scheme());
    const auto& m = matrices<scheme()>;
    CHECK(m.filter.rows == s.points);
    CHECK(m.filter.columns == 3);
    CHECK(m.input.rows == s.points);
    CHECK(m.input.columns == s.inputs);
    CHECK(m.output.rows == s.outputs);
    CHECK(m.output.columns == s.points);
    CHECK(s.points <= winograd::most_points);
    CHECK(s.outputs <= winograd::most_outputs);
    if (for_whole_maps(scheme())) {
      CHECK(s.inputs == s.outputs);
      CHECK(s.points == (s.outputs == 1 ? 1 : s.outputs + 1));
    } else {
      CHECK(s.inputs == s.outputs + 2);
      CHECK(s.points == s.outputs + 2);
    }
    next_point = std::max(next_point, s.first_point + s.points);
  });
  CHECK(next_point == winograd::point_count);
}

TEST_CASE("schemes of one family share the transformed weights, those with fewer points the first of them") {
  for_each_scheme([&](auto small) {
    for_each_scheme([&](auto large) {
      constexpr auto s = info(small()), l = info(large());
      if (s.first_point != l.first_point || s.points > l.points) return;
      CAPTURE(static_cast<int>(small()));
      CAPTURE(static_cast<int>(large()));
      for (int p = 0; p < s.points; ++p)
        for (int k = 0; k < 3; ++k)
          CHECK(matrices<small()>.filter.at[p][k] == matrices<large()>.filter.at[p][k]);
    });
  });
}

namespace {

// matrix * x by way of the halves.
template <class M>
std::vector<double> by_halves(const M& m, const std::vector<double>& x) {
  const auto h = winograd::halve_rows(m);
  std::vector<double> y = product(h.matrix, x);
  for (std::size_t r = 0; r < y.size(); ++r)
    if (r + 1 < y.size() && h.pair[r]) {
      const double even = y[r], odd = y[r + 1];
      y[r] = even + odd, y[r + 1] = even - odd;
    }
  return y;
}

// matrix * x by way of the halves of its transpose.
template <class M>
std::vector<double> by_halved_columns(const M& m, std::vector<double> x) {
  const auto h = winograd::halve_rows(transposed(m));
  for (std::size_t r = 0; r < x.size(); ++r)
    if (r + 1 < x.size() && h.pair[r]) {
      const double sum = x[r] + x[r + 1], difference = x[r] - x[r + 1];
      x[r] = sum, x[r + 1] = difference;
    }
  return product(transposed(h.matrix), x);
}

template <class M>
int pairs(const M& m) {
  const auto h = winograd::halve_rows(m);
  return static_cast<int>(std::ranges::count(h.pair, true));
}

bool close(const std::vector<double>& a, const std::vector<double>& b, double bound) {
  return std::ranges::equal(a, b, [&](double x, double y) { return std::abs(x - y) <= bound; });
}

}  // namespace

TEST_CASE("halving rows changes how a transform is computed, not what") {
  Random random(2);
  for_each_scheme([&](auto scheme) {
    CAPTURE(static_cast<int>(scheme()));
    const auto& m = matrices<scheme()>;
    for (int round = 0; round < 20; ++round) {
      const auto w = uniform(random, 3), x = uniform(random, m.input.columns),
                 products = uniform(random, m.output.columns);
      CHECK(close(by_halves(m.filter, w), product(m.filter, w), 1e-13));
      CHECK(close(by_halves(m.input, x), product(m.input, x), 1e-13));
      CHECK(close(by_halved_columns(m.output, products), product(m.output, products), 1e-12));
    }
  });
}

TEST_CASE("the points 1 and -1, 2 and -2, 1/2 and -1/2 are computed by halves") {
  const auto& f6 = matrices<Scheme::f6>;
  CHECK(pairs(f6.filter) == 3);
  CHECK(pairs(f6.input) == 3);
  CHECK(pairs(transposed(f6.output)) == 3);
  CHECK(pairs(matrices<Scheme::z1>.input) == 0);
}

namespace {

struct AxisProblem {
  std::int64_t images, size, input_size, padding, dilation;
  int largest_tile;
};

std::ostream& operator<<(std::ostream& out, const AxisProblem& p) {
  return out << "AxisProblem{" << p.images << ", " << p.size << ", " << p.input_size << ", " << p.padding
             << ", " << p.dilation << ", " << p.largest_tile << "}";
}

Axis cover(const AxisProblem& p) {
  return winograd::cover(p.images, p.size, p.input_size, p.padding, p.dilation, p.largest_tile);
}

// Many axes; the output's size is what a kernel of three taps leaves of the padded input.
void for_each_axis(const std::function<void(const AxisProblem&)>& f) {
  for (int largest : tile_sizes)
    for (std::int64_t dilation : {1, 2, 3, 4, 6, 12, 24, 36})
      for (std::int64_t padding :
           {std::int64_t{0}, dilation - 1, dilation, dilation + 1, 2 * dilation, 3 * dilation + 5})
        for (std::int64_t input_size : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 19, 20, 25, 26, 33, 73}) {
          const std::int64_t size = input_size + 2 * (padding - dilation);
          if (size < 1) continue;
          for (std::int64_t images : {1, 3}) f({images, size, input_size, padding, dilation, largest});
        }
}

// Whether all taps of a tile's outputs but those that the scheme reads lie in the padding.
bool surrounded_by_padding(const AxisProblem& p, const AxisTile& t) {
  const std::int64_t first_tap = t.first_output - p.padding,
                     last_tap = first_tap + (t.outputs + 1) * p.dilation;
  return first_tap < 0 && last_tap >= p.input_size;
}

// "" if the tiles cover the axis and read what they must.
std::string fault(const AxisProblem& p, const Axis& axis) {
  std::vector<int> covered(static_cast<std::size_t>(p.images * p.size));
  for (const AxisTile& t : axis.tiles) {
    const auto s = info(t.scheme);
    if (t.image < 0 || t.image >= p.images) return "a tile of no image";
    if (t.outputs < 1 || t.outputs > s.outputs) return "more outputs than the scheme has";
    for (std::int64_t i = 0; i < t.outputs; ++i) {
      const std::int64_t y = t.first_output + i * p.dilation;
      if (y < 0 || y >= p.size) return str_cat("output ", y, " does not exist");
      ++covered[static_cast<std::size_t>(t.image * p.size + y)];
    }
    if (t.first_input != t.first_output - p.padding + s.first_input * p.dilation)
      return "inputs that are not under the outputs' taps";
    if (for_whole_maps(t.scheme)) {
      if (t.outputs != s.outputs) return "a whole map of fewer outputs than the scheme has";
      if (!surrounded_by_padding(p, t)) return "a scheme for whole maps reads pixels around it";
    } else {
      if (s.outputs > p.largest_tile) return "a tile larger than the largest";
      const std::int64_t after = t.first_output + t.outputs * p.dilation;
      const bool alone = t.first_output < p.dilation && after >= p.size;
      if (t.outputs < s.outputs && t.scheme != Scheme::f2) return "a tile larger than its outputs";
      if (t.outputs == 1 && !alone && p.largest_tile > 2) return "a rim of one output";
      if (alone && t.outputs <= 3 && surrounded_by_padding(p, t)) return "a whole map not taken as one";
    }
  }
  if (std::ranges::any_of(covered, [](int times) { return times != 1; }))
    return "an output that is not covered once";
  return "";
}

// "" if the numbers that go with the tiles are right.
std::string miscount(const Axis& axis) {
  std::int64_t products = 0;
  int points = 0;
  std::vector<int> families;
  for (Scheme s : axis.schemes) {
    if (axis.first_point(s) != points) return "points that do not follow one another";
    families.push_back(info(s).first_point);
    points += info(s).points;
    if (std::ranges::none_of(axis.tiles, [&](const AxisTile& t) { return t.scheme == s; }))
      return "a scheme that no tile uses";
  }
  if (points != axis.points) return "not as many points as the schemes have";
  std::ranges::sort(families);
  if (std::ranges::adjacent_find(families) != families.end()) return "two schemes of one family";

  for (int p = 0; p < axis.points; ++p)
    if (axis.rank(p, 0) != 0) return "a first tile that has tiles before it";
  for (std::size_t i = 0; i < axis.tiles.size(); ++i) {
    const Scheme s = axis.tiles[i].scheme;
    const int first = axis.first_point(s), last = first + info(s).points;
    if (last > axis.points) return "a tile with more points than the axis";
    products += info(s).points;
    for (int p = 0; p < axis.points; ++p) {
      const auto at = static_cast<std::int64_t>(i);
      if (axis.rank(p, at + 1) - axis.rank(p, at) != (p >= first && p < last ? 1 : 0))
        return "a rank that does not count the tiles before";
    }
  }
  return products == axis.products ? "" : "products that are not the points of all tiles";
}

}  // namespace

TEST_CASE("tiles cover every output of an axis once and read the inputs under its taps") {
  for_each_axis([](const AxisProblem& p) {
    const std::string wrong = fault(p, cover(p));
    CHECK_MESSAGE(wrong.empty(), str_cat(p, ": ", wrong));
  });
}

TEST_CASE("an axis counts its points, its products and the tiles before each tile") {
  for_each_axis([](const AxisProblem& p) {
    const std::string wrong = miscount(cover(p));
    CHECK_MESSAGE(wrong.empty(), str_cat(p, ": ", wrong));
  });
}

TEST_CASE("the tiles of an axis together compute its convolution") {
  Random random(3);
  for_each_axis([&](const AxisProblem& p) {
    if (p.images > 1) return;
    const auto w = uniform(random, 3), x = uniform(random, p.input_size);
    const auto input = [&](std::int64_t at) {
      return at >= 0 && at < p.input_size ? x[static_cast<std::size_t>(at)] : 0.0;
    };
    double worst = 0;
    for (const AxisTile& t : cover(p).tiles) {
      std::vector<double> inputs;
      for (int i = 0; i < info(t.scheme).inputs; ++i) inputs.push_back(input(t.first_input + i * p.dilation));
      const auto y = filtered(t.scheme, w, inputs);
      for (std::int64_t i = 0; i < t.outputs; ++i) {
        double expected = 0;
        for (std::int64_t k = 0; k < 3; ++k)
          expected +=
              w[static_cast<std::size_t>(k)] * input(t.first_output - p.padding + (i + k) * p.dilation);
        worst = std::max(worst, std::abs(y[static_cast<std::size_t>(i)] - expected));
      }
    }
    CHECK_MESSAGE(worst < 1e-12, str_cat(p));
  });
}

TEST_CASE("every image of a batch is covered alike") {
  for_each_axis([](const AxisProblem& p) {
    if (p.images == 1) return;
    AxisProblem of_one = p;
    of_one.images = 1;
    const Axis one = cover(of_one), all = cover(p);
    REQUIRE(all.tiles.size() == static_cast<std::size_t>(p.images) * one.tiles.size());
    CHECK(all.schemes == one.schemes);
    bool alike = true;
    for (std::size_t i = 0; i < all.tiles.size(); ++i) {
      const AxisTile &a = all.tiles[i], &b = one.tiles[i % one.tiles.size()];
      alike = alike && a.image == static_cast<std::int64_t>(i / one.tiles.size()) && a.scheme == b.scheme &&
              a.first_input == b.first_input && a.first_output == b.first_output && a.outputs == b.outputs;
    }
    CHECK_MESSAGE(alike, str_cat(p));
  });
}

}  // namespace atrous::winograd_tiles_test
