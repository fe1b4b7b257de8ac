// What the command line refuses, and the options of every verb that runs a network.
#include <unistd.h>

#include "runtime/engine/plan.h"
#include "runtime/engine/program.h"
#include "runtime/image/image_read.h"
#include "tests/support/cli_testing.h"
#include "tests/support/sanitizers.h"

namespace atrous::options_test {

using namespace atrous::cli_testing;

namespace {

// The share of pixels that differ between two label pictures.
double disagreement(const std::string& a, const std::string& b) {
  const Image x = read_image(std::as_bytes(std::span(a)), "a"),
              y = read_image(std::as_bytes(std::span(b)), "b");
  if (x.pixels.size() != y.pixels.size()) return 1;
  std::size_t count = 0;
  for (std::size_t i = 0; i < x.pixels.size(); ++i) count += x.pixels[i] != y.pixels[i];
  return static_cast<double>(count) / static_cast<double>(x.pixels.size());
}

Names files_below(const std::string& folder) {
  Names names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    names.push_back(entry.path().lexically_relative(folder).string());
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_CASE_FIXTURE(Bench, "the number of threads changes no byte of labels, confidence and logits") {
  const std::string large = write_photo("large.png", photo(203, 117));
  const auto with = [&](const std::string& threads) {
    const std::string out = folder / "t" + threads;
    succeed({"segment", large, "-m", checkpoint, "--size", "160x96", "--labels", "--confidence", "-q",
             "--threads", threads, "-o", out, "--logits", out + ".npy"});
    return read_text(out + "/large.labels.png") + read_text(out + "/large.confidence.png") +
           read_text(out + ".npy");
  };
  const std::string one = with("1");
  for (const char* threads : {"2", "3", "7", "0"}) CHECK_MESSAGE(with(threads) == one, "threads: ", threads);
}

TEST_CASE_FIXTURE(Bench, "confidences are shown wherever they are asked for, and change no label") {
  const auto with = [&](const Arguments& more, const std::string& name) {
    const std::string out = folder / name;
    const std::string said =
        succeed(Arguments{"segment", dog, "-m", checkpoint, "--labels", "-o", out} + more);
    CHECK(read_text(out + "/dog.labels.png") == read_text(folder / "table" + "/dog.labels.png"));
    CHECK(read_text(out + "/dog.mask.png") == read_text(folder / "table" + "/dog.mask.png"));
    return said;
  };
  const std::string table = with({}, "table");
  CHECK(table.find("confidence") != std::string::npos);
  with({"-q"}, "quiet");
  with({"-q", "--confidence"}, "map");
  with({"--confidence"}, "both");
  CHECK(read_text(folder / "map" + "/dog.confidence.png") ==
        read_text(folder / "both" + "/dog.confidence.png"));
  const Json report = Json::parse(with({"-q", "--json", "-"}, "json"));
  for (const Json& c : report[0]["classes"]) CHECK(c["confidence"].get<double>() > 0);
}

// As on shared hosts and in containers. The limit counts what the user runs, and does not bind root.
TEST_CASE_FIXTURE(Bench, "where the system refuses threads, fewer are used and the labels are the same") {
  const std::string setpriv = "/usr/bin/setpriv", prlimit = "/usr/bin/prlimit", user = "--reuid=61234";
  const Arguments as_user{setpriv, user, "--regid=61234", "--clear-groups"};
  const auto there = [](const std::string& program) { return ::access(program.c_str(), X_OK) == 0; };
  if (::geteuid() != 0 || !there(setpriv) || !there(prlimit)) {
    MESSAGE("skipped: no root with setpriv and prlimit to become a user with a limit");
    return;
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  if (testing::run_process(as_user + Arguments{ATROUS_CLI, "--version"}).exit_code != 0) {
    MESSAGE("skipped: another user may not run the program");
    return;
  }
  const Arguments how{"segment", dog, "-m", checkpoint, "--no-resize", "--labels", "-o", "-"};
  const std::string expected = succeed(how);
  // Where the tests are built with AddressSanitizer, its search for leaks wants a thread of its own.
  const Arguments no_leaks{"/usr/bin/env", "ASAN_OPTIONS=detect_leaks=0"};
  for (const char* limit : {"1", "2", "3", "64"}) {
    CAPTURE(limit);
    const ProcessResult r =
        testing::run_process(as_user + Arguments{prlimit, str_cat("--nproc=", limit)} + no_leaks +
                             Arguments{ATROUS_CLI} + how + Arguments{"--threads", "64"});
    CHECK(r.errors == "");
    CHECK(r.exit_code == 0);
    CHECK(r.output == expected);
  }
}

TEST_CASE_FIXTURE(Bench, "every instruction set and the references label alike") {
  const Arguments labels = segment({dog, "-o", "-", "--labels"});
  const std::string expected_labels = succeed(labels);
  for (const Isa isa : supported_isas()) {
    CAPTURE(std::string(name_of(isa)));
    CHECK(disagreement(succeed(labels + Arguments{"--isa", std::string(name_of(isa))}), expected_labels) <
          0.001);
  }
  for (const std::string_view name : cpu_implementations()) {
    if (name == "eigen") continue;  // which a program may be without: below
    CAPTURE(std::string(name));
    CHECK(disagreement(succeed(labels + Arguments{"--force", std::string(name)}), expected_labels) < 0.001);
  }
}

TEST_CASE_FIXTURE(Bench, "eigen's product labels as the kernels do") {
  const Arguments labels = segment({dog, "-o", "-", "--labels"});
  CHECK(disagreement(succeed(labels + Arguments{"--force", "eigen"}), succeed(labels)) < 0.001);
}

TEST_CASE_FIXTURE(Bench, "the memory limit refuses with both numbers and leaves nothing behind") {
  const std::string said = refuse(1, segment({dog, "--memory-limit", "1MB"}), {"dog.png", "1000000"});
  const Model plain = tiny_model("deeplabv3");  // without the auxiliary head
  const std::size_t needed =
      plain.program->packed_bytes() + make_plan(*plain.program, {1, 32, 48, 3}, 1, 1).arena_bytes();
  CHECK_MESSAGE(mentions(said, str_cat(needed)), said);
  CHECK(names() == Names{"dog.png", "net.safetensors"});
  refuse(1, segment({dog, "--memory-limit", str_cat(needed - 1)}), {str_cat(needed), str_cat(needed - 1)});
  for (const char* enough : {"64MB", "64 MiB", "0.5GB", "1.5GiB", "64000000"})
    succeed(segment({dog, "-o", "-", "--memory-limit", enough}));
}

// The photo, labels, confidences and the program are in both runs.
TEST_CASE_FIXTURE(Bench,
                  "memory stays within its limit, the prepared input and the copies of a photo included") {
  const std::string large = folder / "large.png";
  write_file(large, encode_png(photo(1200, 900)));
  const auto peak = [&](const Arguments& how) {
    const ProcessResult r = run_atrous(
        Arguments{"segment", large, "-m", checkpoint, "--threads", "1", "-q", "--no-mask", "--no-overlay"} +
        how);
    CHECK(r.exit_code == 0);
    return r.peak_kilobytes;
  };
  const Model plain = tiny_model("deeplabv3");
  const long small = peak({"--size", "16x16"});
  struct Case {
    const char* size;
    Shape shape;
    std::size_t copies;
  };
  for (const Case& c : {Case{"1200x900", {1, 900, 1200, 3}, 0},
                        Case{"1100x900", {1, 900, 1100, 3}, std::size_t{1100 * 900 * 3}}}) {
    CAPTURE(c.size);
    const std::size_t limit =
        plain.program->packed_bytes() + make_plan(*plain.program, c.shape, 1, 1).arena_bytes() + c.copies;
    const std::size_t labelling = 200'000;  // its scratch memory
    const long more = peak({"--size", c.size, "--memory-limit", str_cat(limit + labelling)}) - small;
    if (!ATROUS_ADDRESS_SANITIZER) CHECK(more <= static_cast<long>((limit + labelling) / 1024) + 1000);
    refuse(1,
           {"segment", large, "-m", checkpoint, "--threads", "1", "--size", c.size, "--memory-limit",
            str_cat(limit - 1)},
           {str_cat(limit), str_cat(limit - 1)});
  }
}

TEST_CASE_FIXTURE(Bench, "a size beyond the memory limit is refused before the photo is brought to it") {
  const ProcessResult r = run_atrous(
      {"segment", dog, "-m", checkpoint, "--threads", "1", "--size", "8000x8000", "--memory-limit", "100MB"});
  CHECK(r.exit_code == 1);
  CHECK(mentions(r.errors, "100000000"));
  CHECK(r.peak_kilobytes < 400'000);  // the picture and the input alone would take 960 MB
}

TEST_CASE_FIXTURE(
    Bench, "nonsense for a number, a size or a choice is a usage error that names the option or value") {
  const std::pair<const char*, std::vector<const char*>> nonsense[] = {
      {"--threads", {"2x", "-1", "1025", "", "2.5", "two", "010", "0x10", "+2", "99999999999999999999"}},
      {"--resize", {"0", "-3", "5x", "16385", "5 5", "0520"}},
      {"--center-crop", {"0", "-1", "24px", "99999999999"}},
      {"--size",
       {"5", "0x5", "5x0", "5x", "x5", "5x5x5", "5x-5", "+5x5", "5X5", "5 x5", "99999999999x1", "16385x1",
        "1x16385"}},
      {"--alpha", {"1.5", "-0.1", "0.5x", "nan"}},
      {"--memory-limit",
       {"-5", "-1KB", "5XB", "many", "", "MB", "0", "0x10", "nan", "inf", "1e3", "99999999999999999999",
        "99999999999GB"}},
      {"--at", {"nowhere"}},
      {"--upsample", {"cubic"}},
      {"--isa", {"mmx", "AVX2 "}},
      {"--force", {"magic"}},
  };
  for (const auto& [option, values] : nonsense)
    for (const char* value : values) {
      const std::string said = refuse(2, segment({dog, str_cat(option, "=", value)}), {});
      CHECK_MESSAGE((mentions(said, std::string_view(option).substr(2)) || mentions(said, value)), said);
    }
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "--longer-side is the network's longer side, and convert stores it") {
  const auto input = [&](const std::string& model, const Arguments& more) {
    const Json said =
        Json::parse(succeed(Arguments{"segment", write_photo("tall.png", photo(30, 61)), "-m", model,
                                      "--labels", "-o", folder / "out", "-q", "--json", "-"} +
                            more));
    return str_cat(said[0]["input_width"].get<int>(), 'x', said[0]["input_height"].get<int>());
  };
  CHECK(input(checkpoint, {"--longer-side", "40"}) == "20x40");  // 19.67
  succeed({"convert", checkpoint, folder / "longer.safetensors", "--longer-side", "50"});
  CHECK(mentions(succeed({"inspect", folder / "longer.safetensors"}), "longer side 50"));
  CHECK(input(folder / "longer.safetensors", {}) == "25x50");  // 24.59
  refuse(2, {"convert", checkpoint, folder / "x.safetensors", "--longer-side", "9", "--resize", "9"},
         {"--longer-side", "--resize"});
}

TEST_CASE_FIXTURE(Bench, "contradictions are usage errors") {
  const Arguments plain{"segment", dog, "-m", checkpoint};
  refuse(2, plain + Arguments{"--resize", "64", "--size", "8x8"}, {"--resize", "--size"});
  refuse(2, plain + Arguments{"--resize", "64", "--no-resize"}, {"--resize", "--no-resize"});
  refuse(2, plain + Arguments{"--size", "8x8", "--no-resize"}, {"--size", "--no-resize"});
  refuse(2, plain + Arguments{"--longer-side", "64", "--resize", "64"}, {"--longer-side", "--resize"});
  refuse(2, plain + Arguments{"--threads", "1", "--threads", "2"}, {"--threads"});
  for (const char* precision : {"fp64", "", "BF16"})
    refuse(2, plain + Arguments{str_cat("--precision=", precision)}, {"--precision"});
  refuse(2, plain + Arguments{folder / "other.png", "--logits", folder / "x.npy"}, {"--logits", "2"});
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "what is missing or unknown on the command line is named") {
  refuse(2, {"segment", "-m", checkpoint}, {"photos"});
  refuse(2, {"segment", dog, "-m"}, {"--model"});
  refuse(2, segment({dog, "--colour"}), {"--colour"});
  refuse(2, {}, {});
  refuse(2, {"inspect"}, {"model"});
  refuse(2, {"convert", checkpoint}, {"out"});
  refuse(2, {"bench"}, {"model"});
  refuse(2, {"profile", checkpoint, checkpoint}, {"net.safetensors"});
}

TEST_CASE("an unknown verb is named, beside those there are") {
  const std::string said = refuse(2, {"segmnet", "dog.png"}, {"segmnet"});
  for (const char* verb : {"segment", "inspect", "convert", "bench", "profile"})
    CHECK_MESSAGE(mentions(said, verb), said);
}

TEST_CASE_FIXTURE(Bench, "what is no checkpoint is refused by name and kind") {
  write_text(folder / "words.pth", "just words\n");
  write_text(folder / "page.pth", "<!DOCTYPE html><html><body>Sign in</body></html>");
  write_text(folder / "empty.pth", "");
  std::filesystem::create_directory(folder / "nothing");
  write_text(folder / "short.safetensors", read_text(checkpoint).substr(0, 100'000));
  StateDict no_network;
  no_network.add("layer.weight", *tiny_state("fcn").find("backbone.conv1.weight"));
  write_safetensors(folder / "other.safetensors", no_network, {});
  const Names before = names();
  const std::pair<std::string, std::vector<std::string>> models[] = {
      {folder / "none.pth", {"none.pth", "No such file"}},
      {folder / "words.pth", {"words.pth", "text file"}},
      {folder / "page.pth", {"page.pth", "web page"}},
      {folder / "empty.pth", {"empty.pth", "empty"}},
      {dog, {"dog.png", "PNG image"}},
      {folder / "nothing", {"nothing", "is a folder without model.safetensors"}},
      {folder / "short.safetensors", {"short.safetensors"}},
      {folder / "other.safetensors", {"other.safetensors", "layer.weight"}},
  };
  for (const auto& [path, parts] : models) {
    refuse(1, {"segment", dog, "-m", path}, parts);
    refuse(1, {"bench", path}, parts);
    refuse(1, {"profile", path}, parts);
    refuse(1, {"convert", path, folder / "out.safetensors"}, parts);
  }
  CHECK(names() == before);
}

TEST_CASE_FIXTURE(Bench,
                  "a checkpoint that does not fit its network is refused with every key and both shapes") {
  StateDict broken;
  const StateDict whole = tiny_state("fcn");
  for (const auto& [name, tensor] : whole.entries()) {
    if (name == "backbone.layer3.0.conv2.weight") continue;
    StateTensor copy = tensor;
    if (name == "backbone.bn1.bias") copy.shape = {2, 4};
    broken.add(name, copy);
  }
  broken.add("backbone.extra", *whole.find("backbone.bn1.bias"));
  write_safetensors(folder / "broken.safetensors", broken, {});
  const ProcessResult r = run_atrous({"segment", dog, "-m", folder / "broken.safetensors"});
  CHECK(r.exit_code == 1);
  CHECK(r.output == "");
  CAPTURE(r.errors);
  CHECK(r.errors.starts_with("atrous: error: " + (folder / "broken.safetensors")));
  for (const char* part : {"3 keys", "backbone.bn1.bias", "[8]", "[2, 4]",
                           "backbone.layer3.0.conv2.weight: missing", "backbone.extra: unexpected"})
    CHECK_MESSAGE(mentions(r.errors, part), "expected: ", part);
}

TEST_CASE_FIXTURE(Bench, "an output that cannot be written is named, and no part of it is left") {
  for (const char* taken : {"taken.json", "taken.npy", "dog.mask.png"})
    std::filesystem::create_directory(folder / taken);
  const Names before = files_below(folder.path());
  refuse(1, segment({dog, "-q"}), {"dog.mask.png", "directory"});
  refuse(1, segment({dog, "-q", "-o", dog}), {"dog.png"});
  refuse(1, segment({dog, "-q", "-o", "/proc/atrous"}), {"/proc/atrous"});
  const Arguments nothing = segment({dog, "-q", "--no-mask", "--no-overlay"});
  refuse(1, nothing + Arguments{"--json", folder / "taken.json"}, {"taken.json", "directory"});
  refuse(1, nothing + Arguments{"--logits", folder / "taken.npy"}, {"taken.npy", "directory"});
  refuse(1, nothing + Arguments{"--json", folder / "none/a.json"}, {"none/a.json", "No such file"});
  refuse(1, {"convert", checkpoint, folder / "taken.npy"}, {"taken.npy", "directory"});
  refuse(1, {"convert", checkpoint, folder / "none/a.safetensors"}, {"none/a.safetensors", "No such file"});
  CHECK(files_below(folder.path()) == before);
}

TEST_CASE_FIXTURE(Bench, "a folder that may not be written is named") {
  if (::geteuid() == 0) {
    MESSAGE("skipped: root writes into every folder");
    return;
  }
  std::filesystem::create_directory(folder / "locked");
  std::filesystem::permissions(folder / "locked",
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  refuse(1, segment({dog, "-q", "-o", folder / "locked"}), {"locked/dog.mask.png", "ermission denied"});
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
}

// Less than an overlay; LLVM's OpenMP library ends a process that may not write the 1024 bytes it keeps in a
// file.
const ProcessOptions full_disk{.file_size_limit = 1100};

TEST_CASE_FIXTURE(Bench, "a full disk leaves no half-written file") {
  const Names before = files_below(folder.path());
  refuse(1, segment({dog, "-q", "--no-mask"}), {"dog.overlay.png", "File too large"}, full_disk);
  refuse(1, segment({dog, "-q", "--logits", folder / "x.npy"}), {"x.npy", "File too large"}, full_disk);
  refuse(1, {"convert", checkpoint, folder / "x.safetensors"}, {"x.safetensors", "File too large"},
         {.file_size_limit = 100'000});
  CHECK(files_below(folder.path()) == before);
}

TEST_CASE_FIXTURE(Bench, "a failure leaves the results of an earlier run as they were") {
  succeed(segment({dog, "-q", "--palette", "voc"}));
  const std::string before = read_text(folder / "dog.overlay.png");
  refuse(1, segment({dog, "-q", "--palette", "hub", "--no-mask"}), {"File too large"}, full_disk);
  CHECK(read_text(folder / "dog.overlay.png") == before);
}

TEST_CASE_FIXTURE(Bench, "a result replaces what a link points to, and the link stays") {
  write_text(folder / "real.json", "old");
  std::filesystem::create_symlink("real.json", folder / "link.json");
  succeed(segment({dog, "-q", "--no-mask", "--no-overlay", "--json", folder / "link.json"}));
  CHECK(std::filesystem::is_symlink(folder / "link.json"));
  CHECK(Json::parse(read_text(folder / "real.json")).size() == 1);
}

TEST_CASE_FIXTURE(Bench, "a closed or full standard output is a failure, not a crash") {
  const ProcessOptions closed{.close_output = true}, full{.output_file = "/dev/full"};
  const Arguments verbs[] = {segment({dog}),
                             segment({dog, "-o", "-"}),
                             segment({dog, "--json", "-"}),
                             segment({dog, "--logits", "-", "-q"}),
                             {"inspect", checkpoint},
                             {"inspect", checkpoint, "--json"},
                             {"convert", checkpoint, folder / "out.safetensors"},
                             {"bench", checkpoint, "--size", "9x9", "--runs", "1", "--warmup", "0"},
                             {"profile", checkpoint, "--size", "9x9", "--runs", "1", "--warmup", "0"}};
  for (const Arguments& verb : verbs) {
    refuse(1, verb, {"standard output", "Bad file descriptor"}, closed);
    refuse(1, verb, {"standard output", "No space left"}, full);
  }
  for (const char* question : {"--help", "--version"}) refuse(1, {question}, {"standard output"}, full);
}

}  // namespace atrous::options_test
