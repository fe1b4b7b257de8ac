#include "layers/cpu/conv2d_implicit_gemm.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "layers/checked.h"
#include "layers/cpu/gemm_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t block_pixels = 192;   // output pixels of a task
constexpr std::int64_t block_columns = 512;  // output channels of a task
constexpr std::int64_t enough_tasks = 8;     // with fewer, tasks get fewer channels, to feed all threads
constexpr std::int64_t wide_dilation = 6;    // from here on taps in the padding are worth skipping

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

// Input floats that lie under one or several horizontally neighbouring taps, side by side in memory.
struct Segment {
  std::int64_t dy, dx;         // from the output pixel's first tap, in input pixels
  std::int64_t first, floats;  // channels of one tap: [first, first + floats); of several taps: all of them
  std::int64_t taps;           // how many neighbouring pixels
  std::int64_t at;             // place in the stretch
};

// A stretch of k: what one call of the tile sums.
struct Stretch {
  std::int64_t first_k, depth;
  std::vector<Segment> segments;
};

// k runs over taps, then channels. Wide taps are cut evenly into stretches of their own, so that a whole
// stretch may be skipped in the padding; narrow ones share a stretch.
std::vector<Stretch> cut_into_stretches(const Conv2d& layer) {
  const Filter& w = layer.weight;
  const std::int64_t channels = w.d1;
  const bool wide = 2 * channels >= tile_depth;
  const std::int64_t piece = wide ? divide_up(channels, divide_up(channels, tile_depth)) : channels;
  std::vector<Stretch> stretches;
  std::int64_t k = 0;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
      for (std::int64_t first = 0; first < channels; first += piece) {
        const std::int64_t floats = std::min(piece, channels - first);
        if (stretches.empty() || wide || stretches.back().depth + floats > tile_depth)
          stretches.push_back({k, 0, {}});
        Stretch& s = stretches.back();
        const bool continues = !s.segments.empty() && kx > 0 && layer.dilation == 1 && layer.groups == 1 &&
                               !wide && s.segments.back().dy == ky;
        if (continues)
          ++s.segments.back().taps;
        else
          s.segments.push_back({ky * layer.dilation, kx * layer.dilation, first, floats, 1, s.depth});
        s.depth += floats;
        k += floats;
      }
  return stretches;
}

// Pixel i of a map in the order in which tasks take them: strips of `strip` rows, within a strip column by
// column. With strip = 1 that is the order in memory.
struct Pixel {
  std::int64_t y, x;
};
Pixel position(std::int64_t i, const Shape& map, std::int64_t strip) {
  const std::int64_t top = i / (strip * map.w) * strip, rows = std::min(strip, map.h - top);
  const std::int64_t within = i - top * map.w;
  return {top + within % rows, within / rows};
}

class ImplicitGemm final : public Kernel {
 public:
  ImplicitGemm(const Conv2d& layer, Isa isa, int threads)
      : layer_(layer),
        tile_(gemm_tile(isa)),
        stretches_(cut_into_stretches(layer)),
        depth_(layer.weight.d1 * layer.weight.kernel_h * layer.weight.kernel_w),
        group_columns_(layer.out_channels() / layer.groups),
        panels_(divide_up(group_columns_, tile_.columns)) {
    pack(threads);
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return "implicit_gemm"; }
  std::size_t packed_bytes() const override { return weights_.size() + bias_.size(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * thread_bytes();
  }

  void run(const KernelCall& call) const override;

 private:
  // One task: pixels [first, last) of image n, panels [first_panel, last_panel) of a group.
  struct Task {
    std::int64_t n, first, last, group, first_panel, last_panel;
  };
  struct Scratch {
    float* a;                // [pixels][tile_pitch]
    Pixel* places;           // [pixels], in the input, of each output pixel's first tap
    float** c;               // [pixels]
    const float** residual;  // [pixels]
  };

  std::int64_t most_pixels() const { return round_up(block_pixels, tile_.rows); }
  std::size_t thread_bytes() const {
    const std::size_t per_pixel = tile_pitch * sizeof(float) + sizeof(Pixel) + 2 * sizeof(float*);
    return (static_cast<std::size_t>(most_pixels()) * per_pixel + 63) / 64 * 64;
  }
  // The packed weights are [group][stretch][panel][k of the stretch][column].
  const float* weights(std::int64_t group, const Stretch& s, std::int64_t panel) const {
    const auto* base = reinterpret_cast<const float*>(weights_.data());
    return base + (group * depth_ + s.first_k) * panels_ * tile_.columns + panel * s.depth * tile_.columns;
  }

  void pack(int threads);
  Scratch scratch(std::byte* at) const;
  void run_task(const KernelCall&, const Task&, const Scratch&) const;
  bool touches(ConstView in, const Stretch&, const Pixel* places, std::int64_t rows) const;
  void gather(ConstView in, const Task&, const Stretch&, const Pixel* places, std::int64_t rows,
              float* a) const;

  Conv2d layer_;  // without its weights once they are packed
  GemmTile tile_;
  std::vector<Stretch> stretches_;
  std::int64_t depth_, group_columns_, panels_;  // of one group
  Buffer weights_, bias_;
};

void ImplicitGemm::pack(int threads) {
  const std::int64_t width = panels_ * tile_.columns;
  weights_ = Buffer(static_cast<std::size_t>(checked_product(
      {layer_.groups, depth_, width, static_cast<std::int64_t>(sizeof(float))}, "conv2d: packed weights")));
  bias_ = Buffer(static_cast<std::size_t>(layer_.groups * width) * sizeof(float));
  auto* packed = reinterpret_cast<float*>(weights_.data());
  auto* bias = reinterpret_cast<float*>(bias_.data());
  const Filter& w = layer_.weight;
  const std::int64_t taps = w.kernel_h * w.kernel_w, jobs = layer_.groups * panels_;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t job = 0; job < jobs; ++job) {
    const std::int64_t group = job / panels_, panel = job % panels_;
    for (const Stretch& s : stretches_) {
      float* to = packed + (weights(group, s, panel) - packed);
      for (std::int64_t k = 0; k < s.depth; ++k) {
        const std::int64_t tap = (s.first_k + k) / w.d1, i = (s.first_k + k) % w.d1;
        for (std::int64_t j = 0; j < tile_.columns; ++j) {
          const std::int64_t column = panel * tile_.columns + j, o = group * group_columns_ + column;
          *to++ = column < group_columns_ ? w.data.get()[(o * w.d1 + i) * taps + tap] : 0.f;
        }
      }
    }
    for (std::int64_t j = 0; j < tile_.columns; ++j) {
      const std::int64_t column = panel * tile_.columns + j;
      const bool exists = column < group_columns_ && layer_.bias;
      bias[group * width + column] = exists ? layer_.bias.get()[group * group_columns_ + column] : 0.f;
    }
  }
}

ImplicitGemm::Scratch ImplicitGemm::scratch(std::byte* at) const {
  const auto pixels = static_cast<std::size_t>(most_pixels());
  Scratch s;
  s.a = reinterpret_cast<float*>(at);
  at += pixels * tile_pitch * sizeof(float);
  s.places = reinterpret_cast<Pixel*>(at);
  at += pixels * sizeof(Pixel);
  s.c = reinterpret_cast<float**>(at);
  s.residual = reinterpret_cast<const float**>(at + pixels * sizeof(float*));
  return s;
}

void ImplicitGemm::run(const KernelCall& call) const {
  const Shape& out = call.output.shape;
  const std::int64_t pixels = out.h * out.w;
  // A multiple of four blocks, so that two or four threads end together.
  const std::int64_t wanted = divide_up(pixels, block_pixels);
  const std::int64_t block = std::min(
      most_pixels(), round_up(divide_up(pixels, wanted > 2 ? round_up(wanted, 4) : wanted), tile_.rows));
  const std::int64_t blocks = divide_up(pixels, block);
  std::int64_t chunk = std::min(panels_, block_columns / tile_.columns);
  while (chunk > 1 && out.n * blocks * layer_.groups * divide_up(panels_, chunk) < enough_tasks)
    chunk = (chunk + 1) / 2;
  const std::int64_t chunks = divide_up(panels_, chunk);
  const std::int64_t tasks = out.n * blocks * layer_.groups * chunks;

#pragma omp parallel for num_threads(call.threads) schedule(dynamic)
  for (std::int64_t t = 0; t < tasks; ++t) {
    const std::int64_t c = t % chunks, g = t / chunks % layer_.groups,
                       b = t / chunks / layer_.groups % blocks;
    const Task task{
        t / chunks / layer_.groups / blocks, b * block, std::min((b + 1) * block, pixels), g, c * chunk,
        std::min((c + 1) * chunk, panels_)};
    run_task(
        call, task,
        scratch(call.workspace.data() + static_cast<std::size_t>(omp_get_thread_num()) * thread_bytes()));
  }
}

void ImplicitGemm::run_task(const KernelCall& call, const Task& task, const Scratch& scratch) const {
  const ConstView in = call.inputs[0];
  const View out = call.output;
  const bool has_residual = call.inputs.size() > 1;
  const std::int64_t pixels = task.last - task.first, columns_before = task.group * group_columns_;
  // Pixels that share a tile skip the padding together, so at large dilations a tile is a patch, not a row of
  // pixels.
  const std::int64_t strip = layer_.dilation >= wide_dilation ? 3 : 1;
  for (std::int64_t i = 0; i < pixels; ++i) {
    const auto [y, x] = position(task.first + i, out.shape, strip);
    scratch.places[i] = {y * layer_.stride - layer_.padding, x * layer_.stride - layer_.padding};
    scratch.c[i] = out.pixel(task.n, y, x) + columns_before;
    if (has_residual) scratch.residual[i] = call.inputs[1].pixel(task.n, y, x) + columns_before;
  }

  const auto* bias = reinterpret_cast<const float*>(bias_.data()) + task.group * panels_ * tile_.columns;
  const std::int64_t row_groups = divide_up(pixels, tile_.rows);
  bool started[block_pixels] = {}, active[block_pixels] = {};
  for (const Stretch& stretch : stretches_) {
    const bool last = &stretch == &stretches_.back();
    for (std::int64_t g = 0; g < row_groups; ++g) {
      const std::int64_t first = g * tile_.rows, rows = std::min<std::int64_t>(tile_.rows, pixels - first);
      active[g] = touches(in, stretch, scratch.places + first, rows);
      if (active[g]) gather(in, task, stretch, scratch.places + first, rows, scratch.a + first * tile_pitch);
    }
    for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
      const std::int64_t column = panel * tile_.columns;
      TileCall t{.a = nullptr,
                 .b = weights(task.group, stretch, panel),
                 .c = nullptr,
                 .residual = nullptr,
                 .bias = bias + column,
                 .column = column,
                 .columns = std::min<std::int64_t>(tile_.columns, group_columns_ - column),
                 .depth = 0,
                 .accumulate = false,
                 .finish = last,
                 .activation = layer_.activation};
      for (std::int64_t g = 0; g < row_groups; ++g) {
        if (!active[g] && !last) continue;
        const std::int64_t first = g * tile_.rows, rows = std::min<std::int64_t>(tile_.rows, pixels - first);
        t.a = scratch.a + first * tile_pitch;
        t.c = scratch.c + first;
        t.residual = has_residual ? scratch.residual + first : nullptr;
        t.depth = active[g] ? stretch.depth : 0;
        t.accumulate = started[g];
        tile_.run[rows](t);
      }
    }
    for (std::int64_t g = 0; g < row_groups; ++g) started[g] = started[g] || active[g];
  }
}

// Whether any tap of the stretch reads the picture for any of these pixels.
bool ImplicitGemm::touches(ConstView in, const Stretch& stretch, const Pixel* places,
                           std::int64_t rows) const {
  if (layer_.padding == 0) return true;
  for (const Segment& s : stretch.segments)
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t y = places[r].y + s.dy, x = places[r].x + s.dx;
      if (y >= 0 && y < in.shape.h && x + s.taps > 0 && x < in.shape.w) return true;
    }
  return false;
}

// Copies what lies under the stretch's taps to the rows of `a`, zeros for the padding.
void ImplicitGemm::gather(ConstView in, const Task& task, const Stretch& stretch, const Pixel* places,
                          std::int64_t rows, float* a) const {
  const std::int64_t first_channel = task.group * layer_.weight.d1;
  const auto copy = [](float* to, const float* from, std::int64_t floats) {
    std::memcpy(to, from, static_cast<std::size_t>(floats) * sizeof(float));
  };
  const auto zero = [](float* to, std::int64_t floats) {
    std::memset(to, 0, static_cast<std::size_t>(floats) * sizeof(float));
  };
  for (std::int64_t r = 0; r < rows; ++r)
    for (const Segment& s : stretch.segments) {
      float* to = a + r * tile_pitch + s.at;
      const std::int64_t y = places[r].y + s.dy, x = places[r].x + s.dx;
      const bool row_inside = y >= 0 && y < in.shape.h;
      if (row_inside && x >= 0 && x + s.taps <= in.shape.w && (s.taps == 1 || in.dense())) {
        copy(to, in.pixel(task.n, y, x) + first_channel + s.first, s.taps * s.floats);
        continue;
      }
      for (std::int64_t tap = 0; tap < s.taps; ++tap, to += s.floats) {
        const bool inside = row_inside && x + tap >= 0 && x + tap < in.shape.w;
        if (inside)
          copy(to, in.pixel(task.n, y, x + tap) + first_channel + s.first, s.floats);
        else
          zero(to, s.floats);
      }
    }
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_implicit_gemm(const Conv2d& layer, Isa isa, int threads) {
  return std::make_unique<ImplicitGemm>(layer, isa, threads);
}

}  // namespace atrous
