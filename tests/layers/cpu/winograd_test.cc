// The Winograd kernels: whole convolutions against the definition in double precision, for every instruction
// set of this machine.
//
// Winograd rounds where the direct sum of small whole numbers does not, so results are compared within a
// bound. What a sum of n random products varies by is the root of the sum of their squares; errors are
// measured against the largest of these of a map, which does not shrink where the terms happen to cancel.
#include <doctest/doctest.h>

#include <span>
#include <thread>

#include "layers/base/checked.h"
#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "layers/cpu/conv/conv2d_winograd.h"
#include "tests/support/layers_testing.h"
#include "tests/support/winograd_testing.h"

namespace atrous::winograd_test {

using winograd::info;
using winograd::Scheme;

namespace {

constexpr int tile_sizes[] = {2, 3, 4, 6};

enum class Residual { none, whole, one_pixel, in_place };

struct Problem {
  std::int64_t n = 1, h = 1, w = 1, in = 16, out = 1, stride = 1, padding = 1, dilation = 1;
  bool bias = false;
  Residual residual = Residual::none;
  ActivationKind activation = ActivationKind::none;
  // Channels of wider tensors before and after the slice that is read or written.
  std::int64_t beside_in = 0, beside_residual = 0, beside_out = 0;
  Draw draw = Draw::floats;
  std::uint64_t seed = 1;
};

std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << "Problem{.n = " << p.n << ", .h = " << p.h << ", .w = " << p.w << ", .in = " << p.in
             << ", .out = " << p.out << ", .stride = " << p.stride << ", .padding = " << p.padding
             << ", .dilation = " << p.dilation << ", .bias = " << p.bias << ", .residual = Residual("
             << static_cast<int>(p.residual) << "), .activation = ActivationKind::" << name_of(p.activation)
             << ", .beside_in = " << p.beside_in << ", .beside_residual = " << p.beside_residual
             << ", .beside_out = " << p.beside_out << ", .draw = Draw(" << static_cast<int>(p.draw)
             << "), .seed = " << p.seed << "}";
}

struct Setup {
  Conv2d layer;
  Slice in, residual;
  Shape out;
  Residual kind;

  // Where the residual is the output itself that holds a copy of it.
  std::vector<ConstView> inputs(View output) const {
    if (kind == Residual::none) return {in.view()};
    if (kind != Residual::in_place) return {in.view(), residual.view()};
    for (std::int64_t p = 0; p < output.shape.pixels(); ++p)
      std::copy_n(residual.view().data + p * residual.view().pitch, output.shape.c,
                  output.data + p * output.pitch);
    return {in.view(), output};
  }
};

Setup set_up(const Problem& p) {
  Random random(p.seed);
  const Draw draw_weights = p.draw == Draw::whole ? Draw::sixteenths : p.draw;
  const auto weight = drawn(p.out * p.in * 9, random, draw_weights);
  const auto bias = p.bias ? drawn(p.out, random, draw_weights) : nullptr;
  const Conv2d layer{.weight = {p.out, p.in, 3, 3, weight},
                     .bias = bias,
                     .stride = p.stride,
                     .padding = p.padding,
                     .dilation = p.dilation,
                     .activation = p.activation};
  const Shape in{p.n, p.h, p.w, p.in}, out = output_shape(layer, in), pixel{out.n, 1, 1, out.c};
  Setup s{layer, Slice(in, p.beside_in, p.beside_in / 2),
          Slice(p.residual == Residual::one_pixel ? pixel : out, p.beside_residual / 2, p.beside_residual),
          out, p.residual};
  fill(s.in.view(), random, p.draw);
  fill(s.residual.view(), random, draw_weights);
  return s;
}

// The convolution in double precision, and the largest root of the sum of an output's squared terms.
struct Expected {
  Shape shape;
  std::vector<double> values;  // dense
  double scale;
};

Expected by_definition(const Setup& s) {
  const Filter& w = s.layer.weight;
  const auto outputs = static_cast<std::size_t>(w.d0);
  std::vector<double> weights(9 * static_cast<std::size_t>(w.d1) * outputs);  // [ky][kx][i][o]
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t i = 0; i < w.d1; ++i)
      for (std::int64_t tap = 0; tap < 9; ++tap)
        weights[static_cast<std::size_t>((tap * w.d1 + i) * w.d0 + o)] = w.at(o, i, tap / 3, tap % 3);

  Expected e{s.out, {}, 0};
  const ConstView in = s.in.view(), residual = s.residual.view();
  std::vector<double> sums(outputs), squares(outputs);
  for (std::int64_t n = 0; n < s.out.n; ++n)
    for (std::int64_t y = 0; y < s.out.h; ++y)
      for (std::int64_t x = 0; x < s.out.w; ++x) {
        std::ranges::fill(sums, 0);
        std::ranges::fill(squares, 0);
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          const std::int64_t in_y = y * s.layer.stride - s.layer.padding + tap / 3 * s.layer.dilation,
                             in_x = x * s.layer.stride - s.layer.padding + tap % 3 * s.layer.dilation;
          if (in_y < 0 || in_y >= in.shape.h || in_x < 0 || in_x >= in.shape.w) continue;
          for (std::int64_t i = 0; i < w.d1; ++i) {
            const double value = in.at(n, in_y, in_x, i);
            const double* row = weights.data() + (tap * w.d1 + i) * w.d0;
            for (std::size_t o = 0; o < outputs; ++o) {
              const double term = value * row[o];
              sums[o] += term;
              squares[o] += term * term;
            }
          }
        }
        for (std::size_t o = 0; o < outputs; ++o) {
          const auto channel = static_cast<std::int64_t>(o);
          double sum = sums[o];
          if (s.layer.bias) sum += s.layer.bias.get()[o];
          if (s.kind != Residual::none) sum += residual_pixel(residual, n, y, x)[channel];
          e.values.push_back(activate(s.layer.activation, static_cast<float>(sum)));
          e.scale = std::max(e.scale, std::sqrt(squares[o]));
        }
      }
  return e;
}

// The largest error as a share of the scale; huge where something is not a number.
double error_of(ConstView found, const Expected& expected) {
  if (found.shape != expected.shape) return 1e30;
  double worst = 0;
  auto e = expected.values.begin();
  for (std::int64_t p = 0; p < found.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < found.shape.c; ++c) {
      const double error = std::abs(found.data[p * found.pitch + c] - *e++);
      if (!(error <= 1e30)) return 1e30;
      worst = std::max(worst, error);
    }
  return worst / std::max(expected.scale, 1e-3);
}

// A workspace full of NaN between guards that no kernel may write to.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : memory_(guard + bytes + guard), bytes_(bytes) {
    std::memset(memory_.data(), 0xff, memory_.size());
  }
  std::span<std::byte> span() { return {memory_.data() + guard, bytes_}; }
  bool kept_within() const {
    const auto untouched = [](std::byte b) { return b == std::byte{0xff}; };
    return std::all_of(memory_.data(), memory_.data() + guard, untouched) &&
           std::all_of(memory_.data() + guard + bytes_, memory_.data() + memory_.size(), untouched);
  }

 private:
  static constexpr std::size_t guard = 4096;
  Buffer memory_;
  std::size_t bytes_;
};

std::size_t least_bytes(const Kernel& kernel, const Setup& s, int threads) {
  return kernel.least_workspace_bytes(std::vector<Shape>{s.in.view().shape}, s.out, threads);
}
std::size_t best_bytes(const Kernel& kernel, const Setup& s, int threads) {
  return kernel.workspace_bytes(std::vector<Shape>{s.in.view().shape}, s.out, threads);
}

// Runs into an output full of NaN. Returns whether the workspace was enough.
bool run_within(const Kernel& kernel, const Setup& s, View output, int threads, std::size_t bytes) {
  for (std::int64_t p = 0; p < output.shape.pixels(); ++p)
    std::fill_n(output.data + p * output.pitch, output.shape.c, not_a_number);
  std::vector<ConstAnyView> inputs;
  for (const ConstView& in : s.inputs(output)) inputs.push_back(any_view(in));
  Workspace workspace(bytes);
  kernel.run(
      {.inputs = inputs, .output = any_view(output), .workspace = workspace.span(), .threads = threads});
  return workspace.kept_within();
}

std::unique_ptr<Kernel> winograd_kernel(const Conv2d& layer, Isa isa, int largest_tile, int threads = 1) {
  return make_conv2d_winograd(std::make_shared<PackedConv2d>(layer, isa, threads), largest_tile);
}

// The tiles that take a problem.
std::span<const int> tiles_for(const Problem& p) {
  static constexpr int of_stride_two[] = {3};
  return p.stride == 2 ? std::span<const int>(of_stride_two) : std::span<const int>(tile_sizes);
}

// Checks one problem with all tiles that take it on every instruction set; returns whether all was well.
bool agrees_with_definition(const Problem& p, int threads = 1) {
  const Setup s = set_up(p);
  const Expected expected = by_definition(s);
  bool good = true;
  for (Isa isa : supported_isas()) {
    const auto packed = std::make_shared<PackedConv2d>(s.layer, isa, threads);
    for (int largest : tiles_for(p)) {
      const auto kernel = make_conv2d_winograd(packed, largest);
      Slice out(s.out, p.beside_out, p.beside_out / 2);
      const bool kept = run_within(*kernel, s, out.view(), threads, best_bytes(*kernel, s, threads));
      const double error = error_of(out.view(), expected);
      const bool well =
          kept && error <= bound_of(kernel->name(), p.stride, p.in) && out.strangers_untouched();
      CHECK_MESSAGE(well, str_cat(p, " on ", name_of(isa), " with ", kernel->name(), ": error ", error,
                                  kept ? "" : ", wrote beside its workspace"));
      good = good && well;
    }
  }
  return good;
}

Problem square(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t dilation = 1) {
  return {.h = size, .w = size, .in = in, .out = out, .padding = dilation, .dilation = dilation};
}

Problem strided(std::int64_t h, std::int64_t w, std::int64_t in, std::int64_t out, std::int64_t padding = 1) {
  return {.h = h, .w = w, .in = in, .out = out, .stride = 2, .padding = padding};
}

struct Named {
  std::string name;
  Problem problem;
};

std::vector<Named> named_problems() {
  return {
      {"one pixel", square(1, 16, 1)},
      {"one pixel, dilation 36", square(1, 37, 5, 36)},
      {"a row", {.h = 1, .w = 37, .in = 16, .out = 7}},
      {"a column", {.h = 37, .w = 1, .in = 16, .out = 7}},
      {"a row of one tile", {.h = 1, .w = 6, .in = 17, .out = 33}},
      {"two pixels", {.h = 2, .w = 1, .in = 16, .out = 5}},
      {"two by three", {.h = 2, .w = 3, .in = 16, .out = 5}},
      {"resnet 3x3", square(14, 32, 32)},
      {"resnet layer3, dilation 2", square(13, 48, 40, 2)},
      {"resnet layer4, dilation 4", square(11, 24, 24, 4)},
      {"a sub-grid of three pixels in the padding", square(9, 33, 21, 3)},
      {"sub-grids of three and two pixels", square(8, 33, 21, 3)},
      {"sub-grids of two pixels and one", square(9, 16, 21, 6)},
      {"aspp rate 12", square(9, 33, 21, 12)},
      {"aspp rate 12, sub-grids of one pixel and two", square(17, 16, 16, 12)},
      {"aspp rate 24", square(28, 16, 9, 24)},
      {"aspp rate 36, larger than the map", square(13, 16, 16, 36)},
      {"aspp rate 36, one axis inside",
       {.h = 5, .w = 40, .in = 16, .out = 16, .padding = 36, .dilation = 36}},
      {"rows of whole maps, columns of tiles",
       {.h = 4, .w = 29, .in = 16, .out = 9, .padding = 4, .dilation = 4}},
      {"no padding", {.h = 8, .w = 7, .in = 17, .out = 6, .padding = 0}},
      {"no padding, dilation 3", {.h = 11, .w = 9, .in = 17, .out = 6, .padding = 0, .dilation = 3}},
      {"padding one less than the dilation",
       {.h = 9, .w = 6, .in = 17, .out = 6, .padding = 3, .dilation = 4}},
      {"padding wider than the dilation", {.h = 3, .w = 4, .in = 17, .out = 6, .padding = 5}},
      {"padding wider than a dilation of 3",
       {.h = 3, .w = 4, .in = 17, .out = 6, .padding = 7, .dilation = 3}},
      {"channels of one chunk", square(5, 256, 5)},
      {"channels one less than a chunk", square(5, 255, 5)},
      {"channels one more than a chunk", square(5, 257, 5)},
      {"channels of two uneven chunks", square(7, 300, 33)},
      {"channels of two chunks and one", square(4, 513, 32)},
      {"600 channels", square(3, 600, 9, 2)},
      {"channels that are no whole vectors", square(7, 37, 31)},
      {"31 output channels", square(8, 16, 31)},
      {"33 output channels", square(8, 16, 33)},
      {"70 output channels", square(8, 19, 70)},
      {"257 output channels", square(6, 16, 257)},
      {"a batch of three", {.n = 3, .h = 7, .w = 9, .in = 21, .out = 34}},
      {"a dilated batch of three",
       {.n = 3, .h = 10, .w = 7, .in = 18, .out = 11, .padding = 4, .dilation = 4}},
      {"stride 2, one pixel", strided(1, 1, 16, 1)},
      {"stride 2, two pixels", strided(1, 2, 16, 5)},
      {"stride 2, one pixel, padding 2", strided(1, 1, 17, 5, 2)},
      {"stride 2, a row", strided(1, 37, 16, 7)},
      {"stride 2, a column", strided(38, 1, 16, 7)},
      {"stride 2, one tile", strided(6, 5, 17, 33)},
      {"stride 2, one tile, unpadded", strided(7, 8, 17, 33, 0)},
      {"stride 2, even sizes", strided(14, 20, 48, 40)},
      {"stride 2, odd sizes", strided(13, 21, 24, 24)},
      {"stride 2, unpadded, even and odd", strided(12, 13, 21, 9, 0)},
      {"stride 2, wide padding", strided(4, 9, 17, 6, 5)},
      {"stride 2, channels of one chunk", strided(5, 6, 256, 5)},
      {"stride 2, channels of two uneven chunks", strided(7, 6, 300, 33)},
      {"stride 2, channels that are no whole vectors", strided(9, 10, 37, 31)},
      {"stride 2, 257 output channels", strided(6, 7, 16, 257)},
      {"stride 2, a batch of three", {.n = 3, .h = 8, .w = 11, .in = 21, .out = 34, .stride = 2}},
  };
}

}  // namespace

TEST_CASE("Winograd's kernels equal the definition on every named shape") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    agrees_with_definition(named.problem);
  }
}

TEST_CASE("Winograd's kernels equal the definition on maps of every size up to 20") {
  for (std::int64_t size = 1; size <= 20; ++size)
    for (std::int64_t dilation : {1, 2, 3}) {
      Problem p = square(size, 16, 5, dilation);
      p.w = 21 - size;
      agrees_with_definition(p);
    }
}

TEST_CASE("Winograd's kernel equals the definition at stride 2 on maps of every size up to 20") {
  for (std::int64_t size = 1; size <= 20; ++size)
    for (std::int64_t padding : {0, 1, 2})
      for (std::int64_t other : {21 - size, size + 1}) {
        if (std::min(size, other) + 2 * padding < 3) continue;
        agrees_with_definition(strided(size, other, 16, 5, padding));
      }
}

TEST_CASE("whole numbers come out of Winograd's kernels as they do of the definition") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    Problem p = named.problem;
    p.draw = Draw::whole;
    agrees_with_definition(p);
  }
}

namespace {

void exact_on_whole_numbers(Problem p, int tile, double tolerance = 0) {
  p.draw = Draw::whole;
  const Setup s = set_up(p);
  Tensor expected(s.out), out(s.out);
  conv2d_reference(s.layer, s.in.view(), nullptr, expected.view());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = winograd_kernel(s.layer, isa, tile);
    CHECK(run_within(*kernel, s, out.view(), 1, best_bytes(*kernel, s, 1)));
    CHECK(difference(out.view(), expected.view(), tolerance) == "");
  }
}

}  // namespace

TEST_CASE("2x2 tiles are exact on whole numbers: their constants are powers of two") {
  for (std::int64_t dilation : {1, 2, 4})  // a sub-grid of three pixels in the padding takes thirds
    exact_on_whole_numbers(square(11, 40, 9, dilation), 2, dilation == 4 ? 1e-5 : 0);
}

TEST_CASE("stride 2 is exact on whole numbers: its constants are powers of two") {
  for (const Problem& p : {strided(13, 18, 40, 9), strided(12, 9, 300, 33, 0), strided(7, 8, 19, 70, 2)})
    exact_on_whole_numbers(p, 3);
}

TEST_CASE("Winograd's kernels add bias and residual, then apply the activation, on every named shape") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    Problem p = named.problem;
    p.bias = true;
    p.residual = Residual::whole;
    p.activation = ActivationKind::relu;
    p.beside_in = 3, p.beside_residual = 5, p.beside_out = 7;
    agrees_with_definition(p);
  }
}

TEST_CASE("Winograd's kernels take a residual of the map, of one pixel repeated, and in the output's place") {
  for (Residual residual : {Residual::whole, Residual::one_pixel, Residual::in_place})
    for (const Problem& base : {square(8, 21, 37), square(9, 300, 33, 2), square(10, 16, 70, 4),
                                square(7, 33, 5, 36), strided(13, 10, 21, 37), strided(9, 12, 300, 33, 0)}) {
      Problem p = base;
      p.n = 2;
      p.residual = residual;
      agrees_with_definition(p);
      p.beside_residual = 3, p.beside_out = 6;
      p.bias = true;
      p.activation = ActivationKind::relu6;
      agrees_with_definition(p);
    }
}

TEST_CASE("Winograd's kernels apply every activation, with and without bias and residual") {
  for (ActivationKind kind :
       {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardsigmoid,
        ActivationKind::hardswish, ActivationKind::sigmoid})
    for (bool bias : {false, true})
      for (Residual residual : {Residual::none, Residual::whole})
        for (const Problem& base : {square(7, 21, 37, 2), strided(13, 8, 21, 37)}) {
          Problem p = base;
          p.bias = bias, p.residual = residual, p.activation = kind;
          p.draw = Draw::whole;
          agrees_with_definition(p);
        }
}

TEST_CASE("an output that sees only padding gets bias, residual and activation all the same") {
  for (std::int64_t channels : {16, 270}) {
    Problem p{.h = 4, .w = 14, .in = channels, .out = 11, .padding = 9};
    p.bias = true;
    p.residual = Residual::whole;
    p.activation = ActivationKind::relu6;
    agrees_with_definition(p);
  }
}

TEST_CASE("Winograd's kernels equal the definition on random problems") {
  Random random(20241117);
  for (int i = 0; i < 200; ++i) {
    Problem p;
    p.n = pick_of(random, {1, 1, 1, 2, 3});
    p.h = pick(random, 1, 20), p.w = pick(random, 1, 20);
    p.in = pick_of(random, {16, 17, 24, 31, 37, 64, 100, 255, 256, 257, 300, 513});
    if (p.in > 200) p.h = std::min<std::int64_t>(p.h, 7);
    p.out = pick_of(random, {1, 5, 8, 16, 31, 32, 33, 48, 70});
    p.dilation = pick_of(random, {1, 1, 1, 2, 2, 3, 4, 6, 12, 24, 36});
    if (i % 4 == 0) p.stride = 2, p.dilation = 1;
    // Some padding, at least so much that the kernel fits.
    const std::int64_t missing = 2 * p.dilation + 1 - std::min(p.h, p.w);
    p.padding = std::max({std::int64_t{0}, (missing + 1) / 2,
                          pick_of(random, {p.dilation, p.dilation, p.dilation, std::int64_t{0},
                                           p.dilation - 1, std::min(p.dilation + 2, std::int64_t{8})})});
    p.bias = pick(random, 0, 1) == 1;
    p.residual = pick_of(random, {Residual::none, Residual::whole, Residual::one_pixel, Residual::in_place});
    p.activation = pick_of(random, {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6});
    p.beside_in = pick_of(random, {0, 0, 1, 4}), p.beside_residual = pick_of(random, {0, 3});
    p.beside_out = pick_of(random, {0, 0, 2, 5});
    p.draw = pick_of(random, {Draw::whole, Draw::floats});
    p.seed = random();
    // Now and then with threads: on a busy machine they cost more than the sums.
    if (!agrees_with_definition(p, i % 10 == 0 ? 3 : 1)) break;
  }
}

TEST_CASE("an output under whose taps something is not a number is not one either") {
  for (Problem p : {square(9, 16, 33), square(9, 16, 33, 4), strided(13, 12, 16, 33)})
    for (const Residual residual : {Residual::none, Residual::whole}) {
      p.residual = residual;
      Setup s = set_up(p);
      const std::int64_t at = p.h / 2;
      s.in.view().at(0, at, at, 3) = not_a_number;
      for (Isa isa : supported_isas())
        for (int largest : tiles_for(p)) {
          INFO(str_cat(p));
          CAPTURE(name_of(isa));
          CAPTURE(largest);
          const auto kernel = winograd_kernel(s.layer, isa, largest);
          Tensor out(s.out);
          CHECK(run_within(*kernel, s, out.view(), 1, best_bytes(*kernel, s, 1)));
          int missing = 0;
          for (std::int64_t y = 0; y < s.out.h; ++y)
            for (std::int64_t x = 0; x < s.out.w; ++x) {
              const auto reads = [&](std::int64_t output) {
                const std::int64_t first = output * p.stride - p.padding;
                return first == at || first + p.dilation == at || first + 2 * p.dilation == at;
              };
              if (!reads(y) || !reads(x)) continue;
              for (std::int64_t c = 0; c < s.out.c; ++c) missing += !std::isnan(out.view().at(0, y, x, c));
            }
          CHECK(missing == 0);
        }
    }
}

namespace {

std::vector<Problem> problems_for_bits() {
  std::vector<Problem> all = {square(13, 40, 70),      square(9, 300, 33, 2),  square(11, 513, 40, 4),
                              square(21, 37, 5, 12),   square(25, 24, 100),    square(6, 300, 600),
                              strided(26, 37, 40, 70), strided(11, 8, 300, 33)};
  all[3].n = 3;
  for (Problem& p : all) {
    p.bias = true;
    p.residual = Residual::in_place;
    p.activation = ActivationKind::hardswish;
  }
  return all;
}

}  // namespace

TEST_CASE("Winograd's kernels give the same bits for any number of threads") {
  for (const Problem& p : problems_for_bits()) {
    const Setup s = set_up(p);
    for (Isa isa : supported_isas())
      for (int largest : p.stride == 2 ? std::vector{3} : std::vector{6, 2}) {
        INFO(str_cat(p));
        CAPTURE(name_of(isa));
        CAPTURE(largest);
        Tensor first(s.out), again(s.out);
        const auto kernel = winograd_kernel(s.layer, isa, largest);
        CHECK(run_within(*kernel, s, first.view(), 1, best_bytes(*kernel, s, 1)));
        for (int threads : {2, 3, 7}) {
          CAPTURE(threads);
          const auto packed_by_threads = winograd_kernel(s.layer, isa, largest, threads);
          CHECK(run_within(*packed_by_threads, s, again.view(), threads, best_bytes(*kernel, s, threads)));
          CHECK(same_bits(first.view(), again.view()));
        }
      }
  }
}

TEST_CASE("Winograd's kernels give the same bits in any workspace from the least to the best") {
  for (const Problem& p : problems_for_bits()) {
    const Setup s = set_up(p);
    for (Isa isa : supported_isas())
      for (int threads : {1, 3}) {
        INFO(str_cat(p));
        CAPTURE(name_of(isa));
        CAPTURE(threads);
        const auto kernel = winograd_kernel(s.layer, isa, p.stride == 2 ? 3 : 6);
        const std::size_t least = least_bytes(*kernel, s, threads), best = best_bytes(*kernel, s, threads);
        REQUIRE(least <= best);
        Tensor expected(s.out), out(s.out);
        CHECK(run_within(*kernel, s, expected.view(), threads, best));
        for (std::size_t step = 0; step < 5; ++step) {
          const std::size_t bytes = (least + (best - least) * step / 5) / 64 * 64;
          CAPTURE(bytes);
          CHECK(run_within(*kernel, s, out.view(), threads, bytes));
          CHECK(same_bits(out.view(), expected.view()));
        }
      }
  }
}

TEST_CASE("a map too large for one block of tiles, or for one pass over the channels, gives the same bits") {
  for (const Problem& p : {square(96, 256, 32), square(66, 768, 20), strided(150, 131, 256, 6)}) {
    const Setup s = set_up(p);
    Tensor expected(s.out), out(s.out), direct(s.out);
    const Isa isa = supported_isas().front();
    const auto kernel = winograd_kernel(s.layer, isa, p.stride == 2 ? 3 : 6);
    CHECK(run_within(*kernel, s, expected.view(), 1, best_bytes(*kernel, s, 1)));
    CHECK(run_within(*kernel, s, out.view(), 1, least_bytes(*kernel, s, 1)));
    CHECK(same_bits(out.view(), expected.view()));
    CHECK(run_within(*kernel, s, out.view(), 2, best_bytes(*kernel, s, 2)));
    CHECK(same_bits(out.view(), expected.view()));
    if (p.stride == 2) {
      CHECK(error_of(out.view(), by_definition(s)) < bound_of(kernel->name(), 2, p.in));
      continue;
    }
    run_hostile(*make_conv2d_implicit_gemm(std::make_shared<PackedConv2d>(s.layer, isa, 1)), {s.in.view()},
                direct.view(), 1);
    // Products of two uniform numbers vary by a ninth, and there are nine taps. Both round.
    const Expected nearly{
        s.out, {direct.values().begin(), direct.values().end()}, std::sqrt(static_cast<double>(p.in))};
    CHECK(error_of(out.view(), nearly) < 2 * bound_of(kernel->name(), 1, p.in));
  }
}

TEST_CASE("an image gets the same bits alone and in a batch") {
  for (Problem p :
       {square(13, 20, 40), square(10, 270, 9, 4), square(6, 16, 33, 12), strided(14, 9, 20, 40)}) {
    p.n = 3;
    const Setup s = set_up(p);
    for (Isa isa : supported_isas())
      for (int largest : tiles_for(p)) {
        INFO(str_cat(p));
        CAPTURE(name_of(isa));
        CAPTURE(largest);
        const auto kernel = winograd_kernel(s.layer, isa, largest);
        Tensor together(s.out);
        CHECK(run_within(*kernel, s, together.view(), 2, best_bytes(*kernel, s, 2)));
        for (std::int64_t n = 0; n < p.n; ++n) {
          const Shape one{1, p.h, p.w, p.in}, one_out{1, s.out.h, s.out.w, s.out.c};
          Tensor alone(one_out);
          run_hostile(*kernel, {{s.in.view().pixel(n, 0, 0), one, s.in.view().pitch}}, alone.view(), 1);
          CHECK(same_bits(ConstView{together.view().pixel(n, 0, 0), one_out, s.out.c}, alone.view()));
        }
      }
  }
}

TEST_CASE("one kernel runs maps of any size, and many threads run it at once") {
  const Problem base = square(9, 70, 40, 2);
  const Setup first = set_up(base);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = winograd_kernel(first.layer, isa, 6);
    std::vector<Setup> setups;
    std::vector<Tensor> expected, found;
    for (std::int64_t size : {1, 3, 9, 14}) {
      Problem p = base;
      p.h = size, p.w = size + 2;
      setups.push_back(set_up(p));
      const Setup& s = setups.back();
      const Expected by = by_definition(s);
      expected.emplace_back(s.out);
      found.emplace_back(s.out);
      run_within(*kernel, s, expected.back().view(), 1, best_bytes(*kernel, s, 1));
      CHECK(error_of(expected.back().view(), by) <= bound_of(kernel->name(), 1, p.in));
    }
    std::vector<std::thread> callers;
    for (std::size_t i = 0; i < setups.size(); ++i)
      callers.emplace_back(
          [&, i] { run_within(*kernel, setups[i], found[i].view(), 1, best_bytes(*kernel, setups[i], 1)); });
    for (std::thread& caller : callers) caller.join();
    for (std::size_t i = 0; i < setups.size(); ++i) CHECK(same_bits(found[i].view(), expected[i].view()));
  }
}

TEST_CASE(
    "Winograd takes 3x3 convolutions of one group and at least 16 input channels, at stride 2 undilated with "
    "tiles of 3") {
  Random random(4);
  // Those of the tiles that are made for a layer, the same on every instruction set.
  const auto tiles = [&](std::int64_t in, std::int64_t kernel_h, std::int64_t kernel_w, std::int64_t stride,
                         std::int64_t groups, std::int64_t dilation) {
    const std::int64_t out = 6;
    const Conv2d layer{.weight = {out, in / groups, kernel_h, kernel_w,
                                  drawn(out * in / groups * kernel_h * kernel_w, random, Draw::whole)},
                       .bias = nullptr,
                       .stride = stride,
                       .dilation = dilation,
                       .groups = groups};
    std::vector<std::vector<int>> accepting;
    for (Isa isa : supported_isas()) {
      accepting.emplace_back();
      for (int largest : tile_sizes)
        if (winograd_kernel(layer, isa, largest)) accepting.back().push_back(largest);
    }
    CHECK(std::ranges::count(accepting, accepting.front()) == std::ssize(accepting));
    return accepting.front();
  };
  const std::vector<int> all(std::begin(tile_sizes), std::end(tile_sizes)), three{3}, none;
  CHECK(tiles(16, 3, 3, 1, 1, 1) == all);
  CHECK(tiles(300, 3, 3, 1, 1, 5) == all);
  CHECK(tiles(16, 3, 3, 2, 1, 1) == three);
  CHECK(tiles(300, 3, 3, 2, 1, 1) == three);
  CHECK(tiles(16, 3, 3, 2, 1, 2) == none);
  CHECK(tiles(15, 3, 3, 2, 1, 1) == none);
  CHECK(tiles(32, 3, 3, 2, 2, 1) == none);
  CHECK(tiles(16, 5, 5, 2, 1, 1) == none);
  CHECK(tiles(16, 3, 3, 3, 1, 1) == none);
  CHECK(tiles(16, 5, 5, 1, 1, 1) == none);
  CHECK(tiles(16, 1, 1, 1, 1, 1) == none);
  CHECK(tiles(16, 3, 1, 1, 1, 1) == none);
  CHECK(tiles(16, 1, 3, 1, 1, 1) == none);
  CHECK(tiles(32, 3, 3, 1, 2, 1) == none);
  CHECK(tiles(15, 3, 3, 1, 1, 1) == none);
  CHECK(tiles(1, 3, 3, 1, 1, 1) == none);
}

TEST_CASE("Winograd's kernels are named by their tiles and share one packing with the direct kernel") {
  const Setup s = set_up(square(4, 16, 5));
  const auto packed = std::make_shared<PackedConv2d>(s.layer, supported_isas().front(), 1);
  CHECK(make_conv2d_winograd(packed, 2)->name() == "winograd_2x2");
  CHECK(make_conv2d_winograd(packed, 3)->name() == "winograd_3x3");
  CHECK(make_conv2d_winograd(packed, 4)->name() == "winograd_4x4");
  CHECK(make_conv2d_winograd(packed, 6)->name() == "winograd_6x6");
  CHECK(make_conv2d_winograd(packed, 6)->packed_bytes() == make_conv2d_implicit_gemm(packed)->packed_bytes());
}

TEST_CASE("larger tiles cost less on large maps, and every one less than the direct sum") {
  const Setup s = set_up(square(4, 256, 64));
  const auto packed = std::make_shared<PackedConv2d>(s.layer, supported_isas().front(), 1);
  const Shape in[] = {{1, 72, 72, 256}}, out{1, 72, 72, 64};
  double before = make_conv2d_implicit_gemm(packed)->cost(in, out);
  for (int largest : tile_sizes) {
    const double cost = make_conv2d_winograd(packed, largest)->cost(in, out);
    CHECK(cost > 0);
    CHECK(cost < before);
    before = cost;
  }
}

TEST_CASE("at stride 2 Winograd costs less than the direct sum on large maps of many channels") {
  const Setup s = set_up(strided(4, 4, 256, 256));
  const auto packed = std::make_shared<PackedConv2d>(s.layer, supported_isas().front(), 1);
  const Shape in[] = {{1, 72, 72, 256}}, out{1, 36, 36, 256};
  CHECK(make_conv2d_winograd(packed, 3)->cost(in, out) < make_conv2d_implicit_gemm(packed)->cost(in, out));
}

TEST_CASE("the rounding of Winograd's kernels is what the constants of their tiles make of that of a sum") {
  for (std::int64_t channels : {64, 512})
    for (const Problem& p : {square(24, channels, 12), strided(48, 47, channels, 12)}) {
      const Setup s = set_up(p);
      const Expected expected = by_definition(s);
      for (Isa isa : supported_isas())
        for (int largest : tiles_for(p)) {
          CAPTURE(p.stride);
          CAPTURE(name_of(isa));
          CAPTURE(largest);
          Tensor out(s.out);
          const auto kernel = winograd_kernel(s.layer, isa, largest);
          CHECK(run_within(*kernel, s, out.view(), 1, best_bytes(*kernel, s, 1)));
          double squares = 0;
          for (std::size_t i = 0; i < expected.values.size(); ++i) {
            const double error = out.data()[i] - expected.values[i];
            squares += error * error;
          }
          const double average =
              std::sqrt(squares / static_cast<double>(expected.values.size())) / expected.scale;
          // All tiles of 24x24 outputs are of the largest size.
          const Scheme scheme = p.stride == 2 ? Scheme::s3 : static_cast<Scheme>(largest - 2);
          const double mean = amplification(scheme).mean;
          CHECK(average < 1.2 * mean * mean * rounding(channels));
          CHECK(average < 1e-5);
          CHECK(error_of(out.view(), expected) < bound_of(kernel->name(), p.stride, channels));
        }
    }
}

}  // namespace atrous::winograd_test
