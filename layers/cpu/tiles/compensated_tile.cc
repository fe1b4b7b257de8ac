#include "layers/cpu/tiles/compensated_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/compensated_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = hn::MaxLanes(D());
constexpr int columns = 2 * static_cast<int>(lanes);
// Of the rows of gemm_tile.h's blocks as many as make 16 or 12 sums of products in registers.
constexpr int tile_rows = HWY_TARGET == HWY_SCALAR                           ? 1
                          : HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4
                                                                             : 3;
constexpr std::int64_t float_depth = 16;  // products that are summed as floats

// Adds a term to a sum rounded and to what rounding took away (TwoSum).
HWY_INLINE void add_exactly(V term, V& sum, V& rest) {
  const V rounded = hn::Add(sum, term), of_term = hn::Sub(rounded, sum);
  rest = hn::Add(rest, hn::Add(hn::Sub(sum, hn::Sub(rounded, of_term)), hn::Sub(term, of_term)));
  sum = rounded;
}

// Adds as add_exactly does where the sum is the larger of both (Fast2Sum), and with one rounding of the term
// more where it is not: a term made of 16 products has as many of them already.
HWY_INLINE void add_products(V term, V& sum, V& rest) {
  const V rounded = hn::Add(sum, term);
  rest = hn::Add(rest, hn::Sub(term, hn::Sub(rounded, sum)));
  sum = rounded;
}

// Up to tile_rows rows; what it adds to the sums of further ones is of no use.
HWY_NOINLINE void add_rows(const CompensatedCall& call, std::int64_t first_row) {
  constexpr auto rows = std::make_integer_sequence<int, tile_rows>();
  const D d;
  const float* HWY_RESTRICT a[tile_rows];
  unroll(rows,
         [&](auto r) HWY_ATTR { a[r()] = call.a + std::min(first_row + r(), call.rows - 1) * call.pitch; });
  float* HWY_RESTRICT sums = call.sums + first_row * 2 * columns;
  V sum[tile_rows][2], rest[tile_rows][2];
  unroll(rows, [&](auto r) HWY_ATTR {
    for (int i = 0; i < 2; ++i) {
      sum[r()][i] = call.begin ? hn::Zero(d) : hn::Load(d, sums + 2 * r() * columns + i * lanes);
      rest[r()][i] = call.begin ? hn::Zero(d) : hn::Load(d, sums + (2 * r() + 1) * columns + i * lanes);
    }
  });
  const float* HWY_RESTRICT b = call.b;
  for (std::int64_t first = 0; first < call.depth; first += float_depth) {
    V even[tile_rows][2], odd[tile_rows][2];
    unroll(rows,
           [&](auto r) HWY_ATTR { even[r()][0] = even[r()][1] = odd[r()][0] = odd[r()][1] = hn::Zero(d); });
    const auto add_product = [&](std::int64_t k, V(&terms)[tile_rows][2]) HWY_ATTR {
      const V b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
      unroll(rows, [&](auto r) HWY_ATTR {
        const V broadcast = hn::Set(d, a[r()][k]);
        terms[r()][0] = hn::MulAdd(broadcast, b0, terms[r()][0]);
        terms[r()][1] = hn::MulAdd(broadcast, b1, terms[r()][1]);
      });
      b += columns;
    };
    const std::int64_t last = std::min(call.depth, first + float_depth);
    std::int64_t k = first;
    for (; k + 2 <= last; k += 2) {
      add_product(k, even);
      add_product(k + 1, odd);
    }
    if (k < last) add_product(k, even);
    unroll(rows, [&](auto r) HWY_ATTR {
      add_products(hn::Add(even[r()][0], odd[r()][0]), sum[r()][0], rest[r()][0]);
      add_products(hn::Add(even[r()][1], odd[r()][1]), sum[r()][1], rest[r()][1]);
    });
  }
  unroll(rows, [&](auto r) HWY_ATTR {
    for (int i = 0; i < 2; ++i) {
      hn::Store(sum[r()][i], d, sums + 2 * r() * columns + i * lanes);
      hn::Store(rest[r()][i], d, sums + (2 * r() + 1) * columns + i * lanes);
    }
  });
}

void add(const CompensatedCall& call) {
  for (std::int64_t row = 0; row < call.rows; row += tile_rows) add_rows(call, row);
}

void finish(const float* sums, const float* bias, const float* residual, ActivationKind kind, float* out,
            std::int64_t count) {
  const D d;
  HWY_ALIGN float part[lanes] = {};  // the last floats, where they do not fill a vector
  for (std::int64_t i = 0; i < count; i += lanes) {
    const bool whole = i + lanes <= count;
    V sum = hn::Load(d, sums + i), rest = hn::Load(d, sums + columns + i);
    add_exactly(hn::Load(d, bias + i), sum, rest);
    if (residual) {
      if (!whole) std::copy_n(residual + i, count - i, part);
      add_exactly(hn::LoadU(d, whole ? residual + i : part), sum, rest);
    }
    // Of an infinite sum the rest is none.
    sum = hn::IfThenElse(hn::IsNaN(rest), sum, hn::Add(sum, rest));
    hn::StoreU(kind == ActivationKind::relu ? hn::Max(hn::Zero(d), sum) : sum, d, whole ? out + i : part);
    if (!whole) std::copy_n(part, count - i, out + i);
  }
  if (kind == ActivationKind::none || kind == ActivationKind::relu) return;
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = activate(kind, out[i]);  // seldom: in no network that is precise
}

}  // namespace

CompensatedTile compensated_tile() { return {add, finish}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

CompensatedTile compensated_tile(Isa isa) { return ATROUS_FOR_ISA(isa, compensated_tile)(); }

}  // namespace atrous
#endif
