#include "layers/cpu/conv/conv2d_winograd.h"

#include <algorithm>
#include <array>

#include "layers/base/checked.h"
#include "layers/cpu/conv/winograd_tiles.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/winograd_transform.h"

namespace atrous {

namespace {

using winograd::Axis;
using winograd::AxisTile;

constexpr std::int64_t block_columns = 64;     // output channels of a task
constexpr std::int64_t pass_bytes = 12 << 20;  // of transformed inputs in one pass, if it can be
constexpr std::int64_t enough_tiles = 128;     // to make up for transforming the weights
constexpr std::int64_t input_tiles = 8;        // of a task that transforms inputs, at most
constexpr std::int64_t least_channels = 16;    // a vector of every instruction set
constexpr std::int64_t float_bytes = sizeof(float);
constexpr int doubled_map = 0, strided_tile = 3;
constexpr std::int64_t widened_rows = 8;   // of weights in bfloat16, at a time
constexpr std::int64_t most_columns = 32;  // of any tile

std::int64_t whole_lines(std::int64_t floats) { return round_up(floats, 16); }

class Winograd final : public Kernel {
 public:
  // largest_tile: doubled_map for one whose pixels are repeated
  Winograd(std::shared_ptr<const PackedConv2d> packed, int largest_tile)
      : packed_(std::move(packed)),
        layer_(packed_->layer()),
        tile_(packed_->tile()),
        transforms_(winograd::transforms(packed_->isa())),
        unpack_(bf16_tile(packed_->isa()).unpack),
        largest_tile_(largest_tile),
        chunks_(divide_up(layer_.in_channels(), tile_depth)),
        chunk_(round_up(divide_up(layer_.in_channels(), chunks_), packed_->dtype() == DType::bf16 ? 2 : 1)),
        panels_per_block_(std::clamp<std::int64_t>(block_columns / tile_.columns, 1, packed_->panels())),
        block_(panels_per_block_ * tile_.columns),
        blocks_(divide_up(packed_->panels(), panels_per_block_)) {}

  std::string_view name() const override {
    return largest_tile_ == doubled_map ? "winograd_doubled"
           : largest_tile_ == 6         ? "winograd_6x6"
           : largest_tile_ == 4         ? "winograd_4x4"
           : largest_tile_ == 3         ? "winograd_3x3"
                                        : "winograd_2x2";
  }
  std::size_t packed_bytes() const override { return packed_->bytes(); }

  std::size_t workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    const Cover cover(*this, in[0], out);
    return bytes(cover, best_blocking(cover), threads);
  }
  std::size_t least_workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    const Cover cover(*this, in[0], out);
    return bytes(cover, {.rows = 1, .pass = 1}, threads);
  }
  double cost(std::span<const Shape> in, const Shape& out) const override;
  void run(const KernelCall&) const override;

 private:
  // The tiles of a map: every row tile with every column tile. Together they have
  // rows.products * columns.products products for each pair of an input and an output channel.
  struct Cover {
    Cover(const Winograd& w, const Shape& in, const Shape& out)
        : rows(axis(w, out.n, out.h, in.h)), columns(axis(w, 1, out.w, in.w)) {}
    static Axis axis(const Winograd& w, std::int64_t images, std::int64_t size, std::int64_t input_size) {
      const Conv2d& layer = w.layer_;
      return w.largest_tile_ == doubled_map ? winograd::cover_doubled(images, size)
             : layer.stride == 2
                 ? winograd::cover_strided(images, size, layer.padding)
                 : winograd::cover(images, size, input_size, layer.padding, layer.dilation, w.largest_tile_);
    }
    Axis rows, columns;
  };
  struct Blocking {
    std::int64_t rows;  // row tiles that are worked on at a time
    std::int64_t pass;  // chunks of input channels transformed at a time
  };
  // Row tiles [first, last) at work: where the rows begin that are multiplied by the same weights.
  struct Block {
    std::int64_t first, last;
    std::array<std::int64_t, winograd::filter_count * winograd::filter_count>
        begin;          // [vertical][horizontal]
    std::int64_t rows;  // of all matrices together
  };
  // Where the points of a row's tiles lie in matrices whose rows are `pitch` floats apart, tile by tile.
  class Offsets {
   public:
    Offsets(const Cover&, const Block&, std::int64_t row_tile, std::int64_t pitch);
    const std::int64_t* of(std::int64_t column_tile);

   private:
    void begin(winograd::Scheme horizontal);

    const Cover& cover_;
    const Block& block_;
    winograd::Scheme vertical_, horizontal_{};
    std::int64_t row_tile_, pitch_;
    int points_ = 0;  // of the horizontal scheme; 0 before the first tile
    std::array<std::int64_t, winograd::most_points * winograd::most_points> row_, offsets_;
  };
  struct Workspace {
    float* inputs;                                    // [chunk of the pass][row of a matrix][input_pitch]
    float* products;                                  // [block of output channels][row of a matrix][block_]
    float* weights;                                   // [thread][horizontal filter][weights_pitch]
    std::int64_t input_chunk, product_block, thread;  // floats from one to the next
  };

  std::int64_t input_pitch() const { return whole_lines(chunk_) + 16; }
  // One line more than a power of two, so that the points' streams do not share cache sets.
  std::int64_t weights_pitch() const { return chunk_ * block_ + 16; }

  Blocking best_blocking(const Cover&) const;
  Blocking fitting_blocking(const Cover&, std::size_t workspace, int threads) const;
  std::size_t bytes(const Cover&, const Blocking&, int threads) const;
  std::int64_t most_rows(const Cover&, const Blocking&) const;
  Workspace lay_out(const Cover&, const Blocking&, std::byte* at) const;
  Block make_block(const Cover&, std::int64_t first, std::int64_t last) const;

  void transform_input(const Cover&, const ConstAnyView& in, std::int64_t row_tile, std::int64_t column_tile,
                       Offsets&, std::int64_t first_chunk, std::int64_t last_chunk, const Workspace&) const;
  void transform_weights(const Cover&, std::int64_t vertical, std::int64_t block, std::int64_t chunk,
                         float* out) const;
  void multiply(const Cover&, const Block&, std::int64_t vertical, std::int64_t first, std::int64_t last,
                std::int64_t column_block, std::int64_t chunk, const float* inputs, const float* weights,
                float* products) const;
  void transform_output(const Cover&, const KernelCall&, std::int64_t row_tile, std::int64_t column_tile,
                        Offsets&, std::int64_t block, const float* products) const;

  // Chunks differ by one step at most, so that none is narrower than a vector.
  // In bfloat16 they are cut between pairs.
  std::int64_t first_channel(std::int64_t chunk) const {
    const std::int64_t step = packed_->dtype() == DType::bf16 ? 2 : 1;
    return layer_.in_channels() / step * chunk / chunks_ * step;
  }
  std::int64_t depth(std::int64_t chunk) const { return first_channel(chunk + 1) - first_channel(chunk); }

  std::shared_ptr<const PackedConv2d> packed_;
  const Conv2d& layer_;
  const GemmTile& tile_;
  winograd::Transforms transforms_;
  decltype(Bf16Tile::unpack) unpack_;
  int largest_tile_;
  std::int64_t chunks_, chunk_;                     // of input channels: how many, the widest
  std::int64_t panels_per_block_, block_, blocks_;  // of output channels
};

Winograd::Blocking Winograd::best_blocking(const Cover& cover) const {
  const auto row_tiles = static_cast<std::int64_t>(cover.rows.tiles.size()),
             column_tiles = static_cast<std::int64_t>(cover.columns.tiles.size());
  Blocking b{row_tiles, 1};
  const std::int64_t chunk_bytes =
      checked_product({cover.rows.products, cover.columns.products, input_pitch(), float_bytes},
                      "conv2d: Winograd's transformed inputs");
  const std::int64_t few = std::max<std::int64_t>(1, divide_up(enough_tiles, column_tiles));
  if (chunk_bytes > pass_bytes / 2) {
    const std::int64_t blocks =
        std::min(divide_up(chunk_bytes, pass_bytes / 2), std::max<std::int64_t>(1, row_tiles / few));
    b.rows = divide_up(row_tiles, blocks);
  }
  const std::int64_t part = chunk_bytes / row_tiles * b.rows;
  b.pass = std::clamp<std::int64_t>(pass_bytes / std::max<std::int64_t>(1, part), 1, chunks_);
  b.pass = divide_up(chunks_, divide_up(chunks_, b.pass));
  return b;
}

// The best one made smaller until it fits.
Winograd::Blocking Winograd::fitting_blocking(const Cover& cover, std::size_t workspace, int threads) const {
  Blocking b = best_blocking(cover);
  while ((b.pass > 1 || b.rows > 1) && bytes(cover, b, threads) > workspace) {
    if (b.rows > 1)
      b.rows = divide_up(b.rows, 2);
    else
      b.pass = divide_up(b.pass, 2);
  }
  return b;
}

// Rows of all points' matrices together, at most, in a block of tiles.
std::int64_t Winograd::most_rows(const Cover& cover, const Blocking& b) const {
  std::int64_t most = 0;
  const auto& tiles = cover.rows.tiles;
  for (std::size_t i = 0; i < tiles.size(); i += static_cast<std::size_t>(b.rows)) {
    std::int64_t points = 0;
    for (std::size_t j = i; j < std::min(tiles.size(), i + static_cast<std::size_t>(b.rows)); ++j)
      points += info(tiles[j].scheme).points;
    most = std::max(most, points);
  }
  return checked_multiply(most, cover.columns.products, "conv2d: Winograd products");
}

std::size_t Winograd::bytes(const Cover& cover, const Blocking& b, int threads) const {
  const Workspace w = lay_out(cover, b, nullptr);
  const std::int64_t inputs = checked_multiply(b.pass, w.input_chunk, "conv2d: workspace"),
                     products = checked_multiply(blocks_, w.product_block, "conv2d: workspace"),
                     weights = checked_multiply<std::int64_t>(threads, w.thread, "conv2d: workspace");
  return static_cast<std::size_t>(checked_multiply(
      checked_add(inputs, checked_add(products, weights, "conv2d: workspace"), "conv2d: workspace"),
      float_bytes, "conv2d: workspace"));
}

Winograd::Workspace Winograd::lay_out(const Cover& cover, const Blocking& b, std::byte* at) const {
  const std::int64_t rows = most_rows(cover, b);
  Workspace w;
  w.input_chunk = checked_multiply(rows, input_pitch(), "conv2d: workspace");
  w.product_block = checked_multiply(rows, block_, "conv2d: workspace");
  w.thread = whole_lines(cover.columns.filter_count() * weights_pitch());
  if (!at) return w;
  w.inputs = reinterpret_cast<float*>(at);
  w.products = w.inputs + b.pass * w.input_chunk;
  w.weights = w.products + blocks_ * w.product_block;
  return w;
}

Winograd::Block Winograd::make_block(const Cover& cover, std::int64_t first, std::int64_t last) const {
  Block block{first, last, {}, 0};
  const auto all = static_cast<std::int64_t>(cover.columns.tiles.size());
  for (int p = 0; p < cover.rows.filter_count(); ++p)
    for (int q = 0; q < cover.columns.filter_count(); ++q) {
      block.begin[static_cast<std::size_t>(p * cover.columns.filter_count() + q)] = block.rows;
      block.rows += (cover.rows.rank(p, last) - cover.rows.rank(p, first)) * cover.columns.rank(q, all);
    }
  return block;
}

Winograd::Offsets::Offsets(const Cover& cover, const Block& block, std::int64_t row_tile, std::int64_t pitch)
    : cover_(cover),
      block_(block),
      vertical_(cover.rows.tiles[static_cast<std::size_t>(row_tile)].scheme),
      row_tile_(row_tile),
      pitch_(pitch) {}

// What is the same for all tiles of the row that have this scheme.
void Winograd::Offsets::begin(winograd::Scheme horizontal) {
  const Axis &rows = cover_.rows, &columns = cover_.columns;
  const winograd::SchemeInfo down = info(vertical_), across = info(horizontal);
  const int first_p = rows.first_filter(vertical_), first_q = columns.first_filter(horizontal);
  const auto all = static_cast<std::int64_t>(columns.tiles.size());
  std::size_t at = 0;
  for (int i = 0; i < down.points; ++i) {
    const int p = first_p + down.filter_of(i);
    const std::int64_t row = rows.rank(p, row_tile_) - rows.rank(p, block_.first) + down.use_of(i);
    for (int j = 0; j < across.points; ++j) {
      const int q = first_q + across.filter_of(j);
      row_[at++] = (block_.begin[static_cast<std::size_t>(p * columns.filter_count() + q)] +
                    row * columns.rank(q, all) + across.use_of(j)) *
                   pitch_;
    }
  }
  horizontal_ = horizontal;
  points_ = across.points;
}

const std::int64_t* Winograd::Offsets::of(std::int64_t column_tile) {
  const Axis& columns = cover_.columns;
  const winograd::Scheme horizontal = columns.tiles[static_cast<std::size_t>(column_tile)].scheme;
  if (points_ == 0 || horizontal != horizontal_) begin(horizontal);
  const winograd::SchemeInfo across = info(horizontal);
  const int first_q = columns.first_filter(horizontal);
  std::int64_t before[winograd::most_points];
  for (int j = 0; j < points_; ++j)
    before[j] = columns.rank(first_q + across.filter_of(j), column_tile) * pitch_;
  const int points = info(vertical_).points;
  for (int i = 0; i < points; ++i)
    for (int j = 0; j < points_; ++j)
      offsets_[static_cast<std::size_t>(i * points_ + j)] =
          row_[static_cast<std::size_t>(i * points_ + j)] + before[j];
  return offsets_.data();
}

void Winograd::transform_input(const Cover& cover, const ConstAnyView& in, std::int64_t row_tile,
                               std::int64_t column_tile, Offsets& offsets, std::int64_t first_chunk,
                               std::int64_t last_chunk, const Workspace& w) const {
  const AxisTile &row = cover.rows.tiles[static_cast<std::size_t>(row_tile)],
                 &column = cover.columns.tiles[static_cast<std::size_t>(column_tile)];
  const std::int64_t pixel_bytes = static_cast<std::int64_t>(size_of(in.dtype)) * in.pitch;
  const std::byte* pixels[winograd::most_inputs * winograd::most_inputs] = {};
  for (int i = 0; i < info(row.scheme).inputs; ++i) {
    const std::int64_t y = row.first_input + i * layer_.dilation;
    if (y < 0 || y >= in.shape.h) continue;
    const std::byte* const begin = in.at(row.image, y, 0, first_channel(first_chunk));
    for (int j = 0; j < info(column.scheme).inputs; ++j) {
      const std::int64_t x = column.first_input + j * layer_.dilation;
      if (x >= 0 && x < in.shape.w) pixels[i * winograd::most_inputs + j] = begin + x * pixel_bytes;
    }
  }
  const std::int64_t* const to = offsets.of(column_tile);
  for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
    transforms_.input({row.scheme, column.scheme, pixels, in.dtype, depth(chunk),
                       w.inputs + (chunk - first_chunk) * w.input_chunk, to});
    if (chunk + 1 == last_chunk) break;
    for (const std::byte*& pixel : pixels)
      if (pixel) pixel += depth(chunk) * static_cast<std::int64_t>(size_of(in.dtype));
  }
}

void Winograd::transform_weights(const Cover& cover, std::int64_t vertical, std::int64_t block,
                                 std::int64_t chunk, float* out) const {
  const std::int64_t first_panel = block * panels_per_block_,
                     last_panel = std::min(first_panel + panels_per_block_, packed_->panels());
  for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
    float* to = out + (panel - first_panel) * depth(chunk) * tile_.columns;
    alignas(64) float widened[9][widened_rows * most_columns];
    for (std::int64_t k = 0; k < depth(chunk);) {
      const float* taps[9];
      std::int64_t count = depth(chunk) - k;
      const auto first = [&](std::int64_t tap) {
        return tap * layer_.in_channels() + first_channel(chunk) + k;
      };
      if (packed_->dtype() == DType::f32)
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          const auto rows = packed_->rows<float>(0, panel, first(tap));
          taps[tap] = rows.first;
          count = std::min(count, rows.count);
        }
      else {
        PackedConv2d::Rows<Bf16> rows[9];
        count = std::min(count, widened_rows);
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          rows[tap] = packed_->rows<Bf16>(0, panel, first(tap));
          count = std::min(count, rows[tap].count);
        }
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          unpack_(rows[tap].first, widened[tap], count / 2);
          taps[tap] = widened[tap];
        }
      }
      transforms_.filter({cover.rows.filters[static_cast<std::size_t>(vertical)], cover.columns.schemes, taps,
                          count, tile_.columns, to + k * tile_.columns, weights_pitch()});
      k += count;
    }
  }
}

// products (+)= inputs * weights at every point with one vertical filter, for the row tiles [first, last).
void Winograd::multiply(const Cover& cover, const Block& block, std::int64_t vertical, std::int64_t first,
                        std::int64_t last, std::int64_t column_block, std::int64_t chunk, const float* inputs,
                        const float* weights, float* products) const {
  const Axis &rows = cover.rows, &columns = cover.columns;
  const int p = static_cast<int>(vertical);
  const auto all = static_cast<std::int64_t>(columns.tiles.size());
  const std::int64_t panels =
      std::min(panels_per_block_, packed_->panels() - column_block * panels_per_block_);
  std::array<float*, 12> c;
  for (int q = 0; q < columns.filter_count(); ++q) {
    const std::int64_t across = columns.rank(q, all), before = rows.rank(p, block.first);
    const std::int64_t begin = block.begin[static_cast<std::size_t>(p * columns.filter_count() + q)] +
                               (rows.rank(p, first) - before) * across;
    const std::int64_t count = (rows.rank(p, last) - rows.rank(p, first)) * across;
    const std::int64_t groups = divide_up(count, tile_.rows);  // of as equal a size as can be
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t row = begin + count * g / groups, end = begin + count * (g + 1) / groups;
      for (std::int64_t r = row; r < end; ++r) c[static_cast<std::size_t>(r - row)] = products + r * block_;
      for (std::int64_t panel = 0; panel < panels; ++panel)
        tile_.run[end - row]({.a = inputs + row * input_pitch(),
                              .pitch = input_pitch(),
                              .b = weights + q * weights_pitch() + panel * depth(chunk) * tile_.columns,
                              .next = inputs + end * input_pitch(),
                              .c = c.data(),
                              .begin = chunk > 0 ? c.data() : nullptr,
                              .bias = nullptr,
                              .column = panel * tile_.columns,
                              .columns = tile_.columns,
                              .depth = depth(chunk),
                              .finish = false,
                              .activation = ActivationKind::none});
    }
  }
}

void Winograd::transform_output(const Cover& cover, const KernelCall& call, std::int64_t row_tile,
                                std::int64_t column_tile, Offsets& offsets, std::int64_t column_block,
                                const float* products) const {
  const AxisTile &row = cover.rows.tiles[static_cast<std::size_t>(row_tile)],
                 &column = cover.columns.tiles[static_cast<std::size_t>(column_tile)];
  const std::int64_t first_channel = column_block * block_;
  const bool has_residual = call.inputs.size() > 1;
  const std::int64_t pixel_bytes = static_cast<std::int64_t>(size_of(call.output.dtype)) * call.output.pitch;
  std::byte* pixels[winograd::most_outputs * winograd::most_outputs];
  const std::byte* residuals[winograd::most_outputs * winograd::most_outputs];
  for (int i = 0; i < row.outputs; ++i) {
    const std::int64_t y = row.first_output + i * layer_.dilation;
    std::byte* const begin = call.output.at(row.image, y, 0, first_channel);
    for (int j = 0; j < column.outputs; ++j) {
      const std::int64_t x = column.first_output + j * layer_.dilation;
      const int at = i * winograd::most_outputs + j;
      pixels[at] = begin + x * pixel_bytes;
      if (has_residual) residuals[at] = residual_at(call.inputs[1], row.image, y, x, first_channel);
    }
  }
  transforms_.output({.vertical = row.scheme,
                      .horizontal = column.scheme,
                      .products = products,
                      .offsets = offsets.of(column_tile),
                      .bias = packed_->bias(0, column_block * panels_per_block_),
                      .residual = has_residual ? residuals : nullptr,
                      .residual_dtype = has_residual ? call.inputs[1].dtype : DType::f32,
                      .pixels = pixels,
                      .dtype = call.output.dtype,
                      .height = row.outputs,
                      .width = column.outputs,
                      .channels = std::min(block_, layer_.out_channels() - first_channel),
                      .activation = layer_.activation});
}

void Winograd::run(const KernelCall& call) const {
  const ConstAnyView& in = call.inputs[0];
  const Cover cover(*this, in.shape, call.output.shape);
  const Blocking blocking = fitting_blocking(cover, call.workspace.size(), call.threads);
  const Workspace w = lay_out(cover, blocking, call.workspace.data());
  const auto row_tiles = static_cast<std::int64_t>(cover.rows.tiles.size()),
             column_tiles = static_cast<std::int64_t>(cover.columns.tiles.size()),
             parts_of_row = divide_up(column_tiles, input_tiles);
  // Enough tasks to feed all threads: where there are few blocks of channels, they are cut by tiles too.
  const std::int64_t tasks_of_tiles = cover.rows.filter_count() * blocks_,
                     parts = divide_up(std::int64_t{4} * call.threads, tasks_of_tiles);

  parallel(call.threads, [&](Team& team) {
    for (std::int64_t first = 0; first < row_tiles; first += blocking.rows) {
      const Block block = make_block(cover, first, std::min(first + blocking.rows, row_tiles));
      const std::int64_t rows = block.last - block.first;
      float* weights = w.weights + team.thread() * w.thread;
      for (std::int64_t chunk = 0; chunk < chunks_; chunk += blocking.pass) {
        const std::int64_t last_chunk = std::min(chunk + blocking.pass, chunks_);
        team.for_each(rows * parts_of_row, 1, [&](std::int64_t task) {
          const std::int64_t row = first + task / parts_of_row, part = task % parts_of_row,
                             end = column_tiles * (part + 1) / parts_of_row;
          Offsets offsets(cover, block, row, input_pitch());
          for (std::int64_t column = column_tiles * part / parts_of_row; column < end; ++column)
            transform_input(cover, in, row, column, offsets, chunk, last_chunk, w);
        });

        // In this order, threads that run side by side read the same transformed inputs.
        team.for_each(tasks_of_tiles * parts, 1, [&](std::int64_t task) {
          const std::int64_t p = task / blocks_ / parts, column_block = task / parts % blocks_,
                             part = task % parts;
          const std::int64_t from = first + rows * part / parts, to = first + rows * (part + 1) / parts;
          if (from == to) return;
          for (std::int64_t c = chunk; c < last_chunk; ++c) {
            transform_weights(cover, p, column_block, c, weights);
            multiply(cover, block, p, from, to, column_block, c, w.inputs + (c - chunk) * w.input_chunk,
                     weights, w.products + column_block * w.product_block);
          }
        });
      }
      team.for_each(rows * blocks_, 1, [&](std::int64_t task) {
        Offsets offsets(cover, block, first + task / blocks_, block_);
        for (std::int64_t column = 0; column < column_tiles; ++column)
          transform_output(cover, call, first + task / blocks_, column, offsets, task % blocks_,
                           w.products + task % blocks_ * w.product_block);
      });
    }
  });
}

double Winograd::cost(std::span<const Shape> in, const Shape& out) const {
  const Cover cover(*this, in[0], out);
  const double products =
                   static_cast<double>(cover.rows.products) * static_cast<double>(cover.columns.products),
               filters = static_cast<double>(cover.rows.filter_count() * cover.columns.filter_count()),
               inputs = static_cast<double>(layer_.in_channels()),
               outputs = static_cast<double>(packed_->panels() * tile_.columns);
  // What one transformed value costs, between what was measured on Zen 4 (28) and on Zen 5 (56 to 87), which
  // multiplies twice as fast. Half of it and more is memory traffic.
  constexpr double per_weight = 10, per_input = 40, per_product = 48;
  return products * inputs * outputs + per_weight * filters * inputs * outputs +
         per_input * products * inputs + per_product * products * outputs;
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_winograd(std::shared_ptr<const PackedConv2d> packed, int largest_tile) {
  const Conv2d& layer = packed->layer();
  if (layer.weight.kernel_h != 3 || layer.weight.kernel_w != 3 || layer.groups != 1 ||
      layer.in_channels() < least_channels)
    return nullptr;
  const bool strided = layer.stride == 2 && layer.dilation == 1 && largest_tile == strided_tile;
  if (layer.stride != 1 && !strided) return nullptr;
  return std::make_unique<Winograd>(std::move(packed), largest_tile);
}

std::unique_ptr<Kernel> make_doubled_conv2d_winograd(std::shared_ptr<const PackedConv2d> packed) {
  return make_conv2d_winograd(std::move(packed), doubled_map);
}

}  // namespace atrous
