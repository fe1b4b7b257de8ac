// What is behind the handles of atrous_c.h, and how its functions fail.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layers/base/error.h"
#include "runtime/c/atrous_c.h"
#include "runtime/image/image.h"
#include "runtime/instances/detector.h"
#include "runtime/segment/segmenter.h"
#include "runtime/tiles/tiled.h"

namespace atrous::c {

struct NamedModel {
  Model model;
  std::string name;                   // as it was asked for
  std::vector<std::uint8_t> palette;  // 3 for each class
};

struct ListedDevice {
  std::string device, name, kind;
  std::uint64_t memory_bytes = 0, free_bytes = 0;
  int threads = 0;
};

// ---- failures

// The caller's own function ended what was under way.
struct Stopped {
  std::string sentence;
};

// The exception that is being handled, as a status; its sentence is kept for atrous_last_error().
atrous_status keep_failure() noexcept;

// Every function that can fail: `work`, and what it throws as a status.
template <class Work>
atrous_status guarded(Work&& work) noexcept {
  try {
    work();
    return ATROUS_OK;
  } catch (...) {
    return keep_failure();
  }
}

// The same where a handle is made: *out is NULL unless it was. Error(invalid_argument) where out is.
template <class Handle, class Make>
atrous_status made(Handle** out, Make&& make) noexcept {
  if (out) *out = nullptr;
  return guarded([&] {
    if (!out)
      fail(ErrorCode::invalid_argument, "there is nowhere to put the result: the last argument is NULL");
    *out = make().release();
  });
}

// Error(invalid_argument), naming it, for an argument that is NULL.
template <class T>
const T& given(const T* argument, const char* what) {
  if (!argument) fail(ErrorCode::invalid_argument, what, " is NULL");
  return *argument;
}
inline std::string text(const char* given) { return given ? given : ""; }

// ---- structs that begin with their size

constexpr std::size_t largest_struct = 4096;  // that any later version will have
[[noreturn]] void refuse_size(const char* name, std::size_t size, std::size_t known);

// The caller's options. A struct that has grown takes the size that it had, `before`, with zeros behind, and
// never fills its padding. Error(invalid_argument) for any other size, and where a struct of a later version
// has something set that this one does not know.
template <class Options>
Options options_of(const Options* given, const char* name, std::size_t before = sizeof(Options)) {
  Options all{};
  if (!given) return all;
  const std::size_t size = given->size;
  if ((size < sizeof all && size != before) || size > largest_struct) refuse_size(name, size, sizeof all);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof all; i < size; ++i)
    if (bytes[i] != 0) refuse_size(name, size, sizeof all);
  std::memcpy(&all, given, std::min(size, sizeof all));
  return all;
}

// Fills in the caller's struct, and zeros behind what this version knows. Errors as options_of().
template <class Info>
void fill(Info* out, const Info& all, const char* name) {
  const std::size_t size = given(out, name).size;
  if (size < sizeof all || size > largest_struct) refuse_size(name, size, sizeof all);
  std::memset(out, 0, size);
  std::memcpy(out, &all, sizeof all);
  out->size = size;
}

// ---- arguments

// The caller's picture. Error(invalid_argument), naming `what`, for one that cannot be.
Image image_of(const atrous_image*, const char* what);
// The same, as RGB: grey is repeated, alpha dropped.
Image rgb_of(const atrous_image*, const char* what);

std::optional<ResizeRule> resize_rule(std::int32_t kind, std::int32_t width, std::int32_t height);

void refuse_reserved(std::int32_t found);  // Error(invalid_argument) unless it is 0
int thread_count(std::int32_t threads);    // Error(invalid_argument) below 0

// With `otherwise` in the place of zeros; of a model what is published for it.
CrfParameters crf_parameters(const atrous_crf_options*, const CrfParameters& otherwise);
CrfParameters crf_of_model(const atrous_crf_options*, const Model&);

constexpr std::int32_t most_given_scales = 1000;  // that are looked at: check() names the number
TestProtocol test_protocol(const atrous_protocol_options&, const Model&);

// None of 0. Error(unsupported) in a build without tiles.
std::optional<Tiling> tiling(std::int32_t tile, std::int32_t overlap);

std::unique_ptr<atrous_picture> picture_of(Image);
std::unique_ptr<atrous_bytes> bytes_of(std::vector<std::byte>);

}  // namespace atrous::c

struct atrous_bytes {
  std::vector<std::byte> bytes;
};

struct atrous_picture {
  atrous::Image image;
};

struct atrous_devices {
  std::vector<atrous::c::ListedDevice> all;
  std::string why_none;
};

struct atrous_model {
  std::shared_ptr<const atrous::c::NamedModel> named;
};

struct atrous_session {
  std::shared_ptr<const atrous::c::NamedModel> named;
  std::optional<atrous::Session> semantic;    // of one stage
  std::optional<atrous::Detector> instances;  // of two
  std::atomic_flag in_use = {};
};

struct atrous_result {
  std::shared_ptr<const atrous::c::NamedModel> named;
  atrous::Segmentation segmentation;
  std::optional<atrous::Instances> instances;
  int photo_width = 0, photo_height = 0;  // of a batch what it was normalised from
};
