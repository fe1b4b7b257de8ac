// The implicit matrix product of maps and weights in fewer than 32 bits, for all kinds of them.
//
// As conv2d_implicit_gemm.h: a task takes a block of output pixels and panels of weights, gathers what lies
// under a stretch's taps, and multiplies tile by tile. Here the sums of a task wait in memory from stretch to
// stretch, since they are of another type than the output. Where the processor has an instruction for the
// narrow numbers (`dot`), the tile takes them as they are, and pixels of a 1x1 convolution where they lie;
// elsewhere the weights of a panel and the gathered rows are widened once a task.
#pragma once

#include <algorithm>
#include <memory>

#include "layers/base/checked.h"
#include "layers/cpu/conv/tap_rows.h"
#include "layers/graph/kernel.h"

namespace atrous {

// What a task's sums become, of one tile and panel.
template <class Sum>
struct FinishedTile {
  std::int64_t group, panel;
  const Sum* sums;  // [rows][columns of a panel]
  std::int64_t rows;
  const std::byte* const* residual;  // per row, or null
  DType residual_dtype;
  std::byte* const* out;  // per row
  DType out_dtype;
  std::int64_t column, columns;  // where the panel begins in its group, and how many of its columns exist
};

// Numbers says what they are:
//   Element, Weight, Wide, Sum       types: of maps, packed weights, both widened, sums
//   pitch, depth                     of gathered rows; the most k in one call
//   rows(), columns(), has_dot()     of the tile
//   padding()                        the Element that stands for zero
//   padding_adds()                   whether taps that lie in the padding add anything to the sums, which
//                                    finish() takes off again, and then what a stretch of them adds:
//   add_padding(group, stretch, panel, sums, add)
//   widen(from, to, count)           Elements
//   unpack(from, to, depth)          a panel's Weights
//   dot(a, pitch, weights, depth, sums, add), multiply_wide(a, panel, depth, sums, add)
//   finish(FinishedTile)
//   cost()                           of a product
template <class Numbers>
class NarrowImplicitGemm final : public Kernel {
 public:
  using Element = typename Numbers::Element;
  using Wide = typename Numbers::Wide;
  using Sum = typename Numbers::Sum;

  explicit NarrowImplicitGemm(std::shared_ptr<const PackedConv2d> packed, Numbers numbers)
      : packed_(std::move(packed)), layer_(packed_->layer()), numbers_(std::move(numbers)) {}

  std::string_view name() const override { return "implicit_gemm"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }
  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * static_cast<std::size_t>(lay_out(nullptr).bytes);
  }
  double cost(std::span<const Shape> inputs, const Shape& out) const override {
    return numbers_.cost() * implicit_gemm_products(*packed_, inputs[0], out);
  }
  void run(const KernelCall& call) const override {
    const std::int64_t thread_bytes = lay_out(nullptr).bytes;
    for_each_task(call.threads, *packed_, call.output.shape, numbers_.rows(), columns_of_task(),
                  [&](const GemmTask& task, int thread) {
                    run_task(call, task, lay_out(call.workspace.data() + thread * thread_bytes));
                  });
  }

 private:
  static constexpr std::int64_t whole_columns = 512;  // of a task whose sums are finished at once
  static constexpr std::int64_t kept_columns = 256;   // likewise, where sums wait for the next stretch
  static constexpr std::int64_t most_rows = 12, most_columns = 32;  // of any tile

  struct Scratch {
    Element* a;       // [pixels][pitch]
    Wide* wide_a;     // the same widened, and
    Wide* panel;      // [depth][columns]: where there is no instruction
    Sum* sums;        // [panels of a task][groups of rows][rows][columns]: where there are several stretches
    Pixel* places;    // [pixels], in the input, of each output pixel's first tap
    std::byte** out;  // [pixels]
    const std::byte** residual;
    std::int64_t bytes;
  };

  bool keeps_sums() const { return packed_->stretches().size() > 1; }
  std::int64_t columns_of_task() const { return keeps_sums() ? kept_columns : whole_columns; }
  std::int64_t block_sums() const { return static_cast<std::int64_t>(numbers_.rows()) * numbers_.columns(); }

  Scratch lay_out(std::byte* at) const {
    Scratch s{};
    const auto take = [&]<class T>(T*& to, std::int64_t count) {
      if (at) to = reinterpret_cast<T*>(at + s.bytes);
      s.bytes += round_up(count * static_cast<std::int64_t>(sizeof(T)), 64);
    };
    const std::int64_t pixels = most_task_pixels(numbers_.rows()), wide = numbers_.has_dot() ? 0 : 1;
    take(s.a, pixels * Numbers::pitch);
    take(s.wide_a, wide * pixels * Numbers::pitch);
    take(s.panel, wide * Numbers::depth * numbers_.columns());
    take(s.sums, keeps_sums() ? pixels * columns_of_task() : 0);
    take(s.places, pixels);
    take(s.out, pixels);
    take(s.residual, pixels);
    return s;
  }

  // Whether a whole tile's pixels are rows as the instruction wants them: at one distance, words of 32 bits.
  bool reads_in_place(const BasicView<const Element>& in) const {
    const Filter& w = layer_.weight;
    constexpr std::int64_t word = 4 / sizeof(Element);
    return numbers_.has_dot() && w.kernel_h == 1 && w.kernel_w == 1 && layer_.stride == 1 &&
           layer_.padding == 0 && layer_.groups == 1 && strip_of(layer_) == 1 && in.pitch % word == 0 &&
           reinterpret_cast<std::uintptr_t>(in.data) % 4 == 0;
  }

  // What lies under the stretch's taps for the tile of `rows` pixels from `first` on. A tile always takes
  // whole blocks; what it makes of rows that do not exist is dropped.
  void gather_tile(const BasicView<const Element>& in, const GemmTask& task, const Stretch& stretch,
                   const Scratch& scratch, std::int64_t first, std::int64_t rows) const {
    Element* a = scratch.a + first * Numbers::pitch;
    gather(in, task.n, task.group * layer_.weight.d1, stretch, scratch.places + first, rows, a,
           Numbers::pitch, numbers_.padding());
    for (std::int64_t r = rows; r < numbers_.rows(); ++r)
      std::fill_n(a + r * Numbers::pitch, stretch.depth, Element{});
    for (std::int64_t r = 0; r < numbers_.rows() && !numbers_.has_dot(); ++r)
      numbers_.widen(a + r * Numbers::pitch, scratch.wide_a + (first + r) * Numbers::pitch, stretch.depth);
  }

  void run_task(const KernelCall& call, const GemmTask& task, const Scratch& scratch) const {
    const auto in = call.inputs[0].as<Element>();
    const AnyView out = call.output;
    const bool has_residual = call.inputs.size() > 1;
    const std::int64_t pixels = task.last - task.first,
                       columns_before = task.group * packed_->group_columns();
    const std::int64_t strip = strip_of(layer_), tile_rows = numbers_.rows();
    for (std::int64_t i = 0; i < pixels; ++i) {
      const auto [y, x] = position(task.first + i, out.shape, strip);
      scratch.places[i] = {y * layer_.stride - layer_.padding, x * layer_.stride - layer_.padding};
      scratch.out[i] = out.at(task.n, y, x, columns_before);
      if (has_residual) scratch.residual[i] = residual_at(call.inputs[1], task.n, y, x, columns_before);
    }

    const auto element = [](const auto& map) { return static_cast<std::int64_t>(size_of(map.dtype)); };
    const std::int64_t out_element = element(out),
                       residual_element = has_residual ? element(call.inputs[1]) : 0;
    alignas(64) Sum block[most_rows * most_columns];
    const std::int64_t row_groups = divide_up(pixels, tile_rows);
    const std::int64_t in_place = reads_in_place(in) ? pixels / tile_rows : 0;  // row groups
    bool started[block_pixels] = {}, active[block_pixels] = {};
    for (const Stretch& stretch : packed_->stretches()) {
      const bool last = &stretch == &packed_->stretches().back();
      for (std::int64_t g = 0; g < row_groups; ++g) {
        const std::int64_t first = g * tile_rows, rows = std::min<std::int64_t>(tile_rows, pixels - first);
        active[g] = touches(layer_, in.shape, stretch, scratch.places + first, rows);
        if (active[g] && g >= in_place) gather_tile(in, task, stretch, scratch, first, rows);
      }
      for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
        const auto* weights = packed_->template weights<typename Numbers::Weight>(task.group, stretch, panel);
        if (!numbers_.has_dot()) numbers_.unpack(weights, scratch.panel, stretch.depth);
        for (std::int64_t g = 0; g < row_groups; ++g) {
          if (!active[g] && !last && !numbers_.padding_adds()) continue;
          const std::int64_t first = g * tile_rows;
          // The rows that finish() touches lie too far apart for the processor to foresee.
          for (std::int64_t r = first; last && r < std::min(first + tile_rows, pixels); ++r) {
            const std::int64_t at = panel * numbers_.columns();
            if (has_residual) __builtin_prefetch(scratch.residual[r] + at * residual_element);
            __builtin_prefetch(scratch.out[r] + at * out_element, 1);
          }
          Sum* sums = keeps_sums()
                          ? scratch.sums + ((panel - task.first_panel) * row_groups + g) * block_sums()
                          : block;
          if (g < in_place)
            numbers_.dot(in.pixel(task.n, 0, 0) + (task.first + first) * in.pitch + stretch.segments[0].first,
                         in.pitch, weights, stretch.depth, sums, started[g]);
          else if (active[g] && numbers_.has_dot())
            numbers_.dot(scratch.a + first * Numbers::pitch, Numbers::pitch, weights, stretch.depth, sums,
                         started[g]);
          else if (active[g])
            numbers_.multiply_wide(scratch.wide_a + first * Numbers::pitch, scratch.panel, stretch.depth,
                                   sums, started[g]);
          else if (numbers_.padding_adds())
            numbers_.add_padding(task.group, stretch, panel, sums, started[g]);
          else if (!started[g])
            std::fill_n(sums, block_sums(), Sum{});
          if (!last) continue;
          const std::int64_t column = panel * numbers_.columns();
          numbers_.finish(FinishedTile<Sum>{
              .group = task.group,
              .panel = panel,
              .sums = sums,
              .rows = std::min<std::int64_t>(tile_rows, pixels - first),
              .residual = has_residual ? scratch.residual + first : nullptr,
              .residual_dtype = has_residual ? call.inputs[1].dtype : DType::f32,
              .out = scratch.out + first,
              .out_dtype = out.dtype,
              .column = column,
              .columns = std::min<std::int64_t>(numbers_.columns(), packed_->group_columns() - column)});
        }
      }
      for (std::int64_t g = 0; g < row_groups; ++g)
        started[g] = started[g] || active[g] || numbers_.padding_adds();
    }
  }

  std::shared_ptr<const PackedConv2d> packed_;
  const Conv2d& layer_;
  Numbers numbers_;
};

}  // namespace atrous
