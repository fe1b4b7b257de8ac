#include "layers/cpu/maps/copy.h"

#include <algorithm>

#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

// `pixels` of `channels` floats each; at once where both lie without gaps.
void copy_pixels(const float* from, std::int64_t from_pitch, float* to, std::int64_t to_pitch,
                 std::int64_t pixels, std::int64_t channels) {
  if (from_pitch == channels && to_pitch == channels) {
    std::copy_n(from, pixels * channels, to);
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p, from += from_pitch, to += to_pitch)
    std::copy_n(from, channels, to);
}

class CopyCrop final : public Kernel {
 public:
  explicit CopyCrop(const Crop& layer) : layer_(layer) {}
  std::string_view name() const override { return "copy"; }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const View& out = call.output;
    parallel_for(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h;
      copy_pixels(in.pixel(n, y + layer_.top, layer_.left), in.pitch, out.pixel(n, y, 0), out.pitch,
                  out.shape.w, out.shape.c);
    });
  }

 private:
  Crop layer_;
};

class CopyConcat final : public Kernel {
 public:
  std::string_view name() const override { return "copy"; }

  void run(const KernelCall& call) const override {
    const View& out = call.output;
    parallel_for(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h;
      float* to = out.pixel(n, y, 0);
      for (const ConstView& in : call.inputs) {
        if (const float* from = in.pixel(n, y, 0); from != to)  // else laid there
          copy_pixels(from, in.pitch, to, out.pitch, out.shape.w, in.shape.c);
        to += in.shape.c;
      }
    });
  }
};

}  // namespace

std::unique_ptr<Kernel> make_crop_copy(const Crop& layer) { return std::make_unique<CopyCrop>(layer); }
std::unique_ptr<Kernel> make_concat_copy(const Concat&) { return std::make_unique<CopyConcat>(); }

}  // namespace atrous
