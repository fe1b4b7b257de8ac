// The network that is compiled in.
#include <fstream>

#include "runtime/engine/self_test.h"
#include "tests/support/cli_testing.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/default_model.h"
#include "weights_tools/io/sha256.h"

namespace atrous::default_model_test {

using namespace atrous::cli_testing;

namespace {

const std::string source = ATROUS_SOURCE_DIR;
const std::string street = source + "/tests/street/street.png",
                  truth = source + "/tests/street/street.labels.png";

bool embedded() {
  if (has_default_model()) return true;
  MESSAGE("skipped: built without the default model");
  return false;
}

}  // namespace

TEST_CASE("the default model is the file in the tree, at most 6 MB") {
  if (!embedded()) return;
  const std::string file = read_text(source + "/weights_tools/default_model.safetensors");
  CHECK(std::ranges::equal(default_model_file(), std::as_bytes(std::span(file))));
  CHECK(file.size() <= 6'000'000);
}

TEST_CASE("the default model says what it is and passes its own self-test") {
  if (!embedded()) return;
  const Checkpoint checkpoint = load_checkpoint(default_model_file(), "the default model");
  REQUIRE(checkpoint.metadata);
  CHECK(checkpoint.metadata->classes == std::vector<std::string>{"sky", "building", "pole", "road",
                                                                 "pavement", "tree", "sign", "fence", "car",
                                                                 "pedestrian", "bicyclist"});
  CHECK(checkpoint.metadata->source_sha256 ==
        "2b3247808516ac6055077cac12b14060d04840c6b86313df769e9a5492380668");
  CHECK(checkpoint.metadata->preparation.resize.width == 360);
  REQUIRE(checkpoint.metadata->self_test);
  const Model model = load_default_model();
  Session session(model.program);
  CHECK(run_self_test(session, *checkpoint.metadata->self_test) <= 1e-4);
}

TEST_CASE("in half precision the default model is the trained one, each weight rounded once") {
  if (!embedded()) return;
  const std::string trained = source + "/../shared/weights/deeplabv3_resnet_camvid.pth";
  if (!std::ifstream(trained).good()) {
    MESSAGE("skipped: no trained checkpoint beside the project");
    return;
  }
  const StateDict full = load_checkpoint(trained).state;
  const StateDict half = load_checkpoint(default_model_file(), "the default model").state;
  REQUIRE(half.size() == full.size());
  for (const auto& entry : full.entries()) {
    const auto& [name, tensor] = entry;
    CAPTURE(entry.first);
    const StateTensor* stored = half.find(name);
    REQUIRE(stored);
    CHECK(stored->shape == tensor.shape);
    const auto wide = to_float(tensor), narrow = to_float(*stored);
    for (std::int64_t i = 0; i < tensor.elements(); ++i)
      if (std::abs(wide.get()[i] - narrow.get()[i]) > std::abs(wide.get()[i]) * 0x1p-11f + 0x1p-25f)
        FAIL("element ", i, ": ", wide.get()[i], " became ", narrow.get()[i]);
  }
}

TEST_CASE("without a model a street is segmented by the default one, and graded against its truth") {
  if (!embedded()) return;
  const TemporaryFolder folder;
  const std::string said =
      succeed({"segment", street, "-o", folder.path(), "--truth", truth, "--json", folder / "street.json"});
  CHECK(names_in(folder.path()) == Names{"street.json", "street.mask.png", "street.overlay.png"});
  CHECK(mentions(said, "against " + truth + ": mean IoU 0."));
  const Json report = Json::parse(read_text(folder / "street.json"))[0];
  CHECK(report["input_width"] == 480);
  CHECK(report["truth"]["mean_iou"] > 0.6);
  CHECK(report["truth"]["mean_iou"] < 1.0);
  CHECK(report["truth"]["pixel_accuracy"] > 0.9);
  CHECK(report["classes"].size() == 11);
}

TEST_CASE("the default model goes by its name wherever a checkpoint is asked for") {
  if (!embedded()) return;
  const TemporaryFolder folder;
  succeed({"segment", street, "-o", folder.path(), "-q"});
  const std::string mask = read_text(folder / "street.mask.png");
  succeed({"segment", street, "-o", folder.path(), "-q", "-m", "default"});
  CHECK(read_text(folder / "street.mask.png") == mask);
  const Json inspected = Json::parse(succeed({"inspect", "default", "--json"}));
  CHECK(inspected["architecture"] == "deeplabv3_resnet(2,2,3,2)");
  CHECK(inspected["sha256"] == sha256_of_bytes(default_model_file()));
  succeed({"convert", "default", folder / "own.safetensors"});
  succeed({"segment", street, "-o", folder.path(), "-q", "-m", folder / "own.safetensors"});
  CHECK(read_text(folder / "street.mask.png") == mask);
  CHECK(mentions(succeed({"bench", "default", "--size", "65x65", "--runs", "1", "--warmup", "0"}), "65x65"));
}

TEST_CASE("a file that is called like a model is meant by its path") {
  const TemporaryFolder folder;
  write_text(folder / "default", "no checkpoint\n");
  refuse(1, {"inspect", "./default"}, {"./default", "text file"}, {.folder = folder.path()});
}

}  // namespace atrous::default_model_test
