// The kernels that look at a whole image, group norm and position attention, against their references, for
// every instruction set of this machine.
#include <doctest/doctest.h>

#include "layers/cpu/maps/group_norm_channelwise.h"
#include "layers/cpu/maps/position_attention_blocked.h"
#include "tests/support/layers_testing.h"

namespace atrous::attention_test {

namespace {

constexpr std::int64_t gap = 3;  // strange channels on either side of every slice

// Runs with 1, 2, 3 and 7 threads. Returns what is wrong, or "".
std::string compare(const Kernel& kernel, const std::vector<ConstView>& in, ConstView expected,
                    double tolerance) {
  Slice out(expected.shape, gap, gap);
  run_hostile(kernel, in, out.view(), 1);
  std::string wrong = difference(out.view(), expected, tolerance);
  if (!out.strangers_untouched()) wrong += " channels beside the slice changed";
  Tensor again(expected.shape);
  for (const int threads : {2, 3, 7}) {
    run_hostile(kernel, in, again.view(), threads);
    if (!same_bits(out.view(), again.view())) wrong += str_cat(" other bits with ", threads, " threads");
  }
  return wrong;
}

}  // namespace

TEST_CASE("channelwise group norm equals the reference") {
  struct Case {
    Shape in;
    std::int64_t groups;
  };
  const Case cases[] = {{{1, 1, 1, 1}, 1},     {{1, 1, 1, 6}, 2},     {{2, 3, 5, 6}, 3},
                        {{1, 9, 7, 32}, 32},   {{2, 8, 8, 64}, 4},    {{3, 13, 5, 17}, 1},
                        {{1, 5, 13, 128}, 32}, {{1, 17, 31, 33}, 11}, {{2, 1, 129, 5}, 5}};
  for (Isa isa : supported_isas())
    for (const Case& one : cases) {
      CAPTURE(name_of(isa));
      CAPTURE(one.in);
      Random random(1);
      Slice in(one.in, gap, gap);
      fill(in.view(), random, Draw::floats);
      for (std::int64_t p = 0; p < one.in.pixels(); ++p)  // a mean that is large beside the variance
        for (std::int64_t c = 0; c < one.in.c; ++c) in.view().data[p * in.view().pitch + c] += 8;
      const GroupNorm layer{.channels = one.in.c,
                            .groups = one.groups,
                            .weight = drawn(one.in.c, random, Draw::floats),
                            .bias = drawn(one.in.c, random, Draw::floats)};
      Tensor expected(one.in);
      group_norm_reference(layer, in.view(), expected.view());
      CHECK(compare(*make_group_norm_channelwise(layer, isa), {in.view()}, expected.view(), 2e-6) == "");
    }
}

TEST_CASE("channelwise group norm keeps a variance that is small beside the mean") {
  // 4096 and 4097 by turns: variance 1/4. Its squares' mean less its mean's square would be rounding.
  const Shape shape{1, 64, 65, 8};
  Tensor in(shape), expected(shape), out(shape);
  for (std::size_t i = 0; i < in.values().size(); ++i) in.values()[i] = i / 8 % 2 == 0 ? 4096.f : 4097.f;
  Random random(2);
  const std::vector<float> ones(8, 1.f), zeros(8, 0.f);
  const GroupNorm layer{.channels = 8,
                        .groups = 2,
                        .weight = {std::shared_ptr<void>(), ones.data()},
                        .bias = {std::shared_ptr<void>(), zeros.data()}};
  group_norm_reference(layer, in.view(), expected.view());
  CHECK(expected.data()[0] == doctest::Approx(-1).epsilon(1e-4));
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    run_hostile(*make_group_norm_channelwise(layer, isa), {in.view()}, out.view(), 2);
    CHECK(difference(out.view(), expected.view(), 2e-6) == "");
  }
}

TEST_CASE("blocked position attention equals the reference") {
  struct Case {
    Shape value;
    std::int64_t depth;
  };
  const Case cases[] = {{{1, 1, 1, 1}, 1},    {{2, 1, 7, 3}, 2},     {{1, 5, 5, 40}, 64}, {{2, 7, 11, 17}, 5},
                        {{1, 4, 8, 512}, 64}, {{1, 17, 16, 9}, 300}, {{1, 16, 33, 33}, 8}};
  for (Isa isa : supported_isas())
    for (const Case& one : cases) {
      CAPTURE(name_of(isa));
      CAPTURE(one.value);
      const Shape pixels{one.value.n, one.value.h, one.value.w, one.depth};
      Random random(3);
      Slice query(pixels, gap, gap), key(pixels, gap, 0), value(one.value, gap, gap);
      for (const View& v : {query.view(), key.view(), value.view()}) fill(v, random, Draw::floats);
      Tensor expected(one.value);
      position_attention_reference({}, query.view(), key.view(), value.view(), expected.view());
      // The mixture is of shares of all pairs: nearly nothing each. Compared as if they were of a pixel's.
      const auto pairs = static_cast<float>(one.value.h * one.value.w);
      Tensor scaled_value(one.value);
      for (std::int64_t p = 0; p < one.value.pixels(); ++p)
        for (std::int64_t c = 0; c < one.value.c; ++c)
          scaled_value.data()[p * one.value.c + c] = pairs * value.view().data[p * value.view().pitch + c];
      for (float& x : expected.values()) x *= pairs;
      CHECK(compare(*make_position_attention_blocked({}, isa),
                    {query.view(), key.view(), scaled_value.view()}, expected.view(), 4e-6) == "");
    }
}

TEST_CASE("blocked position attention takes fits of any size: the largest decides, and a NaN stays one") {
  const Shape map{1, 9, 5, 4};
  Tensor query(map), key(map), value(map), expected(map), out(map);
  Random random(4);
  for (Tensor* t : {&query, &key, &value}) fill(t->view(), random, Draw::floats);
  for (float& x : query.values()) x *= 1000;  // exp of them overflows, or is nothing beside the largest
  position_attention_reference({}, query.view(), key.view(), value.view(), expected.view());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = make_position_attention_blocked({}, isa);
    run_hostile(*kernel, {query.view(), key.view(), value.view()}, out.view(), 2);
    // A fit of 1000 is rounded by 1e-4, and that is how far its exponential may be.
    CHECK(difference(out.view(), expected.view(), 1e-3) == "");
    Tensor broken(map);
    std::ranges::copy(query.values(), broken.data());
    broken.data()[17] = not_a_number;
    run_hostile(*kernel, {broken.view(), key.view(), value.view()}, out.view(), 2);
    CHECK(std::ranges::all_of(out.values(), [](float x) { return std::isnan(x); }));
  }
}

}  // namespace atrous::attention_test
