// What the tests of the interface for C share: handles that free themselves, calls that are to succeed or to
// fail, and a network small enough to run a thousand times.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/c/atrous_c.h"
#include "runtime/image/image.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"
#include "weights_tools/safetensors/safetensors.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // in C they are zeros without a word

namespace atrous::c_testing {

using namespace atrous::runtime_testing;
using atrous::testing::TemporaryFolder;

struct Free {
  void operator()(atrous_model* h) const { atrous_model_free(h); }
  void operator()(atrous_session* h) const { atrous_session_free(h); }
  void operator()(atrous_result* h) const { atrous_result_free(h); }
  void operator()(atrous_picture* h) const { atrous_picture_free(h); }
  void operator()(atrous_bytes* h) const { atrous_bytes_free(h); }
  void operator()(atrous_devices* h) const { atrous_devices_free(h); }
};
template <class Handle>
using Owned = std::unique_ptr<Handle, Free>;

// What a call makes, which is to succeed.
template <class Handle, class Call>
Owned<Handle> made(Call&& call) {
  Handle* handle = nullptr;
  const atrous_status status = call(&handle);
  REQUIRE_MESSAGE(status == ATROUS_OK, atrous_last_error());
  REQUIRE(handle != nullptr);
  return Owned<Handle>(handle);
}

// A call that is to fail: its handle stays NULL, and its sentence says why.
template <class Handle, class Call>
void fails(atrous_status expected, std::string_view word, Call&& call) {
  int anything = 0;
  auto* handle = reinterpret_cast<Handle*>(&anything);
  const atrous_status status = call(&handle);
  CHECK(status == expected);
  CHECK(handle == nullptr);
  CHECK_MESSAGE(std::string_view(atrous_last_error()).find(word) != std::string_view::npos,
                atrous_last_error());
}

inline std::vector<std::byte> file_of(const StateDict& state) {
  const TemporaryFolder folder;
  write_safetensors(folder / "net.safetensors", state, {});
  return read_file(folder / "net.safetensors", 1 << 24);
}

inline const StateDict& state_of_test() {
  static const StateDict state = tiny_state("deeplabv3");
  return state;
}

inline Owned<atrous_model> c_model(const StateDict& state = state_of_test(),
                                   atrous_model_options options = {}) {
  const std::vector<std::byte> file = file_of(state);
  options.size = sizeof options;
  options.threads = 1;
  return made<atrous_model>([&](atrous_model** out) {
    return atrous_model_load_memory(file.data(), file.size(), "tiny", &options, out);
  });
}

inline Owned<atrous_session> c_session(const atrous_model* model) {
  const atrous_session_options options{.size = sizeof options, .threads = 1, .memory_limit = 0};
  return made<atrous_session>([&](atrous_session** out) { return atrous_session_new(model, &options, out); });
}

inline atrous_image view_of(const Image& image) {
  return {image.pixels.data(), image.width, image.height, image.channels, 0};
}
inline Image copy_of(const atrous_picture* picture) {
  const atrous_image view = atrous_picture_image(picture);
  Image image = make_image(view.width, view.height, view.channels);
  std::copy_n(view.pixels, image.pixels.size(), image.pixels.data());
  return image;
}

inline Owned<atrous_result> segmented(atrous_session* session, const Image& image,
                                      atrous_segment_options options = {}) {
  const atrous_image view = view_of(image);
  options.size = sizeof options;
  return made<atrous_result>(
      [&](atrous_result** out) { return atrous_segment(session, &view, &options, out); });
}

inline atrous_result_info info_of(const atrous_result* result) {
  atrous_result_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_result_get_info(result, &info) == ATROUS_OK);
  return info;
}

inline std::vector<std::uint8_t> labels_of_result(const atrous_result_info& info) {
  return {info.labels, info.labels + info.width * info.height};
}

inline Image drawing(const atrous_result* result, atrous_drawing what, const Image* under,
                     atrous_draw_options options = {}) {
  options.size = sizeof options;
  const atrous_image view = under ? view_of(*under) : atrous_image{};
  return copy_of(made<atrous_picture>([&](atrous_picture** out) {
                   return atrous_draw(result, what, under ? &view : nullptr, &options, out);
                 }).get());
}

}  // namespace atrous::c_testing
