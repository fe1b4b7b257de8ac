// Winograd's minimal filtering along one axis: m neighbouring outputs of a convolution with three taps from
// fewer than 3 m multiplications.
//
//   y[i] = sum over k of w[k] * x[i + k]        as        y = A ((G w) * (B x)),  * element by element
//
// G, B and A hold small constants, the same for all channels, so that on a map the three transforms cost
// little and the products, summed over channels, are matrix products. Applied along both axes, a tile of
// m x m outputs takes n * n products where the direct sum takes 9 * m * m:
//
//   tile     2x2   3x3   4x4   5x5   6x6
//   n * n     16    25    36    49    64
//   saved   2.25  3.24     4  4.59  5.06
//
// f2 .. f6 (Toom-Cook: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"). The
// coefficients of a product of polynomials, w of degree 2 and one of degree m - 1, are found from its values
// at n = m + 2 points; filtering is the transpose of that. Every scheme uses the first n points of one list,
//
//   infinity, 0, 1, -1, 2, -2, 1/2, -1/2
//
// so that tiles of different sizes share the transformed weights: a map is covered by the largest tiles and
// its rim by smaller ones, and nothing is computed outside it.
//
// z1, z2, z3: the whole input has only m pixels, all else is padding. Then y is a tridiagonal Toeplitz matrix
// of w times x, and the zeros save products: 1, 3 and 4 instead of 3, 4 and 5. (With m + 1 products for 2 and
// 3 that is minimal: I, U and L, which the three weights multiply, do not commute.) This is what remains of
// an atrous convolution whose taps reach to the rim of the map, as in ASPP.
//   z2: w1 (x0 + x1), (w2 - w1) x1, (w0 - w1) x0; y0 is the sum of the first two, y1 of first and third.
//   z3: with m = (1, 0, -1), e = (0, 1, 0), n = (1, 0, 1), all three matrices are combinations of four of
//       rank one: (n + 3/2 e)(n + 3/2 e)', (n - 3/2 e)(n - 3/2 e)', (m + e/2)(m - e/2)', (m - e/2)(m + e/2)'.
//
// d1, d3: each pixel of the input is repeated, so that the map is twice as long. An odd output and the
// even one behind it read the same two pixels x[i] and x[i + 1]:
//
//   even[i] = w0 x[i] + (w1 + w2) x[i + 1]
//   odd[i]  = (w0 + w1) x[i] + w2 x[i + 1] = even[i] + w1 (x[i] - x[i + 1])
//
// m even outputs are a convolution with two taps, m + 1 products by Toom and Cook's scheme; each odd one
// takes one product more, and these have the same weight, w1. So 2 m outputs take 2 m + 1 products: d3 7 for
// 6, and 49 for a tile of 6x6 where f6 has 64, with no constants but 1 and 1/2. The first output of the map
// reads only w1 + w2, the last one w0 + w1: of these are db and de, without what would multiply padding.
//
// s1, s3: stride 2, which is the same the other way round. Of the inputs under m outputs every second one is
// multiplied by w1 alone, m products with the same weight; the others go through a convolution with two taps,
//
//   y[i] = w1 x[2 i + 1] + (w0 x[2 i] + w2 x[2 i + 2])
//
// m + 1 products by Toom and Cook's scheme. s3 takes 49 for a tile of 3x3 where the direct sum takes 81.
#pragma once

#include <array>
#include <cstdint>

namespace atrous::winograd {

enum class Scheme { f2, f3, f4, f5, f6, z1, z2, z3, d1, d3, db, de, s1, s3 };
constexpr int scheme_count = 14;

// Transformed weights of all schemes are numbered in one list: 0 .. 7 those of f6, 8 .. 10 of z2, 11 .. 14 of
// z3, 15 .. 19 of d3, 20 .. 24 of s3. A scheme uses consecutive ones. Each has a product of its own, a point,
// but for the first of d3 and s3, which has several.
constexpr int filter_count = 25;
constexpr int most_points = 8, most_outputs = 6;  // of one scheme

struct SchemeInfo {
  int outputs, inputs, points;
  int family;        // the first number of a list of which schemes use a part
  int first_filter;  // in the list of all
  int first_input;   // how many inputs before the first tap's are not read: they lie in the padding
  int repeats = 1;   // how many points, the first ones, have the first weights
  constexpr int filters() const { return points - repeats + 1; }
  // Of a point: which of the scheme's weights it has, and which of the points with these it is.
  constexpr int filter_of(int point) const { return point < repeats ? 0 : point - repeats + 1; }
  constexpr int use_of(int point) const { return point < repeats ? point : 0; }
};
inline constexpr SchemeInfo scheme_infos[scheme_count] = {
    {2, 4, 4, 0, 0, 0},   {3, 5, 5, 0, 0, 0},      {4, 6, 6, 0, 0, 0},   {5, 7, 7, 0, 0, 0},
    {6, 8, 8, 0, 0, 0},   {1, 1, 1, 8, 8, 1},      {2, 2, 3, 8, 8, 1},   {3, 3, 4, 11, 11, 1},
    {2, 2, 3, 15, 15, 0}, {6, 4, 7, 15, 15, 0, 3}, {1, 1, 1, 15, 17, 0}, {1, 1, 2, 15, 15, 0},
    {1, 3, 3, 20, 20, 0}, {3, 7, 7, 20, 20, 0, 3}};
constexpr SchemeInfo info(Scheme s) { return scheme_infos[static_cast<int>(s)]; }

template <int kRows, int kColumns>
struct Matrix {
  static constexpr int rows = kRows, columns = kColumns;
  double at[kRows][kColumns] = {};
};

constexpr double finite_points[] = {0, 1, -1, 2, -2, 0.5, -0.5};

// f(m): y = A ((G w) * (B x)), for n = m + taps - 1 points, infinity first.
template <int m, int taps = 3>
struct ToomCook {
  static constexpr int n = m + taps - 1;
  Matrix<n, taps> filter;  // G: w at each point
  Matrix<n, n> input;      // B: transposed interpolation
  Matrix<m, n> output;     // A: transposed evaluation
};

template <int m, int taps = 3>
constexpr ToomCook<m, taps> toom_cook() {
  constexpr int n = m + taps - 1, finite = n - 1;
  ToomCook<m, taps> t;
  t.filter.at[0][taps - 1] = 1;
  t.output.at[m - 1][0] = 1;
  for (int j = 0; j < finite; ++j) {
    const double x = finite_points[j];
    double power = 1;
    for (int tap = 0; tap < taps; ++tap, power *= x) t.filter.at[j + 1][tap] = power;
    power = 1;
    for (int i = 0; i < m; ++i, power *= x) t.output.at[i][j + 1] = power;
  }
  // Coefficients, lowest first, of prod (t - point); for j >= 0 without point j and over its value there.
  for (int j = -1; j < finite; ++j) {
    double c[n] = {1};
    double scale = 1;
    for (int i = 0, degree = 0; i < finite; ++i) {
      if (i == j) continue;
      for (int d = ++degree; d > 0; --d) c[d] = c[d - 1] - finite_points[i] * c[d];
      c[0] *= -finite_points[i];
      if (j >= 0) scale *= finite_points[j] - finite_points[i];
    }
    for (int d = 0; d < n; ++d) t.input.at[j + 1][d] = c[d] / scale;
  }
  return t;
}

struct Z1 {
  Matrix<1, 3> filter{{{0, 1, 0}}};
  Matrix<1, 1> input{{{1}}};
  Matrix<1, 1> output{{{1}}};
};
struct Z2 {
  Matrix<3, 3> filter{{{0, 1, 0}, {0, -1, 1}, {1, -1, 0}}};
  Matrix<3, 2> input{{{1, 1}, {0, 1}, {1, 0}}};
  Matrix<2, 3> output{{{1, 1, 0}, {1, 0, 1}}};
};
struct Z3 {
  Matrix<4, 3> filter{{{2 / 48., 3 / 48., 2 / 48.},
                       {-2 / 48., 3 / 48., -2 / 48.},
                       {2 / 16., 1 / 16., -2 / 16.},
                       {-2 / 16., 1 / 16., 2 / 16.}}};
  Matrix<4, 3> input{{{2, 3, 2}, {2, -3, 2}, {2, -1, -2}, {2, 1, -2}}};
  Matrix<3, 4> output{{{2, 2, 2, 2}, {3, -3, 1, -1}, {2, 2, -2, -2}}};
};

// d(m): first w1 with the differences, then toom_cook<m, 2>'s points, of which 0 is before infinity here.
template <int m>
struct Doubled {
  Matrix<m + 2, 3> filter;
  Matrix<2 * m + 1, m + 1> input;
  Matrix<2 * m, 2 * m + 1> output;
};

template <int m>
constexpr Doubled<m> doubled() {
  constexpr auto even = toom_cook<m, 2>();
  Doubled<m> d;
  d.filter.at[0][1] = 1;
  for (int i = 0; i < m; ++i) {
    d.input.at[i][i] = 1;
    d.input.at[i][i + 1] = -1;
    d.output.at[2 * i][i] = 1;
  }
  for (int p = 0; p < even.n; ++p) {
    const int from = p < 2 ? 1 - p : p;
    d.filter.at[p + 1][0] = even.filter.at[from][0];
    d.filter.at[p + 1][1] = d.filter.at[p + 1][2] = even.filter.at[from][1];
    for (int i = 0; i <= m; ++i) d.input.at[m + p][i] = even.input.at[from][i];
    for (int i = 0; i < m; ++i)
      d.output.at[2 * i][m + p] = d.output.at[2 * i + 1][m + p] = even.output.at[i][from];
  }
  return d;
}

// s(m): likewise.
template <int m>
struct Strided {
  Matrix<m + 2, 3> filter;
  Matrix<2 * m + 1, 2 * m + 1> input;
  Matrix<m, 2 * m + 1> output;
};

template <int m>
constexpr Strided<m> strided() {
  constexpr auto rest = toom_cook<m, 2>();
  Strided<m> s;
  s.filter.at[0][1] = 1;
  for (int i = 0; i < m; ++i) s.input.at[i][2 * i + 1] = s.output.at[i][i] = 1;
  for (int p = 0; p < rest.n; ++p) {
    const int from = p < 2 ? 1 - p : p;
    s.filter.at[p + 1][0] = rest.filter.at[from][0];
    s.filter.at[p + 1][2] = rest.filter.at[from][1];
    for (int i = 0; i <= m; ++i) s.input.at[m + p][2 * i] = rest.input.at[from][i];
    for (int i = 0; i < m; ++i) s.output.at[i][m + p] = rest.output.at[i][from];
  }
  return s;
}

struct DoubledBegin {
  Matrix<1, 3> filter{{{0, 1, 1}}};
  Matrix<1, 1> input{{{1}}};
  Matrix<1, 1> output{{{1}}};
};
struct DoubledEnd {
  Matrix<2, 3> filter{{{0, 1, 0}, {1, 0, 0}}};
  Matrix<2, 1> input{{{1}, {1}}};
  Matrix<1, 2> output{{{1, 1}}};
};

template <Scheme>
constexpr auto matrices = Z1{};
template <>
inline constexpr auto matrices<Scheme::f2> = toom_cook<2>();
template <>
inline constexpr auto matrices<Scheme::f3> = toom_cook<3>();
template <>
inline constexpr auto matrices<Scheme::f4> = toom_cook<4>();
template <>
inline constexpr auto matrices<Scheme::f5> = toom_cook<5>();
template <>
inline constexpr auto matrices<Scheme::f6> = toom_cook<6>();
template <>
inline constexpr auto matrices<Scheme::z2> = Z2{};
template <>
inline constexpr auto matrices<Scheme::z3> = Z3{};
template <>
inline constexpr auto matrices<Scheme::d1> = doubled<1>();
template <>
inline constexpr auto matrices<Scheme::d3> = doubled<3>();
template <>
inline constexpr auto matrices<Scheme::db> = DoubledBegin{};
template <>
inline constexpr auto matrices<Scheme::de> = DoubledEnd{};
template <>
inline constexpr auto matrices<Scheme::s1> = strided<1>();
template <>
inline constexpr auto matrices<Scheme::s3> = strided<3>();

// The row of G of weights, by their number in the scheme's family.
constexpr std::array<float, 3> filter_row(Scheme scheme, int number) {
  const auto row = [&](const auto& matrix) {
    const auto& r = matrix.at[number];
    return std::array{static_cast<float>(r[0]), static_cast<float>(r[1]), static_cast<float>(r[2])};
  };
  switch (scheme) {
    case Scheme::z1:
    case Scheme::z2:
      return row(matrices<Scheme::z2>.filter);
    case Scheme::z3:
      return row(matrices<Scheme::z3>.filter);
    case Scheme::d1:
    case Scheme::d3:
    case Scheme::db:
    case Scheme::de:
      return row(matrices<Scheme::d3>.filter);
    case Scheme::s1:
    case Scheme::s3:
      return row(matrices<Scheme::s3>.filter);
    default:
      return row(matrices<Scheme::f6>.filter);
  }
}

// Two neighbouring rows whose sum or difference has many zeros (of points p and -p: even and odd powers) are
// cheaper computed as even + odd and even - odd. In the result such rows hold even and odd part.
template <class M>
struct Halved {
  M matrix;
  std::array<bool, M::rows> pair{};  // rows r and r + 1 are halves
};

template <class M>
constexpr int nonzero(const M& m, int row) {
  int count = 0;
  for (int c = 0; c < M::columns; ++c) count += m.at[row][c] != 0;
  return count;
}

template <class M>
constexpr Halved<M> halve_rows(const M& m) {
  Halved<M> h{m, {}};
  for (int r = 0; r + 1 < M::rows; ++r) {
    M half = m;
    for (int c = 0; c < M::columns; ++c) {
      half.at[r][c] = (m.at[r][c] + m.at[r + 1][c]) / 2;
      half.at[r + 1][c] = (m.at[r][c] - m.at[r + 1][c]) / 2;
    }
    if (nonzero(half, r) + nonzero(half, r + 1) + 2 >= nonzero(m, r) + nonzero(m, r + 1)) continue;
    for (int i = r; i < r + 2; ++i)
      for (int c = 0; c < M::columns; ++c) h.matrix.at[i][c] = half.at[i][c];
    h.pair[static_cast<std::size_t>(r)] = true;
    ++r;
  }
  return h;
}

template <class M>
constexpr Matrix<M::columns, M::rows> transposed(const M& m) {
  Matrix<M::columns, M::rows> t;
  for (int r = 0; r < M::rows; ++r)
    for (int c = 0; c < M::columns; ++c) t.at[c][r] = m.at[r][c];
  return t;
}

}  // namespace atrous::winograd
