// A picture as a source of rows, from the top: all that is asked of one that may be larger than memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

struct RowSource {
  int width = 0, height = 0;
  // Fills the span with the next rows, RGB: so many whole ones as it has room for, and no more than are left.
  std::function<void(std::span<std::uint8_t>)> read;
};

// The rows of an RGB picture, which stays the caller's.
inline RowSource rows_of(const Image& image) {
  return {image.width, image.height,
          [&image, at = std::make_shared<std::size_t>(0)](std::span<std::uint8_t> to) {
            std::copy_n(image.pixels.data() + *at, to.size(), to.data());
            *at += to.size();
          }};
}

}  // namespace atrous
