#include <sys/stat.h>
#include <unistd.h>

#include "layers/base/error.h"
#include "layers/networks/segmentation.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"
#include "weights_tools/seeded.h"
#include "weights_tools/torch/pth.h"

namespace atrous::checkpoint_test {

using namespace atrous::weights_testing;

namespace {

const Bytes value = floats({1, 2});

Bytes pth(const std::vector<std::string>& names) {
  Items items;
  for (const auto& name : names) items.emplace_back(name, tensor(storage("0", 2), 0, {2}, {1}));
  return pth_zip(pickled(dict(items)), {{"0", value}});
}

std::vector<std::string> names_in(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : checkpoint.state.entries()) names.push_back(name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a checkpoint is recognised by its content, not by its extension") {
  const TempFolder folder;
  const Checkpoint zipped = load_checkpoint(folder.save("a.safetensors", pth({"w"})));
  CHECK(zipped.container == Container::pth_zip);
  CHECK(bytes_of(*zipped.state.find("w")) == value);

  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 2, "FloatStorage", "N"), 0, {2}, {1})}}));
  const Checkpoint legacy =
      load_checkpoint(folder.save("b.zip", legacy_head() + pickle + key_list({"0"}) + stored(2, value)));
  CHECK(legacy.container == Container::pth_legacy);
  CHECK(bytes_of(*legacy.state.find("w")) == value);

  write_safetensors(folder.path("c.pth"), zipped.state, {{"format", "pt"}});
  const Checkpoint safe = load_checkpoint(folder.path("c.pth"));
  CHECK(safe.container == Container::safetensors);
  CHECK(bytes_of(*safe.state.find("w")) == value);
  CHECK_FALSE(safe.metadata.has_value());
}

TEST_CASE("atrous' own metadata comes with the tensors") {
  const TempFolder folder;
  const Checkpoint plain = load_checkpoint(folder.save("a.pth", pth({"w"})));
  Metadata metadata;
  metadata.architecture = "fcn_resnet50";
  write_safetensors(folder.path("b"), plain.state, to_strings(metadata));
  REQUIRE(load_checkpoint(folder.path("b")).metadata.has_value());
  CHECK(load_checkpoint(folder.path("b")).metadata->architecture == "fcn_resnet50");
}

TEST_CASE("a prefix is stripped when all keys share it, and said so") {
  const TempFolder folder;
  const auto load = [&](const Names& names) { return load_checkpoint(folder.save("a.pth", pth(names))); };
  const Checkpoint parallel = load({"module.a", "module.b.c"});
  CHECK(names_in(parallel) == Names{"a", "b.c"});
  CHECK(parallel.notes == Names{"stripped the prefix module."});
  CHECK(names_in(load({"_orig_mod.module.a", "_orig_mod.module.b"})) == Names{"a", "b"});
  CHECK(names_in(load({"model.a", "model.b"})) == Names{"a", "b"});
  CHECK(names_in(load({"module.a", "b"})) == Names{"module.a", "b"});
  CHECK(names_in(load({"module.", "module.b"})) == Names{"module.", "module.b"});
  CHECK(load({"a"}).notes.empty());
}

TEST_CASE("what is not a checkpoint is named") {
  const TempFolder folder;
  const Bytes tar = Bytes("pickle") + Bytes(251, '\0') + "ustar" + Bytes(250, '\0');
  const std::pair<Bytes, const char*> files[] = {
      {"", "is empty"},
      {"<!DOCTYPE html><html>", "is a web page"},
      {"\n <HTML lang=en>", "is a web page"},
      {"{\"error\": \"not found\"}\n", "is a text file"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"},
      {"\xff\xd8\xff\xe0" + Bytes(100, 'x'), "is a JPEG image"},
      {"\x89PNG\r\n\x1a\n", "is a PNG image"},
      {"\x1f\x8b\x08" + Bytes(20, 'x'), "is compressed by gzip"},
      {"\x89HDF\r\n\x1a\n", "is an HDF5 file"},
      {tar, "is a tar archive: unpack it first; what torch before 0.2"},
      {Bytes(100, '\0'), "is not a checkpoint"},
      {"\x80", "is not a checkpoint"},
      {"PK\3\4 and nothing", "at least 22 bytes"},
      {"\x80\2K\1.", "magic number"},
      {pth({}), "holds no tensors"},
  };
  for (const auto& file : files) {
    const Bytes& bytes = file.first;
    const std::string part = file.second;
    CAPTURE(part);
    const std::string path = folder.save("what", bytes);
    const Refusal refusal = refusal_of([&] { load_checkpoint(path); });
    CHECK(refusal.sentence.starts_with(path + ": "));
    CHECK(refusal.sentence.find(part) != std::string::npos);
  }
  check_refused([&] { load_checkpoint(folder.path("")); }, ErrorCode::io, "is a folder without");
  check_refused([&] { load_checkpoint(folder.path("none")); }, ErrorCode::io, "No such file");
  REQUIRE(::mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  check_refused([&] { load_checkpoint(folder.path("fifo")); }, ErrorCode::io, "is a FIFO");
}

TEST_CASE("every cut of a checkpoint is refused, and none crashes") {
  const TempFolder folder;
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 2, "FloatStorage", "N"), 0, {2}, {1})}}));
  const Bytes legacy = legacy_head() + pickle + key_list({"0"}) + stored(2, value);
  StateDict state = load_checkpoint(folder.save("a", legacy)).state;
  write_safetensors(folder.path("s"), state, {{"format", "pt"}});
  const auto safe = read_file(folder.path("s"), 10000);
  for (const Bytes& whole : {pth({"w"}), legacy, Bytes(as_text(safe))})
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CAPTURE(length);
      const std::string path = folder.save("cut", std::string_view(whole).substr(0, length));
      CHECK_FALSE(refusal_of([&] { load_checkpoint(path); }).sentence.empty());
    }
}

TEST_CASE("a checkpoint cut short while it is read, wherever, is an error that names it") {
  const TempFolder folder;
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 2, "FloatStorage", "N"), 0, {2}, {1})}}));
  const Bytes legacy = legacy_head() + pickle + key_list({"0"}) + stored(2, value);
  write_safetensors(folder.path("s"), load_checkpoint(folder.save("a", legacy)).state, {{"format", "pt"}});
  const Bytes safe(as_text(read_file(folder.path("s"), 10000)));
  const auto read = [](const InputFile& file, const Bytes& whole) {
    if (whole.starts_with("PK"))
      read_pth_zip(file);
    else if (whole.starts_with("\x80"))
      read_pth_legacy(file);
    else
      read_safetensors(file);
  };
  for (const Bytes& whole : {pth({"w"}), legacy, safe}) {
    const std::string path = folder.save("shrinks", whole);
    const InputFile file(path);
    read(file, whole);
    for (std::size_t length = whole.size(); length-- > 0;) {
      CAPTURE(length);
      REQUIRE(::truncate(path.c_str(), static_cast<off_t>(length)) == 0);
      // An archive's last bytes may hold nothing that is needed twice, but they are read first of all.
      const Refusal refusal = refusal_of([&] { read(file, whole); });
      CHECK(refusal.code == ErrorCode::io);
      CHECK(refusal.sentence.starts_with(path + ": ended at byte "));
    }
  }
}

TEST_CASE("a checkpoint with any one byte changed loads or is refused") {
  const TempFolder folder;
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 2, "FloatStorage", "N"), 0, {2}, {1})}}));
  const Bytes legacy = legacy_head() + pickle + key_list({"0"}) + stored(2, value);
  std::size_t refused = 0;
  for (const Bytes& whole : {pth({"w"}), legacy})
    for (std::size_t i = 0; i < whole.size(); ++i)
      for (const int flip : {0x01, 0x80, 0xff}) {
        Bytes changed = whole;
        changed[i] = static_cast<char>(changed[i] ^ flip);
        try {
          load_checkpoint(folder.save("changed", changed));
        } catch (const Error&) {
          ++refused;
        }
      }
  CHECK(refused > 1000);
}

TEST_CASE("a checkpoint in memory loads as its file does, under the name it is given") {
  const TempFolder folder;
  const Bytes whole = pth({"w"});
  const Checkpoint from_file = load_checkpoint(folder.save("a", whole));
  const Checkpoint from_memory = load_checkpoint(as_bytes(whole), "the download");
  CHECK(bytes_of(*from_memory.state.find("w")) == bytes_of(*from_file.state.find("w")));
  CHECK(from_memory.container == Container::pth_zip);
  check_refused([&] { load_checkpoint(as_bytes("<html>"), "the download"); }, ErrorCode::unsupported,
                "the download: is a web page");
  check_refused([&] { load_checkpoint({}, "the download"); }, ErrorCode::unsupported,
                "the download: is empty");
}

TEST_CASE("a folder stands for the checkpoint in it") {
  const TempFolder other;
  write_safetensors(other.path("s"), load_checkpoint(other.save("p", pth({"w"}))).state, {});
  const Bytes safe(as_text(read_file(other.path("s"), 10000)));
  const TempFolder folder;
  const std::string path = folder.path("");
  const auto found = [&] { return std::filesystem::path(checkpoint_file(path)).filename().string(); };
  folder.save("config.json", "{}");
  folder.save("weights.pth", pth({"w"}));
  check_refused([&] { checkpoint_file(path); }, ErrorCode::io, ": is a folder without model.safetensors");
  folder.save("pytorch_model.bin", pth({"w"}));
  CHECK(found() == "pytorch_model.bin");
  folder.save("net.safetensors", safe);
  CHECK(found() == "net.safetensors");
  folder.save("other.safetensors", safe);
  check_refused([&] { load_checkpoint(path); }, ErrorCode::unsupported,
                "is a folder of 2 checkpoints, net.safetensors and other.safetensors: give");
  folder.save("net.safetensors.index.json", R"({"weight_map": {"w": "net.safetensors"}})");
  CHECK(found() == "net.safetensors.index.json");
  CHECK(load_checkpoint(path).container == Container::safetensors_index);
  folder.save("model.safetensors", safe);
  CHECK(found() == "model.safetensors");
  CHECK(load_checkpoint(path).container == Container::safetensors);
  CHECK(bytes_of(*load_checkpoint(path).state.find("w")) == value);
  CHECK(checkpoint_file(folder.path("none")) == folder.path("none"));
}

TEST_CASE("the wrappers of DeepLab's repositories are read, and what lies beside the weights is named") {
  // What jfzhang95's and VainF's training code saves: modeling and optimizer beside counters, in .pth.tar
  // files that are no tar archives. VainF's model_state, jfzhang's state_dict; DataParallel's prefix in files
  // that users saved.
  struct Wrapped {
    const char *architecture, *file, *module, *prefix;
    Items beside;
  };
  const Wrapped files[] = {
      {"deeplabv3plus-jfzhang-mobilenet-os16",
       "deeplab-mobilenet.pth.tar",
       "state_dict",
       "",
       {{"epoch", num(46)}, {"optimizer", dict({{"state", dict({})}})}, {"best_pred", num(0)}}},
      {"deeplabv3plus-jfzhang-drn-d-54", "checkpoint.pth.tar", "state_dict", "module.", {{"epoch", num(1)}}},
      {"deeplabv3plus-vainf-mobilenet-os16",
       "best_deeplabv3plus_mobilenet_voc_os16.pth",
       "model_state",
       "",
       {{"cur_itrs", num(30000)},
        {"optimizer_state", dict({})},
        {"scheduler_state", dict({})},
        {"best_score", num(0)}}}};
  const TempFolder folder;
  for (const Wrapped& w : files) {
    CAPTURE(std::string(w.architecture));
    Items tensors, storages;
    const StateDict state = seeded_state(w.architecture, {.classes = 3, .width = 4});
    for (const auto& [name, t] : state.entries()) {
      const bool integers = t.dtype == DType::i64;
      std::vector<std::int64_t> stride(t.shape.size(), 1);
      for (std::size_t i = stride.size(); i-- > 1;) stride[i - 1] = stride[i] * t.shape[i];
      const std::string key = std::to_string(storages.size());
      tensors.emplace_back(
          w.prefix + name,
          tensor(storage(key, t.elements(), integers ? "LongStorage" : "FloatStorage"), 0, t.shape, stride));
      storages.emplace_back(key, bytes_of(t));
    }
    Items all = w.beside;
    all.emplace(all.begin() + 1, w.module, dict(tensors));
    const Checkpoint read = load_checkpoint(folder.save(w.file, pth_zip(pickled(dict(all)), storages)));
    CHECK(read.state.size() == tensors.size());
    const Recognised is = recognise_network(read.state);
    CHECK(is.variant == w.architecture);
    CHECK_NOTHROW(build_network(read.state));
    CHECK(read.notes.front().starts_with(str_cat("took the weights under ", w.module)));
  }
}

}  // namespace atrous::checkpoint_test
