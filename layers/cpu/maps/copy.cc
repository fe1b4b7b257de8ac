#include "layers/cpu/maps/copy.h"

#include <algorithm>

#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

// `pixels` of `bytes` each; at once where both lie without gaps.
void copy_pixels(const std::byte* from, std::int64_t from_pitch, std::byte* to, std::int64_t to_pitch,
                 std::int64_t pixels, std::int64_t bytes) {
  if (from_pitch == bytes && to_pitch == bytes) {
    std::copy_n(from, pixels * bytes, to);
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p, from += from_pitch, to += to_pitch) std::copy_n(from, bytes, to);
}

std::int64_t element(const ConstAnyView& view) { return static_cast<std::int64_t>(size_of(view.dtype)); }

// A row of `in`, from (y, x) on, into the row of `out` that begins at `to`.
void copy_row(const ConstAnyView& in, std::int64_t n, std::int64_t y, std::int64_t x, const AnyView& out,
              std::byte* to) {
  if (in.dtype != out.dtype) fail_other_dtype(out.dtype, in.dtype);
  const std::byte* from = in.at(n, y, x, 0);
  if (from != to)  // else laid there
    copy_pixels(from, in.pitch * element(in), to, out.pitch * element(in), out.shape.w,
                in.shape.c * element(in));
}

class CopyCrop final : public Kernel {
 public:
  explicit CopyCrop(const Crop& layer) : layer_(layer) {}
  std::string_view name() const override { return "copy"; }

  void run(const KernelCall& call) const override {
    const AnyView& out = call.output;
    parallel_for(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h;
      copy_row(call.inputs[0], n, y + layer_.top, layer_.left, out, out.at(n, y, 0, 0));
    });
  }

 private:
  Crop layer_;
};

class CopyConcat final : public Kernel {
 public:
  std::string_view name() const override { return "copy"; }

  void run(const KernelCall& call) const override {
    const AnyView& out = call.output;
    parallel_for(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h;
      std::int64_t channel = 0;
      for (const ConstAnyView& in : call.inputs) {
        copy_row(in, n, y, 0, out, out.at(n, y, 0, channel));
        channel += in.shape.c;
      }
    });
  }
};

}  // namespace

std::unique_ptr<Kernel> make_crop_copy(const Crop& layer) { return std::make_unique<CopyCrop>(layer); }
std::unique_ptr<Kernel> make_concat_copy(const Concat&) { return std::make_unique<CopyConcat>(); }

}  // namespace atrous
