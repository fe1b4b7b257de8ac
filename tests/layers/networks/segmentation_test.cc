// Networks built from synthetic checkpoints of torchvision's names and tiny widths.
#include "layers/networks/segmentation.h"

#include <doctest/doctest.h>

#include "tests/support/layers_checkpoint.h"

namespace atrous::segmentation_test {

namespace {

struct Net {
  std::vector<int> blocks = {1, 2, 2, 2};
  bool bottlenecks = true, deeplab = false, aux = false;
  std::int64_t width = 4, classes = 5;  // width: of the stem
};

// Bottlenecks expand by 4, as torchvision's do.
std::int64_t expansion(const Net& net) { return net.bottlenecks ? 4 : 1; }

void add_fcn_head(RawCheckpoint& c, const std::string& name, std::int64_t in, std::int64_t classes) {
  c.conv(name + ".0", in / 4, in, 3);
  c.norm(name + ".1", in / 4);
  c.conv(name + ".4", classes, in / 4, 1, true);
}

RawCheckpoint checkpoint(const Net& net) {
  RawCheckpoint c;
  c.conv("backbone.conv1", net.width, 3, 7);
  c.norm("backbone.bn1", net.width);
  std::int64_t in = net.width;
  for (int layer = 1; layer <= 4; ++layer) {
    const std::int64_t planes = net.width << (layer - 1), out = planes * expansion(net);
    for (int block = 0; block < net.blocks[static_cast<std::size_t>(layer - 1)]; ++block) {
      const std::string name = str_cat("backbone.layer", layer, ".", block);
      if (block == 0 && (layer > 1 || in != out)) {
        c.conv(name + ".downsample.0", out, in, 1);
        c.norm(name + ".downsample.1", out);
      }
      c.conv(name + ".conv1", planes, in, net.bottlenecks ? 1 : 3);
      c.norm(name + ".bn1", planes);
      c.conv(name + ".conv2", planes, planes, 3);
      c.norm(name + ".bn2", planes);
      if (net.bottlenecks) {
        c.conv(name + ".conv3", out, planes, 1);
        c.norm(name + ".bn3", out);
      }
      in = out;
    }
  }
  if (net.deeplab) {
    const std::int64_t width = 6;
    c.conv("classifier.0.convs.0.0", width, in, 1);
    c.norm("classifier.0.convs.0.1", width);
    for (int i = 1; i <= 3; ++i) {
      c.conv(str_cat("classifier.0.convs.", i, ".0"), width, in, 3);
      c.norm(str_cat("classifier.0.convs.", i, ".1"), width);
    }
    c.conv("classifier.0.convs.4.1", width, in, 1);
    c.norm("classifier.0.convs.4.2", width);
    c.conv("classifier.0.project.0", width, 5 * width, 1);
    c.norm("classifier.0.project.1", width);
    c.conv("classifier.1", width, width, 3);
    c.norm("classifier.2", width);
    c.conv("classifier.4", net.classes, width, 1, true);
  } else {
    add_fcn_head(c, "classifier", in, net.classes);
  }
  if (net.aux) add_fcn_head(c, "aux_classifier", in / 2, net.classes);
  return c;
}

Network build(const Net& net, const NetworkOptions& options = {}) {
  return build_network(checkpoint(net).state(), options);
}

}  // namespace

TEST_CASE("FCN and DeepLabV3 on ResNets of any depth are recognised by their keys") {
  CHECK(build({}).architecture == "fcn_resnet(1,2,2,2)");
  CHECK(build({.deeplab = true}).architecture == "deeplabv3_resnet(1,2,2,2)");
  struct Published {
    std::vector<int> blocks;
    bool bottlenecks;
    std::string name;
  };
  for (const Published& published :
       {Published{{2, 2, 2, 2}, false, "resnet18"}, Published{{3, 4, 6, 3}, false, "resnet34"},
        Published{{3, 4, 6, 3}, true, "resnet50"}, Published{{3, 4, 23, 3}, true, "resnet101"},
        Published{{3, 8, 36, 3}, true, "resnet152"}}) {
    const auto& blocks = published.blocks;
    CAPTURE(published.name);
    // Narrower than the published ones they are other networks.
    const std::string depth =
        str_cat("resnet(", blocks[0], ",", blocks[1], ",", blocks[2], ",", blocks[3], ")");
    CHECK(build({.blocks = blocks, .bottlenecks = published.bottlenecks}).architecture == "fcn_" + depth);
  }
  CHECK(build({.blocks = {2, 2, 2, 2}, .bottlenecks = false, .width = 64}).architecture == "fcn_resnet18");
}

TEST_CASE("the name of a published ResNet needs its depth, its blocks and its width") {
  // Only the shapes of the stem's weights are needed for the name, so spare the memory of the rest.
  RawCheckpoint c = checkpoint({.blocks = {3, 4, 6, 3}, .width = 4});
  c.tensors["backbone.conv1.weight"] = float_tensor({64, 3, 7, 7}, 0);
  c.norm("backbone.bn1", 64);
  c.conv("backbone.layer1.0.conv1", 4, 64, 1);
  c.conv("backbone.layer1.0.downsample.0", 16, 64, 1);
  CHECK(build_network(c.state()).architecture == "fcn_resnet50");
}

TEST_CASE("classes are read from the classifier's shape") {
  CHECK(build({.classes = 21}).classes == 21);
  CHECK(build({.deeplab = true, .classes = 2}).classes == 2);
}

TEST_CASE("layers 3 and 4 are dilated, but the first block of each keeps the dilation before it") {
  const Network network = build({.blocks = {2, 2, 3, 3}});
  const Graph& g = network.graph;
  CHECK(network.output_stride == 8);
  // Stride, dilation and padding of the 3x3 convolution of every block.
  CHECK(spacing(g, "backbone.layer1.0.conv2") == "1/1/1");
  CHECK(spacing(g, "backbone.layer1.1.conv2") == "1/1/1");
  CHECK(spacing(g, "backbone.layer2.0.conv2") == "2/1/1");
  CHECK(spacing(g, "backbone.layer2.1.conv2") == "1/1/1");
  CHECK(spacing(g, "backbone.layer3.0.conv2") == "1/1/1");
  CHECK(spacing(g, "backbone.layer3.1.conv2") == "1/2/2");
  CHECK(spacing(g, "backbone.layer3.2.conv2") == "1/2/2");
  CHECK(spacing(g, "backbone.layer4.0.conv2") == "1/2/2");
  CHECK(spacing(g, "backbone.layer4.1.conv2") == "1/4/4");
  CHECK(spacing(g, "backbone.layer4.2.conv2") == "1/4/4");
  // The 1x1 convolutions stay as they are; the stride sits in the 3x3 (v1.5) and in the downsampling.
  for (int layer = 1; layer <= 4; ++layer) {
    const std::string block = str_cat("backbone.layer", layer, ".0");
    CAPTURE(block);
    CHECK(spacing(g, block + ".conv1") == "1/1/0");
    CHECK(spacing(g, block + ".conv3") == "1/1/0");
    CHECK(spacing(g, block + ".downsample.0") == (layer == 2 ? "2/1/0" : "1/1/0"));
  }
  CHECK(spacing(g, "backbone.conv1") == "2/1/3");
  const auto& pool = std::get<MaxPool2d>(node(g, "backbone.maxpool").layer);
  CHECK(str_cat(pool.kernel, pool.stride, pool.padding) == "321");
}

TEST_CASE("BasicBlocks are strided and never dilated: output stride 32") {
  const Network network = build({.blocks = {2, 2, 2, 2}, .bottlenecks = false});
  const Graph& g = network.graph;
  CHECK(network.output_stride == 32);
  for (int layer = 1; layer <= 4; ++layer) {
    const std::string name = str_cat("backbone.layer", layer), first = layer == 1 ? "1/1/1" : "2/1/1";
    CAPTURE(name);
    CHECK(spacing(g, name + ".0.conv1") == first);
    CHECK(spacing(g, name + ".0.conv2") == "1/1/1");
    CHECK(spacing(g, name + ".1.conv1") == "1/1/1");
    CHECK(spacing(g, name + ".1.conv2") == "1/1/1");
    if (layer > 1) CHECK(spacing(g, name + ".0.downsample.0") == "2/1/0");
  }
  CHECK_THROWS(node(g, "backbone.layer1.0.downsample.0"));
}

TEST_CASE("ASPP looks at rates 1, 12, 24 and 36 and at the whole map") {
  const Graph g = build({.deeplab = true}).graph;
  CHECK(spacing(g, "classifier.0.convs.0.0") == "1/1/0");
  CHECK(spacing(g, "classifier.0.convs.1.0") == "1/12/12");
  CHECK(spacing(g, "classifier.0.convs.2.0") == "1/24/24");
  CHECK(spacing(g, "classifier.0.convs.3.0") == "1/36/36");
  CHECK(spacing(g, "classifier.0.convs.4.1") == "1/1/0");
  CHECK(spacing(g, "classifier.0.project.0") == "1/1/0");
  CHECK(spacing(g, "classifier.1") == "1/1/1");
  CHECK(spacing(g, "classifier.4") == "1/1/0");
  CHECK(conv(g, "classifier.4").bias != nullptr);
  CHECK(conv(g, "classifier.1").bias == nullptr);

  int pools = 0, concats = 0;
  for (const Node& n : g.nodes) {
    if (const auto* pool = std::get_if<AdaptiveAvgPool2d>(&n.layer)) {
      ++pools;
      CHECK(pool->out_h == 1);
      CHECK(pool->out_w == 1);
    }
    if (const auto* resize = std::get_if<Resize>(&n.layer)) {
      CHECK(resize->mode == ResizeMode::bilinear);
      CHECK(!resize->align_corners);
    }
    if (std::holds_alternative<Concat>(n.layer)) {
      ++concats;
      REQUIRE(n.inputs.size() == 5);
      // In torchvision's order, each behind its relu.
      for (std::size_t i = 0; i < 5; ++i) {
        const auto producer = std::ranges::find(g.nodes, n.inputs[i], &Node::output);
        REQUIRE(producer != g.nodes.end());
        CHECK(producer->name.starts_with(str_cat("classifier.0.convs.", i, ".")));
        const bool expected = i == 4 ? std::holds_alternative<Resize>(producer->layer)
                                     : std::holds_alternative<Activation>(producer->layer);
        CHECK(expected);
      }
    }
  }
  CHECK(pools == 1);
  CHECK(concats == 1);
}

TEST_CASE("a network has its torchvision resolution for any size of photo") {
  const Network dilated = build({.deeplab = true}), strided = build({.bottlenecks = false});
  CHECK(output_of(dilated, {1, 520, 520, 3}) == Shape{1, 65, 65, 5});
  CHECK(output_of(dilated, {2, 33, 50, 3}) == Shape{2, 5, 7, 5});
  CHECK(output_of(dilated, {1, 1, 1, 3}) == Shape{1, 1, 1, 5});
  CHECK(output_of(strided, {1, 520, 520, 3}) == Shape{1, 17, 17, 5});
  CHECK(error_of(ErrorCode::invalid_argument, [&] { output_of(dilated, {1, 64, 64, 4}); }) != "");
}

TEST_CASE("every block ends in relu(conv + identity), the identity downsampled where the shape changes") {
  const Graph g = build({.blocks = {2, 1, 1, 1}}).graph;
  const auto readers_of = [&](ValueId v) {
    std::vector<std::string> names;
    for (const Node& n : g.nodes)
      for (ValueId input : n.inputs)
        if (input == v) names.push_back(n.name);
    return names;
  };
  int additions = 0;
  for (const Node& n : g.nodes)
    if (std::holds_alternative<Add>(n.layer)) {
      ++additions;
      const auto readers = readers_of(n.output);
      REQUIRE(readers.size() == 1);
      CHECK(std::get<Activation>(node(g, readers[0]).layer).kind == ActivationKind::relu);
    }
  CHECK(additions == 5);
  // layer1.1 adds its own input, layer1.0 what the downsampling made.
  const ValueId first = node(g, "backbone.layer1.1.conv1").inputs[0];
  const auto readers = readers_of(first);
  REQUIRE(readers.size() == 2);
  CHECK(std::holds_alternative<Add>(node(g, readers[1]).layer));
  const ValueId downsampled = node(g, "backbone.layer1.0.downsample.1").output;
  REQUIRE(readers_of(downsampled).size() == 1);
  CHECK(std::holds_alternative<Add>(node(g, readers_of(downsampled)[0]).layer));
}

TEST_CASE("nodes come after the nodes that they read") {
  for (bool deeplab : {false, true}) {
    const Graph g = build({.deeplab = deeplab, .aux = true}, {.aux = true}).graph;
    std::vector<bool> known(g.values.size());
    known[static_cast<std::size_t>(g.input)] = true;
    for (const Node& n : g.nodes) {
      CAPTURE(n.name);
      for (ValueId v : n.inputs) CHECK(known[static_cast<std::size_t>(v)]);
      known[static_cast<std::size_t>(n.output)] = true;
    }
    for (const auto& [name, v] : g.outputs) CHECK(known[static_cast<std::size_t>(v)]);
  }
}

TEST_CASE("batch norms of ResNets and heads use eps 1e-5") {
  for (bool deeplab : {false, true}) {
    const Graph g = build({.deeplab = deeplab, .aux = true}, {.aux = true}).graph;
    for (const Node& n : g.nodes)
      if (const auto* norm = std::get_if<BatchNorm>(&n.layer)) {
        CAPTURE(n.name);
        CHECK(norm->scale.at(0) == doctest::Approx(1 / std::sqrt(1 + 1e-5)).epsilon(1e-9));
      }
  }
}

TEST_CASE("the auxiliary head is built on request, on layer 3") {
  const Network with = build({.aux = true}, {.aux = true});
  REQUIRE(with.graph.outputs.size() == 2);
  CHECK(with.graph.outputs[0].first == "out");
  CHECK(with.graph.outputs[1].first == "aux");
  CHECK(with.has_aux);
  CHECK(output_of(with, {1, 64, 64, 3}, 1) == Shape{1, 8, 8, 5});
  CHECK(spacing(with.graph, "aux_classifier.0") == "1/1/1");
  // What the head reads is what layer4.0 reads.
  CHECK(node(with.graph, "aux_classifier.0").inputs == node(with.graph, "backbone.layer4.0.conv1").inputs);

  // Not asked for, it is ignored, whatever it holds.
  RawCheckpoint c = checkpoint({.aux = true});
  c.tensors["aux_classifier.4.weight"] = float_tensor({1, 2, 3}, not_a_number);
  c.tensors.erase("aux_classifier.1.weight");
  const Network without = build_network(c.state());
  CHECK(without.graph.outputs.size() == 1);
  CHECK(without.has_aux);
  CHECK_THROWS(node(without.graph, "aux_classifier.0"));

  // Asked for, it is checked.
  const std::string message = refusal(c, {.aux = true});
  CHECK(contains(message, "aux_classifier.4.weight: expected [any, "));
  CHECK(contains(message, "aux_classifier.1.weight: missing"));

  CHECK(!build({}).has_aux);
  CHECK(contains(error_of(ErrorCode::unsupported, [] { build({}, {.aux = true}); }), "aux_classifier"));
}

TEST_CASE("every missing, misshaped, unexpected and unusable key is listed at once, with both shapes") {
  RawCheckpoint c = checkpoint({.deeplab = true});
  c.tensors.erase("backbone.layer2.1.conv2.weight");
  c.tensors.erase("backbone.bn1.running_mean");
  c.tensors["backbone.layer1.0.bn2.bias"] = float_tensor({7}, 0);
  c.tensors["classifier.0.project.0.weight"] = float_tensor({6, 29, 1, 1}, 0);
  c.tensors["backbone.layer3.0.conv1.weight"] = float_tensor({16, 32, 1}, 0);
  c.tensors["backbone.fc.weight"] = float_tensor({1000, 2048}, 0);
  c.tensors["surplus"] = float_tensor({3}, 0);
  c.tensors["classifier.2.weight"] = float_tensor({6}, not_a_number);
  const std::string message = refusal(c);
  CAPTURE(message);
  CHECK(contains(message, "8 keys"));
  CHECK(lines_with(message, "backbone.layer2.1.conv2.weight: missing") == 1);
  CHECK(lines_with(message, "backbone.bn1.running_mean: missing, expected [4]") == 1);
  CHECK(lines_with(message, "backbone.layer1.0.bn2.bias: expected [4], found [7]") == 1);
  CHECK(lines_with(message, "classifier.0.project.0.weight: expected [any, 30, 1, 1], found [6, 29, 1, 1]") ==
        1);
  CHECK(lines_with(message, "backbone.layer3.0.conv1.weight: expected [any, 32, 1, 1], found [16, 32, 1]") ==
        1);
  CHECK(lines_with(message, "backbone.fc.weight: unexpected, [1000, 2048]") == 1);
  CHECK(lines_with(message, "surplus: unexpected, [3]") == 1);
  CHECK(lines_with(message, "classifier.2.weight: ") == 1);
}

TEST_CASE("a message names at most twenty keys and says how many more there are") {
  RawCheckpoint c = checkpoint({});
  for (int i = 0; i < 20; ++i) c.tensors[str_cat("surplus", i)] = float_tensor({1}, 0);
  std::string message = refusal(c);
  CHECK(contains(message, "20 keys"));
  CHECK(lines_with(message, "unexpected") == 20);
  CHECK(lines_with(message, " more") == 0);
  c.tensors.erase("classifier.4.bias");  // what is missing comes before what is unexpected
  message = refusal(c);
  CHECK(contains(message, "21 keys"));
  CHECK(lines_with(message, "classifier.4.bias: missing") == 1);
  CHECK(lines_with(message, "unexpected") == 19);
  CHECK(lines_with(message, "  and 1 more") == 1);
  for (int i = 20; i < 1000; ++i) c.tensors[str_cat("surplus", i)] = float_tensor({1}, 0);
  message = refusal(c);
  CHECK(contains(message, "1001 keys"));
  CHECK(lines_with(message, "") == 22);
  CHECK(lines_with(message, "  and 981 more") == 1);
}

TEST_CASE("names that ask for a network of a hundred thousand keys are refused before there is one") {
  RawCheckpoint c = checkpoint({});
  for (int block = 0; block < 10'000; ++block)
    c.tensors[str_cat("backbone.layer1.", block, ".a")] = float_tensor({1}, 0);
  const std::string message = refusal(c);
  CHECK(contains(message, "more than 100000 keys are missing"));
  CHECK(lines_with(message, "") == 22);
}

TEST_CASE("each single tensor that is taken away is missed by its name") {
  for (bool deeplab : {false, true}) {
    const RawCheckpoint whole = checkpoint({.blocks = {1, 1, 1, 2}, .deeplab = deeplab});
    REQUIRE(build_network(whole.state()).classes == 5);
    for (const auto& entry : whole.tensors) {
      const std::string& name = entry.first;
      const bool counter = name.ends_with("num_batches_tracked");
      // Without these the network is taken for another one.
      if (name == "backbone.layer1.0.conv3.weight" || name == "backbone.conv1.weight" ||
          name == "classifier.0.weight")
        continue;
      RawCheckpoint c = whole;
      c.tensors.erase(name);
      CAPTURE(name);
      if (counter)
        CHECK_NOTHROW(build_network(c.state()));
      else
        CHECK(contains(refusal(c), name + ": missing"));
    }
  }
}

TEST_CASE("a checkpoint without its first convolution or its head is refused too") {
  for (const char* key : {"backbone.layer1.0.conv3.weight", "backbone.conv1.weight", "classifier.0.weight"}) {
    CAPTURE(key);
    RawCheckpoint c = checkpoint({});
    c.tensors.erase(key);
    CHECK_THROWS_AS(build_network(c.state()), Error);
  }
}

TEST_CASE("a block that changes the channels without downsampling cannot be built") {
  RawCheckpoint c = checkpoint({});
  std::erase_if(c.tensors, [](const auto& t) { return contains(t.first, "layer2.0.downsample"); });
  const std::string message = refusal(c);
  CHECK(contains(message, "backbone.layer2.0"));
  CHECK(contains(message, "32 channels cannot be added to 16"));
}

TEST_CASE("values that are infinite or not a number are refused, wherever they are") {
  for (float value :
       {not_a_number, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (const char* key : {"backbone.conv1.weight", "backbone.layer4.1.bn3.bias", "backbone.bn1.running_var",
                            "backbone.bn1.running_mean", "classifier.4.bias"}) {
      CAPTURE(key);
      RawCheckpoint c = checkpoint({});
      StateTensor& t = c.tensors.at(key);
      const auto count = static_cast<std::size_t>(t.elements());
      for (std::size_t bad : {std::size_t{0}, count - 1}) {
        const auto values = std::make_shared<std::vector<float>>(count, 1.f);
        values->at(bad) = value;
        t.data = {values, reinterpret_cast<const std::byte*>(values->data())};
        const std::string message = refusal(c);
        CHECK(contains(message, key));
        CHECK(contains(message, "1 key:"));
      }
    }
}

TEST_CASE("a negative running variance is refused, a variance of zero is not") {
  RawCheckpoint c = checkpoint({});
  c.tensors["backbone.layer3.1.bn2.running_var"] = float_tensor({16}, -0.25f);
  const std::string message = refusal(c);
  CHECK(contains(message, "backbone.layer3.1.bn2.running_var"));
  CHECK(contains(message, "-0.25"));
  c.tensors["backbone.layer3.1.bn2.running_var"] = float_tensor({16}, 0);
  CHECK(build_network(c.state()).classes == 5);
}

TEST_CASE("a tensor with a dimension of zero is misshaped") {
  RawCheckpoint c = checkpoint({});
  c.tensors["classifier.4.weight"] = {DType::f32, {0, 32, 1, 1}, nullptr};
  CHECK(contains(refusal(c), "found [0, 32, 1, 1]"));
}

TEST_CASE("half precision checkpoints build the same network") {
  RawCheckpoint c = checkpoint({});
  const auto half = std::make_shared<const std::vector<std::uint16_t>>(5 * 32, std::uint16_t{0x3800});
  c.tensors["classifier.4.weight"] = {
      DType::f16, {5, 32, 1, 1}, {half, reinterpret_cast<const std::byte*>(half->data())}};
  const Network network = build_network(c.state());
  CHECK(conv(network.graph, "classifier.4").weight.at(4, 31, 0, 0) == 0.5f);
}

TEST_CASE("grouped convolutions are recognised by their shapes, as in ResNeXt") {
  RawCheckpoint c = checkpoint({});
  c.conv("backbone.layer1.0.conv2", 4, 2, 3);
  const Network network = build_network(c.state());
  CHECK(conv(network.graph, "backbone.layer1.0.conv2").groups == 2);
  CHECK(conv(network.graph, "backbone.layer1.0.conv1").groups == 1);
}

TEST_CASE("only a Bottleneck's 3x3 convolution may be grouped") {
  RawCheckpoint c = checkpoint({});
  c.conv("backbone.layer1.0.conv3", 16, 2, 1);
  CHECK(contains(refusal(c), "backbone.layer1.0.conv3.weight: expected [any, 4, 1, 1], found [16, 2, 1, 1]"));
}

TEST_CASE("a convolution of another kernel size than torchvision's is misshaped") {
  RawCheckpoint c = checkpoint({});
  c.conv("backbone.layer1.0.conv2", 4, 4, 5);
  CHECK(
      contains(refusal(c), "backbone.layer1.0.conv2.weight: expected [any, any, 3, 3], found [4, 4, 5, 5]"));
}

TEST_CASE("a bias that torchvision's module does not have is unexpected") {
  RawCheckpoint c = checkpoint({});
  c.tensors["backbone.conv1.bias"] = float_tensor({4}, 0);
  CHECK(contains(refusal(c), "backbone.conv1.bias: unexpected, [4]"));
}

TEST_CASE("a network runs by its references from photo to logits") {
  const Network network = build({.blocks = {1, 1, 1, 1}, .deeplab = true, .width = 2});
  const auto shapes = infer_shapes(network.graph, {1, 17, 24, 3});
  std::vector<Tensor> values(shapes.size());
  for (std::size_t v = 0; v < shapes.size(); ++v) values[v] = Tensor(shapes[v]);
  std::ranges::fill(values[static_cast<std::size_t>(network.graph.input)].values(), 1.f);
  for (const Node& n : network.graph.nodes) {
    std::vector<ConstView> inputs;
    for (ValueId v : n.inputs) inputs.push_back(values[static_cast<std::size_t>(v)].view());
    run_reference(n.layer, inputs, values[static_cast<std::size_t>(n.output)].view());
  }
  const Tensor& out = values[static_cast<std::size_t>(network.graph.outputs[0].second)];
  CHECK(out.shape() == Shape{1, 3, 3, 5});
  CHECK(std::ranges::all_of(out.values(), [](float v) { return std::isfinite(v) && v > 0.5f; }));
}

TEST_CASE("a network is found by its telling keys, under any prefix, in the order of the names") {
  using Names = std::vector<std::string>;
  const auto found = [](const std::vector<std::string_view>& names) { return network_prefixes(names); };
  CHECK(found({"backbone.conv1.weight", "classifier.0.weight"}) == Names{""});
  CHECK(found({"classifier.cbr.0.weight", "backbone.0.0.weight"}) == Names{""});
  CHECK(found({"b.net.backbone.conv1.weight", "a.backbone.0.0.weight", "a.classifier.4.bias",
               "b.net.classifier.4.bias", "criterion.weight"}) == Names{"b.net.", "a."});
  // Whole components only, and both keys under one prefix.
  CHECK(found({"mybackbone.conv1.weight", "classifier.0.weight"}).empty());
  CHECK(found({"backbone.conv1.weight", "aux_classifier.0.weight"}).empty());
  CHECK(found({"a.backbone.conv1.weight", "b.classifier.0.weight"}).empty());
  CHECK(found({"backbone.conv1.weight.scale", "classifier.0.weight"}).empty());
  CHECK(found({}).empty());
}

TEST_CASE("of many keys that do not fit 20 are listed, and how many more there are") {
  RawCheckpoint c = checkpoint({});
  for (int i = 0; i < 23; ++i) c.tensors["surplus" + std::to_string(i)] = float_tensor({3}, 0);
  const std::string message = refusal(c);
  CAPTURE(message);
  CHECK(contains(message, "23 keys"));
  CHECK(lines_with(message, "surplus") == 20);
  CHECK(message.ends_with("\n  and 3 more"));
}

TEST_CASE("a convolution's weight of an integer type is refused as a quantised checkpoint's") {
  for (const DType dtype : {DType::boolean, DType::u8, DType::i8, DType::i16, DType::i32, DType::i64}) {
    RawCheckpoint c = checkpoint({});
    StateTensor& weight = c.tensors["backbone.conv1.weight"];
    weight = {
        dtype, weight.shape,
        std::shared_ptr<const std::byte>(new std::byte[1 << 20]{}, std::default_delete<const std::byte[]>())};
    const std::string message = refusal(c);
    CAPTURE(message);
    CHECK(lines_with(message,
                     str_cat("backbone.conv1.weight: ", name_of(dtype), ": a quantised checkpoint")) == 1);
  }
}

}  // namespace atrous::segmentation_test
