// atrous verify.
#include <filesystem>

#include "tests/support/cli_testing.h"

namespace atrous::verify_test {

using namespace atrous::cli_testing;

namespace {

// Runs and expects a finding that does not hold: said on standard output, exit status 1, nothing on stderr.
std::string fails(const Arguments& arguments) {
  const ProcessResult r = run_atrous(arguments);
  INFO(joined(arguments));
  CHECK(r.exit_code == 1);
  CHECK(r.errors == "");
  CHECK(mentions(r.output, "FAILS"));
  return r.output;
}

struct Converted : Bench {
  const std::string model_file = folder / "own.safetensors", other = folder / "other.safetensors";
  Converted() {
    succeed({"convert", checkpoint, model_file});
    write_safetensors(other, other_tiny_state("deeplabv3"), {});
  }
};

}  // namespace

TEST_CASE_FIXTURE(Converted, "verify runs the self-test that a converted model carries") {
  const std::string said = succeed({"verify", model_file});
  CHECK(said.starts_with("self-test: 64 logits at 97x65, largest deviation "));
  CHECK(said.ends_with(": holds\n"));
}

TEST_CASE_FIXTURE(Converted, "a self-test that the weights do not give fails, with exit status 1") {
  const auto metadata = read_safetensors(InputFile(model_file)).metadata;
  write_safetensors(other, other_tiny_state("deeplabv3"), metadata);
  CHECK(fails({"verify", other}).starts_with("self-test: 64 logits"));
}

TEST_CASE_FIXTURE(Converted, "a model without a self-test needs something to be compared with") {
  refuse(1, {"verify", checkpoint}, {"net.safetensors", "no self-test", "--reference"});
}

TEST_CASE_FIXTURE(Converted,
                  "another model is compared layer by layer, and the first that diverges is named") {
  CHECK(mentions(succeed({"verify", checkpoint, "--reference", model_file}),
                 "largest relative deviation 0.00e+00"));
  CHECK(mentions(fails({"verify", checkpoint, "--reference", other}),
                 "the first layer that diverges is backbone.conv1 (conv2d)"));
  const std::string all = fails({"verify", checkpoint, "--reference", other, "--all"});
  CHECK(mentions(all, "\nbackbone.layer4.0.conv3 "));
  CHECK(mentions(all, "cosine"));
}

TEST_CASE_FIXTURE(Converted, "the plain loops and every instruction set agree with the usual kernels") {
  for (const char* device : {"reference", "scalar"})
    CHECK(mentions(succeed({"verify", checkpoint, "--device", device, "--size", "50x41"}),
                   str_cat("against device ", device, ": ")));
  refuse(2, {"verify", checkpoint, "--device", "gpu"}, {"--device", "gpu"});
}

TEST_CASE_FIXTURE(Converted, "in bfloat16 a model passes its checks, with a tolerance that is bfloat16's") {
  const Arguments halves{"verify", model_file, "--precision", "bf16"};
  const std::string said = succeed(halves + Arguments{"--device", "reference"});
  CHECK(said.starts_with("self-test: 64 logits at 97x65, largest deviation "));
  CHECK(mentions(said, "against device reference: "));
  CHECK(mentions(said, "tolerance 2.00e-02: holds"));
  CHECK(mentions(fails(halves + Arguments{"--device", "reference", "--tolerance", "0.00001"}),
                 "1.00e-05: FAILS"));
}

TEST_CASE_FIXTURE(Converted, "logits written by segment are a reference for the same input") {
  const Tensor input = noise({2, 40, 56, 3});
  write_file(folder / "input.npy", encode_npy(input.view()));
  succeed({"segment", folder / "input.npy", "-m", checkpoint, "--logits", folder / "logits.npy", "-q",
           "--no-mask"});
  const Arguments verify{"verify", checkpoint, "--reference", folder / "logits.npy"};
  CHECK(mentions(succeed(verify + Arguments{"--input", folder / "input.npy"}), "max abs 0.00e+00"));
  CHECK(mentions(
      fails({"verify", other, "--reference", folder / "logits.npy", "--input", folder / "input.npy"}),
      "logits.npy"));
  write_file(folder / "small.npy", encode_npy(noise({2, 40, 55, 3}).view()));
  refuse(1, verify + Arguments{"--input", folder / "small.npy"}, {"logits.npy", "40", "55", "56"});
}

TEST_CASE_FIXTURE(Converted, "verify as JSON") {
  const Json report = Json::parse(succeed({"verify", model_file, "--device", "reference", "--json"}));
  REQUIRE(report.size() == 2);
  CHECK(report[0]["check"] == "self-test");
  CHECK(report[0]["holds"] == true);
  CHECK(report[1]["check"] == "device reference");
  CHECK(report[1]["first_divergence"] == nullptr);
  CHECK(report[1]["layers"].size() > 10);
  CHECK(report[1]["layers"][0]["layer"] == "backbone.conv1");
}

TEST_CASE_FIXTURE(Converted, "networks that cannot be compared are refused") {
  const std::string fcn = folder / "fcn.safetensors";
  write_safetensors(fcn, tiny_state("fcn"), {});
  refuse(1, {"verify", checkpoint, "--reference", fcn}, {"fcn.safetensors", "layer", "the reference's"});
  refuse(1, {"verify", checkpoint, "--reference", folder / "none.npy"}, {"none.npy", "No such file"});
  refuse(2, {"verify", checkpoint, "--input", folder / "x.npy"}, {"--input", "--reference"});
  refuse(2, {"verify", checkpoint, "--device", "reference", "--tolerance", "2"}, {"--tolerance"});
}

TEST_CASE("a network that is not dilated gives torch's logits with --arch, and fails without") {
  const std::string folder = std::string(ATROUS_SOURCE_DIR) + "/../shared/data/field/07-output-stride/";
  if (!std::filesystem::exists(folder + "torch.npy")) {
    MESSAGE("skipped: no ", folder, "torch.npy");
    return;
  }
  const Arguments verify{"verify",  folder + "not_dilated.pth", "--reference", folder + "torch.npy",
                         "--input", folder + "input.npy"};
  fails(verify);
  CHECK(mentions(succeed(verify + Arguments{"--arch", "os=32"}), "holds"));
  // What convert stores needs not be said again.
  const TemporaryFolder own;
  succeed({"convert", folder + "not_dilated.pth", own / "net.safetensors", "--arch", "os=32"});
  CHECK(mentions(succeed({"verify", own / "net.safetensors", "--reference", folder + "torch.npy", "--input",
                          folder + "input.npy"}),
                 "holds"));
}

}  // namespace atrous::verify_test
