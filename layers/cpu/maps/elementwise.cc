#include "layers/cpu/maps/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/elementwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// out[i] = operation(tag, i) for i < count, full vectors first, then single floats.
template <class Operation>
HWY_INLINE void store_each(std::int64_t count, float* out, Operation&& operation) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(operation(wide, i), wide, out + i);
  for (; i < count; ++i) hn::StoreU(operation(narrow, i), narrow, out + i);
}

}  // namespace

void add_floats(const float* a, const float* b, std::int64_t count, float* out) {
  store_each(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
    return hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
  });
}

void multiply_floats(const float* a, const float* b, std::int64_t count, float* out) {
  store_each(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
  });
}

// As std::max: of two zeros, and beside a NaN, the first.
void max_floats(const float* a, const float* b, std::int64_t count, float* out) {
  store_each(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto left = hn::LoadU(d, a + i), right = hn::LoadU(d, b + i);
    return hn::IfThenElse(hn::Lt(left, right), right, left);
  });
}

void scale_floats(const float* in, float factor, std::int64_t count, float* out) {
  store_each(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, in + i), hn::Set(d, factor));
  });
}

void activate_floats(ActivationKind kind, const float* in, std::int64_t count, float* out) {
  store_each(count, out,
             [&](auto d, std::int64_t i) HWY_ATTR { return activate(d, kind, hn::LoadU(d, in + i)); });
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

// Two maps, pixel by pixel, since any of the three may be a slice. One pixel an image may be repeated.
class ElementwisePair final : public Kernel {
 public:
  using Combine = decltype(&ATROUS_BASELINE::add_floats);
  explicit ElementwisePair(Combine combine) : combine_(combine) {}
  std::string_view name() const override { return "elementwise"; }

  void run(const KernelCall& call) const override {
    const ConstView a = call.inputs[0], b = call.inputs[1];
    const Shape& shape = call.output.shape;
    const std::int64_t step = repeated(b, shape).pixel;
    parallel_for(call.threads, shape.n * shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / shape.h, y = row % shape.h;
      const float* right = b.pixel(n, 0, 0) + y * shape.w * step;
      for (std::int64_t x = 0; x < shape.w; ++x, right += step)
        combine_(a.pixel(n, y, x), right, shape.c, call.out().pixel(n, y, x));
    });
  }

 private:
  Combine combine_;
};

// A map times a number: the layer's, or one for each pixel.
class ElementwiseScale final : public Kernel {
 public:
  ElementwiseScale(float factor, Isa isa) : factor_(factor), scale_(ATROUS_FOR_ISA(isa, scale_floats)) {}
  std::string_view name() const override { return "elementwise"; }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const bool has_factors = call.inputs.size() > 1;
    const ConstView factors = has_factors ? call.in(1) : ConstView{};
    const Shape& shape = call.output.shape;
    parallel_for(call.threads, shape.pixels(), [&](std::int64_t p) {
      scale_(in.data + p * in.pitch, has_factors ? factors.data[p * factors.pitch] : factor_, shape.c,
             call.out().data + p * call.output.pitch);
    });
  }

 private:
  float factor_;
  decltype(&ATROUS_BASELINE::scale_floats) scale_;
};

class ElementwiseMul final : public Kernel {
 public:
  explicit ElementwiseMul(Isa isa) : by_channel_(ATROUS_FOR_ISA(isa, multiply_floats)), by_pixel_(1, isa) {}
  std::string_view name() const override { return "elementwise"; }

  void run(const KernelCall& call) const override {
    const bool one_channel = repeated(call.inputs[1], call.output.shape).channel == 0;
    one_channel ? by_pixel_.run(call) : by_channel_.run(call);
  }

 private:
  ElementwisePair by_channel_;
  ElementwiseScale by_pixel_;
};

class ElementwiseActivation final : public Kernel {
 public:
  ElementwiseActivation(const Activation& layer, Isa isa)
      : kind_(layer.kind), activate_(ATROUS_FOR_ISA(isa, activate_floats)) {}
  std::string_view name() const override { return "elementwise"; }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const Shape& shape = call.output.shape;
    parallel_for(call.threads, shape.pixels(), [&](std::int64_t p) {
      activate_(kind_, in.data + p * in.pitch, shape.c, call.out().data + p * call.output.pitch);
    });
  }

 private:
  ActivationKind kind_;
  decltype(&ATROUS_BASELINE::activate_floats) activate_;
};

}  // namespace

std::unique_ptr<Kernel> make_add_elementwise(const Add&, Isa isa) {
  return std::make_unique<ElementwisePair>(ATROUS_FOR_ISA(isa, add_floats));
}
std::unique_ptr<Kernel> make_mul_elementwise(const Mul&, Isa isa) {
  return std::make_unique<ElementwiseMul>(isa);
}
std::unique_ptr<Kernel> make_max_elementwise(const Max&, Isa isa) {
  return std::make_unique<ElementwisePair>(ATROUS_FOR_ISA(isa, max_floats));
}
std::unique_ptr<Kernel> make_scale_elementwise(const Scale& layer, Isa isa) {
  return std::make_unique<ElementwiseScale>(layer.factor, isa);
}
std::unique_ptr<Kernel> make_activation_elementwise(const Activation& layer, Isa isa) {
  return std::make_unique<ElementwiseActivation>(layer, isa);
}

}  // namespace atrous
#endif
