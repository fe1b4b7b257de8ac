#include "layers/cpu/conv/conv2d_implicit_gemm_bf16.h"

#include "layers/cpu/conv/narrow_implicit_gemm.h"
#include "layers/cpu/maps/convert.h"

namespace atrous {

namespace {

// Sums in fp32; widened, the numbers are fp32's and the tile too.
class Bf16Numbers {
 public:
  using Element = Bf16;
  using Weight = Bf16;
  using Wide = float;
  using Sum = float;
  static constexpr std::int64_t pitch = bf16_tile_pitch, depth = bf16_tile_depth;

  Bf16Numbers(const PackedConv2d& packed, bool dot)
      : packed_(packed),
        float_tile_(packed.tile()),
        tile_(bf16_tile(packed.isa(), dot)),
        conversion_(conversions(packed.isa())) {}

  int rows() const { return tile_.rows; }
  int columns() const { return tile_.columns; }
  bool has_dot() const { return tile_.dot; }
  Bf16 padding() const { return {}; }
  bool padding_adds() const { return false; }
  void add_padding(std::int64_t, const Stretch&, std::int64_t, float*, bool) const {}
  double cost() const { return tile_.dot ? 0.55 : 1.1; }

  void widen(const Bf16* from, float* to, std::int64_t count) const { conversion_.widen(from, to, count); }
  void unpack(const Bf16* from, float* to, std::int64_t k) const { tile_.unpack(from, to, k / 2); }
  void dot(const Bf16* a, std::int64_t a_pitch, const Bf16* weights, std::int64_t k, float* sums,
           bool add) const {
    tile_.dot({.a = a, .pitch = a_pitch, .b = weights, .depth = k, .sums = sums, .add = add});
  }
  void multiply_wide(const float* a, const float* panel, std::int64_t k, float* sums, bool add) const {
    constexpr int most_rows = 12;
    float* rows[most_rows];
    for (int r = 0; r < tile_.rows; ++r) rows[r] = sums + r * tile_.columns;
    float_tile_.run[tile_.rows]({.a = a,
                                 .pitch = pitch,
                                 .b = panel,
                                 .next = nullptr,
                                 .c = rows,
                                 .begin = add ? rows : nullptr,
                                 .bias = nullptr,
                                 .column = 0,
                                 .columns = tile_.columns,
                                 .depth = k,
                                 .finish = false,
                                 .activation = ActivationKind::none});
  }
  void finish(const FinishedTile<float>& t) const {
    tile_.finish({.sums = t.sums,
                  .rows = t.rows,
                  .bias = packed_.bias(t.group, t.panel),
                  .residual = t.residual,
                  .residual_dtype = t.residual_dtype,
                  .out = t.out,
                  .out_dtype = t.out_dtype,
                  .column = t.column,
                  .columns = t.columns,
                  .activation = packed_.layer().activation});
  }

 private:
  const PackedConv2d& packed_;
  const GemmTile& float_tile_;
  Bf16Tile tile_;
  Conversion conversion_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_implicit_gemm_bf16(std::shared_ptr<const PackedConv2d> packed, bool dot) {
  if (packed->dtype() != DType::bf16) return nullptr;
  Bf16Numbers numbers(*packed, dot);
  return std::make_unique<NarrowImplicitGemm<Bf16Numbers>>(std::move(packed), numbers);
}

}  // namespace atrous
