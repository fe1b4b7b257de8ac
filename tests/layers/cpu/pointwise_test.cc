// The pointwise kernel against the reference, for every instruction set of this machine.
//
// Inputs are small whole numbers and weights sixteenths of such, so that all sums are exact in fp32 and any
// order of summation must give the very same floats.
#include "layers/cpu/conv/conv2d_pointwise.h"

#include <doctest/doctest.h>

#include "tests/support/conv2d_comparison.h"

namespace atrous::pointwise_test {

namespace {

struct Problem {
  Shape in{1, 3, 5, 7};
  std::int64_t out = 9;
  bool bias = true, residual = false;
  ActivationKind activation = ActivationKind::none;
  std::int64_t beside = 0;  // strange channels on either side of input, residual and output
};

std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << p.in << " to " << p.out << ", bias " << p.bias << ", residual " << p.residual << ", "
             << name_of(p.activation) << ", beside " << p.beside;
}

DrawnConv2d set_up(const Problem& p, Draw draw_inputs, Draw draw_weights) {
  return draw_convolution(
      {.weight = {p.out, p.in.c, 1, 1, nullptr}, .bias = nullptr, .activation = p.activation}, p.in,
      {.bias = p.bias,
       .residual = p.residual,
       .before_in = p.beside,
       .after_in = p.beside,
       .before_residual = 2 * p.beside,
       .after_residual = p.beside},
      draw_inputs, draw_weights);
}

void check(const Problem& p, int threads = 1, double tolerance = 0) {
  const auto make = [](const Conv2d& layer, Isa isa) { return make_conv2d_pointwise(layer, isa); };
  equals_reference(set_up(p, Draw::whole, Draw::sixteenths), str_cat(p), make,
                   {p.beside, 2 * p.beside, threads, tolerance});
}

}  // namespace

TEST_CASE("only 1x1 convolutions without stride, padding and groups are taken for pointwise") {
  Random random(1);
  const auto weight = drawn(64, random, Draw::whole);
  const Conv2d plain{.weight = {4, 4, 1, 1, weight}, .bias = nullptr};
  const auto accepted = [](const Conv2d& layer) {
    return make_conv2d_pointwise(layer, supported_isas().front()) != nullptr;
  };
  CHECK(accepted(plain));
  Conv2d other = plain;
  other.dilation = 3;  // of a single tap: means nothing
  CHECK(accepted(other));
  other = plain, other.stride = 2;
  CHECK_FALSE(accepted(other));
  other = plain, other.padding = 1;
  CHECK_FALSE(accepted(other));
  other = plain, other.groups = 2, other.weight.d1 = 2;
  CHECK_FALSE(accepted(other));
  other = plain, other.weight = {1, 4, 3, 1, plain.weight.data};
  CHECK_FALSE(accepted(other));
  other = plain, other.weight = {1, 4, 1, 3, plain.weight.data};
  CHECK_FALSE(accepted(other));
}

TEST_CASE("the pointwise kernel equals the reference exactly for any number of pixels") {
  for (std::int64_t w :
       {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 31, 47, 48, 49, 191, 193, 389})
    for (std::int64_t out : {3, 16, 21, 48}) check({.in = {1, 1, w, 5}, .out = out});
}

TEST_CASE("the pointwise kernel equals the reference exactly for any number of channels") {
  for (std::int64_t out : {1,  2,  4,  5,  7,  8,  9,  12, 15, 16, 17, 21,  24,  31, 32,
                           33, 40, 47, 48, 49, 63, 64, 65, 72, 80, 81, 112, 120, 184})
    check({.in = {2, 3, 7, 6}, .out = out, .residual = true});
  for (std::int64_t in : {1, 2, 3, 4, 15, 16, 17, 64, 255, 256, 257, 672, 1000, 1024, 2049})
    check({.in = {1, 5, 5, in}, .out = 24});
}

TEST_CASE("the pointwise kernel applies every activation behind bias and residual") {
  for (ActivationKind kind :
       {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardsigmoid,
        ActivationKind::hardswish, ActivationKind::sigmoid})
    for (bool bias : {false, true})
      for (bool residual : {false, true})
        check({.in = {1, 5, 6, 8}, .out = 21, .bias = bias, .residual = residual, .activation = kind}, 1,
              1e-6);
}

TEST_CASE("the pointwise kernel reads and writes slices of wider tensors and touches nothing beside them") {
  for (std::int64_t out : {3, 16, 24, 37, 90})
    for (std::int64_t w : {1, 5, 12, 40})
      check({.in = {2, 2, w, 19},
             .out = out,
             .residual = true,
             .activation = ActivationKind::relu,
             .beside = 3},
            2);
}

TEST_CASE("the pointwise kernel gives the same bits for any number of threads and any batch") {
  for (const Problem& p : {Problem{.in = {2, 33, 33, 40}, .out = 72, .residual = true},
                           Problem{.in = {1, 5, 7, 300}, .out = 21, .activation = ActivationKind::hardswish},
                           Problem{.in = {1, 1, 1, 1024}, .out = 500, .residual = true}}) {
    const DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const auto kernel = make_conv2d_pointwise(s.layer, isa);
      Tensor first(s.out), again(s.out);
      run_hostile(*kernel, s.inputs, first.view(), 1);
      for (int threads : {1, 2, 3, 7}) {
        CAPTURE(threads);
        const auto packed_by_threads = make_conv2d_pointwise(s.layer, isa, threads);
        run_hostile(*packed_by_threads, s.inputs, again.view(), threads);
        CHECK(same_bits(first.view(), again.view()));
      }
      // One row of pixels alone: other blocks, the same sums.
      const ConstView row = s.in.view();
      const ConstView one{row.data, {1, 1, row.shape.w, row.shape.c}, row.pitch};
      Tensor out({1, 1, row.shape.w, s.out.c});
      std::vector<ConstView> inputs{one};
      if (p.residual) inputs.push_back({s.residual.view().data, out.shape(), s.residual.view().pitch});
      run_hostile(*kernel, inputs, out.view(), 1);
      CHECK(same_bits(out.view(), ConstView{first.data(), out.shape(), s.out.c}));
    }
  }
}

TEST_CASE("the pointwise kernel may write over its residual, with pixels left over by its tiles or not") {
  for (const Shape& in : {Shape{1, 4, 6, 40}, Shape{2, 5, 7, 40}, Shape{1, 1, 3, 40}, Shape{1, 33, 33, 24}}) {
    CAPTURE(in);
    const DrawnConv2d s = set_up({.in = in, .out = 72, .residual = true}, Draw::floats, Draw::floats);
    for (Isa isa : supported_isas())
      for (int threads : {1, 3}) {
        CAPTURE(name_of(isa));
        CAPTURE(threads);
        const auto kernel = make_conv2d_pointwise(s.layer, isa);
        Tensor apart(s.out), over(s.out);
        run_hostile(*kernel, s.inputs, apart.view(), threads);
        for (std::int64_t p = 0; p < s.out.pixels(); ++p)
          std::copy_n(s.inputs[1].data + p * s.inputs[1].pitch, s.out.c, over.data() + p * s.out.c);
        run_on_top(*kernel, std::vector<ConstView>{s.inputs[0], over.view()}, over.view(), threads);
        CHECK(same_bits(over.view(), apart.view()));
      }
  }
}

}  // namespace atrous::pointwise_test
