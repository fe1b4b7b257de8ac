// Doubled maps in passes: fused with the convolution behind them, taken out of concatenations, and weights
// taken apart for that.
#include "runtime/engine/passes.h"

#include <doctest/doctest.h>

#include "runtime/engine/weight_memory.h"
#include "tests/support/passes_testing.h"

namespace atrous::doubling_passes_test {

using namespace atrous::passes_testing;

namespace {

const Resize doubling{.mode = ResizeMode::nearest, .factor = 2}, doubling_bilinear{.factor = 2};

}  // namespace

TEST_CASE("a doubled map and the 3x3 convolution behind it become one layer, with its activation") {
  Graph g = small_map_first(
      {{"double", doubling, {2}}, {"conv", conv(5, 8, 3, 3, true), {3}}, {"relu", relu_layer, {4}}}, {5});
  transform(g, optimise, 1e-6);
  CHECK(names(g) == Names{"halve", "widen", "conv"});
  CHECK(std::get<DoubledConv2d>(g.nodes[2].layer).conv.activation == ActivationKind::relu);
  Graph of_many = small_map_first({{"double", doubling, {2}}, {"conv", conv(33, 8, 3, 3), {3}}}, {4});
  transform(of_many, fuse_doubling, 1e-6);
  CHECK(names(of_many) == Names{"halve", "widen", "conv"});

  const auto stays = [](const Resize& resize, const Conv2d& layer, std::vector<ValueId> inputs = {3},
                        std::vector<ValueId> outputs = {4}) {
    Graph graph =
        small_map_first({{"double", resize, {2}}, {"conv", layer, std::move(inputs)}}, std::move(outputs));
    transform(graph, fuse_doubling);
    CHECK(names(graph) == Names{"halve", "widen", "double", "conv"});
  };
  const Conv2d usual = conv(5, 8, 3, 3);
  SUBCASE("another factor") { stays({.mode = ResizeMode::nearest, .factor = 4}, usual); }
  SUBCASE("bilinear") { stays(doubling_bilinear, usual); }
  SUBCASE("another reader") { stays(doubling, usual, {3}, {3, 4}); }
  SUBCASE("a residual") { stays(doubling, conv(8, 8, 3, 3), {3, 3}); }
  SUBCASE("another kernel") { stays(doubling, conv(5, 8, 1, 3)); }
  for (const auto& change : std::initializer_list<void (*)(Conv2d&)>{
           [](Conv2d& c) { c.padding = 0; }, [](Conv2d& c) { c.stride = 2; },
           [](Conv2d& c) { c.padding = c.dilation = 2; },
           [](Conv2d& c) { c.rounding = Rounding::precise; }}) {
    Conv2d other = usual;
    change(other);
    stays(doubling, other);
  }
}

namespace {

// U-Net's decoder in small: value 3 is value 2 of 8 channels doubled, 4 a map of 4 channels of that size,
// 5 the two, or those of `order`, joined, 6 the convolution.
Graph decoder(const Conv2d& layer, const std::vector<ValueId>& order = {3, 4},
              std::vector<Node> rest = {{"relu", relu_layer, {6}}}, std::vector<ValueId> outputs = {7}) {
  std::vector<Node> nodes{{"double", doubling, {2}},
                          {"skip", doubling_bilinear, {1}},
                          {"concat", Concat{}, order},
                          {"conv", layer, {5}}};
  nodes.insert(nodes.end(), rest.begin(), rest.end());
  return small_map_first(std::move(nodes), std::move(outputs));
}

const Names undivided{"halve", "widen", "double", "skip", "concat", "conv", "relu"};

}  // namespace

TEST_CASE(
    "of a convolution of a doubled map joined with another one the doubled part is a layer of its own") {
  for (const bool doubled_first : {true, false})
    for (const bool bias : {true, false})
      for (const std::int64_t outputs : {1, 5, 8}) {  // at most as many as the doubled map has channels
        CAPTURE(doubled_first);
        CAPTURE(bias);
        CAPTURE(outputs);
        const Conv2d layer = conv(outputs, 12, 3, 3, bias);
        Graph g = decoder(layer, doubled_first ? std::vector<ValueId>{3, 4} : std::vector<ValueId>{4, 3});
        transform(g, optimise, 1e-5);
        CHECK(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "conv"});
        CHECK(g.nodes[2].inputs == std::vector<ValueId>{2});
        CHECK(g.nodes[4].inputs == std::vector<ValueId>{4, g.nodes[2].output});
        const Conv2d &doubled = std::get<DoubledConv2d>(g.nodes[2].layer).conv, &rest = conv_of(g, 4);
        CHECK(doubled.in_channels() == 8);
        CHECK(doubled.out_channels() == outputs);
        CHECK(doubled.activation == ActivationKind::none);
        CHECK(doubled.bias == nullptr);
        CHECK(rest.in_channels() == 4);
        CHECK(rest.activation == ActivationKind::relu);
        CHECK(rest.bias == layer.bias);
        const Value& made = g.values[static_cast<std::size_t>(g.nodes[2].output)];
        CHECK(made.channels == outputs);
        CHECK(made.name == "conv.doubled");
        bool of_the_layer = true;
        for (std::int64_t o = 0; o < outputs; ++o)
          for (std::int64_t i = 0; i < 12; ++i)
            for (std::int64_t tap = 0; tap < 9; ++tap) {
              const std::int64_t within = doubled_first ? i : i - 4, other = doubled_first ? i - 8 : i;
              const float found = within >= 0 && within < 8 ? doubled.weight.at(o, within, tap / 3, tap % 3)
                                                            : rest.weight.at(o, other, tap / 3, tap % 3);
              of_the_layer = of_the_layer && found == layer.weight.at(o, i, tap / 3, tap % 3);
            }
        CHECK(of_the_layer);
      }
}

TEST_CASE("of more maps than two those that are not doubled stay joined, in their order") {
  for (const std::vector<ValueId>& order :
       {std::vector<ValueId>{3, 4, 5}, std::vector<ValueId>{4, 3, 5}, std::vector<ValueId>{4, 5, 3}}) {
    Graph g = small_map_first({{"double", doubling, {2}},
                               {"skip", doubling_bilinear, {1}},
                               {"third", doubling_bilinear, {2}},
                               {"concat", Concat{}, order},
                               {"conv", conv(5, 20, 3, 3, true), {6}}},
                              {7});
    transform(g, fuse_doubling, 1e-5);
    CHECK(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "third", "concat", "conv"});
    CHECK(g.nodes[5].inputs == std::vector<ValueId>{4, 5});
    CHECK(g.values[6].channels == 12);
    CHECK(g.nodes[6].inputs == std::vector<ValueId>{6, 3});
  }
}

TEST_CASE("of two doubled maps the first that has channels enough is taken apart, the other stays") {
  const auto with = [](std::int64_t outputs, std::vector<Node> rest) {
    std::vector<Node> nodes{{"wide", doubling, {2}}, {"narrow", doubling, {1}}};
    nodes.insert(nodes.end(), rest.begin(), rest.end());
    nodes.push_back({"conv", conv(outputs, 12, 3, 3), {5}});
    return small_map_first(std::move(nodes), {6});
  };
  Graph first = with(4, {{"concat", Concat{}, {3, 4}}});
  transform(first, fuse_doubling, 1e-5);
  CHECK(names(first) == Names{"halve", "widen", "conv.doubled", "narrow", "conv"});
  CHECK(first.nodes[4].inputs == std::vector<ValueId>{4, 3});
  Graph other_way = with(4, {{"concat", Concat{}, {4, 3}}});
  transform(other_way, fuse_doubling, 1e-5);
  CHECK(names(other_way) == Names{"halve", "widen", "wide", "conv.doubled", "conv"});
  Graph second = with(5, {{"concat", Concat{}, {4, 3}}});
  transform(second, fuse_doubling, 1e-5);
  CHECK(names(second) == Names{"halve", "widen", "conv.doubled", "narrow", "conv"});
}

TEST_CASE("a doubled map that is joined stays where its part would be larger, or others need what it made") {
  const Conv2d usual = conv(5, 12, 3, 3);
  const auto stays = [](Graph g, Names expected = undivided) {
    transform(g, fuse_doubling);
    CHECK(names(g) == expected);
  };
  const auto followed = [](const Names& by) {
    Names all(undivided.begin(), undivided.end() - 1);
    all.insert(all.end(), by.begin(), by.end());
    return all;
  };
  const std::vector<ValueId> joined{3, 4};
  SUBCASE("more outputs than channels") { stays(decoder(conv(9, 12, 3, 3))); }
  SUBCASE("the doubled map is an output") { stays(decoder(usual, joined, {}, {6, 3}), followed({})); }
  SUBCASE("another node reads the doubled map") {
    stays(decoder(usual, joined, {{"other", relu_layer, {3}}}, {6, 7}), followed({"other"}));
  }
  SUBCASE("it is joined twice") { stays(decoder(conv(5, 20, 3, 3), {3, 4, 3})); }
  SUBCASE("the concatenation is an output") { stays(decoder(usual, joined, {}, {6, 5}), followed({})); }
  SUBCASE("another node reads the concatenation") {
    stays(decoder(usual, joined, {{"other", relu_layer, {5}}}, {6, 7}), followed({"other"}));
  }
  SUBCASE("two convolutions read the concatenation") {
    stays(decoder(usual, joined, {{"second", conv(5, 12, 3, 4), {5}}}, {6, 7}), followed({"second"}));
  }
  SUBCASE("a residual") {
    Graph g = decoder(conv(8, 12, 3, 3));
    g.nodes[5].inputs.push_back(g.nodes[2].output);
    stays(g);
    Graph of_another = decoder(conv(4, 12, 3, 3));
    of_another.nodes[5].inputs.push_back(4);
    stays(of_another);
  }
  SUBCASE("another way to double") {
    Graph g = decoder(usual);
    g.nodes[2].layer = doubling_bilinear;
    stays(g);
  }
  SUBCASE("a doubled map that was activated") {
    Graph g = small_map_first({{"double", doubling, {2}},
                               {"relu", relu_layer, {3}},
                               {"skip", doubling_bilinear, {1}},
                               {"concat", Concat{}, {4, 5}},
                               {"conv", usual, {6}}},
                              {7});
    stays(g, {"halve", "widen", "double", "relu", "skip", "concat", "conv"});
  }
  SUBCASE("another convolution") {
    for (const auto& change : std::initializer_list<void (*)(Conv2d&)>{
             [](Conv2d& c) { c.padding = 0; }, [](Conv2d& c) { c.stride = 2; },
             [](Conv2d& c) { c.padding = c.dilation = 2; }, [](Conv2d& c) { c.rounding = Rounding::precise; },
             [](Conv2d& c) { c = conv(5, 12, 1, 3); }, [](Conv2d& c) { c = conv(5, 12, 5, 3); }}) {
      Conv2d other = usual;
      change(other);
      stays(decoder(other));
    }
    Conv2d grouped = conv(4, 6, 3, 3);
    grouped.groups = 2;
    stays(decoder(grouped));
  }
  SUBCASE("quantised weights") {
    Conv2d quantised = usual;
    const auto whole = std::make_shared<std::vector<std::int8_t>>(5 * 12 * 9);
    quantised.weight.quantised = {whole, whole->data()};
    quantised.weight.scale = drawn(5, 3);
    quantised.weight.data = nullptr;
    Graph g = decoder(quantised);
    fuse_doubling(g);
    CHECK(names(g) == undivided);
  }
  SUBCASE("maps in fewer bits") {
    Graph g = decoder(usual);
    fuse_for_processor(g, true);
    CHECK(names(g) == undivided);
  }
}

namespace {

// As a file that holds so many floats.
class Stored final : public StoredWeights {
 public:
  explicit Stored(std::shared_ptr<const float> floats, std::int64_t count)
      : floats_(std::move(floats)), count_(count) {}
  void read(std::int64_t first, std::span<float> out) const override {
    if (first < 0 || first + std::ssize(out) > count_) fail(ErrorCode::io, "beside the weights");
    std::copy_n(floats_.get() + first, out.size(), out.begin());
  }

 private:
  std::shared_ptr<const float> floats_;
  std::int64_t count_;
};

// The layer with its weights in a file, to be multiplied by a batch norm's scale if there are factors.
Conv2d in_file(Conv2d layer, std::vector<double> factors) {
  Filter& w = layer.weight;
  w.pending = std::make_shared<const PendingWeights>(
      PendingWeights{std::make_shared<const Stored>(w.data, w.elements()), std::move(factors)});
  w.data = nullptr;
  return layer;
}

// Of [outputs][inputs][taps] those of the inputs [first, last), or all others.
std::vector<float> part_of(const Filter& w, std::int64_t first, std::int64_t last, bool others) {
  std::vector<float> part;
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t i = 0; i < w.d1; ++i)
      if ((i >= first && i < last) != others)
        for (std::int64_t tap = 0; tap < taps; ++tap)
          part.push_back(w.data.get()[(o * w.d1 + i) * taps + tap]);
  return part;
}

// Whether weights in a file are `expected`, wherever reading begins and ends, and have the factors.
bool stored_as(const Filter& w, const std::vector<float>& expected, const std::vector<double>& factors) {
  if (w.data || !w.pending || !w.pending->stored || w.pending->factors != factors) return false;
  if (w.elements() != std::ssize(expected)) return false;
  const auto size = expected.size();
  for (std::size_t first = 0; first < size; ++first)
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{7}, size / 3, size - first}) {
      if (count > size - first) continue;
      std::vector<float> found(count);
      w.pending->stored->read(static_cast<std::int64_t>(first), found);
      if (!std::equal(found.begin(), found.end(), expected.begin() + static_cast<std::ptrdiff_t>(first)))
        return false;
    }
  return true;
}

// The same weights in memory, each product in double and rounded once.
std::vector<float> multiplied(std::vector<float> weights, const std::vector<double>& factors) {
  if (!factors.empty())
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<float>(static_cast<double>(weights[i]) *
                                      factors[i / (weights.size() / factors.size())]);
  return weights;
}

std::vector<float> brought_in(Filter w) {
  bring_in(w);
  return {w.data.get(), w.data.get() + w.elements()};
}

const std::vector<double> some_factors[] = {{}, {0.3, -1.7, 0.1, 2.5, 1e-3}};

}  // namespace

TEST_CASE("weights that are still in a file are taken apart without being read, and keep their factors") {
  for (const std::vector<double>& factors : some_factors)
    for (const std::vector<ValueId>& order :
         {std::vector<ValueId>{3, 4, 5}, std::vector<ValueId>{4, 3, 5}, std::vector<ValueId>{4, 5, 3}}) {
      const Conv2d layer = conv(5, 16, 3, 3, true);
      Graph g = small_map_first({{"double", doubling, {2}},
                                 {"skip", doubling_bilinear, {1}},
                                 {"third", doubling_bilinear, {1}},
                                 {"concat", Concat{}, order},
                                 {"conv", in_file(layer, factors), {6}}},
                                {7});
      fuse_doubling(g);
      REQUIRE(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "third", "concat", "conv"});
      const std::int64_t first = order[0] == 3 ? 0 : order[1] == 3 ? 4 : 8;
      CAPTURE(first);
      CAPTURE(factors.size());
      const Filter &doubled = std::get<DoubledConv2d>(g.nodes[2].layer).conv.weight,
                   &rest = conv_of(g, 6).weight;
      const auto of_doubled = part_of(layer.weight, first, first + 8, false),
                 of_rest = part_of(layer.weight, first, first + 8, true);
      CHECK(stored_as(doubled, of_doubled, factors));
      CHECK(stored_as(rest, of_rest, factors));
      CHECK(same_bits(brought_in(doubled), multiplied(of_doubled, factors)));
      CHECK(same_bits(brought_in(rest), multiplied(of_rest, factors)));
    }
}

TEST_CASE("weights in memory with a batch norm's scale to come are taken apart with it") {
  for (const std::vector<double>& factors : some_factors) {
    const Conv2d layer = conv(5, 12, 3, 3);
    Conv2d scaled = layer;
    scaled.weight.pending = std::make_shared<const PendingWeights>(PendingWeights{nullptr, factors});
    Graph g = decoder(scaled);
    fuse_doubling(g);
    REQUIRE(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "conv", "relu"});
    CHECK(same_bits(brought_in(std::get<DoubledConv2d>(g.nodes[2].layer).conv.weight),
                    multiplied(part_of(layer.weight, 0, 8, false), factors)));
    CHECK(
        same_bits(brought_in(conv_of(g, 4).weight), multiplied(part_of(layer.weight, 0, 8, true), factors)));
  }
}

TEST_CASE("a repeated pixel's weights in a file are taken apart without being read, and keep their factors") {
  for (const std::vector<double>& factors : some_factors) {
    const Conv2d layer = conv(5, 8, 1, 3, true);
    Graph g = pooling(in_file(layer, factors));
    hoist_repeated_pixel(g);
    REQUIRE(names(g) == Names{"map", "pool", "conv", "relu", "project.pixel", "concat", "project"});
    CHECK(stored_as(conv_of(g, 4).weight, part_of(layer.weight, 4, 8, false), factors));
    CHECK(stored_as(conv_of(g, 6).weight, part_of(layer.weight, 4, 8, true), factors));
    CHECK(
        same_bits(brought_in(conv_of(g, 4).weight), multiplied(part_of(layer.weight, 4, 8, false), factors)));
  }
}

}  // namespace atrous::doubling_passes_test
