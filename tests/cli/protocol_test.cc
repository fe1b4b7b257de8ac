// --protocol, --scales and --flip of segment and eval. Against publishers' arithmetic:
// tests/python/test_protocols.py.
#include <cmath>

#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::protocol_test {

using namespace atrous::cli_testing;
using atrous::evaluate_testing::Pairs;

namespace {

const Arguments small_tiles{"--protocol",  "semseg", "--scales", "0.5,1.5",
                            "--base-size", "60",     "--tile",   "49x41"};
const TestProtocol as_small_tiles{.style = TestStyle::semseg,
                                  .scales = {0.5, 1.5},
                                  .flip = true,
                                  .base_size = 60,
                                  .tile_width = 49,
                                  .tile_height = 41,
                                  .resize = ResizeRule{.kind = ResizeRule::Kind::none}};

struct ProtocolBench : Bench {
  Arguments segment(const Arguments& arguments) const {  // at the protocol's own sizes
    return Arguments{"segment", "-m", checkpoint, "--threads", "1"} + arguments;
  }
};

}  // namespace

TEST_CASE_FIXTURE(ProtocolBench, "segment --protocol gives the labels and probabilities of the library's") {
  const Segmentation all = expected({.probabilities = true, .protocol = as_small_tiles});
  CHECK(succeed(segment(Arguments{dog, "--labels", "-o", "-"} + small_tiles)) == labels_png(all.labels));
  CHECK(succeed(segment(Arguments{dog, "--probabilities", "-", "--no-mask", "--no-overlay"} + small_tiles)) ==
        text_of(encode_npy(all.probabilities.view())));
  CHECK(all.labels.labels != expected().labels.labels);
  const CrfParameters crf{.iterations = 3};
  CHECK(succeed(
            segment(Arguments{dog, "--labels", "-o", "-", "--crf", "--crf-iterations", "3"} + small_tiles)) ==
        labels_png(expected({.crf = crf, .protocol = as_small_tiles}).labels));
  const TestProtocol whole{.scales = {0.5, 1}, .flip = true};
  const ResizeRule none{.kind = ResizeRule::Kind::none};
  CHECK(succeed(segment({dog, "--labels", "-o", "-", "--scales", "0.5,1", "--flip", "--no-resize"})) ==
        labels_png(expected({.resize = none, .protocol = whole}).labels));
}

TEST_CASE_FIXTURE(ProtocolBench, "segment says by which protocol, in the table and in JSON") {
  const Arguments quiet{dog, "--no-mask", "--no-overlay"};
  CHECK(mentions(succeed(segment(quiet + small_tiles)),
                 "protocol semseg: scales 0.5, 1.5 of longer side 60, tiles of 49x41, mirrored too, "
                 "probabilities averaged\n"));
  const auto protocol = [&](const Arguments& given) {
    return Json::parse(succeed(segment(quiet + Arguments{"--json", "-"} + given)))[0]["protocol"].dump();
  };
  CHECK(
      protocol(small_tiles + Arguments{"--overlap", "4"}) ==
      R"({"style":"semseg","scales":[0.5,1.5],"flip":true,"base_size":60,"tile_width":49,"tile_height":41,"overlap":4})");
  CHECK(protocol({"--flip"}) == R"({"style":"whole pictures","scales":[1.0],"flip":true})");
  CHECK(protocol({"--protocol", "torchvision"}) ==
        R"({"style":"whole pictures","scales":[1.0],"flip":false})");
  CHECK(protocol({}) == "null");
}

TEST_CASE_FIXTURE(ProtocolBench, "what a protocol cannot be is refused in a line, by the option's name") {
  const auto refused = [&](const Arguments& given, const std::vector<std::string>& parts) {
    refuse(2, segment(Arguments{dog, "-o", folder / "out"} + given), parts);
  };
  const std::string many = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1";
  refused({"--protocol", "mmseg"}, {"--protocol", "mmseg", "semseg"});
  refused({"--scales", "0"}, {"scale 0, expected more than 0"});
  refused({"--scales", "1,-1"}, {"scale -1"});
  refused({"--scales", "nan"}, {"scale nan"});
  refused({"--scales", "inf"}, {"scale inf"});
  refused({"--scales", "9"}, {"scale 9", "at most 8"});
  refused({"--scales", many}, {"17 scales, expected 1 to 16"});
  refused({"--scales", "0.5;1"}, {"--scales 0.5;1", "commas"});
  refused({"--scales", "1,"}, {"--scales 1,", "commas"});
  for (const char* wrong : {",", "1,,2", "0.5, 1", "1e999", "half"})
    refused({"--scales", wrong}, {std::string("--scales ") + wrong + ": expected numbers with commas"});
  refused({"--protocol", "semseg", "--tile", "64", "--overlap", "64"},
          {"overlap of 64", "less than a tile's 64"});
  refused({"--protocol", "semseg", "--tile", "64x32", "--overlap", "40"}, {"overlap of 40", "tile's 32"});
  refused({"--protocol", "encnet", "--overlap", "480"}, {"overlap of 480", "tile's 480"});
  refused({"--protocol", "semseg", "--tile", "0"}, {"size 0x0"});
  refused({"--protocol", "semseg", "--tile", "a"}, {"size axa"});
  refused({"--protocol", "semseg", "--base-size", "0"}, {"--base-size"});
  refused({"--protocol", "semseg", "--overlap", "-1"}, {"--overlap"});
  for (const Arguments& of_tiles :
       {Arguments{"--tile", "64"}, Arguments{"--base-size", "512"}, Arguments{"--overlap", "8"}})
    refused(of_tiles + Arguments{"--protocol", "deeplabv2"},
            {of_tiles[0], "for --protocol semseg and encnet"});
  refused({"--base-size", "512"}, {"--base-size", "for --protocol semseg and encnet"});
  for (const Arguments& size :
       {Arguments{"--resize", "64"}, Arguments{"--size", "64x64"}, Arguments{"--no-resize"}})
    refused(size + Arguments{"--protocol", "encnet"}, {size[0], "--base-size"});
  refused({"--protocol", "torchvision", "--scales", "1"}, {"--scales", "torchvision"});
  refused({"--protocol", "torchvision", "--flip"}, {"--flip", "torchvision"});
  refused({"--protocol", "deeplabv2", "--flip"}, {"deeplabv2", "mirrors nothing"});
  refused({"--protocol", "deeplabv2", "--scales", "0.5"}, {"scale 1", "missing"});
  refused({"--flip", "--logits", folder / "l.npy"}, {"--logits", "--flip", "--probabilities"});
  refused({"--scales", "1", "--upsample", "transposed"}, {"--upsample transposed", "--scales"});
  refused({"--protocol", "semseg", "--center-crop", "32"}, {"--center-crop", "--protocol"});
  refuse(2, segment({dog, write_photo("b.png", dog_photo), "--probabilities", "-"}),
         {"--probabilities takes one input, found 2"});
  refuse(2, segment({dog, "--probabilities", "-", "--json", "-"}), {"one of them", "standard output"});
  const std::string tensor = folder / "x.npy";
  write_file(tensor, encode_npy(noise({1, 32, 48, 3}).view()));
  refuse(1, segment({tensor, "--flip", "-q"}), {"x.npy", "a tensor has no pixels for --flip"});
  refuse(1, segment({dog, "--scales", "0.01", "--no-resize"}),
         {"dog.png", "scale 0.01 leaves no pixel of 48x32"});
  refuse(1, segment(Arguments{dog, "--memory-limit", "800KB"} + small_tiles), {"dog.png", "limit"});
  CHECK(names() == Names{"b.png", "dog.png", "net.safetensors", "x.npy"});
}

TEST_CASE_FIXTURE(Pairs,
                  "eval --protocol scores the labels and probabilities that segment --protocol gives") {
  const std::string checkpoint = folder / "net.safetensors", maps = folder / "maps";
  write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
  const Arguments data{"--dataset", "pairs", folder / "photos", folder / "labels", "--json", "-"};
  const Json all =
      Json::parse(succeed(Arguments{"eval", "-m", checkpoint, "--threads", "1"} + data + small_tiles));
  double nats = 0;
  std::int64_t pixels = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string npy = folder / "p.npy";
    succeed(Arguments{"segment", photo_path(i), "-m", checkpoint, "--threads", "1", "--labels", "-q",
                      "--no-overlay", "--no-mask", "-o", maps, "--probabilities", npy} +
            small_tiles);
    const Tensor p = read_npy(read_file(npy, 1 << 24), npy, 0);
    const LabelMap truth = read_labels_file(label_path(i));
    for (std::size_t k = 0; k < truth.labels.size(); ++k) {
      if (truth.labels[k] == 255) continue;
      nats -= std::log(static_cast<double>(p.data()[5 * k + truth.labels[k]]));
      ++pixels;
    }
  }
  std::string class_names;
  for (const std::string& name : model.classes) class_names += name + '\n';
  write_text(folder / "names.txt", class_names);
  const Json scored = Json::parse(
      succeed(Arguments{"eval", "--predictions", maps, "--classes", folder / "names.txt"} + data));
  CHECK(all["confusion_matrix"] == scored["confusion_matrix"]);
  CHECK(all["summary"]["pixels"] == pixels);
  CHECK(all["summary"]["cross_entropy"].get<double>() ==
        doctest::Approx(nats / static_cast<double>(pixels)).epsilon(1e-5));
  CHECK(all["size"] == "the photos' own size");
  CHECK(all["protocol"]["tile_width"] == 49);
  CHECK(mentions(all["notes"][0].get<std::string>(), "test protocol semseg: scales 0.5, 1.5"));
}

TEST_CASE_FIXTURE(Pairs, "eval --protocol goes on from a state, and not from that of another protocol") {
  const std::string checkpoint = folder / "net.safetensors", state = folder / "state";
  write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
  const auto run = [&](const Arguments& how) {
    return Arguments{"eval",      "-m",    checkpoint,        "--threads",       "1",        "-q",
                     "--dataset", "pairs", folder / "photos", folder / "labels", "--resume", state} +
           how;
  };
  succeed(run(small_tiles));
  const std::string kept = read_text(state);
  succeed(run(small_tiles));
  refuse(1, run({}), {"state"});
  refuse(1, run(small_tiles + Arguments{"--overlap", "3"}), {"state", "test protocol was", "share 3 pixels"});
  refuse(1, run({"--protocol", "semseg", "--scales", "0.5", "--base-size", "60", "--tile", "49x41"}),
         {"state", "test protocol"});
  refuse(2, run({"--protocol", "semseg", "--no-resize"}), {"--no-resize", "--base-size"});
  refuse(2,
         Arguments{"eval", "--predictions", folder / "labels", "--dataset", "pairs", folder / "photos",
                   folder / "labels", "--flip"},
         {"--flip", "--predictions are labels"});
}

}  // namespace atrous::protocol_test
