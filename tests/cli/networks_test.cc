// atrous networks, and --arch on the verbs that take a model.
#include "layers/networks/family.h"
#include "runtime/engine/self_test.h"
#include "tests/support/cli_testing.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/seeded.h"

namespace atrous::networks_test {

using namespace atrous::cli_testing;

TEST_CASE("networks lists every variant, what is assumed of it and where it is published") {
  const std::string said = succeed({"networks"});
  const Json report = Json::parse(succeed({"networks", "--json"}));
  REQUIRE(report.size() == families().size());
  for (std::size_t i = 0; i < report.size(); ++i) {
    const Family& family = families()[i];
    CHECK(report[i]["family"] == family.name);
    CHECK(mentions(said, std::string(family.title) + ": "));
    REQUIRE(report[i]["variants"].size() == family.variants.size());
    for (std::size_t v = 0; v < family.variants.size(); ++v) {
      CHECK(report[i]["variants"][v]["name"] == family.variants[v]);
      const std::string line = "\n" + std::string(family.variants[v]);  // alone where nothing is assumed
      CHECK((mentions(said, line + " ") || mentions(said, line + "\n")));
    }
    for (const PublishedCheckpoint& p : family.published) CHECK(mentions(said, p.file));
  }
  CHECK(mentions(said, "os=8,rates=12,24,36"));
  CHECK(mentions(said, "shorter side 520"));
}

TEST_CASE("bench and profile complete the names of networks") {
  const std::string script = succeed({"completion", "bash"});
  for (const Family& family : families())
    for (const std::string_view variant : family.variants) CHECK_MESSAGE(mentions(script, variant), variant);
}

TEST_CASE_FIXTURE(Bench, "inspect says what the weights do not, as assumed or as given") {
  CHECK(mentions(succeed({"inspect", checkpoint}), "\nassumed         os=8, rates=12,24,36 (the weights"));
  const std::string given = succeed({"inspect", checkpoint, "--arch", "os=16"});
  CHECK(mentions(given, "\ngiven           os=16\n"));
  CHECK(mentions(given, "\nassumed         rates=12,24,36 ("));
  const Json json = Json::parse(succeed({"inspect", checkpoint, "--arch", "rates=6,12,18", "--json"}));
  CHECK(json["hyper"]["os"] == Json{{"value", "8"}, {"assumed", true}});
  CHECK(json["hyper"]["rates"] == Json{{"value", "6,12,18"}, {"assumed", false}});
}

TEST_CASE_FIXTURE(Bench, "inspect says which of two networks with the same keys a file's name means") {
  const std::string file = folder / "fcn8s-atonce_from_caffe.safetensors";
  write_safetensors(file, seeded_state("fcn8s-wkentaro", {.classes = 3, .width = 4}), {});
  const std::string said = succeed({"inspect", file, "--size", "32x32"});
  CHECK(mentions(said, "fcn8s-atonce-wkentaro"));
  CHECK(mentions(said, "by the file's name taken for fcn8s-atonce-wkentaro, not fcn8s-wkentaro"));
  CHECK(mentions(said, "BGR of 0 to 255"));
  const std::string given = succeed({"inspect", file, "--size", "32x32", "--arch", "variant=fcn8s-wkentaro"});
  CHECK(mentions(given, "given           variant=fcn8s-wkentaro"));
}

TEST_CASE_FIXTURE(Bench, "convert keeps what --arch gives, and --arch comes before what a file says") {
  const std::string out = folder / "out.safetensors";
  succeed({"convert", checkpoint, out, "--arch", "os=16,rates=6,12,18"});
  REQUIRE(load_checkpoint(out).metadata);
  CHECK(load_checkpoint(out).metadata->hyper == "os=16,rates=6,12,18");
  CHECK(mentions(succeed({"inspect", out}), "os=16, rates=6,12,18"));
  CHECK(mentions(succeed({"verify", out}), "holds"));
  const auto labels = [&](const std::string& model_file, const Arguments& more) {
    return succeed(Arguments{"segment", dog, "-m", model_file, "--no-resize", "-o", "-", "--labels"} + more);
  };
  CHECK(labels(out, {}) == labels(checkpoint, {"--arch", "os=16,rates=6,12,18"}));
  CHECK(labels(out, {"--arch", "os=8,rates=12,24,36"}) == labels(checkpoint, {}));
  // Converted again, one value is replaced and the other kept.
  succeed({"convert", out, folder / "again.safetensors", "--arch", "os=32"});
  CHECK(load_checkpoint(folder / "again.safetensors").metadata->hyper == "os=32,rates=6,12,18");
  // Nothing given, nothing written.
  succeed({"convert", checkpoint, out});
  CHECK(load_checkpoint(out).metadata->hyper.empty());
}

TEST_CASE_FIXTURE(Bench, "an --arch that cannot be is refused, by every verb that takes a model") {
  const Arguments verbs[] = {{"segment", dog, "-m", checkpoint},
                             {"inspect", checkpoint},
                             {"convert", checkpoint, folder / "out.safetensors"},
                             {"verify", checkpoint, "--device", "reference"},
                             {"bench", checkpoint},
                             {"profile", checkpoint}};
  for (const Arguments& verb : verbs) {
    CAPTURE(verb.front());
    refuse(2, verb + Arguments{"--arch", "os"}, {"--arch os", "KEY=VALUE"});
    refuse(1, verb + Arguments{"--arch", "os=7"}, {"net.safetensors", "os: expected 8 or 16 or 32, found 7"});
    refuse(1, verb + Arguments{"--arch", "zoom=8"},
           {"zoom: no choice of deeplabv3_resnet(1,1,1,1)", "os, rates"});
  }
}

TEST_CASE_FIXTURE(Bench, "convert writes seeded weights, which atrous reads back as that network") {
  const std::string out = folder / "seeded.safetensors";
  succeed({"convert", "seeded:lraspp_mobilenet_v3_small", out});
  const Checkpoint written = load_checkpoint(out);
  CHECK(written.metadata->architecture == "lraspp_mobilenet_v3_small");
  CHECK(written.metadata->source_sha256.empty());
  const StateDict drawn = seeded_state("lraspp_mobilenet_v3_small");
  REQUIRE(written.state.size() == drawn.size());
  for (const auto& [key, tensor] : drawn.entries()) {
    REQUIRE(written.state.find(key));
    CHECK(std::ranges::equal(written.state.find(key)->bytes(), tensor.bytes()));
  }
}

TEST_CASE(
    "weights that do not tell their output stride: a file's name, --arch or the publisher's default does") {
  const testing::TemporaryFolder folder;
  const StateDict state = seeded_state("deeplabv3plus-vainf-mobilenet-os16", {.width = 4});
  const std::string eight = folder / "best_voc_os8.safetensors", plain = folder / "net.safetensors",
                    out = folder / "out.safetensors";
  for (const std::string& file : {eight, plain}) write_safetensors(file, state, {});
  const auto inspect = [](const Arguments& more) {
    return Json::parse(succeed(Arguments{"inspect", "--json", "--size", "65x65"} + more));
  };
  const auto is = [](const Json& json, int output_stride) {
    CHECK(json["architecture"] == str_cat("deeplabv3plus-vainf-mobilenet-os", output_stride));
    CHECK(json["hyper"]["os"]["value"] == str_cat(output_stride));
  };
  is(inspect({plain}), 16);
  CHECK(mentions(inspect({plain})["choice"].get<std::string>(),
                 "taken for deeplabv3plus-vainf-mobilenet-os16, not"));
  is(inspect({plain, "--arch", "os=8"}), 8);
  CHECK_FALSE(inspect({plain, "--arch", "os=8"}).contains("choice"));
  is(inspect({eight}), 8);
  CHECK(mentions(succeed({"inspect", eight}),
                 "by the file's name taken for deeplabv3plus-vainf-mobilenet-os8"));
  is(inspect({"seeded:deeplabv3plus-vainf-mobilenet-os8"}), 8);
  is(inspect({"seeded:deeplabv3plus-vainf-mobilenet-os16"}), 16);
  CHECK_FALSE(inspect({"seeded:deeplabv3plus-vainf-mobilenet-os8"}).contains("choice"));

  // A converted file says it; --arch comes before that.
  succeed({"convert", eight, out});
  is(inspect({out}), 8);
  CHECK_FALSE(inspect({out}).contains("choice"));
  is(inspect({out, "--arch", "os=16"}), 16);
  CHECK(mentions(succeed({"verify", out}), "holds"));

  // Segmenting says what was assumed, on standard error.
  write_file(folder / "dog.png", encode_png(photo(48, 32)));
  const auto segmented = [&](const std::string& model) {
    return run_atrous({"segment", folder / "dog.png", "-m", model, "--no-resize", "-o", "-", "--labels"});
  };
  CHECK(mentions(segmented(plain).errors, "taken for deeplabv3plus-vainf-mobilenet-os16"));
  CHECK(mentions(segmented(eight).errors, "by the file's name"));
  CHECK(segmented(out).errors.empty());
  CHECK(segmented(out).output == segmented(eight).output);
}

TEST_CASE("networks says how each family's photos are prepared, and which files need a browser") {
  const Json report = Json::parse(succeed({"networks", "--json"}));
  const auto family =
      std::ranges::find_if(report, [](const Json& f) { return f["family"] == "deeplabv3plus-jfzhang"; });
  REQUIRE(family != report.end());
  CHECK((*family)["preprocessing"]["resize"] == "shorter side 513");
  CHECK((*family)["variants"][0]["published"]["file"] == "deeplab-resnet.pth.tar");
  CHECK((*family)["variants"][0]["published"]["url"].is_null());
}

}  // namespace atrous::networks_test
