// The table of families: recognition, near misses, foreign checkpoints, what the weights do not say.
#include "layers/networks/family.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iomanip>
#include <set>

#include "layers/networks/foreign_networks.h"
#include "tests/layers/networks/example.cc"  // NOLINT: the README's example
#include "tests/support/layers_checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::families_test {

namespace {

StateDict keys(std::initializer_list<const char*> names) {
  StateDict state;
  for (const char* name : names) state.add(name, float_tensor({1}, 0));
  return state;
}

std::string unsupported(const StateDict& state) {
  return error_of(ErrorCode::unsupported, [&] { build_network(state); });
}

std::string invalid(const std::function<void()>& action) {
  return error_of(ErrorCode::invalid_argument, action);
}

std::string read_source(const std::string& path) {
  std::ifstream file(std::string(ATROUS_SOURCE_DIR) + "/" + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Network built(const char* variant, std::string_view hyper = "") {
  return build_network(seeded_state(variant, {.classes = 3, .width = 4}), {.hyper = Hyper(hyper)});
}

}  // namespace

TEST_CASE("the families' names, variants and published files are all different and belong together") {
  std::set<std::string_view> seen;
  for (const Family& family : families()) {
    CAPTURE(std::string(family.name));
    CHECK(seen.insert(family.name).second);
    CHECK(!family.title.empty());
    CHECK(!family.source.empty());
    REQUIRE(!family.variants.empty());
    for (const std::string_view variant : family.variants) {
      CHECK(seen.insert(variant).second);
      const std::string_view first = family.name.substr(0, family.name.find('-'));
      CHECK(variant.starts_with(first));
      const bool of_publisher = contains(std::string(variant), std::string(family.name.substr(first.size()))),
                 of_caffe = variant.substr(first.size()).starts_with("-caffe-");  // the first publisher's
      CHECK((of_publisher || of_caffe));
      CHECK(family_of(variant) == &family);
    }
    for (const PublishedCheckpoint& checkpoint : family.published) {
      CHECK(seen.insert(checkpoint.file).second);
      CHECK(family_of(checkpoint.name) == &family);
      if (checkpoint.folder != by_hand) CHECK(checkpoint.folder.ends_with('/'));
    }
  }
  CHECK(family_of("vgg16") == nullptr);
}

TEST_CASE("the first output of every network is its logits, or of two stages the finest map") {
  for (const Family& family : families()) {
    CAPTURE(std::string(family.name));
    const Network network = published_network(family, family.variants.front(), {.width = 64}).network;
    CHECK(network.graph.outputs.front().first == (family.task == Task::semantic ? "out" : "map0"));
    CHECK((family.task == Task::instances) == network.two_stage.has_value());
  }
}

TEST_CASE("README.md's table of published checkpoints is that of the families") {
  const std::string readme = read_source("README.md");
  for (const Family& family : families())
    for (const PublishedCheckpoint& p : family.published) {
      std::ostringstream miou;
      miou << std::fixed << std::setprecision(1) << p.score;
      CHECK_MESSAGE(contains(readme, str_cat("| `", p.name, "` | ", p.mebibytes, " | ", miou.str(), " |")),
                    p.name);
    }
}

TEST_CASE("six foreign checkpoints get six sentences that name them") {
  // ../shared/data/field/22-library/near_misses.py
  struct Row {
    StateDict state;
    const char* named;
  };
  const Row rows[] = {
      {keys({"backbone.body.conv1.weight", "backbone.fpn.inner_blocks.0.0.weight",
             "rpn.head.cls_logits.weight", "roi_heads.mask_predictor.conv5_mask.weight"}),
       "Mask R-CNN"},
      {keys({"encoder._conv_stem.weight", "decoder.blocks.0.conv1.0.weight", "segmentation_head.0.weight"}),
       "another encoder than ResNet and MobileNetV2"},
      {keys({"layer0.0.weight", "ppm.features.0.1.weight", "cls.0.weight"}), "PSPNet"},
      {keys({"conv1.weight", "layer1.0.conv1.weight", "fc.weight"}), "classifier"},
      {keys({"encoder.conv1.weight", "encoder.layer1.0.conv1.weight", "decoder.aspp.0.convs.0.0.weight",
             "decoder.block1.0.weight", "segmentation_head.0.weight"}),
       "DeepLabV3+"},
      {keys({"features.0.weight", "score_fr.weight", "upscore2.weight"}), "FCN-8s"}};
  std::set<std::string> said;
  for (const Row& row : rows) {
    CAPTURE(std::string(row.named));
    const std::string sentence = unsupported(row.state);
    CHECK(contains(sentence, str_cat("looks like ")));
    CHECK(contains(sentence, row.named));
    CHECK(said.insert(sentence).second);
  }
}

TEST_CASE("detectors that atrous does not run are named, whatever they share with those that it does") {
  const std::pair<StateDict, const char*> rows[] = {
      {keys({"backbone.body.conv1.weight", "backbone.body.layer1.0.conv1.weight",
             "backbone.fpn.inner_blocks.0.0.weight", "rpn.head.cls_logits.weight",
             "roi_heads.box_predictor.cls_score.weight",
             "roi_heads.keypoint_predictor.kps_score_lowres.weight"}),
       "Keypoint R-CNN"},
      {keys({"backbone.body.0.0.weight", "backbone.fpn.inner_blocks.0.0.weight", "rpn.head.cls_logits.weight",
             "roi_heads.box_predictor.cls_score.weight"}),
       "Faster R-CNN with a MobileNet body"},
      {keys({"backbone.body.0.0.weight", "backbone.fpn.inner_blocks.0.0.weight", "rpn.head.cls_logits.weight",
             "roi_heads.box_predictor.cls_score.weight", "roi_heads.mask_predictor.conv5_mask.weight"}),
       "Mask R-CNN with a MobileNet body"},
      {keys({"backbone.body.conv1.weight", "backbone.fpn.inner_blocks.0.0.weight",
             "head.classification_head.cls_logits.weight", "head.regression_head.bbox_reg.weight"}),
       "RetinaNet"},
      {keys({"Conv_Body.panet_buttomup_conv1_modules.0.0.weight", "RPN.FPN_RPN_conv.weight",
             "Box_Head.fc1.weight", "Mask_Head.conv_fcn.0.weight"}),
       "PANet"},
      {keys({"conv1.weight", "bn_conv1.weight", "res2a_branch2a.weight", "bn2a_branch2a.weight",
             "res5c_branch2c.weight", "fc1_coco.weight"}),
       "init.caffemodel, from which DeepLabV2's training begins"},
      {keys({"conv1.weight", "res2a_branch2a.weight", "bn2a_branch2a.weight", "fc1000.weight"}),
       "a classifier of pictures"},
      {keys({"layer1.conv1.conv.weight", "layer5.block1.reduce.conv.weight", "fc.weight", "fc.bias"}),
       "DeepLabV1, one 1x1 classifier (kazuto1011)"},
      {keys({"backbone.bottom_up.stem.conv1.weight", "proposal_generator.rpn_head.conv.weight",
             "roi_heads.mask_head.mask_fcn1.weight"}),
       "Mask R-CNN (Detectron2)"}};
  for (const auto& row : rows) {
    const std::string named = row.second, sentence = unsupported(row.first);
    CAPTURE(sentence);
    CHECK(contains(sentence, "looks like " + named));
  }
}

TEST_CASE("a foreign network's depth is named where its blocks are those of a published ResNet") {
  RawCheckpoint c;
  for (const char* key : {"psa.attention.0.weight", "cls.0.weight", "layer0.0.weight"})
    c.tensors[key] = float_tensor({1}, 0);
  const int blocks[] = {3, 4, 23, 3};
  for (int layer = 1; layer <= 4; ++layer)
    for (int block = 0; block < blocks[layer - 1]; ++block)
      c.tensors[str_cat("layer", layer, ".", block, ".conv3.weight")] = float_tensor({1}, 0);
  CHECK(describe_foreign_network(c.state()) == "PSANet on ResNet-101 (semseg)");
  CHECK(describe_foreign_network(keys({"nothing", "known"})).empty());
}

TEST_CASE("every network of the conformance data is known, or foreign by its name") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(ATROUS_SOURCE_DIR) / "../shared/data/networks";
  if (!fs::exists(folder)) {
    MESSAGE("skipped: no conformance data in ", folder.string());
    return;
  }
  const std::pair<std::string_view, std::string_view> names[] = {
      {"deconvnet", "DeconvNet"},      {"deeplabv2", "DeepLabV2"}, {"deeplabv3-vainf", "DeepLabV3 "},
      {"deeplabv3plus", "DeepLabV3+"}, {"encnet", "EncNet"},       {"fcn16s", "FCN-16s"},
      {"fcn32s", "FCN-32s"},           {"fcn8s", "FCN-8s"},        {"maskrcnn", "Mask R-CNN"},
      {"parsenet", "ParseNet"},        {"pspnet", "PSPNet"}};
  int looked_at = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream file(entry.path() / "keys.tsv");
    if (!file) continue;
    ++looked_at;
    StateDict state;
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) state.add(line.substr(0, line.find('\t')), float_tensor({1}, 0));
    if (is_known_network(state)) continue;
    const std::string folder_name = entry.path().filename().string(), found = describe_foreign_network(state);
    CAPTURE(folder_name);
    CAPTURE(found);
    const auto name = std::ranges::find_if(
        names, [&](const auto& n) { return std::string_view(folder_name).starts_with(n.first); });
    REQUIRE(name != std::end(names));
    CHECK(contains(found + " ", name->second));
  }
  CHECK(looked_at > 30);
}

TEST_CASE("a checkpoint that lacks a family's telling key is told what it is near and what is missing") {
  const std::string resnet =
      unsupported(keys({"backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "decoder.weight"}));
  CHECK(contains(resnet, "FCN, but without classifier.0.weight"));
  CHECK(contains(resnet, "DeepLabV3, but without classifier.0.convs"));
  const std::string mobilenet =
      unsupported(keys({"backbone.0.0.weight", "backbone.1.block.0.0.weight", "decoder.weight"}));
  CHECK(contains(mobilenet, "LR-ASPP, but without classifier.cbr"));
  const std::string none = unsupported(keys({"one.weight", "two.weight"}));
  CHECK(contains(none, "among 2 tensors, the first being one.weight"));
}

TEST_CASE("a mismatch says which network it is near and how many of its keys are there") {
  const StateDict whole = seeded_state("fcn_resnet50", {.width = 4, .aux = false});
  StateDict without;
  for (const auto& [key, tensor] : whole.entries())
    if (key != "classifier.1.bias" && key != "backbone.bn1.bias") without.add(key, tensor);
  const std::string message = error_of(ErrorCode::mismatch, [&] { build_network(without); });
  // 53 convolutions of the backbone and 2 of the head, the last with a bias; 54 batch norms.
  CHECK(contains(message, "looks like fcn_resnet(3,4,6,3) (FCN, 270 of its 272 keys are there)"));
  CHECK(contains(message, "2 keys:"));
}

TEST_CASE("what the weights do not say is assumed, or as given, and noted") {
  using Choices = std::vector<Hyper::Choice>;
  CHECK(built("fcn_resnet50").choices == Choices{{"os", "8", true}});
  CHECK(built("fcn_resnet18").choices == Choices{{"os", "32", true}});
  CHECK(built("lraspp_mobilenet_v3_large").choices == Choices{{"os", "16", true}});
  CHECK(built("deeplabv3_resnet50").choices == Choices{{"os", "8", true}, {"rates", "12,24,36", true}});
  CHECK(built("deeplabv3_resnet50", "os=16,rates=6,12,18").choices ==
        Choices{{"os", "16", false}, {"rates", "6,12,18", false}});
}

TEST_CASE("an output stride moves strides and dilations as torchvision's replace_stride_with_dilation does") {
  const Graph g16 = built("deeplabv3_resnet50", "os=16,rates=6,12,18").graph;
  CHECK(spacing(g16, "backbone.layer3.0.conv2") == "2/1/1");
  CHECK(spacing(g16, "backbone.layer3.1.conv2") == "1/1/1");
  CHECK(spacing(g16, "backbone.layer3.0.downsample.0") == "2/1/0");
  CHECK(spacing(g16, "backbone.layer4.0.conv2") == "1/1/1");
  CHECK(spacing(g16, "backbone.layer4.1.conv2") == "1/2/2");
  CHECK(spacing(g16, "classifier.0.convs.1.0") == "1/6/6");
  CHECK(spacing(g16, "classifier.0.convs.3.0") == "1/18/18");
  const Graph g32 = built("fcn_resnet50", "os=32").graph;
  CHECK(spacing(g32, "backbone.layer4.0.conv2") == "2/1/1");
  CHECK(spacing(g32, "backbone.layer4.2.conv2") == "1/1/1");
  CHECK(output_of(built("fcn_resnet50", "os=32"), {1, 64, 64, 3}) == Shape{1, 2, 2, 3});
  CHECK(output_of(built("fcn_resnet50", "os=16"), {1, 64, 64, 3}) == Shape{1, 4, 4, 3});
  // MobileNetV3 with dilated = False: feature 13 is strided.
  const Network plain = built("fcn_mobilenet_v3_large", "os=32");
  CHECK(plain.output_stride == 32);
  CHECK(spacing(plain.graph, "backbone.13.block.1.0") == "2/1/2");
  CHECK(spacing(plain.graph, "backbone.14.block.1.0") == "1/1/2");
  CHECK(spacing(built("fcn_mobilenet_v3_large").graph, "backbone.13.block.1.0") == "1/2/4");
}

TEST_CASE("a hyper that is none of the network's is refused with those that there are") {
  CHECK(contains(invalid([] { built("fcn_resnet50", "os=7"); }), "os: expected 8 or 16 or 32, found 7"));
  CHECK(contains(invalid([] { built("fcn_resnet18", "os=8"); }), "os: expected 32, found 8"));
  CHECK(contains(invalid([] { built("fcn_resnet50", "rates=1,2,3"); }),
                 "rates: no choice of fcn_resnet(3,4,6,3)"));
  CHECK(contains(invalid([] { built("fcn_resnet50", "rates=1,2,3"); }), "which has os"));
  CHECK(contains(invalid([] { built("deeplabv3_resnet50", "rates=6,12"); }),
                 "rates: expected 3 whole numbers"));
  CHECK(contains(invalid([] { built("deeplabv3_resnet50", "rates=6,12,0"); }), "found 6,12,0"));
  CHECK(contains(invalid([] { built("deeplabv3_resnet50", "rates=6,12,x"); }), "found 6,12,x"));
  CHECK(contains(invalid([] { built("fcn_resnet50", "variant=fcn_resnet101"); }), "not of fcn_resnet101"));
  CHECK(built("fcn_resnet50", "variant=fcn_resnet(3,4,6,3)").choices.size() == 2);
}

TEST_CASE("a hyper is read as written: pairs, values with commas, each key once") {
  CHECK(Hyper("").empty());
  CHECK(Hyper("os=16").text() == "os=16");
  CHECK(Hyper("rates=6,12,18,os=16").text() == "os=16,rates=6,12,18");
  CHECK(*Hyper("rates=6,12,18").find("rates") == "6,12,18");
  CHECK(Hyper("os=16").find("rates") == nullptr);
  for (const char* written : {"=", "os", "os=", "=16", "os=16,", ",os=16", "os=16,,rates=1", "os=16,os=8",
                              "os=1=2", "o s=1", "os=1 6", "os=\x01", "os=16,rates=", "16,os=8"}) {
    CAPTURE(std::string(written));
    CHECK(invalid([&] { Hyper hyper(written); }) != "");
  }
  CHECK(invalid([] { Hyper hyper("a=" + std::string(300, 'x')); }) != "");
  CHECK(invalid([] { Hyper hyper(std::string(100, 'k') + "=1"); }) != "");
  Hyper hyper("os=16,rates=1,2,3");
  hyper.override_with(Hyper("os=8,variant=x"));
  CHECK(hyper.text() == "os=8,rates=1,2,3,variant=x");
}

TEST_CASE("the README's example is the one that is compiled here, and it is a family") {
  CHECK(contains(read_source("layers/networks/README.md"),
                 "```cpp\n" + read_source("tests/layers/networks/example.cc") + "```"));
  for (const std::string_view variant : networks::example.variants) {
    CAPTURE(std::string(variant));
    const PublishedNetwork published = published_network(networks::example, variant, {.width = 4});
    CHECK(published.network.graph.outputs.size() == 1);
    CHECK(published.network.choices == std::vector<Hyper::Choice>{{"os", "32", true}});
    StateDict state;
    for (const auto& [key, tensor] : published.keys.entries())
      state.add(key, seeded_tensor(key, tensor.dtype, tensor.shape));
    const Evidence evidence = networks::example.recognise(state);
    CHECK(evidence.complete());
    CHECK(evidence.variant == variant);
    Builder builder(state);
    Hyper hyper("os=16");
    const Network network = networks::example.build(Module(builder), variant, hyper);
    CHECK(builder.report.missing.empty());
    CHECK(builder.report.misshaped.empty());
    CHECK(std::ranges::count(builder.report.read, false) == 0);
    CHECK(network.classes == 21);
    CHECK(network.output_stride == 16);
  }
}

TEST_CASE("a builder that names no published size is told which key lacks it") {
  Builder builder(PublishedShapes{});
  const Var x = graph_input(builder, 3);
  CHECK(contains(invalid([&] { conv2d(Module(builder)["score"], x); }), "score.weight"));
}

}  // namespace atrous::families_test
