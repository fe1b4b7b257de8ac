// The DeepLab families of jfzhang95 and VainF: spacings, keys that stand twice, which variant is meant.
// Expected: the publishers' code, as ../shared/docs/networks-semantic.md states it. Their logits are compared
// in tests/runtime/segment/conformance_test.cc.
#include "layers/networks/deeplab.h"

#include <doctest/doctest.h>

#include "tests/support/layers_checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::deeplab_test {

namespace {

StateDict weights(std::string_view variant) { return seeded_state(variant, {.classes = 3, .width = 4}); }

Network built(const StateDict& state, std::string_view hyper = "", const std::string& named = "") {
  return build_network(state, {.hyper = Hyper(hyper), .named = named});
}

// The variant's graph, at the output stride that its name ends in.
Graph graph_of(std::string_view variant) { return built(weights(variant), "", std::string(variant)).graph; }

// "stride/dilation/padding" of one convolution behind the other.
std::string spacings(const Graph& graph, std::initializer_list<const char*> names) {
  std::string out;
  for (const char* name : names) out += (out.empty() ? "" : " ") + spacing(graph, name);
  return out;
}

}  // namespace

TEST_CASE("jfzhang's ResNet has a multi-grid of 1, 2, 4 in its last stage, and dilates first blocks too") {
  const Graph g16 = graph_of("deeplabv3plus-jfzhang-resnet101-os16");
  CHECK(spacings(g16, {"backbone.layer3.0.conv2", "backbone.layer3.1.conv2"}) == "2/1/1 1/1/1");
  CHECK(spacings(g16, {"backbone.layer4.0.conv2", "backbone.layer4.1.conv2", "backbone.layer4.2.conv2"}) ==
        "1/2/2 1/4/4 1/8/8");
  CHECK(spacing(g16, "aspp.aspp4.atrous_conv") == "1/18/18");
  const Graph g8 = graph_of("deeplabv3plus-jfzhang-resnet101-os8");
  CHECK(spacings(g8, {"backbone.layer3.0.conv2", "backbone.layer3.1.conv2"}) == "1/2/2 1/2/2");
  CHECK(spacings(g8, {"backbone.layer4.0.conv2", "backbone.layer4.1.conv2", "backbone.layer4.2.conv2"}) ==
        "1/4/4 1/8/8 1/16/16");
  CHECK(spacing(g8, "aspp.aspp4.atrous_conv") == "1/36/36");
}

TEST_CASE("MobileNetV2's dilated stages: all blocks alike at jfzhang's, from the second on at VainF's") {
  const auto depthwise = [](const Graph& graph, std::initializer_list<int> features, const char* name) {
    std::string out;
    for (const int f : features)
      out += (out.empty() ? "" : " ") +
             spacing(graph, str_cat("backbone.high_level_features.", f, ".conv.", name));
    return out;
  };
  // Features 7 to 10 have 64 channels, 11 to 13 96, 14 to 16 160, 17 320.
  const Graph j8 = graph_of("deeplabv3plus-jfzhang-mobilenet-os8");
  CHECK(depthwise(j8, {7, 8, 11, 14, 15, 17}, "3") == "1/1/0 1/1/0 1/2/0 1/2/0 1/2/0 1/4/0");
  CHECK(depthwise(j8, {7, 17}, "0") == "1/1/1 1/1/4");  // the expansion pads
  const Graph j16 = graph_of("deeplabv3plus-jfzhang-mobilenet-os16");
  CHECK(depthwise(j16, {7, 8, 11, 14, 15, 17}, "3") == "2/1/0 1/1/0 1/1/0 1/1/0 1/1/0 1/2/0");
  const Graph v8 = graph_of("deeplabv3plus-vainf-mobilenet-os8");
  CHECK(depthwise(v8, {7, 8, 11, 14, 15, 17}, "1.0") == "1/1/0 1/2/0 1/2/0 1/2/0 1/4/0 1/4/0");
  const Graph v16 = graph_of("deeplabv3plus-vainf-mobilenet-os16");
  CHECK(depthwise(v16, {7, 8, 11, 14, 15, 17}, "1.0") == "2/1/0 1/1/0 1/1/0 1/1/0 1/2/0 1/2/0");
  CHECK(spacing(v16, "backbone.low_level_features.0.0") == "2/1/0");
  CHECK(spacing(j16, "backbone.low_level_features.0.0") == "2/1/1");
}

TEST_CASE("Xception's third block gives up its stride at output stride 8, and the shortcut sees the relu") {
  const Graph g16 = graph_of("deeplabv3plus-jfzhang-xception-os16");
  CHECK(spacings(g16, {"backbone.block3.rep.7.conv1", "backbone.block3.skip"}) == "2/1/1 2/1/0");
  CHECK(spacings(g16, {"backbone.block4.rep.1.conv1", "backbone.block20.rep.4.conv1",
                       "backbone.block20.rep.7.conv1", "backbone.conv5.conv1"}) == "1/1/1 1/1/1 1/1/1 1/2/2");
  const Graph g8 = graph_of("deeplabv3plus-jfzhang-xception-os8");
  CHECK(spacings(g8, {"backbone.block3.rep.7.conv1", "backbone.block3.skip"}) == "1/1/1 1/1/0");
  CHECK(spacings(g8, {"backbone.block4.rep.1.conv1", "backbone.block20.rep.4.conv1",
                      "backbone.block20.rep.7.conv1", "backbone.conv5.conv1"}) == "1/2/2 1/2/2 1/1/1 1/4/4");
  const Node& first = node(g16, "backbone.block3.rep.1.conv1");
  CHECK(node(g16, "backbone.block3.skip").inputs == first.inputs);
}

TEST_CASE("DRN-D-54 is at output stride 8, whatever is asked") {
  const StateDict state = weights("deeplabv3plus-jfzhang-drn-d-54");
  const Network network = built(state);
  CHECK(network.architecture == "deeplabv3plus-jfzhang-drn-d-54");
  CHECK(network.choice.empty());
  CHECK(network.choices == std::vector<Hyper::Choice>{{"os", "8", true}, {"rates", "12,24,36", true}});
  CHECK(spacings(network.graph, {"backbone.layer4.0.conv2", "backbone.layer5.0.conv2",
                                 "backbone.layer6.0.conv2", "backbone.layer7.0", "backbone.layer8.0"}) ==
        "2/1/1 1/2/2 1/4/4 1/2/2 1/1/1");
  CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { built(state, "os=16"); }),
                 "os: expected 8, found 16"));
}

TEST_CASE("photos and logits of the two publishers") {
  const Network jfzhang = built(weights("deeplabv3plus-jfzhang-mobilenet-os16"));
  CHECK(jfzhang.answer.align_corners);
  CHECK(jfzhang.preparation.resize == ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 513});
  const Network vainf = built(weights("deeplabv3-vainf-mobilenet-os16"));
  CHECK_FALSE(vainf.answer.align_corners);
  CHECK(vainf.preparation == jfzhang.preparation);
  CHECK(output_of(vainf, {1, 65, 97, 3}) == Shape{1, 4, 6, 3});  // 32 behind a convolution without padding
  CHECK(output_of(jfzhang, {1, 65, 97, 3}) == Shape{1, 17, 25, 3});
  const StateDict streets = seeded_state("deeplabv3plus-vainf-mobilenet-os16", {.classes = 19, .width = 4});
  CHECK(built(streets).preparation.resize.kind == ResizeRule::Kind::none);
}

TEST_CASE("weights do not tell their output stride: 16 unless os, a variant or a name says 8") {
  for (const std::string prefix :
       {"deeplabv3plus-jfzhang-resnet101", "deeplabv3plus-vainf-mobilenet", "deeplabv3-vainf-resnet50"}) {
    CAPTURE(prefix);
    const StateDict state = seeded_state(prefix + "-os8", {.classes = 3, .width = 4});
    const std::string name = recognise_network(state).variant;
    REQUIRE(name.ends_with("-os16"));
    const std::string eight = name.substr(0, name.size() - 2) + "8";
    CHECK(built(state).architecture == name);
    CHECK(built(state).same_keys == std::vector<std::string>{eight});
    CHECK(contains(built(state).choice, "taken for " + name + ", not " + eight));
    for (const Network& network :
         {built(state, "os=8"), built(state, "variant=" + eight), built(state, "", eight)}) {
      CHECK(network.architecture == eight);
      CHECK(network.same_keys == std::vector<std::string>{name});
      CHECK(network.choice.empty());
      CHECK(network.choices.back() == Hyper::Choice{"rates", "12,24,36", true});
    }
    // A file's name, in which os8 is a word.
    CHECK(built(state, "", "best_voc_OS8.pth.tar").architecture == eight);
    CHECK(contains(built(state, "", "best_voc_os8.pth").choice, "by the file's name taken for " + eight));
    CHECK(built(state, "", "best_voc_os16.pth").architecture == name);
    for (const char* unclear : {"os80.pth", "os8_or_os16.pth", "my-aos8.pth"}) {
      CHECK(built(state, "", unclear).architecture == name);
      CHECK(contains(built(state, "", unclear).choice, "taken for"));
    }
    // What is said in so many words comes before a file's name.
    CHECK(built(state, "os=16", "best_voc_os8.pth").architecture == name);
    const std::string refused =
        error_of(ErrorCode::invalid_argument, [&] { built(state, "os=8,variant=" + name); });
    CHECK(contains(refused, "with os=8"));
    CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { built(state, "os=32"); }),
                   "os: expected 16 or 8, found 32"));
  }
}

TEST_CASE("a separable head is told by its keys, and has its rates in the depthwise convolutions") {
  for (const char* prefix : {"deeplabv3plus-vainf-mobilenet", "deeplabv3-vainf-mobilenet"}) {
    const std::string variant = str_cat(prefix, "-os16-separable");
    const StateDict state = weights(variant);
    CHECK(recognise_network(state).variant == variant);
    CHECK(recognise_network(state).same_keys == std::vector<std::string>{str_cat(prefix, "-os8-separable")});
  }
  const Graph graph = graph_of("deeplabv3plus-vainf-mobilenet-os16-separable");
  CHECK(spacing(graph, "classifier.aspp.convs.2.0.body.0") == "1/12/12");
  CHECK(conv(graph, "classifier.aspp.convs.2.0.body.0").groups > 1);
  CHECK(spacing(graph, "classifier.aspp.convs.2.0.body.1") == "1/1/0");
}

TEST_CASE("the families tell each other's checkpoints apart, and torchvision's") {
  const std::pair<const char*, const char*> names[] = {
      {"deeplabv3_resnet50", "deeplabv3"},
      {"fcn_resnet50", "fcn"},
      {"deeplabv3-vainf-resnet50-os16", "deeplabv3-vainf"},
      {"deeplabv3plus-vainf-resnet50-os16", "deeplabv3plus-vainf"},
      {"deeplabv3plus-jfzhang-resnet101-os16", "deeplabv3plus-jfzhang"}};
  for (const auto& name : names) {
    const StateDict state = weights(name.first);
    int complete = 0;
    for (const Family& family : families()) complete += family.recognise(state).complete();
    CHECK(complete == 1);
    CHECK(recognise_network(state).family->name == name.second);
  }
}

TEST_CASE("a layer that is registered under two names is read from the later one") {
  const char* const variant = "deeplabv3plus-jfzhang-mobilenet-os16";
  const StateDict state = weights(variant);
  const std::string first = "backbone.features.5.conv.0.weight",
                    later = "backbone.high_level_features.5.conv.0.weight",
                    node_name = later.substr(0, later.size() - 7);
  // Both are one tensor in seeded weights, whose numbers follow from the first name.
  CHECK(std::ranges::equal(state.find(first)->bytes(), state.find(later)->bytes()));

  const auto with = [&](const std::string& key, const StateTensor* tensor) {  // null: without the key
    StateDict changed;
    for (const auto& [name, value] : state.entries())
      if (name != key)
        changed.add(name, value);
      else if (tensor)
        changed.add(name, *tensor);
    return changed;
  };
  const auto weight = [&](const StateDict& in) {
    return conv(built(in).graph, node_name).weight.data.get()[0];
  };
  const float value = to_float(*state.find(first)).get()[0];
  const StateTensor other = float_tensor(state.find(first)->shape, 0.75f);
  CHECK(weight(state) == value);
  CHECK(weight(with(first, &other)) == value);
  CHECK(weight(with(later, &other)) == 0.75f);
  CHECK(weight(with(first, nullptr)) == value);  // files that keep one of two shared tensors
  CHECK(weight(with(later, nullptr)) == value);

  const StateTensor misshaped = float_tensor({1, 2, 3, 4}, 0);
  for (const std::string& key : {first, later}) {
    const StateDict spoilt = with(key, &misshaped);
    CHECK(contains(error_of(ErrorCode::mismatch, [&] { built(spoilt); }), key + ": expected"));
  }
}

}  // namespace atrous::deeplab_test
