#include "weights_tools/config.h"

#include "tests/support/weights_helpers.h"

namespace atrous::config_test {

using namespace atrous::weights_testing;

TEST_CASE("a config has strings as they are, numbers as written, lists joined by commas") {
  // As segmentation_models.pytorch 0.4 writes one.
  const Config config = read_config(R"({
  "_model_class": "DeepLabV3Plus", "activation": null, "aux_params": {"classes": 4, "activation": "sigmoid"},
  "classes": 3, "decoder_atrous_rates": [12, 24, 36], "decoder_aspp_dropout": 0.5, "encoder_depth": 5,
  "encoder_name": "resnet34", "in_channels": 3, "decoder_aspp_separable": true, "mixed": [1, [2]], "none": []
})",
                                    "config.json");
  CHECK(config == Config{{"_model_class", "DeepLabV3Plus"},
                         {"aux_params.activation", "sigmoid"},
                         {"aux_params.classes", "4"},
                         {"classes", "3"},
                         {"decoder_atrous_rates", "12,24,36"},
                         {"decoder_aspp_dropout", "0.5"},
                         {"encoder_depth", "5"},
                         {"encoder_name", "resnet34"},
                         {"in_channels", "3"},
                         {"decoder_aspp_separable", "true"},
                         {"none", ""}});
}

TEST_CASE("a bad config is refused with a sentence that names it") {
  Bytes keys;
  for (int i = 0; i < 1001; ++i) keys += str_cat(i ? "," : "", '"', i, "\":0");
  const BadFile rows[] = {
      {"nothing", "", ErrorCode::malformed, "dir/config.json: is not UTF-8 JSON"},
      {"cut short", R"({"activation": "sig)", ErrorCode::malformed, "is not UTF-8 JSON"},
      {"no UTF-8", "{\"activation\": \"\xff\"}", ErrorCode::malformed, "is not UTF-8 JSON"},
      {"a NUL", R"({"activation": "sigmoid"})" + Bytes(1, '\0'), ErrorCode::malformed, "is not UTF-8 JSON"},
      {"a list", R"(["sigmoid"])", ErrorCode::malformed, "is JSON, but no object"},
      {"a string", R"("sigmoid")", ErrorCode::malformed, "is JSON, but no object"},
      {"a key twice", R"({"activation": null, "activation": "sigmoid"})", ErrorCode::malformed,
       "has the key activation twice"},
      {"deep", R"({"a":)" + repeat("[", 20), ErrorCode::malformed, "nests too deep"},
      {"many keys", "{" + keys + "}", ErrorCode::malformed, "more than 1000 keys"},
      {"long", "{}" + Bytes(config_limit, ' '), ErrorCode::limit, "more than the limit of 1048576"},
  };
  for (const BadFile& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { read_config(row.bytes, "dir/config.json"); }, row.code, row.part);
  }
}

TEST_CASE("a config lies beside the checkpoint, and is its own where the checkpoint has a library's name") {
  const TempFolder folder;
  CHECK(config_beside(folder.path("model.safetensors")).empty());
  folder.save("config.json", R"({"classes": 3})");
  for (const char* name : {"model.safetensors", "pytorch_model.bin", "mine.pth"})
    CHECK(config_beside(folder.path(name)) == Config{{"classes", "3"}});
  const Bytes bad[] = {"{", Bytes(config_limit + 1, ' ')};
  for (const Bytes& bytes : bad) {
    folder.save("config.json", bytes);
    for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"})
      CHECK(refusal_of([&] {
              config_beside(folder.path(name));
            }).sentence.starts_with(folder.path("config.json") + ": "));
    CHECK(config_beside(folder.path("mine.pth")).empty());
  }
}

}  // namespace atrous::config_test
