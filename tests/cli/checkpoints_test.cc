// atrous convert and atrous inspect.
#include "runtime/engine/plan.h"
#include "runtime/engine/self_test.h"
#include "runtime/image/palette.h"
#include "tests/support/cli_testing.h"
#include "tests/support/weights_helpers.h"
#include "tests/weights_tools/caffe/wire_bytes.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/io/sha256.h"
#include "weights_tools/seeded.h"

namespace atrous::checkpoints_test {

using namespace atrous::cli_testing;

namespace {

// The same tensors, as torch.save writes them.
std::string pth_of(const StateDict& state) {
  namespace w = weights_testing;
  w::Items tensors, storages;
  for (const auto& [name, t] : state.entries()) {
    std::vector<std::int64_t> strides(t.shape.size(), 1);
    for (std::size_t i = t.shape.size(); i-- > 1;) strides[i - 1] = strides[i] * t.shape[i];
    const std::string key = str_cat(storages.size());
    const auto storage =
        w::storage(key, t.elements(), t.dtype == DType::f32 ? "FloatStorage" : "LongStorage");
    tensors.emplace_back(name, w::tensor(storage, 0, t.shape, strides));
    storages.emplace_back(key, w::bytes_of(t));
  }
  return w::pth_zip(w::pickled(w::dict(tensors)), storages);
}

// The same tensors, as Caffe saves them: a convolution for each module.
std::string caffemodel_of(const StateDict& state) {
  namespace w = weights_testing;
  std::string file = w::field(1, "net");
  for (const auto& [name, weight] : state.entries()) {
    constexpr std::string_view ending = ".weight";
    if (!name.ends_with(ending)) continue;
    const std::string module = name.substr(0, name.size() - ending.size());
    std::vector<std::string> blobs;
    for (const char* part : {".weight", ".bias"}) {
      const StateTensor* tensor = state.find(module + part);
      if (!tensor) continue;
      std::string sizes;
      for (const std::int64_t size : tensor->shape) sizes += w::varint(static_cast<std::uint64_t>(size));
      blobs.push_back(w::field(7, w::field(1, sizes)) + w::field(5, w::bytes_of(*tensor)));
    }
    file += w::layer_v2(module, "Convolution", blobs);
  }
  return file;
}

bool same_tensors(const StateDict& a, const StateDict& b) {
  if (a.size() != b.size()) return false;
  return std::ranges::all_of(a.entries(), [&](const auto& entry) {
    const auto& [name, tensor] = entry;
    const StateTensor* other = b.find(name);
    return other && other->dtype == tensor.dtype && other->shape == tensor.shape &&
           std::ranges::equal(other->bytes(), tensor.bytes());
  });
}

std::int64_t count_parameters(const StateDict& state) {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : state.entries())
    if (name.ends_with(".weight") || name.ends_with(".bias")) count += tensor.elements();
  return count;
}

}  // namespace

TEST_CASE_FIXTURE(Bench, "convert keeps names and values exactly, from .safetensors and from .pth") {
  const StateDict state = tiny_state("deeplabv3");
  write_text(folder / "net.pth", pth_of(state));
  for (const char* source : {"net.pth", "net.safetensors"}) {
    CAPTURE(source);
    const std::string said = succeed({"convert", folder / source, folder / "out.safetensors"});
    CHECK(said == str_cat(folder.path(), "/out.safetensors: deeplabv3_resnet(1,1,1,1), 5 classes, ",
                          state.size(), " tensors\n"));
    CHECK(same_tensors(load_checkpoint(folder / "out.safetensors").state, state));
  }
}

TEST_CASE_FIXTURE(Bench, "inspect and convert take a .caffemodel") {
  const StateDict state = seeded_state("fcn32s-wkentaro", {.classes = 5, .width = 4});
  write_text(folder / "net.caffemodel", caffemodel_of(state));
  const std::string said = succeed({"inspect", folder / "net.caffemodel"});
  CHECK(mentions(said, "fcn32s-wkentaro"));
  CHECK(mentions(said, ".caffemodel"));
  CHECK(succeed({"convert", folder / "net.caffemodel", folder / "out.safetensors"}) ==
        str_cat(folder.path(), "/out.safetensors: fcn32s-wkentaro, 5 classes, ", state.size(), " tensors\n"));
  const StateDict converted = load_checkpoint(folder / "out.safetensors").state;
  REQUIRE(converted.size() == state.size());
  for (const auto& [name, tensor] : state.entries())
    CHECK(std::ranges::equal(converted.find(name)->bytes(), tensor.bytes()));
  write_text(folder / "cut.caffemodel", caffemodel_of(state).substr(0, 3000));
  refuse(1, {"inspect", folder / "cut.caffemodel"}, {"cut.caffemodel: ", "are left"});
}

TEST_CASE_FIXTURE(Bench, "convert stores all that is needed to use the network") {
  succeed({"convert", checkpoint, folder / "out.safetensors"});
  const auto metadata = load_checkpoint(folder / "out.safetensors").metadata;
  REQUIRE(metadata);
  CHECK(metadata->architecture == "deeplabv3_resnet(1,1,1,1)");
  CHECK(metadata->classes == model.classes);
  CHECK(metadata->palette == voc_palette(5));
  CHECK(metadata->preparation == Preparation{});
  CHECK(metadata->source == "net.safetensors");
  CHECK(metadata->source_sha256 == sha256_of_file(checkpoint));
  REQUIRE(metadata->self_test);
  CHECK(run_self_test(session, *metadata->self_test) <= static_cast<double>(metadata->self_test->tolerance));
}

TEST_CASE_FIXTURE(Bench, "a converted .pth segments as its source does, to the byte") {
  write_text(folder / "net.pth", pth_of(tiny_state("deeplabv3")));
  succeed({"convert", folder / "net.pth", folder / "out.safetensors"});
  const auto logits_from = [&](const std::string& network) {
    return succeed({"segment", dog, "-m", network, "--threads", "1", "--resize", "40", "-q", "--no-mask",
                    "--no-overlay", "--logits", "-"});
  };
  const std::string expected_logits = logits_from(checkpoint);
  CHECK(expected_logits.size() > 40 * 60 * 5 * 4);
  CHECK(logits_from(folder / "net.pth") == expected_logits);
  CHECK(logits_from(folder / "out.safetensors") == expected_logits);
}

TEST_CASE_FIXTURE(Bench, "converting twice gives the same bytes") {
  succeed({"convert", checkpoint, folder / "a.safetensors"});
  succeed({"convert", checkpoint, folder / "b.safetensors"});
  CHECK(read_text(folder / "a.safetensors") == read_text(folder / "b.safetensors"));
}

TEST_CASE_FIXTURE(Bench, "convert may write over its own source") {
  succeed({"convert", checkpoint, checkpoint});
  CHECK(same_tensors(load_checkpoint(checkpoint).state, tiny_state("deeplabv3")));
  CHECK(load_checkpoint(checkpoint).metadata.has_value());
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "class names and colours given to convert travel with the file") {
  write_text(folder / "names.txt", "sky\nroad\ntree\ncar\ndog\n");
  write_text(folder / "colours.txt", "1 2 3\n4 5 6\n7 8 9\n#102030\n250 0 0\n");
  const std::string out = folder / "out.safetensors";
  succeed(
      {"convert", checkpoint, out, "--classes", folder / "names.txt", "--palette", folder / "colours.txt"});
  const auto metadata = load_checkpoint(out).metadata;
  REQUIRE(metadata);
  CHECK(metadata->classes == std::vector<std::string>{"sky", "road", "tree", "car", "dog"});
  CHECK(metadata->palette == Palette{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {16, 32, 48}, {250, 0, 0}});
  const Arguments how{"segment", dog, "-m", out, "--threads", "1", "--no-resize"};
  CHECK(mentions(succeed(how), "sky"));
  CHECK(succeed(how + Arguments{"-o", "-"}) ==
        succeed(segment({dog, "-o", "-", "--palette", folder / "colours.txt"})));

  // and stay when the file is converted again
  succeed({"convert", out, folder / "again.safetensors"});
  CHECK(load_checkpoint(folder / "again.safetensors").metadata->classes == metadata->classes);
}

TEST_CASE_FIXTURE(Bench, "a wrong number of names or colours stops convert before it writes") {
  write_text(folder / "four.txt", "1 1 1\n2 2 2\n3 3 3\n4 4 4\n");
  const Names before = names();
  refuse(2, {"convert", checkpoint, folder / "out.safetensors", "--classes", folder / "four.txt"},
         {"four.txt", "expected 5", "found 4"});
  refuse(2, {"convert", checkpoint, folder / "out.safetensors", "--palette", folder / "four.txt"},
         {"four.txt", "expected 5", "found 4"});
  CHECK(names() == before);
}

TEST_CASE_FIXTURE(Bench, "inspect says what the network is and takes") {
  const StateDict state = tiny_state("deeplabv3");
  const std::string said = succeed({"inspect", checkpoint, "--size", "64x48", "--threads", "1"});
  const Plan plan = make_plan(*tiny_model("deeplabv3").program, {1, 48, 64, 3}, 1);
  CHECK(mentions(said, "deeplabv3_resnet(1,1,1,1), with an auxiliary head"));
  CHECK(mentions(said, "5: class 0, class 1, class 2, class 3, class 4"));
  CHECK(mentions(said, "os=8, rates=12,24,36 (the weights do not say: --arch)"));
  CHECK(mentions(said, "at 64x48"));
  CHECK(mentions(said, str_cat(count_parameters(state))));
  CHECK(mentions(said, str_cat(state.size(), " (")));
  CHECK(mentions(said, ".safetensors"));
  CHECK(mentions(said, sha256_of_file(checkpoint)));

  const Json report =
      Json::parse(succeed({"inspect", checkpoint, "--size", "64x48", "--threads", "1", "--json"}));
  CHECK(report["file"] == checkpoint);
  CHECK(report["architecture"] == "deeplabv3_resnet(1,1,1,1)");
  CHECK(report["output_stride"] == 8);
  CHECK(report["hyper"]["os"]["value"] == "8");
  CHECK(report["hyper"]["rates"]["value"] == "12,24,36");
  CHECK(report["aux"] == true);
  CHECK(report["classes"] == Json(model.classes));
  CHECK(report["at"]["width"] == 64);
  CHECK(report["at"]["height"] == 48);
  CHECK(report["at"]["gmac"].get<double>() == doctest::Approx(static_cast<double>(plan.macs) / 1e9));
  CHECK(report["at"]["weight_bytes"] == tiny_model("deeplabv3").program->packed_bytes());
  CHECK(report["at"]["arena_bytes"] == plan.arena_bytes());
  CHECK(report["tensors"] == state.size());
  CHECK(report["parameters"] == count_parameters(state));
  CHECK(report["dtypes"]["F32"].get<std::size_t>() + report["dtypes"]["I64"].get<std::size_t>() ==
        state.size());
  CHECK(report["container"] == ".safetensors");
  CHECK(report["notes"] == Json::array());
  CHECK(report["sha256"] == sha256_of_file(checkpoint));
}

TEST_CASE_FIXTURE(Bench, "inspect lists every tensor when asked to") {
  const std::string said = succeed({"inspect", checkpoint, "--tensors"});
  const Json listed = Json::parse(succeed({"inspect", checkpoint, "--tensors", "--json"}))["state"];
  const StateDict state = tiny_state("deeplabv3");
  CHECK(listed.size() == state.size());
  for (const auto& [name, tensor] : state.entries()) {
    const std::string line = name + ' ';
    CHECK_MESSAGE(mentions(said, line), line);
    CHECK(listed[name]["dtype"] == name_of(tensor.dtype));
    CHECK(listed[name]["shape"] == Json(tensor.shape));
  }
}

TEST_CASE_FIXTURE(Bench, "inspect keeps the name of a line apart from what it says, at any size") {
  CHECK(mentions(succeed({"inspect", checkpoint, "--size", "16384x16384"}), "\nat 16384x16384 "));
}

TEST_CASE_FIXTURE(Bench, "inspect of a state dict that is no network says so and succeeds") {
  StateDict other;
  other.add("encoder.weight", *tiny_state("fcn").find("backbone.conv1.weight"));
  write_safetensors(folder / "other.safetensors", other, {});
  const std::string said = succeed({"inspect", folder / "other.safetensors"});
  CHECK(mentions(said, "not one that atrous runs"));
  CHECK(mentions(said, "encoder.weight"));
  CHECK(mentions(said, "1 (1 F32)"));
  const Json report = Json::parse(succeed({"inspect", folder / "other.safetensors", "--json"}));
  CHECK(report["architecture"].is_null());
  CHECK(mentions(report["reason"].get<std::string>(), "encoder.weight"));
  CHECK(report["parameters"] == 8 * 3 * 7 * 7);
}

TEST_CASE_FIXTURE(Bench, "inspect tells how it got at the tensors of a .pth") {
  StateDict prefixed;
  const StateDict state = tiny_state("fcn");
  for (const auto& [name, tensor] : state.entries()) prefixed.add("module." + name, tensor);
  write_text(folder / "parallel.pth", pth_of(prefixed));
  const Json report = Json::parse(succeed({"inspect", folder / "parallel.pth", "--json"}));
  CHECK(report["container"] == "zip .pth");
  CHECK(report["architecture"] == "fcn_resnet(1,1,1,1)");
  REQUIRE(report["notes"].size() == 1);
  CHECK(mentions(report["notes"][0].get<std::string>(), "took the weights under module"));
}

TEST_CASE_FIXTURE(Bench, "inspect refuses what is no checkpoint, and sizes that are none") {
  refuse(1, {"inspect", dog}, {"dog.png", "PNG image"});
  refuse(1, {"inspect", folder / "none.pth"}, {"none.pth", "No such file"});
  std::filesystem::create_directory(folder / "nothing");
  refuse(1, {"inspect", folder / "nothing"}, {"nothing", "is a folder without model.safetensors"});
  for (const char* size : {"5", "0x5", "5x5x", "99999999999x1"})
    refuse(2, {"inspect", checkpoint, "--size", size}, {size});
  refuse(2, {"inspect", checkpoint, "--threads", "2x"}, {"--threads"});
}

namespace {

// A file of two networks, told apart by their architectures: deeplabv3 under one prefix, fcn under the other.
std::string two_networks(const TemporaryFolder& folder, const std::string& first, const std::string& second) {
  StateDict all;
  for (const auto& [prefix, head] : {std::pair(first, "deeplabv3"), std::pair(second, "fcn")}) {
    const StateDict state = tiny_state(head);
    for (const auto& [name, tensor] : state.entries()) all.add(prefix + "." + name, tensor);
  }
  write_safetensors(folder / "two.safetensors", all, {});
  return folder / "two.safetensors";
}

}  // namespace

TEST_CASE_FIXTURE(Bench,
                  "of a model and its average the model is taken and said, and --weights takes the other") {
  const std::string two = two_networks(folder, "model", "model_ema");
  const std::string choice =
      "holds 2 networks: model was taken, not model_ema (--weights PREFIX takes another)";
  const std::string said = succeed({"inspect", two, "--size", "64x48"});
  CHECK(mentions(said, "deeplabv3_resnet(1,1,1,1)"));
  CHECK(mentions(said, choice));
  CHECK(mentions(said, "left out model_ema"));
  const Arguments run{"segment", "-m", two, "--threads", "1", "--no-resize", dog, "-o", folder / "out"};
  const ProcessResult segmented = run_atrous(run);
  CHECK(segmented.exit_code == 0);
  CHECK(segmented.errors == "atrous: " + two + ": " + choice + "\n");
  CHECK(succeed(run + Arguments{"-q"}) == "");
  CHECK(run_atrous(run + Arguments{"--weights", "model_ema"}).errors == "");
  const ProcessResult verified =
      run_atrous({"verify", two, "--reference", two, "--threads", "1", "--size", "64x48"});
  CHECK(verified.exit_code == 0);
  CHECK(verified.errors == "atrous: " + two + ": " + choice + "\n");

  const std::string fcn = "fcn_resnet(1,1,1,1)";
  CHECK(mentions(succeed({"inspect", two, "--size", "64x48", "--weights", "model_ema"}), fcn));
  CHECK(mentions(succeed({"convert", two, folder / "ema.safetensors", "--weights", "model_ema"}), fcn));
  CHECK(same_tensors(load_checkpoint(folder / "ema.safetensors").state, tiny_state("fcn")));
  const Arguments small{"--threads", "1", "--size", "64x48", "--weights", "model_ema"};
  CHECK(mentions(succeed(Arguments{"verify", two, "--reference", folder / "ema.safetensors"} + small),
                 "holds"));
  const Arguments quick{"--runs", "1", "--warmup", "0"};
  CHECK(mentions(succeed(Arguments{"profile", two} + small + quick), "classifier.4"));
  succeed(Arguments{"bench", two} + small + quick);
}

TEST_CASE_FIXTURE(Bench,
                  "two networks of which neither is the other's average are refused with their prefixes") {
  const std::string two = two_networks(folder, "teacher", "student");
  for (const Arguments& verb :
       {Arguments{"inspect"}, Arguments{"bench"}, Arguments{"profile"}, Arguments{"verify"}})
    refuse(1, verb + Arguments{two}, {two, "holds 2 networks, under teacher, student", "--weights PREFIX"});
  refuse(1, {"segment", dog, "-m", two}, {two, "under teacher, student"});
  refuse(1, {"convert", two, folder / "out.safetensors"}, {two, "under teacher, student"});
  refuse(1, {"inspect", two, "--weights", "nobody"}, {two, "holds nothing under nobody", "teacher, student"});
  CHECK(
      mentions(succeed({"inspect", two, "--size", "64x48", "--weights", "student"}), "fcn_resnet(1,1,1,1)"));
  refuse(1, {"profile", "seeded:fcn_resnet18", "--weights", "x"}, {"random weights have no prefix"});
}

}  // namespace atrous::checkpoints_test
