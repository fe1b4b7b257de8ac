// Layers that look at a whole image: group norm, position attention.
#include <doctest/doctest.h>

#include <array>

#include "layers/ops/group_norm.h"
#include "layers/ops/position_attention.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::attention_test {

TEST_CASE("group_norm equals torch.nn.functional.group_norm") {
  for (const Golden& g : read_goldens("group_norm")) {
    CAPTURE(g.name);
    Tensor in = g["input"].map();
    const Tensor expected = g["output"].map();
    const GroupNorm layer{.channels = in.shape().c,
                          .groups = g.integer("groups"),
                          .weight = g["weight"].shared(),
                          .bias = g["bias"].shared()};
    Tensor out(expected.shape());
    group_norm_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
    group_norm_reference(layer, in.view(), in.view());  // out may be in
    CHECK(same_bits(in.view(), out.view()));
  }
}

TEST_CASE("group_norm refuses maps of other channels, naming both numbers") {
  const GroupNorm layer{.channels = 6, .groups = 2, .weight = nullptr, .bias = nullptr};
  const Shape in[] = {{1, 2, 2, 4}};
  const std::string message =
      error_of(ErrorCode::invalid_argument, [&] { static_cast<void>(layer.output_shape(in)); });
  CHECK(message == "group_norm: expected 6 channels, found 4");
}

TEST_CASE("position_attention equals the publisher's PAB between its convolutions") {
  for (const Golden& g : read_goldens("position_attention")) {
    CAPTURE(g.name);
    const Tensor query = g["query"].map(), key = g["key"].map(), value = g["value"].map(),
                 expected = g["output"].map();
    const Shape shapes[] = {query.shape(), key.shape(), value.shape()};
    CHECK(PositionAttention{}.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    position_attention_reference({}, query.view(), key.view(), value.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-5) == "");
  }
}

TEST_CASE("position_attention refuses maps that do not fit each other, and more pairs than can be counted") {
  const Shape map{1, 2, 3, 4}, other{1, 3, 2, 4}, wide{1, 2, 3, 5};
  for (const auto& shapes :
       {std::array{map, other, map}, std::array{map, map, other}, std::array{map, wide, map}})
    CHECK(contains(error_of(ErrorCode::invalid_argument,
                            [&] { static_cast<void>(PositionAttention{}.output_shape(shapes)); }),
                   "position_attention: a query of [1, 2, 3, 4]"));
  const Shape huge{1, std::int64_t{1} << 20, std::int64_t{1} << 20, 1};
  CHECK(contains(error_of(ErrorCode::limit,
                          [&] {
                            const Shape shapes[] = {huge, huge, huge};
                            static_cast<void>(PositionAttention{}.output_shape(shapes));
                          }),
                 "pairs of pixels"));
}

}  // namespace atrous::attention_test
