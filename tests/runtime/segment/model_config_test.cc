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
