// What a config.json beside the weights says of the network's answer.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/image_helpers.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::model_config_test {

using namespace atrous::runtime_testing;
using atrous::testing::contains;
using atrous::testing::TemporaryFolder;

namespace {

struct Hub {
  TemporaryFolder folder;
  const std::string weights = folder / "model.safetensors";

  Hub(const StateDict& state, std::string_view config,
      const std::map<std::string, std::string>& metadata = {}) {
    write_safetensors(weights, state, metadata);
    write_file(folder / "config.json", as_bytes(config));
  }
  Model load(const std::string& path) const { return load_model(path, {.threads = 1}); }
  std::string refusal(ErrorCode code) const {
    return sentence(code, [&] { load(weights); });
  }
};

}  // namespace

TEST_CASE("several channels of a sigmoid each, by config.json, are refused by name") {
  const Hub hub(tiny_state("fcn"), R"({"activation": "sigmoid", "classes": 5})");
  const std::string said = sentence(ErrorCode::unsupported, [&] { hub.load(hub.weights); });
  CHECK(
      said.starts_with(hub.weights + ": the config.json beside the weights says that the head's 5 channels"));
  CHECK(contains(said, "a sigmoid each"));
  CHECK(sentence(ErrorCode::unsupported, [&] { hub.load(hub.folder.path()); }) != "");
}

TEST_CASE("one channel of a sigmoid is binary, on its logits, as without a config") {
  const Hub hub(binary_state(), R"({"activation": "sigmoid", "classes": 1})");
  const Model model = hub.load(hub.folder.path());
  CHECK(model.answer().decision == Decision::sigmoid);
  CHECK(model.classes == std::vector<std::string>{"background", "foreground"});
  const Model plain = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session one(model.program, {.threads = 1}), other(plain.program, {.threads = 1});
  CHECK(segment(one, model, photo(48, 32)).labels == segment(other, plain, photo(48, 32)).labels);
}

TEST_CASE("a softmax over one channel, by config.json, is refused by name") {
  for (const char* name : {"softmax", "softmax2d", "logsoftmax"}) {
    const Hub hub(binary_state(), str_cat(R"({"activation": ")", name, "\"}"));
    CHECK(contains(hub.refusal(ErrorCode::mismatch),
                   str_cat("the config.json beside the weights says ", name, ",")));
  }
}

TEST_CASE("activations that move the threshold or lose the order are refused by name") {
  for (const char* name : {"tanh", "clamp", "argmax2d"}) {
    const Hub hub(binary_state(), str_cat(R"({"activation": ")", name, "\"}"));
    CHECK(contains(sentence(name == std::string("argmax2d") ? ErrorCode::mismatch : ErrorCode::unsupported,
                            [&] { hub.load(hub.weights); }),
                   str_cat("the config.json beside the weights says ", name)));
  }
  CHECK(contains(Hub(tiny_state("fcn"), R"({"activation": "clamp"})").refusal(ErrorCode::unsupported),
                 "clamp"));
}

TEST_CASE("decoders with another normalisation than batch norm, by config.json, are refused by name") {
  // Of 0.3 and 0.4, and of 0.5, where a dictionary gives its arguments.
  const std::pair<const char*, const char*> others[] = {
      {R"({"decoder_use_batchnorm": "inplace"})", "decoder_use_batchnorm inplace"},
      {R"({"psp_use_batchnorm": "inplace"})", "psp_use_batchnorm inplace"},
      {R"({"decoder_use_norm": "layernorm"})", "decoder_use_norm layernorm"},
      {R"({"decoder_use_norm": {"type": "instancenorm", "affine": true}})",
       "decoder_use_norm.type instancenorm"},
      {R"({"decoder_use_norm": {"type": "batchnorm", "eps": 0.001}})", "decoder_use_norm.eps 0.001"}};
  for (const auto& [config, said] : others)
    CHECK(contains(Hub(tiny_state("fcn"), config).refusal(ErrorCode::unsupported), said));
  for (const char* config : {R"({"decoder_use_batchnorm": true})", R"({"decoder_use_batchnorm": false})",
                             R"({"decoder_use_norm": "batchnorm"})", R"({"decoder_use_norm": "identity"})",
                             R"({"decoder_use_norm": {"type": "batchnorm", "eps": 1e-5, "momentum": 0.3}})"})
    CHECK(Hub(tiny_state("fcn"), config).load(Hub(tiny_state("fcn"), config).weights).classes.size() == 5);
}

TEST_CASE("other activations, none, and what the file's own metadata says need no config") {
  for (const char* config :
       {"{}", R"({"activation": null})", R"({"activation": "softmax2d"})", R"({"activation": "identity"})",
        R"({"aux_params": {"activation": "sigmoid"}})"}) {
    const Hub hub(tiny_state("fcn"), config);
    CHECK(hub.load(hub.weights).answer().decision == Decision::softmax);
  }
  Metadata metadata;
  metadata.decision = Decision::softmax;
  const Hub hub(tiny_state("fcn"), R"({"activation": "sigmoid"})", to_strings(metadata));
  CHECK(hub.load(hub.weights).answer().decision == Decision::softmax);
}

}  // namespace atrous::model_config_test
