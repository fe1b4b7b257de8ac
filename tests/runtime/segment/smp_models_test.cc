// segmentation_models.pytorch's networks as models: keys of two generations, Poutyne's checkpoints, growth.
#include <doctest/doctest.h>

#include "layers/ops/resize.h"
#include "runtime/image/palette.h"
#include "tests/support/image_helpers.h"
#include "tests/support/layers_checkpoint.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::smp_models_test {

using namespace atrous::runtime_testing;

namespace {

StateDict weights(std::string_view variant) { return seeded_state(variant, {.classes = 3, .width = 8}); }

Model model_of(StateDict state, std::string_view hyper = "") {
  return make_model(std::move(state), std::nullopt, {.hyper = Hyper(hyper), .threads = 1});
}

std::vector<float> logits(const Model& model, const Shape& shape = {1, 64, 96, 3}) {
  Session session(model.program, {.threads = 1});
  const auto out = run(session, noise(shape).view());
  return {out.begin(), out.end()};
}

}  // namespace

TEST_CASE("smp: the logits do not depend on a stage that is not run") {
  StateDict shallow;
  const StateDict whole = weights("smp_unet_r18_depth4");
  for (const auto& [key, tensor] : whole.entries())
    if (!key.starts_with("encoder.layer4.")) shallow.add(key, tensor);
  CHECK(shallow.size() + 30 == whole.size());  // 5 convolutions, 5 batch norms of 5 tensors each
  CHECK(logits(model_of(shallow)) == logits(model_of(whole)));
}

TEST_CASE("smp: DeepLabV3's keys of 0.5 are those of before under other names") {
  const std::pair<std::string_view, std::string_view> renamed[] = {
      {"decoder.0.", "decoder.aspp."}, {"decoder.1.", "decoder.conv."}, {"decoder.2.", "decoder.bn."}};
  StateDict later;
  const StateDict before = weights("smp_deeplabv3_r18");
  for (const auto& [key, tensor] : before.entries()) {
    std::string name = key;
    for (const auto& names : renamed)
      if (key.starts_with(names.first)) name = std::string(names.second) + key.substr(names.first.size());
    later.add(name, tensor);
  }
  const Model one = model_of(before), other = model_of(later);
  CHECK(one.architecture == other.architecture);
  CHECK(logits(one) == logits(other));
}

TEST_CASE("smp: an upsampling below the stride is done in the network, with align_corners = true") {
  const Model whole = model_of(weights("smp_fpn_r18")),
              less = model_of(weights("smp_fpn_r18"), "upsampling=2");
  Tensor low({1, 16, 24, 3}), grown({1, 32, 48, 3});
  std::ranges::copy(logits(whole), low.data());
  resize_reference({.mode = ResizeMode::bilinear, .align_corners = true}, low.view(), grown.view());
  const std::vector<float> found = logits(less);
  REQUIRE(found.size() == grown.values().size());
  CHECK(deviation(found, values(grown.view())) < 1e-5);
}

TEST_CASE("smp: Poutyne's network of 22 classes has VOC's and void, drawn white, and takes 224x224") {
  const Model model =
      make_model(seeded_state("smp_unet_r34_22classes_poutyne", {}), std::nullopt, {.threads = 1});
  CHECK(model.architecture == "smp_unet_r34_22classes_poutyne");
  REQUIRE(model.classes.size() == 22);
  CHECK(model.classes[20] == voc_classes()[20]);
  CHECK(model.classes[21] == "void");
  REQUIRE(model.palette.size() == 22);
  CHECK(model.palette[15] == voc_palette(21)[15]);
  CHECK(model.palette[21] == Colour{255, 255, 255});
  CHECK(model.preparation.resize == ResizeRule{.kind = ResizeRule::Kind::exact, .width = 224, .height = 224});
}

TEST_CASE("smp: 22 classes of another network are 22 classes, and photos keep their size") {
  const Model model =
      make_model(seeded_state("smp_unet_r18", {.classes = 22, .width = 8}), std::nullopt, {.threads = 1});
  CHECK(model.classes[21] == "class 21");
  CHECK(model.preparation.resize.kind == ResizeRule::Kind::none);
}

TEST_CASE("smp: a Lightning module's mean and std are the preparation, and photos keep their size") {
  const testing::TemporaryFolder folder;
  StateDict state;
  state.add("mean", float_tensor({1, 3, 1, 1}, 0.5f));
  state.add("std", float_tensor({1, 3, 1, 1}, 0.25f));
  const StateDict network = weights("smp_unet_r18");
  for (const auto& [key, tensor] : network.entries()) state.add("model." + key, tensor);
  write_safetensors(folder / "lightning.safetensors", state, {});
  const Model model = load_model(folder / "lightning.safetensors", {.threads = 1});
  CHECK(model.architecture == model_of(network).architecture);
  CHECK(model.preparation == Preparation{.resize = {.kind = ResizeRule::Kind::none},
                                         .mean = {0.5f, 0.5f, 0.5f},
                                         .std = {0.25f, 0.25f, 0.25f}});
  CHECK(logits(model) == logits(model_of(network)));  // normalised input given, the buffers change nothing
}

TEST_CASE("smp: a folder of save_pretrained says what its weights do not") {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "model.safetensors", weights("smp_deeplabv3plus_r18"), {});
  constexpr std::string_view config =
      R"({"_model_class": "DeepLabV3Plus", "encoder_name": "resnet18", "encoder_output_stride": 8,
          "decoder_atrous_rates": [6, 12, 18], "upsampling": 4, "classes": 3, "activation": null})";
  write_file(folder / "config.json", as_bytes(config));
  const Model model = load_model(folder.path(), {.threads = 1});
  CHECK(model.architecture.ends_with("_os8"));
  CHECK(model.hyper.text() == "os=8,rates=6,12,18,upsampling=4");
  const Model over = load_model(folder.path(), {.hyper = Hyper("os=16"), .threads = 1});
  CHECK(over.hyper.text() == "os=16,rates=6,12,18,upsampling=4");
}

}  // namespace atrous::smp_models_test
