// What implicit matrix products share: how they are cut into tasks, which pixels make a tile, and how what
// lies under their taps is gathered into the rows that the tile reads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "layers/base/checked.h"
#include "layers/base/tensor.h"
#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/cpu/parallel.h"

namespace atrous {

constexpr std::int64_t wide_dilation = 6;  // from here on taps in the padding are worth skipping

// Pixels that share a tile skip the padding together, so at large dilations a tile is a patch, not a row of
// pixels: the rows of pixels that one takes.
inline std::int64_t strip_of(const Conv2d& layer) { return layer.dilation >= wide_dilation ? 3 : 1; }

// Pixel i of a map in the order in which tasks take them: strips of `strip` rows, within a strip column by
// column. With strip = 1 that is the order in memory.
struct Pixel {
  std::int64_t y, x;
};
inline Pixel position(std::int64_t i, const Shape& map, std::int64_t strip) {
  const std::int64_t top = i / (strip * map.w) * strip, rows = std::min(strip, map.h - top);
  const std::int64_t within = i - top * map.w;
  return {top + within % rows, within / rows};
}

constexpr std::int64_t block_pixels = 192;  // output pixels of a task
constexpr std::int64_t enough_tasks = 8;    // with fewer, tasks get fewer channels, to feed all threads

// The most pixels of a task, for a tile of so many rows.
inline std::int64_t most_task_pixels(std::int64_t rows) { return round_up(block_pixels, rows); }

// One task: pixels [first, last) of image n, panels [first_panel, last_panel) of a group.
struct GemmTask {
  std::int64_t n, first, last, group, first_panel, last_panel;
};

// Calls run(task, thread) until all of an output is made, by tiles of so many rows and by tasks of at most so
// many columns.
template <class Run>
void for_each_task(int threads, const PackedConv2d& packed, const Shape& out, std::int64_t rows,
                   std::int64_t columns, Run&& run) {
  const std::int64_t pixels = out.h * out.w, panels = packed.panels(), groups = packed.layer().groups;
  // A multiple of four blocks, so that two or four threads end together.
  const std::int64_t wanted = divide_up(pixels, block_pixels);
  const std::int64_t block = std::min(
      most_task_pixels(rows), round_up(divide_up(pixels, wanted > 2 ? round_up(wanted, 4) : wanted), rows));
  const std::int64_t blocks = divide_up(pixels, block);
  std::int64_t chunk = std::min(panels, columns / packed.tile().columns);
  while (chunk > 1 && out.n * blocks * groups * divide_up(panels, chunk) < enough_tasks)
    chunk = (chunk + 1) / 2;
  const std::int64_t chunks = divide_up(panels, chunk);
  parallel_tasks(threads, out.n * blocks * groups * chunks, [&](std::int64_t t, int thread) {
    const std::int64_t c = t % chunks, b = t / chunks / groups % blocks;
    run(GemmTask{.n = t / chunks / groups / blocks,
                 .first = b * block,
                 .last = std::min((b + 1) * block, pixels),
                 .group = t / chunks % groups,
                 .first_panel = c * chunk,
                 .last_panel = std::min((c + 1) * chunk, panels)},
        thread);
  });
}

// Whether any tap of the stretch reads the picture for any of these pixels. `places`: of each output pixel's
// first tap in the input.
inline bool touches(const Conv2d& layer, const Shape& in, const Stretch& stretch, const Pixel* places,
                    std::int64_t rows) {
  if (layer.padding == 0) return true;
  for (const Segment& s : stretch.segments)
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t y = places[r].y + s.dy, x = places[r].x + s.dx;
      if (y >= 0 && y < in.h && x + s.taps > 0 && x < in.w) return true;
    }
  return false;
}

// Copies what lies under the stretch's taps in image n to the rows of `a`, `pitch` apart, `padding` where
// there is padding; of the group of channels that begins at first_channel.
template <class T>
void gather(const BasicView<const T>& in, std::int64_t n, std::int64_t first_channel, const Stretch& stretch,
            const Pixel* places, std::int64_t rows, T* a, std::int64_t pitch, T padding = {}) {
  const auto copy = [](T* to, const T* from, std::int64_t count) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
  };
  for (std::int64_t r = 0; r < rows; ++r)
    for (const Segment& s : stretch.segments) {
      T* to = a + r * pitch + s.at;
      const std::int64_t y = places[r].y + s.dy, x = places[r].x + s.dx;
      const bool row_inside = y >= 0 && y < in.shape.h;
      if (row_inside && x >= 0 && x + s.taps <= in.shape.w && (s.taps == 1 || in.dense())) {
        copy(to, in.pixel(n, y, x) + first_channel + s.first, s.taps * s.floats);
        continue;
      }
      for (std::int64_t tap = 0; tap < s.taps; ++tap, to += s.floats) {
        const bool inside = row_inside && x + tap >= 0 && x + tap < in.shape.w;
        if (inside)
          copy(to, in.pixel(n, y, x + tap) + first_channel + s.first, s.floats);
        else
          std::fill_n(to, s.floats, padding);
      }
    }
}

// Multiply-accumulates that an implicit matrix product of this layer takes, about.
double implicit_gemm_products(const PackedConv2d&, const Shape& in, const Shape& out);

}  // namespace atrous
