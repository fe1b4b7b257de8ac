// Convolutions of any shape: every implementation that accepts one, on every instruction set of the machine,
// against the reference. Inputs are small whole numbers and weights sixteenths of such, so that the direct
// kernels must give the very same floats and Winograd's ones within a bound. Channels beside those of input,
// residual and output are NaN and stay as they are; the workspace has exactly the size asked for, so that
// AddressSanitizer sees what reaches beyond it.
#include "layers/ops/conv2d.h"

#include <set>

#include "layers/cpu/cpu_backend.h"
#include "tests/fuzz/targets.h"
#include "tests/support/conv2d_testing.h"
#include "tests/support/winograd_testing.h"

namespace atrous::fuzz {

namespace {

enum class Residual { none, whole, one_pixel, in_place };

struct Problem {
  Conv2d layer;
  Shape in;
  Drawing drawing;
  Residual residual = Residual::none;
  std::int64_t beside_out = 0;
};

std::string described(const Problem& p) {
  const Conv2d& c = p.layer;
  return str_cat(p.in, " * [", c.weight.d0, ", ", c.weight.d1, ", ", c.weight.kernel_h, ", ",
                 c.weight.kernel_w, "], stride ", c.stride, ", padding ", c.padding, ", dilation ",
                 c.dilation, ", groups ", c.groups, ", ", name_of(c.activation), ", bias ", p.drawing.bias,
                 ", residual ", static_cast<int>(p.residual), ", beside ", p.drawing.before_in, " ",
                 p.drawing.after_in, " ", p.beside_out, ", seed ", p.drawing.seed);
}

constexpr ActivationKind activations[] = {ActivationKind::none,      ActivationKind::relu,
                                          ActivationKind::relu6,     ActivationKind::hardsigmoid,
                                          ActivationKind::hardswish, ActivationKind::sigmoid};

// Channels: mostly few, at times beyond a vector's or a panel's end.
std::int64_t channels(Draws& draws) { return draws.flip() ? draws.pick(1, 9) : draws.pick(1, 72); }

// The kinds of layer that a kernel is written for, and any other.
void draw_kind(Problem& p, Draws& draws) {
  Conv2d& c = p.layer;
  const std::int64_t in = channels(draws), out = channels(draws), groups = draws.pick(2, 6);
  switch (draws.pick(0, 5)) {
    case 0:  // depthwise
      c.groups = in, c.weight.d0 = in, c.weight.d1 = 1;
      break;
    case 1:  // pointwise
      c.weight = {out, in, 1, 1, nullptr};
      c.stride = 1, c.padding = 0;
      break;
    case 2:  // few channels
      c.weight.d0 = out, c.weight.d1 = 1 + in % 4;
      c.dilation = 1;
      break;
    case 3:  // Winograd
      c.weight = {out, 16 + in % 32, 3, 3, nullptr};
      if (c.stride == 2)
        c.dilation = 1;
      else
        c.stride = 1;
      break;
    case 4:
      c.groups = groups, c.weight.d0 = groups * (1 + out % 12), c.weight.d1 = 1 + in % 12;
      break;
    default:
      c.weight.d0 = out, c.weight.d1 = in;
  }
  p.in.c = c.in_channels();
}

Problem draw_problem(Draws& draws) {
  Problem p;
  p.layer.weight.kernel_h = draws.pick(1, 5);
  p.layer.weight.kernel_w = draws.pick(1, 5);
  p.layer.stride = draws.pick(1, 3);
  p.layer.padding = draws.pick(0, 9);
  p.layer.dilation = draws.pick(1, 8);
  p.in = {draws.pick(1, 2), draws.pick(1, 24), draws.pick(1, 24), 0};
  draw_kind(p, draws);
  p.layer.activation = activations[draws.pick(0, std::ssize(activations) - 1)];
  p.residual = static_cast<Residual>(draws.pick(0, p.layer.groups == 1 ? 3 : 2));
  p.drawing = {.bias = draws.flip(),
               .residual = p.residual != Residual::none,
               .before_in = draws.pick(0, 3),
               .after_in = draws.pick(0, 3),
               .before_residual = draws.pick(0, 3),
               .after_residual = draws.pick(0, 3),
               .seed = draws.word()};
  p.beside_out = draws.pick(0, 3);
  return p;
}

// As much of the map as one input may cost; a map that the kernel does not fit into is no problem at all.
bool cut_to_size(Problem& p) {
  constexpr std::int64_t most = 40'000;
  return may_refuse([&] {
    while (macs(p.layer, p.in) > most && (p.in.h > 1 || p.in.w > 1)) {
      std::int64_t& side = p.in.h > p.in.w ? p.in.h : p.in.w;
      side = (side + 1) / 2;
    }
  });
}

// As a residual of one pixel per image: the first of each.
ConstView first_pixels(const ConstView& residual, Slice& pixels) {
  const View to = pixels.view();
  for (std::int64_t n = 0; n < to.shape.n; ++n)
    std::copy_n(residual.pixel(n, 0, 0), to.shape.c, to.pixel(n, 0, 0));
  return to;
}

// How much the sum may differ. Winograd's bound is a share of the root of a sum's squared terms, of which
// each is at most 3 * 3 / 16; hardswish makes half as much again of it. exp is computed another way.
double tolerance(std::string_view kernel, const Conv2d& c) {
  double allowed = c.activation == ActivationKind::none || c.activation == ActivationKind::relu ||
                           c.activation == ActivationKind::relu6
                       ? 0
                       : 1e-6;
  if (!kernel.starts_with("winograd_")) return allowed;
  const double scale = 9. / 16 * std::sqrt(9. * static_cast<double>(c.weight.d1));
  return allowed + 1.5 * scale * bound_of(kernel, c.stride, c.weight.d1);
}

// Runs with a workspace of NaN and, unless the residual lies there, an output of NaN.
void run(const Kernel& kernel, const std::vector<ConstView>& inputs, View output, std::size_t bytes) {
  Buffer workspace(bytes);
  if (bytes > 0) std::memset(workspace.data(), 0xff, bytes);
  std::vector<ConstAnyView> maps;
  for (const ConstView& in : inputs) maps.push_back(any_view(in));
  kernel.run(
      {.inputs = maps, .output = any_view(output), .workspace = {workspace.data(), bytes}, .threads = 1});
}

void check_kernel(const Kernel& kernel, const Problem& p, const std::vector<ConstView>& inputs,
                  ConstView expected, const std::string& what) {
  std::vector<Shape> shapes;
  for (const ConstView& in : inputs) shapes.push_back(in.shape);
  const std::size_t best = kernel.workspace_bytes(shapes, expected.shape, 1),
                    least = kernel.least_workspace_bytes(shapes, expected.shape, 1);
  promise(least <= best, what, ": its least workspace is ", least, ", its best ", best);
  promise(kernel.cost(shapes, expected.shape) >= 0, what, ": a negative cost");
  for (const std::size_t bytes : std::set{best, least}) {
    Slice out(expected.shape, p.beside_out, p.beside_out / 2);
    std::vector<ConstView> given = inputs;
    if (p.residual == Residual::in_place) {
      for (std::int64_t i = 0; i < expected.shape.pixels(); ++i)
        std::copy_n(inputs[1].data + i * inputs[1].pitch, expected.shape.c,
                    out.view().data + i * out.view().pitch);
      given[1] = out.view();
    }
    run(kernel, given, out.view(), bytes);
    const std::string wrong = difference(out.view(), expected, tolerance(kernel.name(), p.layer));
    promise(wrong.empty(), what, " in ", bytes, " bytes: ", wrong);
    promise(out.strangers_untouched(), what, ": wrote beside its output");
  }
}

// The same weights over the map doubled, where its kernels take them.
void check_doubled(Problem p, const Conv2d& weights, const ConstView& in) {
  constexpr std::int64_t most = 400'000;
  if (weights.weight.kernel_h != 3 || weights.weight.kernel_w != 3 || weights.groups != 1) return;
  if (p.residual != Residual::none) return;
  DoubledConv2d layer{weights};
  layer.conv.stride = layer.conv.padding = layer.conv.dilation = 1;
  p.layer = layer.conv;
  const std::span<const Shape> shape(&in.shape, 1);
  if (layer.macs(shape) > most) return;
  Tensor expected(layer.output_shape(shape));
  layer.run_reference(std::span(&in, 1), expected.view());
  for (const Isa isa : supported_isas())
    for (const char* force : {"", "winograd_doubled"})
      for (const auto& kernel : make_cpu_kernels({"doubled", layer, {}, -1}, {.isa = isa, .force = force}))
        check_kernel(*kernel, p, {in}, expected.view(),
                     str_cat(kernel->name(), " on ", name_of(isa), ", ", described(p)));
}

}  // namespace

void convolution(Bytes input) {
  Draws draws(input);
  Problem p = draw_problem(draws);
  if (!cut_to_size(p)) return;
  const DrawnConv2d s = draw_convolution(p.layer, p.in, p.drawing, Draw::whole, Draw::sixteenths);
  std::vector<ConstView> inputs = s.inputs;
  Slice pixels({s.out.n, 1, 1, s.out.c}, p.beside_out, 1);
  if (p.residual == Residual::one_pixel) inputs[1] = first_pixels(inputs[1], pixels);
  Tensor expected(s.out);
  conv2d_reference(s.layer, inputs[0], p.drawing.residual ? &inputs[1] : nullptr, expected.view());

  Node node;
  node.layer = s.layer;
  for (const Isa isa : supported_isas()) {
    auto kernels = make_cpu_kernels(node, {.isa = isa});
    for (auto& kernel : make_cpu_kernels(node, {.isa = isa, .force = "implicit_gemm"}))  // it takes any layer
      if (kernel->name() != kernels.back()->name()) kernels.push_back(std::move(kernel));
    for (const auto& kernel : kernels)
      check_kernel(*kernel, p, inputs, expected.view(),
                   str_cat(kernel->name(), " on ", name_of(isa), ", ", described(p)));
  }
  check_doubled(p, s.layer, s.inputs[0]);
}

}  // namespace atrous::fuzz
