#include "layers/cpu/conv/conv2d_implicit_gemm.h"

#include <algorithm>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/conv/tap_rows.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/compensated_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t block_columns = 512;    // output channels of a task
constexpr std::int64_t precise_columns = 256;  // likewise, where each sum is two floats

class ImplicitGemm final : public Kernel {
 public:
  explicit ImplicitGemm(std::shared_ptr<const PackedConv2d> packed)
      : packed_(std::move(packed)),
        layer_(packed_->layer()),
        tile_(packed_->tile()),
        columns_of_task_(is_precise() ? precise_columns : block_columns),
        compensated_(compensated_tile(packed_->isa())) {}

  std::string_view name() const override { return "implicit_gemm"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * thread_bytes();
  }

  double cost(std::span<const Shape> inputs, const Shape& output) const override;
  void run(const KernelCall& call) const override;

 private:
  struct Scratch {
    float* a;                // [pixels][tile_pitch]
    Pixel* places;           // [pixels], in the input, of each output pixel's first tap
    float** c;               // [pixels]
    const float** residual;  // [pixels]
    float* sums;             // of a precise layer: [panels of a task][row groups][rows][2][tile columns]
  };

  bool is_precise() const { return layer_.rounding == Rounding::precise; }
  std::int64_t most_pixels() const { return most_task_pixels(tile_.rows); }
  std::size_t thread_bytes() const {
    const std::size_t per_pixel = tile_pitch * sizeof(float) + sizeof(Pixel) + 2 * sizeof(float*);
    return (static_cast<std::size_t>(most_pixels()) * per_pixel + 63) / 64 * 64 + sums_bytes();
  }
  std::size_t sums_bytes() const {
    return is_precise() ? static_cast<std::size_t>(most_pixels() * columns_of_task_) * 2 * sizeof(float) : 0;
  }

  Scratch scratch(std::byte* at) const;
  void run_task(const KernelCall&, const GemmTask&, const Scratch&) const;
  void run_precise_tile(const TileCall&, std::int64_t rows, bool begin, float* sums) const;

  std::shared_ptr<const PackedConv2d> packed_;
  const Conv2d& layer_;
  const GemmTile& tile_;
  std::int64_t columns_of_task_;
  CompensatedTile compensated_;
};

ImplicitGemm::Scratch ImplicitGemm::scratch(std::byte* at) const {
  const auto pixels = static_cast<std::size_t>(most_pixels());
  Scratch s;
  s.sums = reinterpret_cast<float*>(at);
  at += sums_bytes();
  s.a = reinterpret_cast<float*>(at);
  at += pixels * tile_pitch * sizeof(float);
  s.places = reinterpret_cast<Pixel*>(at);
  at += pixels * sizeof(Pixel);
  s.c = reinterpret_cast<float**>(at);
  s.residual = reinterpret_cast<const float**>(at + pixels * sizeof(float*));
  return s;
}

void ImplicitGemm::run(const KernelCall& call) const {
  for_each_task(call.threads, *packed_, call.output.shape, tile_.rows, columns_of_task_,
                [&](const GemmTask& task, int thread) {
                  std::byte* at = call.workspace.data() + static_cast<std::size_t>(thread) * thread_bytes();
                  run_task(call, task, scratch(at));
                });
}

void ImplicitGemm::run_task(const KernelCall& call, const GemmTask& task, const Scratch& scratch) const {
  const ConstView in = call.inputs[0];
  const View out = call.output;
  const bool has_residual = call.inputs.size() > 1;
  const ConstView residual = has_residual ? call.in(1) : ConstView{};
  const std::int64_t pixels = task.last - task.first, columns_before = task.group * packed_->group_columns();
  const std::int64_t strip = strip_of(layer_);
  for (std::int64_t i = 0; i < pixels; ++i) {
    const auto [y, x] = position(task.first + i, out.shape, strip);
    scratch.places[i] = {y * layer_.stride - layer_.padding, x * layer_.stride - layer_.padding};
    scratch.c[i] = out.pixel(task.n, y, x) + columns_before;
    if (has_residual) scratch.residual[i] = residual_pixel(residual, task.n, y, x) + columns_before;
  }

  const std::int64_t row_groups = divide_up(pixels, tile_.rows);
  bool started[block_pixels] = {}, active[block_pixels] = {};
  for (const Stretch& stretch : packed_->stretches()) {
    const bool last = &stretch == &packed_->stretches().back();
    for (std::int64_t g = 0; g < row_groups; ++g) {
      const std::int64_t first = g * tile_.rows, rows = std::min<std::int64_t>(tile_.rows, pixels - first);
      active[g] = touches(layer_, in.shape, stretch, scratch.places + first, rows);
      if (active[g])
        gather(in, task.n, task.group * layer_.weight.d1, stretch, scratch.places + first, rows,
               scratch.a + first * tile_pitch, tile_pitch);
    }
    for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
      const std::int64_t column = panel * tile_.columns;
      TileCall t{.a = nullptr,
                 .pitch = tile_pitch,
                 .b = packed_->weights(task.group, stretch, panel),
                 .next = nullptr,
                 .c = nullptr,
                 .begin = nullptr,
                 .bias = packed_->bias(task.group, panel),
                 .column = column,
                 .columns = std::min<std::int64_t>(tile_.columns, packed_->group_columns() - column),
                 .depth = 0,
                 .finish = last,
                 .activation = layer_.activation};
      for (std::int64_t g = 0; g < row_groups; ++g) {
        if (!active[g] && !last) continue;
        const std::int64_t first = g * tile_.rows, rows = std::min<std::int64_t>(tile_.rows, pixels - first);
        t.a = scratch.a + first * tile_pitch;
        t.c = scratch.c + first;
        t.begin = started[g] ? t.c : has_residual ? scratch.residual + first : nullptr;
        t.depth = active[g] ? stretch.depth : 0;
        if (!is_precise()) {
          tile_.run[rows](t);
          continue;
        }
        t.begin = has_residual ? scratch.residual + first : nullptr;
        const std::int64_t tile = (panel - task.first_panel) * row_groups + g;
        run_precise_tile(t, rows, !started[g], scratch.sums + tile * tile_.rows * 2 * tile_.columns);
      }
    }
    for (std::int64_t g = 0; g < row_groups; ++g) started[g] = started[g] || active[g];
  }
}

void ImplicitGemm::run_precise_tile(const TileCall& call, std::int64_t rows, bool begin, float* sums) const {
  compensated_.add({.a = call.a,
                    .pitch = call.pitch,
                    .b = call.b,
                    .depth = call.depth,
                    .rows = rows,
                    .sums = sums,
                    .begin = begin});
  if (!call.finish) return;
  for (std::int64_t r = 0; r < rows; ++r)
    compensated_.finish(sums + r * 2 * tile_.columns, call.bias,
                        call.begin ? call.begin[r] + call.column : nullptr, call.activation,
                        call.c[r] + call.column, call.columns);
}

double ImplicitGemm::cost(std::span<const Shape> inputs, const Shape& out) const {
  return implicit_gemm_products(*packed_, inputs[0], out);
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_implicit_gemm(std::shared_ptr<const PackedConv2d> packed) {
  return std::make_unique<ImplicitGemm>(std::move(packed));
}

}  // namespace atrous
