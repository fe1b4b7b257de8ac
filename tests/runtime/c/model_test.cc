// C: models, where they come from and what they say of themselves.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "runtime/image/palette.h"
#include "tests/support/c_testing.h"

namespace atrous::c_model_test {

using namespace atrous::c_testing;

TEST_CASE("C: a model says what it is") {
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  const auto c = c_model();
  atrous_model_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_model_get_info(c.get(), &info) == ATROUS_OK);
  CHECK(info.architecture == model.architecture);
  CHECK(info.task == ATROUS_SEMANTIC);
  CHECK(info.classes == 5);
  CHECK(info.logits == 5);
  CHECK(info.background == -1);
  CHECK(info.has_masks == 1);
  CHECK(info.mean[1] == 0.456F);
  CHECK(info.std[2] == 0.225F);
  CHECK(info.range == 1);
  CHECK(info.bgr == 0);
  CHECK(info.weight_bytes == model.packed_bytes());
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(atrous_model_class_name(c.get(), static_cast<int>(i)) == model.classes[i]);
    CHECK(std::equal(model.palette[i].begin(), model.palette[i].end(), info.palette + 3 * i));
  }
  CHECK(atrous_model_class_name(c.get(), 5) == nullptr);
  CHECK(atrous_model_class_name(c.get(), -1) == nullptr);
  CHECK(atrous_model_class_name(nullptr, 0) == nullptr);
  std::uint8_t rgb[3 * 21];
  REQUIRE(atrous_voc_palette(21, rgb) == ATROUS_OK);
  const Palette voc = voc_palette(21);
  for (std::size_t i = 0; i < 21; ++i) CHECK(std::equal(voc[i].begin(), voc[i].end(), rgb + 3 * i));
}

TEST_CASE("C: models by name, and those that are none") {
  const auto seeded = made<atrous_model>(
      [](atrous_model** out) { return atrous_model_load("seeded:lraspp_mobilenet_v3_large", nullptr, out); });
  CHECK(atrous_model_class_name(seeded.get(), 0) != nullptr);
  const auto load = [](const char* name, atrous_model_options options = {}) {
    options.size = sizeof options;
    return [name, options](atrous_model** out) { return atrous_model_load(name, &options, out); };
  };
  fails<atrous_model>(ATROUS_IO, "nosuch: neither a file nor a model's name", load("nosuch"));
  fails<atrous_model>(ATROUS_IO, "/no/such/file", load("/no/such/file"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "nosuch", load("seeded:nosuch"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "name_or_path is NULL", load(nullptr));
  fails<atrous_model>(ATROUS_UNSUPPORTED, "PNG", load(ATROUS_SOURCE_DIR "/tests/street/street.png"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "expected fp32, bf16, int8",
                      load("default", {.precision = "fp8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "precision fp16 is not for the device cpu",
                      load("default", {.precision = "fp16"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "precision int8 is not for the device cuda",
                      load("default", {.device = "cuda", .precision = "int8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "abacus", load("default", {.device = "abacus"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "calibrated",
                      load("seeded:lraspp_mobilenet_v3_large", {.precision = "int8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "threads", load("default", {.threads = -1}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "os", load("seeded:deeplabv3_resnet50", {.arch = "os=7"}));
  CHECK(atrous_model_load("default", nullptr, nullptr) == ATROUS_INVALID_ARGUMENT);
}

TEST_CASE("C: a caller may end a download, or forbid it") {
  const TemporaryFolder folder;
  const std::string_view script =
      "#!/bin/sh\n"
      "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2000000\\r\\n\\r\\n'\n"
      "head -c 2000000 /dev/zero\n";
  write_file(folder / "curl", std::as_bytes(std::span(script)));
  std::filesystem::permissions(folder / "curl", std::filesystem::perms::owner_all);
  const std::string path = folder.path() + ":" + std::getenv("PATH");
  REQUIRE(setenv("PATH", path.c_str(), 1) == 0);
  for (const char* variable : {"ATROUS_CACHE", "TORCH_HOME"})
    REQUIRE(setenv(variable, folder.path().c_str(), 1) == 0);
  struct Seen {
    int calls = 0, end_at = 0;
    std::uint64_t total = 0;
  } seen;
  atrous_model_options options{};
  options.size = sizeof options;
  options.user = &seen;
  options.progress = [](void* user, std::uint64_t, std::uint64_t total) {
    Seen& s = *static_cast<Seen*>(user);
    s.total = std::max(s.total, total);
    return static_cast<int>(++s.calls == s.end_at);
  };
  const auto load = [&](atrous_model** out) {
    return atrous_model_load("lraspp_mobilenet_v3_large", &options, out);
  };
  seen.end_at = 2;
  fails<atrous_model>(ATROUS_STOPPED, "the download was stopped", load);
  CHECK(seen.calls == 2);
  seen = {};
  fails<atrous_model>(ATROUS_MALFORMED, "sha256", load);  // to its end: of zeros
  CHECK(seen.total == 2000000);
  seen = {};
  options.offline = 1;
  fails<atrous_model>(ATROUS_IO, "downloads are not allowed", load);
  CHECK(seen.calls == 0);
}

}  // namespace atrous::c_model_test
