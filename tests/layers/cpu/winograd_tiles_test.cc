// Winograd along one axis: what the schemes compute, and how tiles cover a map.
#include <doctest/doctest.h>

#include <functional>

#include "layers/cpu/conv/winograd_tiles.h"
#include "layers/cpu/tiles/winograd_transform.h"
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

// What a scheme makes of its inputs: A ((G w) * (B x)), where several points may have the same of G w.
std::vector<double> filtered(Scheme scheme, const std::vector<double>& w, const std::vector<double>& x) {
  std::vector<double> y;
  for_each_scheme([&](auto constant) {
    if (constant() != scheme) return;
    const auto& m = matrices<constant()>;
    const std::vector<double> weights = product(m.filter, w);
    std::vector<double> points = product(m.input, x);
    for (std::size_t p = 0; p < points.size(); ++p)
      points[p] *= weights.at(static_cast<std::size_t>(info(scheme).filter_of(static_cast<int>(p))));
    y = product(m.output, points);
  });
  return y;
}

}  // namespace

namespace {

// Which of a scheme's inputs a tap of an output is multiplied by; one that it does not have is padding.
int input_under(Scheme s, int output, int tap) {
  if (for_stride_two(s)) return 2 * output + tap;
  if (!for_doubled_maps(s)) return output + tap - info(s).first_input;
  // Pixel 2 i and pixel 2 i + 1 of the doubled map are input i. All tiles but the first begin with an odd
  // one.
  const int first = s == Scheme::db ? 0 : 1, pixel = first + output + tap - 1;
  return pixel < 0 ? -1 : pixel / 2;
}

}  // namespace

TEST_CASE("every scheme computes the sum over three taps, with zeros where it has no inputs") {
  Random random(1);
  for_each_scheme([&](auto constant) {
    constexpr Scheme scheme = constant();
    CAPTURE(static_cast<int>(scheme));
    constexpr auto s = info(scheme);
    for (int round = 0; round < 100; ++round) {
      const auto w = uniform(random, 3), x = uniform(random, s.inputs);
      const auto y = filtered(scheme, w, x);
      REQUIRE(y.size() == static_cast<std::size_t>(s.outputs));
      for (int i = 0; i < s.outputs; ++i) {
        double expected = 0;
        for (int k = 0; k < 3; ++k) {
          const int at = input_under(scheme, i, k);
          if (at >= 0 && at < s.inputs)
            expected += w[static_cast<std::size_t>(k)] * x[static_cast<std::size_t>(at)];
        }
        CHECK(std::abs(y[static_cast<std::size_t>(i)] - expected) < 1e-12);
      }
    }
  });
}

TEST_CASE("only the schemes for the rims of a map have outputs with taps beside their inputs") {
  for_each_scheme([&](auto constant) {
    constexpr Scheme scheme = constant();
    CAPTURE(static_cast<int>(scheme));
    constexpr auto s = info(scheme);
    int beside = 0;
    std::vector<int> read(static_cast<std::size_t>(s.inputs));
    for (int i = 0; i < s.outputs; ++i)
      for (int k = 0; k < 3; ++k) {
        const int at = input_under(scheme, i, k);
        if (at < 0 || at >= s.inputs)
          ++beside;
        else
          ++read[static_cast<std::size_t>(at)];
      }
    CHECK(beside == (for_whole_maps(scheme) ? 2 : scheme == Scheme::db || scheme == Scheme::de ? 1 : 0));
    CHECK(std::ranges::count(read, 0) == 0);
  });
}

TEST_CASE("a scheme takes as many products as its kind of map needs, some with the same weights") {
  int next_filter = 0, schemes = 0;
  for_each_scheme([&](auto constant) {
    constexpr Scheme scheme = constant();
    CAPTURE(static_cast<int>(scheme));
    constexpr auto s = info(scheme);
    const auto& m = matrices<scheme>;
    CHECK(m.filter.rows == s.filters());
    CHECK(m.filter.columns == 3);
    CHECK(m.input.rows == s.points);
    CHECK(m.input.columns == s.inputs);
    CHECK(m.output.rows == s.outputs);
    CHECK(m.output.columns == s.points);
    CHECK(s.points <= winograd::most_points);
    CHECK(s.outputs <= winograd::most_outputs);
    CHECK(s.inputs <= winograd::most_inputs);
    if (for_whole_maps(scheme)) {
      CHECK(s.inputs == s.outputs);
      CHECK(s.points == (s.outputs == 1 ? 1 : s.outputs + 1));
      CHECK(s.filters() == s.points);
    } else if (scheme == Scheme::db || scheme == Scheme::de) {
      CHECK(s.outputs == 1);
      CHECK(s.inputs == 1);
      CHECK(s.points == (scheme == Scheme::db ? 1 : 2));
      CHECK(s.filters() == s.points);
    } else if (for_doubled_maps(scheme)) {
      CHECK(s.outputs == 2 * (s.inputs - 1));
      CHECK(s.points == s.outputs + 1);
      CHECK(s.filters() == s.outputs / 2 + 2);
    } else if (for_stride_two(scheme)) {
      CHECK(s.inputs == 2 * s.outputs + 1);
      CHECK(s.points == s.inputs);
      CHECK(s.filters() == s.outputs + 2);
    } else {
      CHECK(s.inputs == s.outputs + 2);
      CHECK(s.points == s.outputs + 2);
      CHECK(s.filters() == s.points);
    }
    next_filter = std::max(next_filter, s.first_filter + s.filters());
    ++schemes;
  });
  CHECK(next_filter == winograd::filter_count);
  CHECK(schemes == winograd::scheme_count);
  CHECK(info(Scheme::d3).outputs == 6);
  CHECK(info(Scheme::s3).outputs == 3);
}

TEST_CASE("the points of a scheme with the same weights are counted, and every one of the weights has some") {
  for_each_scheme([&](auto constant) {
    constexpr auto s = info(constant());
    CAPTURE(static_cast<int>(constant()));
    std::vector<int> uses(static_cast<std::size_t>(s.filters()));
    for (int p = 0; p < s.points; ++p) {
      REQUIRE(s.filter_of(p) < s.filters());
      CHECK(s.use_of(p) == uses[static_cast<std::size_t>(s.filter_of(p))]++);
    }
    CHECK(uses[0] == s.repeats);
    CHECK(std::count(uses.begin() + 1, uses.end(), 1) == s.filters() - 1);
  });
}

TEST_CASE("schemes of one family share the transformed weights, of which each has consecutive ones") {
  for_each_scheme([&](auto one) {
    for_each_scheme([&](auto other) {
      constexpr auto a = info(one()), b = info(other());
      CAPTURE(static_cast<int>(one()));
      CAPTURE(static_cast<int>(other()));
      const int first = std::max(a.first_filter, b.first_filter),
                last = std::min(a.first_filter + a.filters(), b.first_filter + b.filters());
      if (a.family != b.family) CHECK(first >= last);
      for (int f = first; f < last; ++f)
        for (int k = 0; k < 3; ++k)
          CHECK(matrices<one()>.filter.at[f - a.first_filter][k] ==
                matrices<other()>.filter.at[f - b.first_filter][k]);
    });
  });
}

TEST_CASE("a row of G is found by its number in the scheme's family") {
  for_each_scheme([&](auto scheme) {
    constexpr auto s = info(scheme());
    CAPTURE(static_cast<int>(scheme()));
    for (int f = 0; f < s.filters(); ++f) {
      const auto row = winograd::filter_row(scheme(), s.first_filter - s.family + f);
      for (int k = 0; k < 3; ++k)
        CHECK(row[static_cast<std::size_t>(k)] == static_cast<float>(matrices<scheme()>.filter.at[f][k]));
    }
  });
}

TEST_CASE("the constants for doubled maps and for stride 2 are halves and whole numbers of at most 1") {
  const auto small = [](const auto& m) {
    for (int r = 0; r < m.rows; ++r)
      for (int c = 0; c < m.columns; ++c)
        if (std::abs(m.at[r][c]) > 1 || std::floor(2 * m.at[r][c]) != 2 * m.at[r][c]) return false;
    return true;
  };
  for_each_scheme([&](auto scheme) {
    if (!for_doubled_maps(scheme()) && !for_stride_two(scheme())) return;
    CAPTURE(static_cast<int>(scheme()));
    CHECK(small(matrices<scheme()>.filter));
    CHECK(small(matrices<scheme()>.input));
    CHECK(small(matrices<scheme()>.output));
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
  int filters = 0;
  std::vector<int> families;
  for (Scheme s : axis.schemes) {
    if (axis.first_filter(s) != filters) return "weights that do not follow one another";
    families.push_back(info(s).family);
    for (int f = 0; f < info(s).filters(); ++f, ++filters)
      if (filters >= axis.filter_count() ||
          axis.filters[static_cast<std::size_t>(filters)] !=
              winograd::filter_row(s, info(s).first_filter - info(s).family + f))
        return "not the rows of G of the schemes";
    if (std::ranges::none_of(axis.tiles,
                             [&](const AxisTile& t) { return info(t.scheme).family == info(s).family; }))
      return "a family that no tile uses";
  }
  if (filters != axis.filter_count()) return "not as many weights as the schemes have";
  std::ranges::sort(families);
  if (std::ranges::adjacent_find(families) != families.end()) return "two schemes of one family";

  for (int f = 0; f < axis.filter_count(); ++f)
    if (axis.rank(f, 0) != 0) return "a first tile that has points before it";
  for (std::size_t i = 0; i < axis.tiles.size(); ++i) {
    const Scheme scheme = axis.tiles[i].scheme;
    const auto s = info(scheme);
    const int first = axis.first_filter(scheme);
    if (first + s.filters() > axis.filter_count()) return "a tile with more weights than the axis";
    for (int f = 0; f < s.filters(); ++f)
      if (axis.filters[static_cast<std::size_t>(first + f)] !=
          winograd::filter_row(scheme, s.first_filter - s.family + f))
        return "a tile with weights of another scheme";
    std::vector<std::int64_t> points(static_cast<std::size_t>(axis.filter_count()));
    for (int p = 0; p < s.points; ++p) ++points[static_cast<std::size_t>(first + s.filter_of(p))];
    products += s.points;
    for (int f = 0; f < axis.filter_count(); ++f) {
      const auto at = static_cast<std::int64_t>(i);
      if (axis.rank(f, at + 1) - axis.rank(f, at) != points[static_cast<std::size_t>(f)])
        return "a rank that does not count the points before";
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

TEST_CASE("an axis counts its weights, its products and the points before each tile") {
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

namespace {

// An axis of one of the schemes for other maps, and which of x the tap k of output y reads.
struct OtherAxis {
  std::string name;
  std::int64_t images, size, input_size;
  Axis axis;
  std::function<std::int64_t(std::int64_t y, std::int64_t k)> input_of_tap;  // outside x: padding
};

// Of all sizes from 1 to 40 and of one image and of three.
void for_each_other_axis(const std::function<void(const OtherAxis&)>& f) {
  for (std::int64_t images : {1, 3})
    for (std::int64_t size = 1; size <= 40; ++size) {
      f({str_cat("doubled, ", size, " pixels, ", images, " images"), images, 2 * size, size,
         winograd::cover_doubled(images, 2 * size), [](std::int64_t y, std::int64_t k) {
           const std::int64_t pixel = y + k - 1;
           return pixel < 0 ? -1 : pixel / 2;
         }});
      for (std::int64_t padding = 0; padding <= 4; ++padding)
        for (std::int64_t input_size : {2 * size + 1 - 2 * padding, 2 * size + 2 - 2 * padding})
          if (input_size >= 1)
            f({str_cat("stride 2, ", size, " outputs of ", input_size, ", padding ", padding, ", ", images,
                       " images"),
               images, size, input_size, winograd::cover_strided(images, size, padding),
               [padding](std::int64_t y, std::int64_t k) { return 2 * y + k - padding; }});
    }
}

}  // namespace

TEST_CASE("tiles of doubled maps and of stride 2 cover every output once and together compute it") {
  Random random(5);
  for_each_other_axis([&](const OtherAxis& p) {
    CAPTURE(p.name);
    const auto w = uniform(random, 3), x = uniform(random, p.images * p.input_size);
    const auto input = [&](std::int64_t image, std::int64_t at) {
      return at >= 0 && at < p.input_size ? x[static_cast<std::size_t>(image * p.input_size + at)] : 0.0;
    };
    std::vector<int> covered(static_cast<std::size_t>(p.images * p.size));
    double worst = 0;
    for (const AxisTile& t : p.axis.tiles) {
      REQUIRE(t.image >= 0);
      REQUIRE(t.image < p.images);
      REQUIRE(t.outputs == info(t.scheme).outputs);
      REQUIRE(t.first_output >= 0);
      REQUIRE(t.first_output + t.outputs <= p.size);
      std::vector<double> inputs;
      for (int i = 0; i < info(t.scheme).inputs; ++i) inputs.push_back(input(t.image, t.first_input + i));
      const auto y = filtered(t.scheme, w, inputs);
      for (std::int64_t i = 0; i < t.outputs; ++i) {
        const std::int64_t at = t.first_output + i;
        ++covered[static_cast<std::size_t>(t.image * p.size + at)];
        double expected = 0;
        for (std::int64_t k = 0; k < 3; ++k)
          expected += w[static_cast<std::size_t>(k)] * input(t.image, p.input_of_tap(at, k));
        worst = std::max(worst, std::abs(y[static_cast<std::size_t>(i)] - expected));
      }
    }
    CHECK(worst < 1e-12);
    CHECK(std::ranges::count(covered, 1) == std::ssize(covered));
  });
}

TEST_CASE("axes of doubled maps and of stride 2 count their weights, products and points") {
  for_each_other_axis([](const OtherAxis& p) {
    const std::string wrong = miscount(p.axis);
    CHECK_MESSAGE(wrong.empty(), str_cat(p.name, ": ", wrong));
    CHECK(p.axis.schemes.size() == 1);
    CHECK(std::ssize(p.axis.tiles) % p.images == 0);
  });
}

TEST_CASE("axes of doubled maps and of stride 2 take tiles of three pixels, and of one what is left") {
  for (std::int64_t images : {1, 3})
    for (std::int64_t size = 1; size <= 40; ++size) {
      CAPTURE(size);
      const auto tiles = [](std::int64_t pixels) { return pixels / 3 + pixels % 3; };
      // The first output takes one product, the last one two, and those between them one each and one a tile.
      CHECK(winograd::cover_doubled(images, 2 * size).products ==
            images * (3 + 2 * (size - 1) + tiles(size - 1)));
      CHECK(winograd::cover_strided(images, size, 1).products == images * (2 * size + tiles(size)));
    }
}

}  // namespace atrous::winograd_tiles_test
