// segmentation_models.pytorch's families: what keys tell and what they do not, spacings, padding. Expected:
// the publisher's code, as ../shared/docs/networks-instance-smp.md states it. Logits are compared in
// tests/runtime/segment/conformance_test.cc.
#include "layers/networks/smp.h"

#include <doctest/doctest.h>

#include "layers/networks/foreign_networks.h"
#include "tests/support/layers_checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::smp_test {

namespace {

StateDict weights(std::string_view variant) { return seeded_state(variant, {.classes = 3, .width = 8}); }

Network built(const StateDict& state, std::string_view hyper = "") {
  return build_network(state, {.hyper = Hyper(hyper)});
}
Network built(std::string_view variant, std::string_view hyper = "") {
  return built(weights(variant), hyper);
}

std::string choices(const Network& network) {
  std::string out;
  for (const Hyper::Choice& c : network.choices)
    out += (out.empty() ? "" : " ") + c.key + "=" + c.value + (c.assumed ? "" : "!");
  return out;
}

bool has_node_under(const Graph& graph, std::string_view module) {
  return std::ranges::any_of(graph.nodes, [&](const Node& n) { return n.name.starts_with(module); });
}

// The keys by which a published variant is recognised.
std::string recognised(std::string_view variant) {
  return recognise_network(published_network(variant).keys).variant;
}

}  // namespace

TEST_CASE("smp: encoder, depth, attention, normalisation and merging are read from the keys") {
  for (const char* name : {"smp_unet_r18",
                           "smp_unet_r34_depth3",
                           "smp_unet_r50_depth4",
                           "smp_unet_r101",
                           "smp_unet_mobilenet_v2",
                           "smp_unet_r152_depth4_scse_nobn",
                           "smp_unet_mobilenet_v2_depth3_nobn",
                           "smp_unet_r34_22classes_poutyne",
                           "smp_unetplusplus_r18_depth3_scse",
                           "smp_unetplusplus_r50_depth4_nobn",
                           "smp_manet_r34_depth4",
                           "smp_manet_r18_nobn",
                           "smp_linknet_r50_depth3",
                           "smp_linknet_r34_depth4_nobn",
                           "smp_fpn_r50_cat",
                           "smp_fpn_mobilenet_v2",
                           "smp_fpn_r18_depth3",
                           "smp_fpn_r50_depth4_cat",
                           "smp_fpn_mobilenet_v2_depth4",
                           "smp_pspnet_r18",
                           "smp_pspnet_r50_depth4",
                           "smp_pspnet_mobilenet_v2_depth5",
                           "smp_pspnet_r34_depth5_nobn",
                           "smp_pan_r18",
                           "smp_pan_r50_depth3",
                           "smp_pan_mobilenet_v2_depth4",
                           "smp_deeplabv3_mobilenet_v2",
                           "smp_deeplabv3_r34_depth3",
                           "smp_deeplabv3_mobilenet_v2_depth4",
                           "smp_deeplabv3plus_r50",
                           "smp_deeplabv3plus_r34_depth3",
                           "smp_deeplabv3plus_mobilenet_v2_depth4",
                           "smp_unet_resnet(1,2,1,3)"}) {
    CAPTURE(std::string(name));
    CHECK(recognised(name) == name);
  }
}

TEST_CASE("smp: names that are no variants are refused") {
  for (const char* name :
       {"smp_unet_", "smp_unet", "smp_unet_r35", "smp_unet_r34_", "smp_unet_r34_scse_depth4",
        "smp_unet_r34_depth3_depth4", "smp_unet_r34_depth5", "smp_unet_r34__scse", "smp_unet_resnet34",
        "smp_unet_mobilenet_v2x", "smp_unet_r34_22classes_", "smp_unet_r34_cat", "smp_fpn_r34_scse",
        "smp_pan_r34_os8", "smp_unet_resnet(1,1,1", "smp_unet_r34_scse_scse"}) {
    CAPTURE(std::string(name));
    CHECK(family_of(name) == nullptr);
  }
}

TEST_CASE("smp: an encoder is dilated throughout, first blocks too, where strides give way") {
  const Graph g8 = built("smp_deeplabv3_r34").graph;
  for (const char* conv : {"0.conv1", "0.conv2", "1.conv1"}) {
    CHECK(spacing(g8, str_cat("encoder.layer3.", conv)) == "1/2/2");
    CHECK(spacing(g8, str_cat("encoder.layer4.", conv)) == "1/4/4");
  }
  CHECK(spacing(g8, "encoder.layer3.0.downsample.0") == "1/1/0");
  CHECK(spacing(g8, "encoder.layer2.0.conv1") == "2/1/1");
  const Graph g16 = built("smp_deeplabv3plus_r50").graph;
  CHECK(spacing(g16, "encoder.layer3.0.conv2") == "2/1/1");
  CHECK(spacing(g16, "encoder.layer4.0.conv2") == "1/2/2");
  const Graph mobile = built("smp_deeplabv3_mobilenet_v2").graph;
  for (const int f : {7, 8, 11, 13})
    CHECK(spacing(mobile, str_cat("encoder.features.", f, ".conv.1.0")) == "1/2/2");
  for (const int f : {14, 15, 17})
    CHECK(spacing(mobile, str_cat("encoder.features.", f, ".conv.1.0")) == "1/4/4");
  CHECK(spacing(mobile, "encoder.features.4.conv.1.0") == "2/1/1");
  CHECK(spacing(mobile, "encoder.features.0.0") == "2/1/1");
}

TEST_CASE("smp: what keys do not show is assumed as the constructors have it, or as given") {
  CHECK(choices(built("smp_unet_r18")) == "interpolation=nearest");
  CHECK(choices(built("smp_linknet_r18")) == "");
  CHECK(choices(built("smp_fpn_r18")) == "interpolation=nearest upsampling=4");
  CHECK(choices(built("smp_pspnet_r18")) == "upsampling=8");
  CHECK(choices(built("smp_deeplabv3_r18")) == "os=8 rates=12,24,36 upsampling=8");
  CHECK(choices(built("smp_pan_r18", "os=32")) == "os=32! interpolation=bilinear upsampling=4");
  // 0.5's decoder_interpolation of PAN: the three steps' alone, corner on corner where it is bilinear.
  const auto grown = [](const char* hyper, const char* place) {
    return std::get<Resize>(node(built("smp_pan_r18", hyper).graph, place).layer);
  };
  CHECK(grown("interpolation=nearest", "decoder.gau1.resize").mode == ResizeMode::nearest);
  CHECK(grown("interpolation=nearest", "decoder.fpa.resize1").mode == ResizeMode::bilinear);
  CHECK(grown("", "decoder.gau1.resize").align_corners);
  const Network plus = built("smp_deeplabv3plus_r18", "os=8,rates=6,12,18");
  CHECK(choices(plus) == "os=8! rates=6,12,18! upsampling=4");
  CHECK(plus.architecture.ends_with("_os8"));
  CHECK(plus.same_keys.size() == 1);
  CHECK(spacing(plus.graph, "decoder.aspp.0.convs.2.0.0") == "1/12/12");
  CHECK(choices(built("smp_deeplabv3plus_r18", "os=16")) == "os=16! rates=12,24,36 upsampling=4");
  CHECK(!built("smp_deeplabv3plus_r18").architecture.ends_with("_os8"));
  CHECK(std::get<Resize>(
            node(built("smp_unet_r18", "interpolation=bilinear").graph, "decoder.blocks.0.resize").layer)
            .mode == ResizeMode::bilinear);
  const auto invalid = [](const char* variant, const char* hyper) {
    return error_of(ErrorCode::invalid_argument, [&] { built(variant, hyper); });
  };
  CHECK(contains(invalid("smp_deeplabv3plus_r18", "os=32"), "expected 16 or 8, found 32"));
  CHECK(choices(built("smp_fpn_r18_depth4")) == "interpolation=nearest upsampling=2");
  CHECK(choices(built("smp_fpn_r18_depth3", "upsampling=1")) == "interpolation=nearest upsampling=1!");
  CHECK(choices(built("smp_deeplabv3_r18_depth3", "os=16")) == "os=16! rates=12,24,36 upsampling=8");
  CHECK(contains(invalid("smp_unet_r18", "upsampling=2"), "no choice of smp_unet"));
  CHECK(contains(invalid("smp_unet_r18", "interpolation=bicubic"), "found bicubic"));
}

TEST_CASE("smp: logits grow with align_corners = true where the head does, and not beyond it") {
  CHECK(built("smp_fpn_r18").answer.align_corners);
  CHECK(built("smp_fpn_r18").output_stride == 4);
  CHECK(output_of(built("smp_fpn_r18"), {1, 64, 96, 3}) == Shape{1, 16, 24, 3});
  // The constructor's 4 at a smaller depth: logits beyond the picture's size, corner on corner.
  for (const auto& [name, low] : {std::pair{"smp_fpn_r18_depth4", Shape{1, 32, 48, 3}},
                                  std::pair{"smp_fpn_r18_depth3", Shape{1, 64, 96, 3}}}) {
    const Network beyond = built(name, "upsampling=4");
    CHECK(beyond.answer.align_corners);
    CHECK(output_of(beyond, {1, 64, 96, 3}) == low);
  }
  const Network less = built("smp_fpn_r18", "upsampling=2");
  CHECK(!less.answer.align_corners);
  CHECK(less.output_stride == 2);
  CHECK(output_of(less, {1, 64, 96, 3}) == Shape{1, 32, 48, 3});
  CHECK(!built("smp_unet_r18").answer.align_corners);
  CHECK(output_of(built("smp_unet_r18"), {1, 64, 96, 3}) == Shape{1, 64, 96, 3});
  CHECK(output_of(built("smp_linknet_r18"), {1, 64, 96, 3}) == Shape{1, 64, 96, 3});
}

TEST_CASE("smp: FPN, DeepLabV3+ and PAN stand on the encoder's last map at every depth") {
  const Network half = built("smp_fpn_r18_depth4"), whole = built("smp_fpn_r18_depth3");
  CHECK(half.output_stride == 2);
  CHECK(half.answer.align_corners);
  CHECK(output_of(half, {1, 64, 96, 3}) == Shape{1, 32, 48, 3});
  CHECK(whole.output_stride == 1);
  CHECK(!whole.answer.align_corners);
  CHECK(output_of(whole, {1, 64, 96, 3}) == Shape{1, 64, 96, 3});
  // The largest of depth 3's four maps is the picture: three channels.
  CHECK(std::get<Conv2d>(node(whole.graph, "decoder.p2.skip_conv").layer).in_channels() == 3);
  CHECK(has_node_under(half.graph, "encoder.layer3."));
  CHECK(!has_node_under(half.graph, "encoder.layer4."));
  CHECK(!has_node_under(whole.graph, "encoder.layer3."));
  for (const char* name : {"smp_deeplabv3plus_r18_depth3", "smp_deeplabv3plus_r18_depth4",
                           "smp_pan_r18_depth3", "smp_pan_r18_depth4"}) {
    CAPTURE(std::string(name));
    CHECK(output_of(built(name), {1, 128, 128, 3}) == Shape{1, 32, 32, 3});
  }
  for (const char* name : {"smp_deeplabv3_r18_depth3", "smp_deeplabv3_r18_depth4"}) {
    CAPTURE(std::string(name));
    CHECK(output_of(built(name), {1, 64, 96, 3}) == Shape{1, 8, 12, 3});
    CHECK(!has_node_under(built(name).graph, "encoder.layer4."));
  }
  // make_dilated sets layer3 to dilation 2 at output stride 8, and leaves layer2 its stride.
  CHECK(spacing(built("smp_deeplabv3_r18_depth4").graph, "encoder.layer3.0.conv1") == "1/2/2");
  CHECK(spacing(built("smp_deeplabv3_r18_depth3").graph, "encoder.layer2.0.conv1") == "2/1/1");
  CHECK(output_of(built("smp_deeplabv3_r18_depth4", "os=16"), {1, 64, 96, 3}) == Shape{1, 4, 6, 3});
  CHECK(output_of(built("smp_deeplabv3_r18_depth3", "os=16"), {1, 64, 96, 3}) == Shape{1, 8, 12, 3});
  const Graph dilated = built("smp_deeplabv3plus_r18_depth4", "os=8").graph;
  CHECK(spacing(dilated, "encoder.layer3.0.conv1") == "1/2/2");
  CHECK(spacing(built("smp_deeplabv3plus_r18_depth4").graph, "encoder.layer3.0.conv1") == "2/1/1");
}

TEST_CASE("smp: inputs are padded to what the publisher asks of them") {
  const auto padding = [](const char* variant, const char* hyper = "") {
    return built(variant, hyper).padding;
  };
  for (const char* name :
       {"smp_unet_r18", "smp_unetplusplus_r18", "smp_manet_r18", "smp_linknet_r18", "smp_fpn_r18"})
    CHECK(padding(name) == Padding{.multiple = 32});
  CHECK(padding("smp_unet_r18_depth3") == Padding{.multiple = 8});
  CHECK(padding("smp_unet_r18_depth4") == Padding{.multiple = 16});
  CHECK(padding("smp_pspnet_r18") == Padding{.multiple = 8});
  CHECK(padding("smp_deeplabv3_r18") == Padding{.multiple = 8});
  CHECK(padding("smp_deeplabv3plus_r18") == Padding{.multiple = 16});
  CHECK(padding("smp_deeplabv3plus_r18", "os=8") == Padding{.multiple = 8});
  CHECK(padding("smp_pan_r18") == Padding{.multiple = 16, .least = 128});
  CHECK(padding("smp_fpn_r18_depth3") == Padding{.multiple = 8});
  CHECK(padding("smp_deeplabv3plus_r18_depth3") == Padding{.multiple = 8});
  CHECK(padding("smp_pan_r18_depth4") == Padding{.multiple = 16, .least = 128});
  CHECK(padding("smp_pan_r18_depth3") == Padding{.multiple = 8, .least = 64});
  CHECK(padding("smp_pan_r18", "os=32") == Padding{.multiple = 32, .least = 256});
}

TEST_CASE("smp: stages and attention that the network does not run are read and are no part of the graph") {
  const Graph shallow = built("smp_unet_r18_depth4").graph;
  CHECK(has_node_under(shallow, "encoder.layer3."));
  CHECK(!has_node_under(shallow, "encoder.layer4."));
  const Graph pyramid = built("smp_pspnet_r18").graph;
  CHECK(has_node_under(pyramid, "encoder.layer2."));
  CHECK(!has_node_under(pyramid, "encoder.layer3."));
  const Graph attentive = built("smp_unet_r18_scse").graph;
  CHECK(has_node_under(attentive, "decoder.blocks.3.attention1."));
  CHECK(!has_node_under(attentive, "decoder.blocks.4.attention1."));
  CHECK(has_node_under(attentive, "decoder.blocks.4.attention2."));
}

TEST_CASE("smp: a stage that is not run may be absent, one that is run may not") {
  const auto without = [](const StateDict& state, std::string_view module) {
    StateDict rest;
    for (const auto& [key, tensor] : state.entries())
      if (!key.starts_with(module)) rest.add(key, tensor);
    return rest;
  };
  const StateDict shallow = without(published_network("smp_unet_r18_depth4").keys, "encoder.layer4.");
  CHECK(recognise_network(shallow).variant == "smp_unet_r18_depth4");
  CHECK(built(without(weights("smp_unet_r18_depth4"), "encoder.layer4.")).classes == 3);
  const std::string missing =
      error_of(ErrorCode::mismatch, [&] { built(without(weights("smp_unet_r18"), "encoder.layer4.")); });
  CHECK(contains(missing, "encoder.layer4.0.conv1.weight: missing"));
}

TEST_CASE("smp: a classifier of whole pictures beside the head is read and not run") {
  StateDict state = weights("smp_unet_r18");
  state.add("classification_head.3.weight", float_tensor({2, 64}, 0.1f));
  state.add("classification_head.3.bias", float_tensor({2}, 0.1f));
  const Network network = built(state);
  CHECK(!has_node_under(network.graph, "classification_head"));
  CHECK(network.graph.outputs.size() == 1);
}

TEST_CASE("smp: an encoder of other input channels than three is refused by name") {
  StateDict state;
  const StateDict rgb = weights("smp_unet_r18");
  for (const auto& [key, tensor] : rgb.entries())
    state.add(key, key == "encoder.conv1.weight" ? float_tensor({8, 4, 7, 7}, 0.1f) : tensor);
  const std::string said = error_of(ErrorCode::mismatch, [&] { built(state); });
  CHECK(contains(said, "encoder.conv1.weight: expected [any, 3, 7, 7], found [8, 4, 7, 7]"));
}

TEST_CASE("smp: a decoder from before 0.1 and other encoders are named as what they are") {
  const auto described = [](std::initializer_list<const char*> keys) {
    StateDict state;
    for (const char* key : keys) state.add(key, float_tensor({1}, 0));
    return describe_foreign_network(state);
  };
  CHECK(contains(described({"encoder.conv1.weight", "encoder.layer1.0.conv1.weight",
                            "decoder.layer1.block.0.block.0.weight", "decoder.final_conv.weight"}),
                 "U-Net of a version before 0.1"));
  CHECK(contains(described({"encoder._conv_stem.weight", "decoder.blocks.0.conv1.0.weight",
                            "segmentation_head.0.weight"}),
                 "another encoder"));
}

TEST_CASE("smp: a config.json's arguments are the hyper's, those that the family has") {
  const std::map<std::string, std::string, std::less<>> config{{"encoder_output_stride", "8"},
                                                               {"decoder_atrous_rates", "6,12,18"},
                                                               {"upsampling", "4"},
                                                               {"decoder_interpolation", "nearest"},
                                                               {"encoder_name", "resnet18"}};
  CHECK(hyper_of(weights("smp_deeplabv3plus_r18"), config).text() == "os=8,rates=6,12,18,upsampling=4");
  CHECK(hyper_of(weights("smp_unet_r18"), config).text() == "interpolation=nearest");
  CHECK(hyper_of(weights("smp_pan_r18"), config).text() == "interpolation=nearest,os=8,upsampling=4");
  CHECK(hyper_of(weights("smp_linknet_r18"), config).empty());
  CHECK(hyper_of(weights("fcn_resnet18"), config).empty());
  CHECK(hyper_of(StateDict(), config).empty());
}

}  // namespace atrous::smp_test
