#include "layers/cpu/maps/position_attention_blocked.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/gemm_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/position_attention_blocked.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

float largest_of(const float* x, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto largest = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) largest = hn::Max(largest, hn::LoadU(d, x + i));
  float found = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; i < count; ++i) found = std::max(found, x[i]);
  return found;
}

// x = exp(x - largest), in whole vectors, for which x has room; returns the sum of the first `count`.
// Highway's Exp makes a zero of a NaN, which is to stay one, by a conversion to int that plain C++ does not
// define.
double exponentials(float* x, std::int64_t count, float largest) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t most = 1024;  // of a sum in fp32
  double total = 0;
  for (std::int64_t first = 0; first < count; first += most) {
    const std::int64_t end = std::min(first + most, count);
    auto sum = hn::Zero(d);
    for (std::int64_t i = first; i < end; i += lanes) {
      const auto below = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, largest));
      const auto is_nan = hn::IsNaN(below);
      const auto e = hn::IfThenElse(is_nan, below, hn::Exp(d, hn::IfThenZeroElse(is_nan, below)));
      hn::StoreU(e, d, x + i);
      const auto there = hn::FirstN(d, static_cast<std::size_t>(std::min(end - i, lanes)));
      sum = hn::Add(sum, hn::IfThenElseZero(there, e));
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

constexpr int most_tile_rows = 12;
constexpr std::int64_t tiles_of_block = 2;
constexpr std::string_view what = "position_attention: workspace";

// b for gemm_tile.h: [depth / tile_depth][panel][depth of the part][panel's columns], zeros behind the last
// column. row(k, first, count, to) writes the columns [first, first + count) of row k.
template <class Row>
void pack(int threads, std::int64_t depth, std::int64_t columns, std::int64_t panel, float* packed,
          Row&& row) {
  const std::int64_t width = round_up(columns, panel);
  parallel_for(threads, width / panel, [&](std::int64_t p) {
    for (std::int64_t k = 0; k < depth; ++k) {
      const std::int64_t first = k / tile_depth * tile_depth, part = std::min(tile_depth, depth - first);
      float* to = packed + first * width + p * part * panel + (k - first) * panel;
      const std::int64_t count = std::min(panel, columns - p * panel);
      row(k, p * panel, count, to);
      std::fill(to + count, to + panel, 0.f);
    }
  });
}

class BlockedPositionAttention final : public Kernel {
 public:
  explicit BlockedPositionAttention(Isa isa)
      : tile_(gemm_tile(isa)),
        largest_of_(ATROUS_FOR_ISA(isa, largest_of)),
        exponentials_(ATROUS_FOR_ISA(isa, exponentials)) {}

  std::string_view name() const override { return "blocked"; }

  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int threads) const override {
    const Sizes s = sizes(in[0], in[2]);
    const std::int64_t shared =
        checked_add(checked_add(s.key_floats, s.value_floats, what), s.mixed_floats, what);
    const std::int64_t floats =
        checked_add(shared, checked_multiply(s.fits_floats, std::int64_t{threads}, what), what);
    const std::int64_t blocks = checked_multiply(s.blocks, std::int64_t{sizeof(Block)}, what);
    return static_cast<std::size_t>(
        checked_add(checked_multiply(floats, std::int64_t{sizeof(float)}, what), blocks, what));
  }

  void run(const KernelCall& call) const override {
    const Sizes s = sizes(call.inputs[0].shape, call.inputs[2].shape);
    auto* key = reinterpret_cast<float*>(call.workspace.data());
    float *value = key + s.key_floats, *mixed = value + s.value_floats, *fits = mixed + s.mixed_floats;
    auto* blocks = reinterpret_cast<Block*>(fits + s.fits_floats * call.threads);
    for (std::int64_t n = 0; n < call.output.shape.n; ++n) {
      const ConstView q = image_of(call.in(0), n), k = image_of(call.in(1), n), v = image_of(call.in(2), n);
      pack(call.threads, s.depth, s.pixels, tile_.columns, key,
           [&](std::int64_t row, std::int64_t first, std::int64_t count, float* to) {
             for (std::int64_t i = 0; i < count; ++i) to[i] = k.data[(first + i) * k.pitch + row];
           });
      pack(call.threads, s.pixels, s.channels, tile_.columns, value,
           [&](std::int64_t row, std::int64_t first, std::int64_t count, float* to) {
             std::copy_n(v.data + row * v.pitch + first, count, to);
           });
      parallel_tasks(call.threads, s.blocks, [&](std::int64_t block, int thread) {
        blocks[block] = run_block(s, q, key, value, block, fits + s.fits_floats * thread, mixed);
      });

      float largest = blocks[0].largest;
      for (std::int64_t b = 1; b < s.blocks; ++b) largest = std::max(largest, blocks[b].largest);
      const auto scale_of = [&](std::int64_t b) {
        return std::exp(static_cast<double>(blocks[b].largest) - static_cast<double>(largest));
      };
      double total = 0;
      for (std::int64_t b = 0; b < s.blocks; ++b) total += scale_of(b) * blocks[b].sum;
      parallel_for(call.threads, s.blocks, [&](std::int64_t b) {
        write(s, mixed, b, static_cast<float>(scale_of(b) / total), n, call.output);
      });
    }
  }

 private:
  // Of the rows of a block: the largest fit, and the sum of exp(fit - largest).
  struct Block {
    float largest;
    double sum;
  };
  // Numbers of floats are multiples of 16, so that every part begins at a multiple of 64 bytes.
  struct Sizes {
    std::int64_t pixels, channels, depth;
    std::int64_t rows, blocks;  // of the pairs' matrix in a block
    std::int64_t fits_pitch;
    std::int64_t key_floats, value_floats, mixed_floats, fits_floats;  // the last of each thread
  };

  Sizes sizes(const Shape& query, const Shape& value) const {
    Sizes s{};
    s.pixels = checked_multiply(value.h, value.w, what);
    s.channels = value.c;
    s.depth = query.c;
    s.rows = tiles_of_block * tile_.rows;
    s.blocks = divide_up(s.pixels, s.rows);
    s.fits_pitch = round_up(s.pixels, tile_.columns) + 16;  // no power of two
    const auto floats = [](std::int64_t a, std::int64_t b) {
      return round_up(checked_multiply(a, b, what), std::int64_t{16});
    };
    s.key_floats = floats(s.depth, round_up(s.pixels, tile_.columns));
    s.value_floats = floats(s.pixels, round_up(s.channels, tile_.columns));
    s.mixed_floats = floats(s.pixels, s.channels);
    s.fits_floats = floats(s.rows, s.fits_pitch);
    return s;
  }

  // c = a times packed b, for up to a tile's rows; of whole panels where `columns` is rounded up to them.
  void multiply(const float* a, std::int64_t a_pitch, std::int64_t depth, const float* packed, float* c,
                std::int64_t c_pitch, std::int64_t rows, std::int64_t columns) const {
    std::array<float*, most_tile_rows> to{};
    for (std::int64_t r = 0; r < rows; ++r) to[static_cast<std::size_t>(r)] = c + r * c_pitch;
    const std::int64_t width = round_up(columns, tile_.columns);
    for (std::int64_t first = 0; first < depth; first += tile_depth) {
      const std::int64_t part = std::min(tile_depth, depth - first);
      for (std::int64_t column = 0; column < columns; column += tile_.columns)
        tile_.run[rows]({.a = a + first,
                         .pitch = a_pitch,
                         .b = packed + first * width + column * part,
                         .next = nullptr,
                         .c = to.data(),
                         .begin = first > 0 ? to.data() : nullptr,
                         .bias = nullptr,
                         .column = column,
                         .columns = std::min<std::int64_t>(tile_.columns, columns - column),
                         .depth = part,
                         .finish = false,
                         .activation = ActivationKind::none});
    }
  }

  Block run_block(const Sizes& s, ConstView q, const float* key, const float* value, std::int64_t block,
                  float* fits, float* mixed) const {
    const std::int64_t first = block * s.rows, rows = std::min(s.rows, s.pixels - first);
    const auto each_tile = [&](auto&& work) {
      for (std::int64_t r = 0; r < rows; r += tile_.rows)
        work(r, std::min<std::int64_t>(tile_.rows, rows - r));
    };
    each_tile([&](std::int64_t r, std::int64_t count) {
      multiply(q.data + (first + r) * q.pitch, q.pitch, s.depth, key, fits + r * s.fits_pitch, s.fits_pitch,
               count, round_up(s.pixels, tile_.columns));
    });
    Block result{.largest = -std::numeric_limits<float>::infinity(), .sum = 0};
    for (std::int64_t r = 0; r < rows; ++r)
      result.largest = std::max(result.largest, largest_of_(fits + r * s.fits_pitch, s.pixels));
    for (std::int64_t r = 0; r < rows; ++r)
      result.sum += exponentials_(fits + r * s.fits_pitch, s.pixels, result.largest);
    each_tile([&](std::int64_t r, std::int64_t count) {
      multiply(fits + r * s.fits_pitch, s.fits_pitch, s.pixels, value, mixed + (first + r) * s.channels,
               s.channels, count, s.channels);
    });
    return result;
  }

  // A block's numbers, where they stand when all of mixed is read as channels x height x width.
  void write(const Sizes& s, const float* mixed, std::int64_t block, float scale, std::int64_t n,
             View out) const {
    const std::int64_t first = block * s.rows * s.channels,
                       last = std::min((block + 1) * s.rows, s.pixels) * s.channels;
    std::int64_t channel = first / s.pixels, pixel = first % s.pixels;
    float* to = out.pixel(n, 0, 0);
    for (std::int64_t i = first; i < last; ++i) {
      to[pixel * out.pitch + channel] = mixed[i] * scale;
      if (++pixel == s.pixels) {
        pixel = 0;
        ++channel;
      }
    }
  }

  GemmTile tile_;
  decltype(&ATROUS_BASELINE::largest_of) largest_of_;
  decltype(&ATROUS_BASELINE::exponentials) exponentials_;
};

}  // namespace

std::unique_ptr<Kernel> make_position_attention_blocked(const PositionAttention&, Isa isa) {
  return std::make_unique<BlockedPositionAttention>(isa);
}

}  // namespace atrous
#endif
