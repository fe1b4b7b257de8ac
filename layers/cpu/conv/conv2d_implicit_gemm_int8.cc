#include "layers/cpu/conv/conv2d_implicit_gemm_int8.h"

#include <vector>

#include "layers/cpu/conv/narrow_implicit_gemm.h"
#include "layers/cpu/tiles/int8_tile.h"

namespace atrous {

namespace {

// Sums in 32 bits; widened, the numbers have 16.
class Int8Numbers {
 public:
  using Element = std::uint8_t;
  using Weight = std::int8_t;
  using Wide = std::int16_t;
  using Sum = std::int32_t;
  static constexpr std::int64_t pitch = int8_tile_pitch, depth = int8_tile_depth;

  Int8Numbers(const PackedConv2d& packed, std::span<const MapType> inputs, const MapType& out, bool dot)
      : packed_(&packed),
        tile_(int8_tile(packed.isa(), dot)),
        zero_point_(inputs[0].quantisation.zero_point),
        requantisation_(
            requantisation(packed.layer(), inputs[0], inputs.size() > 1 ? &inputs[1] : nullptr, out)),
        factor_(by_panel(requantisation_.factor)),
        offset_(by_panel(requantisation_.offset)),
        correction_(place(packed.layer().groups, 0)) {
    if (padding_adds()) sum_padding();
  }

  int rows() const { return tile_.rows; }
  int columns() const { return tile_.columns; }
  bool has_dot() const { return tile_.dot; }
  std::uint8_t padding() const { return static_cast<std::uint8_t>(zero_point_); }
  bool padding_adds() const { return zero_point_ != 0; }
  void add_padding(std::int64_t group, const Stretch& stretch, std::int64_t panel, std::int32_t* sums,
                   bool add) const {
    const auto index = static_cast<std::size_t>(&stretch - packed_->stretches().data());
    const std::int32_t* of_zero = padding_.data() + index * correction_.size() + place(group, panel);
    for (int r = 0; r < tile_.rows; ++r)
      for (int j = 0; j < tile_.columns; ++j, ++sums) *sums = of_zero[j] + (add ? *sums : 0);
  }
  double cost() const { return tile_.dot ? 0.3 : 0.7; }

  void widen(const std::uint8_t* from, std::int16_t* to, std::int64_t count) const {
    tile_.widen(from, to, count);
  }
  void unpack(const std::int8_t* from, std::int16_t* to, std::int64_t k) const {
    tile_.unpack(from, to, k / 4);
  }
  void dot(const std::uint8_t* a, std::int64_t a_pitch, const std::int8_t* weights, std::int64_t k,
           std::int32_t* sums, bool add) const {
    tile_.dot({.a = a, .pitch = a_pitch, .b = weights, .depth = k, .sums = sums, .add = add});
  }
  void multiply_wide(const std::int16_t* a, const std::int16_t* panel, std::int64_t k, std::int32_t* sums,
                     bool add) const {
    tile_.pairs({.a = a, .pitch = pitch, .b = panel, .depth = k, .sums = sums, .add = add});
  }
  void finish(const FinishedTile<std::int32_t>& t) const {
    const Requantisation& r = requantisation_;
    const std::size_t at = place(t.group, t.panel);
    tile_.finish({.sums = t.sums,
                  .pitch = tile_.columns,
                  .correction = correction_.data() + at,
                  .rows = t.rows,
                  .factor = factor_.data() + at,
                  .offset = offset_.data() + at,
                  .residual = t.residual,
                  .residual_dtype = t.residual_dtype,
                  .residual_factor = r.residual_factor,
                  .out = t.out,
                  .out_dtype = t.out_dtype,
                  .in_steps = r.in_steps,
                  .lowest = r.lowest,
                  .highest = r.highest,
                  .inverse = r.inverse,
                  .zero_point = r.zero_point,
                  .column = t.column,
                  .columns = t.columns,
                  .activation = packed_->layer().activation});
  }

 private:
  std::size_t place(std::int64_t group, std::int64_t panel) const {
    return static_cast<std::size_t>((group * packed_->panels() + panel) * tile_.columns);
  }

  // Numbers of output channels, where the panels have their columns.
  std::vector<float> by_panel(const std::vector<float>& of_channels) const {
    std::vector<float> out(place(packed_->layer().groups, 0));
    for (std::size_t o = 0; o < of_channels.size(); ++o) {
      const auto channel = static_cast<std::int64_t>(o);
      const std::int64_t column = channel % packed_->group_columns();
      out[place(channel / packed_->group_columns(), 0) + static_cast<std::size_t>(column)] = of_channels[o];
    }
    return out;
  }

  // What the input's zero point adds to every sum, zero_point * the sum of the weights, is taken off again:
  // that of all stretches together by the correction.
  void sum_padding() {
    padding_.resize(packed_->stretches().size() * correction_.size());
    std::int32_t* of_stretch = padding_.data();
    for (const Stretch& stretch : packed_->stretches()) {
      for (std::int64_t group = 0; group < packed_->layer().groups; ++group)
        for (std::int64_t panel = 0; panel < packed_->panels(); ++panel) {
          const std::int8_t* weights = packed_->weights<std::int8_t>(group, stretch, panel);
          std::int32_t* sums = of_stretch + place(group, panel);
          for (std::int64_t i = 0; i < stretch.depth * tile_.columns; ++i)
            sums[i / 4 % tile_.columns] += zero_point_ * weights[i];
        }
      for (std::int32_t& correction : correction_) correction -= *of_stretch++;
    }
  }

  const PackedConv2d* packed_;
  Int8Tile tile_;
  std::int32_t zero_point_;
  Requantisation requantisation_;
  std::vector<float> factor_, offset_;
  std::vector<std::int32_t> correction_;  // by column of the panels, and
  std::vector<std::int32_t> padding_;     // [stretch] of them: empty where padding adds nothing
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_implicit_gemm_int8(std::shared_ptr<const PackedConv2d> packed,
                                                       std::span<const MapType> inputs, const MapType& out,
                                                       bool dot) {
  if (packed->dtype() != DType::i8 || !sums_fit(packed->layer())) return nullptr;
  Int8Numbers numbers(*packed, inputs, out, dot);
  return std::make_unique<NarrowImplicitGemm<Int8Numbers>>(std::move(packed), std::move(numbers));
}

}  // namespace atrous
