#include "layers/cpu/conv/conv2d_implicit_gemm_bf16.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/conv/tap_rows.h"
#include "layers/cpu/maps/convert.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::int64_t whole_columns = 512;  // output channels of a task whose sums are finished at once
constexpr std::int64_t kept_columns = 256;   // likewise, where sums wait for the next stretch
constexpr std::int64_t most_rows = 12, most_columns = 32;  // of any tile
constexpr double dot_cost = 0.55;                          // of a product, by the instruction
constexpr double widened_cost = 1.1;

class ImplicitGemmBf16 final : public Kernel {
 public:
  ImplicitGemmBf16(std::shared_ptr<const PackedConv2d> packed, bool dot)
      : packed_(std::move(packed)),
        layer_(packed_->layer()),
        float_tile_(packed_->tile()),
        tile_(bf16_tile(packed_->isa(), dot)),
        conversion_(bf16_conversion(packed_->isa())) {}

  std::string_view name() const override { return "implicit_gemm"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * static_cast<std::size_t>(lay_out(nullptr).bytes);
  }
  double cost(std::span<const Shape> inputs, const Shape& out) const override {
    return (tile_.dot ? dot_cost : widened_cost) * implicit_gemm_products(*packed_, inputs[0], out);
  }
  void run(const KernelCall&) const override;

 private:
  struct Scratch {
    Bf16* a;          // [pixels][bf16_tile_pitch]
    float* wide_a;    // the same as floats, and
    float* panel;     // [bf16_tile_depth][columns]: where there is no instruction
    float* sums;      // [panels of a task][groups of rows][rows][columns]: where there are several stretches
    Pixel* places;    // [pixels], in the input, of each output pixel's first tap
    std::byte** out;  // [pixels]
    const std::byte** residual;
    std::int64_t bytes;
  };

  bool keeps_sums() const { return packed_->stretches().size() > 1; }
  std::int64_t columns_of_task() const { return keeps_sums() ? kept_columns : whole_columns; }
  std::int64_t most_pixels() const { return most_task_pixels(tile_.rows); }
  std::int64_t block_floats() const { return static_cast<std::int64_t>(tile_.rows) * tile_.columns; }

  Scratch lay_out(std::byte* at) const;
  void run_task(const KernelCall&, const GemmTask&, const Scratch&) const;
  void multiply(const Scratch&, const Stretch&, const Bf16* weights, std::int64_t first_pixel, float* sums,
                bool add) const;

  std::shared_ptr<const PackedConv2d> packed_;
  const Conv2d& layer_;
  const GemmTile& float_tile_;
  Bf16Tile tile_;
  Bf16Conversion conversion_;
};

ImplicitGemmBf16::Scratch ImplicitGemmBf16::lay_out(std::byte* at) const {
  Scratch s{};
  const auto take = [&]<class T>(T*& to, std::int64_t count) {
    if (at) to = reinterpret_cast<T*>(at + s.bytes);
    s.bytes += round_up(count * static_cast<std::int64_t>(sizeof(T)), 64);
  };
  const std::int64_t pixels = most_pixels(), wide = tile_.dot ? 0 : 1;
  take(s.a, pixels * bf16_tile_pitch);
  take(s.wide_a, wide * pixels * bf16_tile_pitch);
  take(s.panel, wide * bf16_tile_depth * tile_.columns);
  take(s.sums, keeps_sums() ? pixels * columns_of_task() : 0);
  take(s.places, pixels);
  take(s.out, pixels);
  take(s.residual, pixels);
  return s;
}

void ImplicitGemmBf16::run(const KernelCall& call) const {
  const std::int64_t thread_bytes = lay_out(nullptr).bytes;
  for_each_task(call.threads, *packed_, call.output.shape, tile_.rows, columns_of_task(),
                [&](const GemmTask& task, int thread) {
                  run_task(call, task, lay_out(call.workspace.data() + thread * thread_bytes));
                });
}

// The sums of the tile whose first pixel is `first_pixel`, of one stretch and panel.
void ImplicitGemmBf16::multiply(const Scratch& scratch, const Stretch& stretch, const Bf16* weights,
                                std::int64_t first_pixel, float* sums, bool add) const {
  if (tile_.dot) {
    tile_.dot({.a = scratch.a + first_pixel * bf16_tile_pitch,
               .pitch = bf16_tile_pitch,
               .b = weights,
               .depth = stretch.depth,
               .sums = sums,
               .add = add});
    return;
  }
  float* rows[most_rows];
  for (int r = 0; r < tile_.rows; ++r) rows[r] = sums + r * tile_.columns;
  float_tile_.run[tile_.rows]({.a = scratch.wide_a + first_pixel * bf16_tile_pitch,
                               .pitch = bf16_tile_pitch,
                               .b = scratch.panel,
                               .next = nullptr,
                               .c = rows,
                               .begin = add ? rows : nullptr,
                               .bias = nullptr,
                               .column = 0,
                               .columns = tile_.columns,
                               .depth = stretch.depth,
                               .finish = false,
                               .activation = ActivationKind::none});
}

void ImplicitGemmBf16::run_task(const KernelCall& call, const GemmTask& task, const Scratch& scratch) const {
  const auto in = call.inputs[0].as<Bf16>();
  const AnyView out = call.output;
  const bool has_residual = call.inputs.size() > 1;
  const std::int64_t pixels = task.last - task.first, columns_before = task.group * packed_->group_columns();
  const std::int64_t strip = strip_of(layer_);
  for (std::int64_t i = 0; i < pixels; ++i) {
    const auto [y, x] = position(task.first + i, out.shape, strip);
    scratch.places[i] = {y * layer_.stride - layer_.padding, x * layer_.stride - layer_.padding};
    scratch.out[i] = out.at(task.n, y, x, columns_before);
    if (has_residual) scratch.residual[i] = residual_at(call.inputs[1], task.n, y, x, columns_before);
  }

  alignas(64) float block[most_rows * most_columns];
  const std::int64_t row_groups = divide_up(pixels, tile_.rows);
  bool started[block_pixels] = {}, active[block_pixels] = {};
  for (const Stretch& stretch : packed_->stretches()) {
    const bool last = &stretch == &packed_->stretches().back();
    for (std::int64_t g = 0; g < row_groups; ++g) {
      const std::int64_t first = g * tile_.rows, rows = std::min<std::int64_t>(tile_.rows, pixels - first);
      active[g] = touches(layer_, in.shape, stretch, scratch.places + first, rows);
      if (!active[g]) continue;
      Bf16* a = scratch.a + first * bf16_tile_pitch;
      gather(in, task.n, task.group * layer_.weight.d1, stretch, scratch.places + first, rows, a,
             bf16_tile_pitch);
      // The tile always takes whole blocks; what it makes of rows that do not exist is dropped.
      for (std::int64_t r = rows; r < tile_.rows; ++r)
        std::fill_n(a + r * bf16_tile_pitch, stretch.depth, Bf16{});
      for (std::int64_t r = 0; r < tile_.rows && !tile_.dot; ++r)
        conversion_.widen(a + r * bf16_tile_pitch, scratch.wide_a + (first + r) * bf16_tile_pitch,
                          stretch.depth);
    }
    for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
      const Bf16* weights = packed_->weights<Bf16>(task.group, stretch, panel);
      if (!tile_.dot) tile_.unpack(weights, scratch.panel, stretch.depth / 2);
      for (std::int64_t g = 0; g < row_groups; ++g) {
        if (!active[g] && !last) continue;
        const std::int64_t first = g * tile_.rows;
        float* sums = keeps_sums()
                          ? scratch.sums + ((panel - task.first_panel) * row_groups + g) * block_floats()
                          : block;
        if (active[g])
          multiply(scratch, stretch, weights, first, sums, started[g]);
        else if (!started[g])
          std::fill_n(sums, block_floats(), 0.f);
        if (!last) continue;
        const std::int64_t column = panel * tile_.columns;
        tile_.finish({.sums = sums,
                      .rows = std::min<std::int64_t>(tile_.rows, pixels - first),
                      .bias = packed_->bias(task.group, panel),
                      .residual = has_residual ? scratch.residual + first : nullptr,
                      .residual_dtype = has_residual ? call.inputs[1].dtype : DType::f32,
                      .out = scratch.out + first,
                      .out_dtype = out.dtype,
                      .column = column,
                      .columns = std::min<std::int64_t>(tile_.columns, packed_->group_columns() - column),
                      .activation = layer_.activation});
      }
    }
    for (std::int64_t g = 0; g < row_groups; ++g) started[g] = started[g] || active[g];
  }
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_implicit_gemm_bf16(std::shared_ptr<const PackedConv2d> packed, bool dot) {
  if (packed->dtype() != DType::bf16) return nullptr;
  return std::make_unique<ImplicitGemmBf16>(std::move(packed), dot);
}

}  // namespace atrous
