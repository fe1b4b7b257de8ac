// C: what a call says that fails, and structs of other versions.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "tests/support/c_testing.h"

namespace atrous::c_failure_test {

using namespace atrous::c_testing;

TEST_CASE("C: structs grow: a later one may say nothing new, and none is shorter than the first") {
  const auto model = c_model();
  struct Later {
    atrous_session_options known;
    std::uint64_t more;
  };
  Later later{};
  later.known.threads = 1;
  later.known.size = sizeof later;
  const auto* as_known = &later.known;
  made<atrous_session>([&](atrous_session** out) { return atrous_session_new(model.get(), as_known, out); });
  later.more = 1;
  fails<atrous_session>(ATROUS_INVALID_ARGUMENT, "atrous_session_options: of its",
                        [&](atrous_session** out) { return atrous_session_new(model.get(), as_known, out); });
  // No struct was ever shorter: such a size is a mistake, as is one that no struct will have.
  atrous_session_options plain{};
  plain.threads = 1;
  atrous_model_info info{};
  for (const std::size_t size :
       {std::size_t{0}, sizeof(std::size_t) + 1, sizeof plain - 1, std::size_t{5000}, std::size_t{0} - 1}) {
    plain.size = info.size = size;
    fails<atrous_session>(ATROUS_INVALID_ARGUMENT, "its size is",
                          [&](atrous_session** out) { return atrous_session_new(model.get(), &plain, out); });
    CHECK(atrous_model_get_info(model.get(), &info) == ATROUS_INVALID_ARGUMENT);
  }
  plain.size = sizeof plain;
  plain.memory_limit = 1;
  const auto limited = made<atrous_session>(
      [&](atrous_session** out) { return atrous_session_new(model.get(), &plain, out); });
  const Image picture = photo(16, 16);
  const atrous_image view = view_of(picture);
  fails<atrous_result>(ATROUS_LIMIT, "memory", [&](atrous_result** out) {
    return atrous_segment(limited.get(), &view, nullptr, out);
  });
  struct LaterInfo {
    atrous_model_info known;
    std::uint64_t more;
  } later_info{};
  later_info.known.size = sizeof later_info;
  later_info.more = 1;
  auto* const known_info = &later_info.known;
  REQUIRE(atrous_model_get_info(model.get(), known_info) == ATROUS_OK);
  CHECK(later_info.known.classes == 5);
  CHECK(later_info.known.size == sizeof later_info);
  CHECK(later_info.more == 0);
}

TEST_CASE("C: every status has its name, and the sentence is the thread's own") {
  const char* names[] = {"ok",    "invalid_argument", "io",         "malformed", "unsupported",
                         "limit", "mismatch",         "not_finite", "device",    "stopped"};
  for (int i = 0; i < 10; ++i) CHECK(std::string(atrous_status_name(i)) == names[i]);
  CHECK(std::string(atrous_status_name(99)) == "unknown");
  CHECK(atrous_voc_palette(1, nullptr) == ATROUS_INVALID_ARGUMENT);
  const std::string here = atrous_last_error();
  std::string before, after;
  std::thread([&] {
    before = atrous_last_error();
    atrous_picture* none = nullptr;
    atrous_picture_read(nullptr, &none);
    after = atrous_last_error();
  }).join();
  CHECK(before.empty());
  CHECK(after == "path is NULL");
  CHECK(here == "rgb is NULL");
  CHECK(atrous_last_error() == here);
}

}  // namespace atrous::c_failure_test
