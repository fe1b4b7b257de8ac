// DeepLabV2, PSPNet, EncNet and FCN on VGG-16: what their publishers' code does and weights do not say. The
// numbers: ../shared/data/networks, which tests/runtime/segment/conformance_test.cc compares with.
#include <doctest/doctest.h>

#include "tests/support/layers_checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::contemporaries_test {

namespace {

StateDict narrow(const char* variant) { return seeded_state(variant, {.classes = 3, .width = 4}); }

Network built(const StateDict& state, std::string_view hyper = "") {
  return build_network(state, {.hyper = Hyper(hyper)});
}
Network built(const char* variant, std::string_view hyper = "") { return built(narrow(variant), hyper); }

// The state dict under other names.
StateDict renamed(const StateDict& state, std::initializer_list<std::pair<const char*, const char*>> names) {
  StateDict out;
  for (const auto& [key, tensor] : state.entries()) {
    std::string name = key;
    for (const std::pair<const char*, const char*>& pair : names)
      if (const std::size_t at = name.find(pair.first); at != name.npos)
        name.replace(at, std::string_view(pair.first).size(), pair.second);
    out.add(name, tensor);
  }
  return out;
}

std::size_t count_nodes(const Graph& graph, std::string_view kind) {
  return static_cast<std::size_t>(
      std::ranges::count_if(graph.nodes, [&](const Node& node) { return name_of(node.layer) == kind; }));
}

}  // namespace

TEST_CASE("FCN's logits have the picture's size, whatever that is") {
  for (const char* variant :
       {"fcn32s-wkentaro", "fcn16s-wkentaro", "fcn8s-wkentaro", "fcn8s-atonce-wkentaro"}) {
    CAPTURE(std::string(variant));
    const Network network = built(variant, std::string_view(variant).find("8s") == std::string_view::npos
                                               ? ""
                                               : str_cat("variant=", variant));
    CHECK(network.architecture == variant);
    CHECK(network.output_stride == 1);
    CHECK(network.preparation == caffe_preparation);
    for (const Shape& size : {Shape{1, 1, 1, 3}, Shape{2, 31, 500, 3}, Shape{1, 97, 64, 3}})
      CHECK(output_of(network, size) == Shape{size.n, size.h, size.w, 3});
    CHECK(spacing(network.graph, "conv1_1") == "1/1/100");
    CHECK(spacing(network.graph, "conv1_2") == "1/1/1");
    CHECK(spacing(network.graph, "fc6") == "1/1/0");
  }
}

TEST_CASE(
    "FCN-8s at once has the keys of FCN-8s: --arch, the file's arch or its name say which, or 8s is taken") {
  const StateDict state = narrow("fcn8s-wkentaro");
  const auto meant = [&](const NetworkOptions& options) { return build_network(state, options); };
  const Network assumed = meant({});
  CHECK(assumed.architecture == "fcn8s-wkentaro");
  CHECK(contains(assumed.choice, "taken for fcn8s-wkentaro, not fcn8s-atonce-wkentaro"));
  CHECK(count_nodes(assumed.graph, "scale") == 0);

  const Network by_name = meant({.named = "fcn8s-atonce_from_caffe.pth"});
  CHECK(by_name.architecture == "fcn8s-atonce-wkentaro");
  CHECK(contains(by_name.choice, "by the file's name "));
  CHECK(count_nodes(by_name.graph, "scale") == 2);
  CHECK(meant({.named = "fcn8s_from_caffe.pth"}).architecture == "fcn8s-wkentaro");

  const Network by_arch = meant({.named = "model_best.pth.tar", .arch = "FCN8sAtOnce"});
  CHECK(by_arch.architecture == "fcn8s-atonce-wkentaro");
  CHECK(contains(by_arch.choice, "by the file's arch, FCN8sAtOnce, "));
  CHECK(meant({.named = "fcn8s-atonce_from_caffe.pth", .arch = "FCN8s"}).architecture == "fcn8s-wkentaro");
  CHECK(meant({.named = "fcn8s-atonce.pth", .arch = "resnet50"}).architecture == "fcn8s-atonce-wkentaro");

  const Network given = meant({.hyper = Hyper("variant=fcn8s-atonce"), .arch = "FCN8s"});
  CHECK(given.architecture == "fcn8s-atonce-wkentaro");
  CHECK(given.choice.empty());
}

TEST_CASE("PSPNet's dilated stages have their own dilation from the first block on, and inputs are 8k + 1") {
  const Network network = built("pspnet-semseg-resnet50");
  CHECK(network.architecture == "pspnet-semseg-resnet(3,4,6,3)");
  CHECK(spacing(network.graph, "layer0.0") == "2/1/1");
  CHECK(spacing(network.graph, "layer2.0.conv2") == "2/1/1");
  CHECK(spacing(network.graph, "layer3.0.conv2") == "1/2/2");
  CHECK(spacing(network.graph, "layer3.5.conv2") == "1/2/2");
  CHECK(spacing(network.graph, "layer4.0.conv2") == "1/4/4");
  CHECK(network.padding == Padding{.multiple = 8, .beyond = 1});
  CHECK(network.answer.align_corners);
  CHECK(output_of(network, {1, 473, 713, 3}) == Shape{1, 60, 90, 3});
  CHECK(network.choices == std::vector<Hyper::Choice>{{"bins", "1,2,3,6", true}, {"zoom", "8", true}});
  for (const char* zoom : {"zoom=1", "zoom=2", "zoom=4", "zoom=8"}) {  // those of semseg's code
    CAPTURE(zoom);
    CHECK(output_of(built("pspnet-semseg-resnet50", zoom), {1, 473, 713, 3}) == Shape{1, 60, 90, 3});
  }
  CHECK(error_of(ErrorCode::invalid_argument, [] { built("pspnet-semseg-resnet50", "zoom=3"); }) != "");
}

TEST_CASE("DeepLabV2's stride sits in the first 1x1 convolution, and its pool rounds up") {
  const Network network = built("deeplabv2-kazuto-resnet101");
  CHECK(spacing(network.graph, "layer3.block1.reduce.conv") == "2/1/0");
  CHECK(spacing(network.graph, "layer3.block1.conv3x3.conv") == "1/1/1");
  CHECK(spacing(network.graph, "layer3.block1.shortcut.conv") == "2/1/0");
  CHECK(spacing(network.graph, "layer4.block1.conv3x3.conv") == "1/2/2");
  CHECK(spacing(network.graph, "layer5.block3.conv3x3.conv") == "1/4/4");
  CHECK(spacing(network.graph, "aspp.c3") == "1/24/24");
  CHECK(spacing(built("deeplabv2-kazuto-resnet101", "rates=3,6,9,12").graph, "aspp.c3") == "1/12/12");
  // 64 become 32, with ceil_mode 17, with stride 2 nine.
  CHECK(output_of(network, {1, 64, 97, 3}) == Shape{1, 9, 13, 3});
}

TEST_CASE("DeepLabV2's scales are there where the weights stand under base, or scale in very old files") {
  const StateDict state = narrow("deeplabv2-kazuto-resnet101-msc");
  const Network network = built(state);
  CHECK(network.architecture == "deeplabv2-kazuto-resnet(3,4,23,3)-msc");
  CHECK(network.choices ==
        std::vector<Hyper::Choice>{{"rates", "6,12,18,24", true}, {"msc", "current", true}});
  CHECK(count_nodes(network.graph, "max") == 2);
  CHECK(output_of(network, {1, 65, 97, 3}) == Shape{1, 9, 13, 3});
  CHECK(network.preparation.order == ChannelOrder::bgr);
  CHECK(!network.answer.align_corners);

  // Caffe's Interp: (n - 1) * p + 1 pixels, corner on corner, there and back.
  const Network caffe = built(state, "msc=caffe");
  CHECK(caffe.answer.align_corners);
  for (const char* place : {"msc.0.5", "msc.0.5.resize", "msc.0.75", "msc.0.75.resize"})
    CHECK(std::get<Resize>(node(caffe.graph, place).layer).align_corners);
  CHECK(std::get<Resize>(node(caffe.graph, "msc.0.5").layer).of_steps);

  const StateDict bare = renamed(state, {{"base.", ""}});
  CHECK(built(bare).architecture == "deeplabv2-kazuto-resnet(3,4,23,3)");
  CHECK(count_nodes(built(bare).graph, "max") == 0);
  const StateDict old =
      renamed(state, {{"base.", "scale."}, {".shortcut.", ".proj."}, {".aspp.", ".aspp.stages."}});
  CHECK(built(old).architecture == network.architecture);
  CHECK(built(old).graph.nodes.size() == network.graph.nodes.size());

  // The names alone say where the network stands, with its wrapper and without.
  const auto prefixes = [](const StateDict& of, const std::string& before) {
    std::vector<std::string> names;
    for (const auto& [key, tensor] : of.entries()) names.push_back(before + key);
    const std::vector<std::string_view> views(names.begin(), names.end());
    return network_prefixes(views);
  };
  using Prefixes = std::vector<std::string>;
  CHECK(prefixes(state, "") == Prefixes{""});
  CHECK(prefixes(state, "module.") == Prefixes{"module."});
  CHECK(prefixes(bare, "state_dict.") == Prefixes{"state_dict."});
  CHECK(prefixes(old, "net.") == Prefixes{"net."});
}

TEST_CASE("EncNet has lateral connections, an SE branch and an auxiliary head where the weights have them") {
  const StateDict state = narrow("encnet-resnet50s-lateral");
  const Network network = built(state);
  CHECK(network.architecture == "encnet-resnet(3,4,6,3)s-lateral");
  CHECK(network.has_aux);
  CHECK(network.graph.outputs.size() == 1);
  CHECK(spacing(network.graph, "pretrained.layer3.0.conv2") == "1/1/1");
  CHECK(spacing(network.graph, "pretrained.layer4.1.conv2") == "1/4/4");
  const Network all = build_network(state, {.aux = true});
  REQUIRE(all.graph.outputs.size() == 3);
  CHECK(output_of(all, {1, 65, 97, 3}, 0) == Shape{1, 9, 13, 3});
  CHECK(output_of(all, {1, 65, 97, 3}, 1) == Shape{1, 1, 1, 3});  // se
  CHECK(output_of(all, {1, 65, 97, 3}, 2) == Shape{1, 9, 13, 3});
  const StateDict plain = seeded_state("encnet-resnet50s", {.classes = 3, .width = 4, .aux = false});
  CHECK(built(plain).architecture == "encnet-resnet(3,4,6,3)s");
  CHECK_FALSE(built(plain).has_aux);
}

}  // namespace atrous::contemporaries_test
