#include "layers/cpu/eigen/conv2d_eigen.h"

#include <algorithm>

#define EIGEN_DONT_PARALLELIZE  // threads are parallel.h's
#define EIGEN_MPL2_ONLY
#define EIGEN_NO_CPUID  // blocks of one size on every processor, and so the same results
#include <Eigen/Core>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

// c = a b, all row by row: a [rows][depth], b [depth][columns]. What Eigen itself runs for `c.noalias() = a *
// b` of large matrices; written so it would also compile its products of vectors and of small matrices, twice
// the code.
void multiply(const float* a, const float* b, std::int64_t rows, std::int64_t depth, std::int64_t columns,
              float* c) {
  namespace in = Eigen::internal;
  constexpr int by_columns = Eigen::ColMajor;  // in whose eyes this is c' = b' a'
  using Product = in::general_matrix_matrix_product<std::int64_t, float, by_columns, false, float, by_columns,
                                                    false, by_columns, 1>;
  in::gemm_blocking_space<by_columns, float, float, Eigen::Dynamic, Eigen::Dynamic, Eigen::Dynamic, 4>
      blocking(columns, rows, depth, 1, true);
  std::fill_n(c, rows * columns, 0.f);
  Product::run(columns, rows, depth, b, columns, a, depth, c, 1, columns, 1.f, blocking, nullptr);
}

constexpr std::int64_t block_floats = 1 << 20;                // of rows that lie in memory at a time, about
constexpr std::int64_t least_pixels = 48, most_pixels = 512;  // of them

std::shared_ptr<const Conv2d> without_weights(const Conv2d& layer) {
  auto copy = std::make_shared<Conv2d>(layer);
  copy->weight.data.reset();
  copy->weight.quantised.reset();
  return copy;
}

class Conv2dEigen final : public Kernel {
 public:
  explicit Conv2dEigen(const Conv2d& layer)
      : layer_(without_weights(layer)),
        depth_(layer.weight.d1 * layer.weight.kernel_h * layer.weight.kernel_w),
        columns_(layer.out_channels() / layer.groups),
        block_(std::clamp(block_floats / depth_, least_pixels, most_pixels)),
        weights_({layer.groups, depth_, 1, columns_}) {
    const Filter& w = layer.weight;
    const auto floats = w.data ? w.data : dequantised(w);
    for (std::int64_t o = 0; o < w.d0; ++o)
      for (std::int64_t i = 0; i < w.d1; ++i)
        for (std::int64_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap)
          weights_.view().at(o / columns_, tap * w.d1 + i, 0, o % columns_) =
              floats.get()[(o * w.d1 + i) * w.kernel_h * w.kernel_w + tap];
  }

  std::string_view name() const override { return "eigen"; }
  std::size_t packed_bytes() const override { return weights_.values().size_bytes(); }
  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(checked_multiply(threads * static_cast<std::int64_t>(sizeof(float)),
                                                     thread_floats(), "conv2d: workspace"));
  }
  void run(const KernelCall&) const override;

 private:
  std::int64_t thread_floats() const { return round_up(block_ * (depth_ + columns_), 16); }
  void im2col(ConstView in, std::int64_t group, std::int64_t n, const Shape& out, std::int64_t first,
              std::int64_t last, float* rows) const;

  std::shared_ptr<const Conv2d> layer_;  // without its weights
  std::int64_t depth_, columns_;         // of a group: taps * channels, output channels
  std::int64_t block_;                   // pixels of a task
  Tensor weights_;                       // [groups, depth, 1, columns]
};

// The rows of output pixels [first, last) of image n: [pixels][taps][channels of the group].
void Conv2dEigen::im2col(ConstView in, std::int64_t group, std::int64_t n, const Shape& out,
                         std::int64_t first, std::int64_t last, float* rows) const {
  const Filter& w = layer_->weight;
  for (std::int64_t p = first; p < last; ++p)
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx, rows += w.d1) {
        const std::int64_t y = p / out.w * layer_->stride - layer_->padding + ky * layer_->dilation,
                           x = p % out.w * layer_->stride - layer_->padding + kx * layer_->dilation;
        if (y >= 0 && y < in.shape.h && x >= 0 && x < in.shape.w)
          std::copy_n(in.pixel(n, y, x) + group * w.d1, w.d1, rows);
        else
          std::fill_n(rows, w.d1, 0.f);
      }
}

void Conv2dEigen::run(const KernelCall& call) const {
  const ConstView in = call.in(0);
  const View out = call.out();
  const bool has_residual = call.inputs.size() > 1;
  const ConstView residual = has_residual ? call.in(1) : ConstView{};
  const std::int64_t pixels = out.shape.h * out.shape.w, blocks = divide_up(pixels, block_);
  FirstFailure failure;  // of memory: Eigen packs both matrices
  parallel_tasks(call.threads, out.shape.n * layer_->groups * blocks, [&](std::int64_t task, int thread) {
    failure.guard([&] {
      const std::int64_t n = task / blocks / layer_->groups, group = task / blocks % layer_->groups,
                         first = task % blocks * block_, last = std::min(first + block_, pixels);
      float* const rows = reinterpret_cast<float*>(call.workspace.data()) + thread * thread_floats();
      float* const sums = rows + block_ * depth_;
      im2col(in, group, n, out.shape, first, last, rows);
      multiply(rows, weights_.view().pixel(group, 0, 0), last - first, depth_, columns_, sums);
      for (std::int64_t p = first; p < last; ++p)
        for (std::int64_t c = 0; c < columns_; ++c) {
          const std::int64_t y = p / out.shape.w, x = p % out.shape.w, o = group * columns_ + c;
          float sum = sums[(p - first) * columns_ + c] + (layer_->bias ? layer_->bias.get()[o] : 0.f);
          if (has_residual) sum += residual_pixel(residual, n, y, x)[o];
          out.at(n, y, x, o) = activate(layer_->activation, sum);
        }
    });
  });
  failure.rethrow();
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_eigen(const Conv2d& layer) {
  return std::make_unique<Conv2dEigen>(layer);
}

}  // namespace atrous
