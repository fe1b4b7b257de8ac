#include "layers/cpu/tiles/winograd_transform.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/winograd_transform.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"
#include "layers/cpu/tiles/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous::winograd {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::size_t lanes = hn::MaxLanes(D());
constexpr auto vector_floats = static_cast<std::int64_t>(lanes);

// Halved constants of a scheme.
enum class Which { filter, input, output };
template <Scheme kScheme, Which kWhich>
constexpr auto halved() {
  if constexpr (kWhich == Which::filter) return halve_rows(matrices<kScheme>.filter);
  if constexpr (kWhich == Which::input) return halve_rows(matrices<kScheme>.input);
  if constexpr (kWhich == Which::output) return halve_rows(transposed(matrices<kScheme>.output));
}
template <Scheme kScheme, Which kWhich>
constexpr auto constants = halved<kScheme, kWhich>();

// sum + factor * x, where factor is known to the compiler; `any` tells whether sum holds something yet.
template <bool kAny>
HWY_INLINE V add_product(double factor, V x, V sum) {
  const D d;
  if constexpr (!kAny) {
    if (factor == 1) return x;
    if (factor == -1) return hn::Neg(x);
    return hn::Mul(hn::Set(d, static_cast<float>(factor)), x);
  } else {
    if (factor == 1) return hn::Add(sum, x);
    if (factor == -1) return hn::Sub(sum, x);
    return hn::MulAdd(hn::Set(d, static_cast<float>(factor)), x, sum);
  }
}

// The sum over c of matrix[row][c] * in[c], from the first columns on; with kTransposed of matrix[c][row].
template <Scheme kScheme, Which kWhich, bool kTransposed, int kRow, int kColumns>
struct Dot {
  static constexpr const auto& m = constants<kScheme, kWhich>.matrix;
  static constexpr double factor() {
    if constexpr (kTransposed)
      return m.at[kColumns - 1][kRow];
    else
      return m.at[kRow][kColumns - 1];
  }
  using Before = Dot<kScheme, kWhich, kTransposed, kRow, kColumns - 1>;
  static constexpr bool any = Before::any || factor() != 0;
  static HWY_INLINE V of(const V* in) {
    if constexpr (factor() == 0)
      return Before::of(in);
    else
      return add_product<Before::any>(factor(), in[kColumns - 1], Before::of(in));
  }
};
template <Scheme kScheme, Which kWhich, bool kTransposed, int kRow>
struct Dot<kScheme, kWhich, kTransposed, kRow, 0> {
  static constexpr bool any = false;
  static HWY_INLINE V of(const V*) { return hn::Zero(D()); }
};

// out = matrix in.
template <Scheme kScheme, Which kWhich, int kRow = 0>
HWY_INLINE void multiply(const V* in, V* out) {
  constexpr const auto& h = constants<kScheme, kWhich>;
  if constexpr (kRow < h.matrix.rows) {
    const V value = Dot<kScheme, kWhich, false, kRow, h.matrix.columns>::of(in);
    if constexpr (h.pair[kRow]) {
      const V odd = Dot<kScheme, kWhich, false, kRow + 1, h.matrix.columns>::of(in);
      out[kRow] = hn::Add(value, odd);
      out[kRow + 1] = hn::Sub(value, odd);
      multiply<kScheme, kWhich, kRow + 2>(in, out);
    } else {
      out[kRow] = value;
      multiply<kScheme, kWhich, kRow + 1>(in, out);
    }
  }
}

// The same for the output transform, whose constants pair up by columns: in is overwritten.
template <Scheme kScheme, int kPoint = 0>
HWY_INLINE void halve(V* in) {
  constexpr const auto& h = constants<kScheme, Which::output>;
  if constexpr (kPoint + 1 < h.matrix.rows) {
    if constexpr (h.pair[kPoint]) {
      const V sum = hn::Add(in[kPoint], in[kPoint + 1]);
      in[kPoint + 1] = hn::Sub(in[kPoint], in[kPoint + 1]);
      in[kPoint] = sum;
    }
    halve<kScheme, kPoint + 1>(in);
  }
}
template <Scheme kScheme, int kOutput>
HWY_INLINE void multiply_transposed_from(const V* in, V* out) {
  constexpr const auto& h = constants<kScheme, Which::output>;
  if constexpr (kOutput < h.matrix.columns) {
    out[kOutput] = Dot<kScheme, Which::output, true, kOutput, h.matrix.rows>::of(in);
    multiply_transposed_from<kScheme, kOutput + 1>(in, out);
  }
}
template <Scheme kScheme>
HWY_INLINE void multiply_output(V* in, V* out) {
  halve<kScheme>(in);
  multiply_transposed_from<kScheme, 0>(in, out);
}

// Calls f with the scheme as a constant.
template <class F>
HWY_INLINE void with(Scheme s, F&& f) {
  switch (s) {
    case Scheme::f2:
      return f(std::integral_constant<Scheme, Scheme::f2>());
    case Scheme::f3:
      return f(std::integral_constant<Scheme, Scheme::f3>());
    case Scheme::f4:
      return f(std::integral_constant<Scheme, Scheme::f4>());
    case Scheme::f5:
      return f(std::integral_constant<Scheme, Scheme::f5>());
    case Scheme::f6:
      return f(std::integral_constant<Scheme, Scheme::f6>());
    case Scheme::z1:
      return f(std::integral_constant<Scheme, Scheme::z1>());
    case Scheme::z2:
      return f(std::integral_constant<Scheme, Scheme::z2>());
    case Scheme::z3:
      return f(std::integral_constant<Scheme, Scheme::z3>());
    case Scheme::d1:
      return f(std::integral_constant<Scheme, Scheme::d1>());
    case Scheme::d3:
      return f(std::integral_constant<Scheme, Scheme::d3>());
    case Scheme::db:
      return f(std::integral_constant<Scheme, Scheme::db>());
    case Scheme::de:
      return f(std::integral_constant<Scheme, Scheme::de>());
    case Scheme::s1:
      return f(std::integral_constant<Scheme, Scheme::s1>());
    case Scheme::s3:
      return f(std::integral_constant<Scheme, Scheme::s3>());
  }
}

// A block of vectors between the two passes.
using Block = float[most_points][most_points * lanes];

HWY_NOINLINE void input_of_floats(const InputTransform& t) {
  const D d;
  const int columns = info(t.horizontal).inputs, rows = info(t.vertical).points;
  HWY_ALIGN Block block;
  for (std::int64_t at = 0; at < t.channels; at += vector_floats) {
    const std::int64_t c = std::min(at, t.channels - vector_floats);  // the last vector may overlap
    with(t.vertical, [&](auto scheme) HWY_ATTR {
      constexpr SchemeInfo s = info(scheme());
      for (int x = 0; x < columns; ++x) {
        V in[s.inputs], out[s.points];
        for (int y = 0; y < s.inputs; ++y) {
          const auto* pixel = reinterpret_cast<const float*>(t.pixels[y * most_inputs + x]);
          in[y] = pixel ? hn::LoadU(d, pixel + c) : hn::Zero(d);
        }
        multiply<scheme(), Which::input>(in, out);
        for (int p = 0; p < s.points; ++p) hn::Store(out[p], d, block[p] + x * vector_floats);
      }
    });
    with(t.horizontal, [&](auto scheme) HWY_ATTR {
      constexpr SchemeInfo s = info(scheme());
      for (int p = 0; p < rows; ++p) {
        V in[s.inputs], out[s.points];
        for (int x = 0; x < s.inputs; ++x) in[x] = hn::Load(d, block[p] + x * vector_floats);
        multiply<scheme(), Which::input>(in, out);
        for (int q = 0; q < s.points; ++q) hn::StoreU(out[q], d, t.out + t.offsets[p * s.points + q] + c);
      }
    });
  }
}

// A vector of channels of all pixels is widened first, and goes the same way.
void input(const InputTransform& t) {
  if (t.dtype == DType::f32) return input_of_floats(t);
  const D d;
  const std::int64_t rows = info(t.vertical).inputs, columns = info(t.horizontal).inputs;
  HWY_ALIGN float wide[most_inputs * most_inputs * vector_floats];
  const std::byte* pixels[most_inputs * most_inputs] = {};
  InputTransform part = t;
  part.pixels = pixels;
  part.dtype = DType::f32;
  part.channels = vector_floats;
  for (std::int64_t at = 0; at < t.channels; at += vector_floats) {
    const std::int64_t c = std::min(at, t.channels - vector_floats);
    for (std::int64_t y = 0; y < rows; ++y)
      for (std::int64_t i = y * most_inputs; i < y * most_inputs + columns; ++i) {
        if (!t.pixels[i]) continue;
        hn::Store(atrous::HWY_NAMESPACE::load_bf16(d, reinterpret_cast<const Bf16*>(t.pixels[i]) + c), d,
                  wide + i * vector_floats);
        pixels[i] = reinterpret_cast<const std::byte*>(wide + i * vector_floats);
      }
    part.out = t.out + c;
    input_of_floats(part);
  }
}

void filter(const FilterTransform& t) {
  const D d;
  const V above = hn::Set(d, t.vertical[0]), middle = hn::Set(d, t.vertical[1]),
          below = hn::Set(d, t.vertical[2]);
  for (std::int64_t i = 0; i < t.count * t.columns; i += vector_floats) {
    V in[3];
    for (int kx = 0; kx < 3; ++kx)
      in[kx] = hn::MulAdd(above, hn::Load(d, t.taps[kx] + i),
                          hn::MulAdd(middle, hn::Load(d, t.taps[3 + kx] + i),
                                     hn::Mul(below, hn::Load(d, t.taps[6 + kx] + i))));
    float* to = t.out + i;
    for (Scheme horizontal : t.horizontal) {
      with(horizontal, [&](auto scheme) HWY_ATTR {
        constexpr SchemeInfo s = info(scheme());
        V out[s.filters()];
        multiply<scheme(), Which::filter>(in, out);
        for (int q = 0; q < s.filters(); ++q) hn::Store(out[q], d, to + q * t.pitch);
      });
      to += info(horizontal).filters() * t.pitch;
    }
  }
}

// The first `count` floats, at least one and at most a vector's.
HWY_INLINE V load_first(const float* from, std::int64_t count) {
  const D d;
  if (count >= vector_floats) return hn::LoadU(d, from);
  HWY_ALIGN float values[lanes] = {};
  std::copy_n(from, count, values);
  return hn::Load(d, values);
}
HWY_INLINE void store_first(V value, float* to, std::int64_t count) {
  const D d;
  if (count >= vector_floats) return hn::StoreU(value, d, to);
  HWY_ALIGN float values[lanes];
  hn::Store(value, d, values);
  std::copy_n(values, count, to);
}

// Not worth a copy in the code of every scheme.
HWY_NOINLINE V rarer_activation(ActivationKind kind, V x) {
  return atrous::HWY_NAMESPACE::activate(D(), kind, x);
}

HWY_INLINE V activate(ActivationKind kind, V x) {
  if (kind == ActivationKind::none) return x;
  if (kind == ActivationKind::relu) return hn::Max(hn::Zero(D()), x);
  return rarer_activation(kind, x);
}

HWY_NOINLINE void output_of_floats(const OutputTransform& t) {
  const D d;
  const int columns = info(t.horizontal).points;
  HWY_ALIGN Block block;
  HWY_ALIGN float sums[most_outputs * lanes];  // of a row; what follows is not in the code of every scheme
  const bool relu = t.activation == ActivationKind::relu,
             simple = !t.residual && (relu || t.activation == ActivationKind::none);
  for (std::int64_t c = 0; c < t.channels; c += vector_floats) {
    with(t.vertical, [&](auto scheme) HWY_ATTR {
      constexpr SchemeInfo s = info(scheme());
      for (int q = 0; q < columns; ++q) {
        V in[s.points], out[s.outputs];
        for (int p = 0; p < s.points; ++p) in[p] = hn::LoadU(d, t.products + t.offsets[p * columns + q] + c);
        multiply_output<scheme()>(in, out);
        for (int y = 0; y < s.outputs; ++y) hn::Store(out[y], d, block[y] + q * vector_floats);
      }
    });
    const V bias = hn::LoadU(d, t.bias + c);
    for (int y = 0; y < t.height; ++y) {
      with(t.horizontal, [&](auto scheme) HWY_ATTR {
        constexpr SchemeInfo s = info(scheme());
        V in[s.points], out[s.outputs];
        for (int q = 0; q < s.points; ++q) in[q] = hn::Load(d, block[y] + q * vector_floats);
        multiply_output<scheme()>(in, out);
        for (int x = 0; x < s.outputs; ++x) hn::Store(out[x], d, sums + x * vector_floats);
      });
      if (simple && t.channels - c >= vector_floats) {
        for (int x = 0; x < t.width; ++x) {
          const V value = hn::Add(hn::Load(d, sums + x * vector_floats), bias);
          hn::StoreU(relu ? hn::Max(hn::Zero(d), value) : value, d,
                     reinterpret_cast<float*>(t.pixels[y * most_outputs + x]) + c);
        }
        continue;
      }
      for (int x = 0; x < t.width; ++x) {
        V value = hn::Add(hn::Load(d, sums + x * vector_floats), bias);
        if (t.residual)
          value =
              hn::Add(value, load_first(reinterpret_cast<const float*>(t.residual[y * most_outputs + x]) + c,
                                        t.channels - c));
        store_first(activate(t.activation, value),
                    reinterpret_cast<float*>(t.pixels[y * most_outputs + x]) + c, t.channels - c);
      }
    }
  }
}

// A vector of channels goes the same way, and is rounded at the end.
void output(const OutputTransform& t) {
  if (t.dtype == DType::f32 && (!t.residual || t.residual_dtype == DType::f32)) return output_of_floats(t);
  const D d;
  HWY_ALIGN float wide[most_outputs * most_outputs * vector_floats];
  HWY_ALIGN float added[most_outputs * most_outputs * vector_floats];
  std::byte* pixels[most_outputs * most_outputs];
  const std::byte* residual[most_outputs * most_outputs];
  OutputTransform part = t;
  part.pixels = pixels;
  part.residual = t.residual ? residual : nullptr;
  const auto each = [&](auto&& use) HWY_ATTR {
    for (std::int64_t y = 0; y < t.height; ++y)
      for (std::int64_t i = y * most_outputs; i < y * most_outputs + t.width; ++i) use(i);
  };
  for (std::int64_t c = 0; c < t.channels; c += vector_floats) {
    const std::int64_t count = std::min(vector_floats, t.channels - c);
    each([&](std::int64_t i) HWY_ATTR {
      pixels[i] = reinterpret_cast<std::byte*>(wide + i * vector_floats);
      if (!t.residual) return;
      residual[i] = reinterpret_cast<const std::byte*>(added + i * vector_floats);
      hn::Store(t.residual_dtype == DType::bf16
                    ? atrous::HWY_NAMESPACE::load_bf16_first(
                          d, reinterpret_cast<const Bf16*>(t.residual[i]) + c, count)
                    : load_first(reinterpret_cast<const float*>(t.residual[i]) + c, count),
                d, added + i * vector_floats);
    });
    part.products = t.products + c;
    part.bias = t.bias + c;
    part.channels = vector_floats;
    output_of_floats(part);
    each([&](std::int64_t i) HWY_ATTR {
      const V value = hn::Load(d, wide + i * vector_floats);
      if (t.dtype == DType::bf16)
        atrous::HWY_NAMESPACE::store_bf16_first(d, value, reinterpret_cast<Bf16*>(t.pixels[i]) + c, count);
      else
        store_first(value, reinterpret_cast<float*>(t.pixels[i]) + c, count);
    });
  }
}

}  // namespace

Transforms transforms() { return {input, filter, output}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous::winograd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous::winograd {

Transforms transforms(Isa isa) { return ATROUS_FOR_ISA(isa, transforms)(); }

}  // namespace atrous::winograd
#endif
