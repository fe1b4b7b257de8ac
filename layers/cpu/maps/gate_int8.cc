#include "layers/cpu/maps/gate_int8.h"

#include "layers/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/gate_int8.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/u8-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void gate_pixels(const std::uint8_t* from, std::int64_t from_pitch, const Quantisation& from_type,
                 const float* gate, std::uint8_t* to, std::int64_t to_pitch, const Quantisation& to_type,
                 std::int64_t pixels, std::int64_t channels) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, from_type.scale), inverse = hn::Set(d, 1.f / to_type.scale),
             from_zero = hn::Set(d, static_cast<float>(from_type.zero_point)),
             to_zero = hn::Set(d, static_cast<float>(to_type.zero_point)), zero = hn::Zero(d),
             most = hn::Set(d, 255.f);
  for (std::int64_t p = 0; p < pixels; ++p, from += from_pitch, to += to_pitch) {
    std::int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      const auto x =
          hn::Mul(hn::Mul(scale, hn::Sub(load_u8(d, from + c), from_zero)), hn::LoadU(d, gate + c));
      const auto y = hn::Add(hn::Mul(x, inverse), to_zero);
      store_u8(d, hn::Min(most, hn::IfThenElseZero(hn::Gt(y, zero), y)), to + c);
    }
    for (; c < channels; ++c) to[c] = quantise(dequantise(from[c], from_type) * gate[c], to_type);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

class GateInt8 final : public Kernel {
 public:
  explicit GateInt8(Isa isa) : gate_pixels_(ATROUS_FOR_ISA(isa, gate_pixels)) {}
  std::string_view name() const override { return "elementwise"; }

  void run(const KernelCall& call) const override {
    const auto in = call.inputs[0].as<std::uint8_t>();
    const auto out = call.output.as<std::uint8_t>();
    const ConstView gate = call.in(1);
    const Shape& s = out.shape;
    if (gate.shape != Shape{s.n, 1, 1, s.c})
      fail(ErrorCode::invalid_argument, "mul in 8 bits: expected a gate of ", Shape{s.n, 1, 1, s.c},
           ", found ", gate.shape);
    parallel_for(call.threads, s.n * s.h, [&](std::int64_t row) {
      const std::int64_t n = row / s.h, y = row % s.h;
      gate_pixels_(in.pixel(n, y, 0), in.pitch, call.inputs[0].quantisation, gate.pixel(n, 0, 0),
                   out.pixel(n, y, 0), out.pitch, call.output.quantisation, s.w, s.c);
    });
  }

 private:
  decltype(&ATROUS_BASELINE::gate_pixels) gate_pixels_;
};

}  // namespace

std::unique_ptr<Kernel> make_gate_int8(Isa isa) { return std::make_unique<GateInt8>(isa); }

}  // namespace atrous
#endif
