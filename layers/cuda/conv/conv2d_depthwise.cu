// The depthwise convolution, groups = channels: layers/ops/conv2d.h. It multiplies little and moves much, so
// that all that counts is how often inputs and weights are fetched.
//
//   1. A thread for each vector of each output pixel runs over the taps: the plain kernel, for any size.
//   2. A thread makes four outputs of a row: each weight is fetched once for them.
//   3. The four are chosen so that they share inputs, too. Output x reads the inputs
//      x * stride - padding + kx * dilation. With q = dilation / gcd(stride, dilation), the outputs x, x + q,
//      x + 2q, x + 3q begin stride * q = r * dilation apart, r = stride / gcd(stride, dilation): whole taps.
//      So the four together read positions 0 .. 3r + k - 1, `dilation` apart, and position m is tap m - r * j
//      of output j. Each position is fetched once, and serves all the outputs that see it: at stride 1 and
//      any dilation, 6 fetches of a row in place of 12 for 3x3, 8 of 20 for 5x5.
//   4. Sizes known to the compiler (3 or 5, r of 1 or 2) make all of that registers.
#include <numeric>

#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int outputs = 4;  // of a thread

template <class T>
struct Depthwise {
  TypedMap<T> in, out;
  Residual<T> residual;
  const float *weight, *bias;
  int kernel_h, kernel_w, stride, padding, dilation;
  int step;  // q above: from one output of a thread to its next
  ActivationKind kind;

  __device__ Vector<T> weights(int ky, int kx, int vector) const {
    const int padded = (in.c + lanes<T> - 1) / lanes<T> * lanes<T>;
    return load_whole_floats<T>(weight + (1LL * ky * kernel_w + kx) * padded, vector * lanes<T>);
  }
  __device__ Vector<T> begin(int vector) const {
    return bias ? load_floats<T>(bias, vector * lanes<T>, out.c) : splat<T>(0);
  }
  __device__ void finish(Vector<T> sum, int n, int y, int x, int vector) const {
    const long long p = (1LL * n * out.h + y) * out.w + x;
    store_channels(out, out.pixel(p), vector, activated(kind, residual.added(sum, p, vector, out.c)));
  }
};

template <class T>
__device__ void multiply_add(Vector<T>& sum, const Vector<T>& x, const Vector<T>& w) {
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) sum.v[i] = fmaf(x.v[i], w.v[i], sum.v[i]);
}

// Steps 1: any kernel, any stride.
template <class T>
__global__ void __launch_bounds__(256) depthwise_plain(Depthwise<T> layer) {
  const InRow at = in_row_of_thread(layer.out.h, layer.out.w);
  const int vector = vector_of_thread(), x = at.column;
  if (x >= layer.out.w || vector * lanes<T> >= layer.out.pitch) return;
  if (vector * lanes<T> >= layer.out.c)
    return store_channels(layer.out, layer.out.pixel(at.n, at.y, x), vector, splat<T>(0));
  Vector<T> sum = layer.begin(vector);
  for (int ky = 0; ky < layer.kernel_h; ++ky) {
    const int in_y = at.y * layer.stride - layer.padding + ky * layer.dilation;
    if (in_y < 0 || in_y >= layer.in.h) continue;
    for (int kx = 0; kx < layer.kernel_w; ++kx) {
      const int in_x = x * layer.stride - layer.padding + kx * layer.dilation;
      if (in_x < 0 || in_x >= layer.in.w) continue;
      multiply_add(sum, load(layer.in.pixel(at.n, in_y, in_x) + vector * lanes<T>),
                   layer.weights(ky, kx, vector));
    }
  }
  layer.finish(sum, at.n, at.y, x, vector);
}

// Steps 2 to 4. Thread t of a row belongs to phase t % q: its first output is at (t / q * outputs) * q +
// phase.
template <class T, int Kernel, int Ratio>
__global__ void __launch_bounds__(256) depthwise_sharing(Depthwise<T> layer, int threads_of_row) {
  const InRow at = in_row_of_thread(layer.out.h, threads_of_row);
  const int vector = vector_of_thread();
  if (at.column >= threads_of_row || vector * lanes<T> >= layer.out.pitch) return;
  const int group = at.column / layer.step, phase = at.column - group * layer.step;
  const int x = group * outputs * layer.step + phase;
  const bool blank = vector * lanes<T> >= layer.out.c;  // beyond the channels: zeros are all that is written

  Vector<T> sum[outputs];
#pragma unroll
  for (int j = 0; j < outputs; ++j) sum[j] = blank ? splat<T>(0) : layer.begin(vector);
  for (int ky = 0; ky < (blank ? 0 : Kernel); ++ky) {
    const int in_y = at.y * layer.stride - layer.padding + ky * layer.dilation;
    if (in_y < 0 || in_y >= layer.in.h) continue;
    Vector<T> weights[Kernel];
#pragma unroll
    for (int kx = 0; kx < Kernel; ++kx) weights[kx] = layer.weights(ky, kx, vector);
    const T* row = layer.in.pixel(at.n, in_y, 0) + vector * lanes<T>;
#pragma unroll
    for (int m = 0; m < (outputs - 1) * Ratio + Kernel; ++m) {
      const int in_x = x * layer.stride - layer.padding + m * layer.dilation;
      if (in_x < 0 || in_x >= layer.in.w) continue;
      const Vector<T> value = load(row + 1LL * in_x * layer.in.pitch);
#pragma unroll
      for (int j = 0; j < outputs; ++j) {
        const int kx = m - Ratio * j;
        if (kx >= 0 && kx < Kernel) multiply_add(sum[j], value, weights[kx]);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < outputs; ++j) {
    const int to = x + j * layer.step;
    if (to >= layer.out.w) break;
    if (blank)
      store_channels(layer.out, layer.out.pixel(at.n, at.y, to), vector, splat<T>(0));
    else
      layer.finish(sum[j], at.n, at.y, to, vector);
  }
}

template <class T, int Kernel, int Ratio>
void run_sharing(cudaStream_t stream, const Depthwise<T>& layer) {
  const long long of_phase = (1LL * layer.out.w + layer.step - 1) / layer.step;
  const long long threads_of_row =
      std::min<long long>((of_phase + outputs - 1) / outputs * layer.step, layer.out.w);
  const Grid grid =
      grid_of_rows(1LL * layer.out.n * layer.out.h, static_cast<int>(threads_of_row), vectors_of(layer.out));
  launch(depthwise_sharing<T, Kernel, Ratio>, grid.blocks, grid.threads, 0, stream, layer, threads_of_row);
}

template <class T>
void run(cudaStream_t stream, Depthwise<T> layer) {
  const int common = std::gcd(layer.stride, layer.dilation), ratio = layer.stride / common;
  layer.step = layer.dilation / common;
  const int kernel = layer.kernel_h == layer.kernel_w ? layer.kernel_h : 0;
  // Where a row is shorter than the outputs of a thread are wide, most of them would be beyond it.
  const bool wide = layer.step * 2 <= layer.out.w;
  if (kernel == 3 && ratio == 1 && wide) return run_sharing<T, 3, 1>(stream, layer);
  if (kernel == 3 && ratio == 2 && wide) return run_sharing<T, 3, 2>(stream, layer);
  if (kernel == 5 && ratio == 1 && wide) return run_sharing<T, 5, 1>(stream, layer);
  if (kernel == 5 && ratio == 2 && wide) return run_sharing<T, 5, 2>(stream, layer);
  const Grid grid = grid_of_rows(1LL * layer.out.n * layer.out.h, layer.out.w, vectors_of(layer.out));
  launch(depthwise_plain<T>, grid.blocks, grid.threads, 0, stream, layer);
}

}  // namespace

void conv2d_depthwise(cudaStream_t stream, const ConvolutionWeights& w, Map in, const Map* residual,
                      Map out) {
  with_type_of(out, [&]<class T>(T) {
    run(stream, Depthwise<T>{TypedMap<T>(in), TypedMap<T>(out), Residual<T>(residual, out),
                             static_cast<const float*>(w.weight), w.bias, w.kernel_h, w.kernel_w, w.stride,
                             w.padding, w.dilation, 1, w.activation});
  });
}

}  // namespace atrous::cuda
