// What the image tests share: bytes, pictures made by formula, and the sentence of an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image.h"

namespace atrous::testing {

using FileBytes = std::vector<std::byte>;

inline FileBytes operator+(FileBytes a, const FileBytes& b) {
  for (const std::byte v : b) a.push_back(v);
  return a;
}

inline FileBytes bytes(std::initializer_list<int> values) {
  FileBytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

inline FileBytes bytes(std::string_view text) {
  FileBytes out;
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
  return out;
}

inline FileBytes first(const FileBytes& file, std::size_t count) {
  return {file.begin(), file.begin() + static_cast<std::ptrdiff_t>(count)};
}

// The error's sentence, or an empty string when nothing is thrown.
template <class Function>
std::string sentence(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Noise that is the same everywhere: a linear congruential generator's high bits.
inline Image noise(int width, int height, int channels) {
  Image image = make_image(width, height, channels);
  std::uint32_t state = 1;
  for (std::uint8_t& v : image.pixels) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

inline Image picture(int width, int height, int channels, std::initializer_list<int> samples) {
  Image image{width, height, channels, {}};
  for (const int v : samples) image.pixels.push_back(static_cast<std::uint8_t>(v));
  return image;
}

}  // namespace atrous::testing
