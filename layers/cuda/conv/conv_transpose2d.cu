// The transposed convolution: layers/ops/conv_transpose2d.h. Gathered, so that each output is written once
// and in one order.
//
//   1. A thread for each vector of output channels of each output pixel runs over the taps and asks of each
//      whether it carries an input here.
//   2. Of kernel x kernel taps only every (stride / gcd(stride, dilation))-th does, in each direction. Those
//      are found once and the others never looked at: at stride 8, one tap in 64.
//   3. Outputs `stride` apart are reached by the same taps, from neighbouring inputs: a thread makes four of
//      them and fetches each weight once.
//   4. With a kernel for each channel (groups = channels: FCN's upsampling) inputs are read as vectors;
//      otherwise a value of the input is multiplied with a vector of weights.
#include <numeric>

#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int outputs_of_thread = 4;  // of a thread

template <class T>
struct Transposed {
  TypedMap<T> in, out;
  const float *weight, *bias;
  int kernel_h, kernel_w, stride, padding, dilation, groups;
  int tap_step;  // from a tap that reaches an output to the next
  ActivationKind kind;
};

// The first tap that carries an input to output coordinate `to`, or `kernel`; and the coordinate of that
// input, which may lie outside of the map.
template <class T>
__device__ int first_tap(const Transposed<T>& layer, int to, int kernel) {
  for (int k = 0; k < min(layer.tap_step, kernel); ++k)
    if ((1LL * to + layer.padding - 1LL * k * layer.dilation) % layer.stride == 0) return k;
  return kernel;
}
template <class T>
__device__ int source(const Transposed<T>& layer, int to, int k) {
  return static_cast<int>((1LL * to + layer.padding - 1LL * k * layer.dilation) / layer.stride);
}

// The weights of one tap for one input channel, as a vector over the output channels that a thread makes.
// The row of weights of a tap and an input channel holds the output channels of that input's group.
template <class T>
__device__ Vector<T> weights_of(const float* row, int first, int group_begin, int group_size) {
  Vector<T> w;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) {
    const int o = first + i - group_begin;
    w.v[i] = o >= 0 && o < group_size ? row[o] : 0.f;
  }
  return w;
}

// Of one tap: adds it to the outputs whose inputs are there. `pixels` are the four inputs, null where
// outside.
template <class T, bool PerChannel>
__device__ void add_tap(const Transposed<T>& layer, long long tap, int first,
                        const T* const (&pixels)[outputs_of_thread], Vector<T> (&sum)[outputs_of_thread]) {
  if constexpr (PerChannel) {
    const Vector<T> w = load_floats<T>(layer.weight + tap * layer.in.c, first, layer.in.c);
#pragma unroll
    for (int j = 0; j < outputs_of_thread; ++j) {
      if (!pixels[j]) continue;
      const Vector<T> x = load(pixels[j] + first);
#pragma unroll
      for (int i = 0; i < lanes<T>; ++i) sum[j].v[i] = fmaf(x.v[i], w.v[i], sum[j].v[i]);
    }
  } else {
    const int outputs_per_group = layer.out.c / layer.groups, inputs_per_group = layer.in.c / layer.groups;
    const int last = min(first + lanes<T>, layer.out.c) - 1;
    for (int group = first / outputs_per_group; group <= last / outputs_per_group; ++group)
      for (int i = group * inputs_per_group; i < (group + 1) * inputs_per_group; ++i) {
        const float* row = layer.weight + (tap * layer.in.c + i) * outputs_per_group;
        const Vector<T> w = weights_of<T>(row, first, group * outputs_per_group, outputs_per_group);
#pragma unroll
        for (int j = 0; j < outputs_of_thread; ++j) {
          if (!pixels[j]) continue;
          const float x = to_float(pixels[j][i]);
#pragma unroll
          for (int k = 0; k < lanes<T>; ++k) sum[j].v[k] = fmaf(x, w.v[k], sum[j].v[k]);
        }
      }
  }
}

template <class T, bool PerChannel>
__global__ void __launch_bounds__(256) transposed_kernel(Transposed<T> layer, int threads_of_row) {
  const InRow at = in_row_of_thread(layer.out.h, threads_of_row);
  const int vector = vector_of_thread(), first = vector * lanes<T>;
  if (at.column >= threads_of_row || first >= layer.out.pitch) return;
  const int group = at.column / layer.stride;
  const int x = group * outputs_of_thread * layer.stride + (at.column - group * layer.stride);
  const bool blank = first >= layer.out.c;

  Vector<T> sum[outputs_of_thread];
#pragma unroll
  for (int j = 0; j < outputs_of_thread; ++j)
    sum[j] = layer.bias ? load_floats<T>(layer.bias, first, layer.out.c) : splat<T>(0);
  const int first_ky = blank ? layer.kernel_h : first_tap(layer, at.y, layer.kernel_h);
  const int first_kx = first_tap(layer, x, layer.kernel_w);
  for (int ky = first_ky; ky < layer.kernel_h; ky += layer.tap_step) {
    const int in_y = source(layer, at.y, ky);
    if (in_y < 0 || in_y >= layer.in.h) continue;
    for (int kx = first_kx; kx < layer.kernel_w; kx += layer.tap_step) {
      const int in_x = source(layer, x, kx);
      const T* pixels[outputs_of_thread];
#pragma unroll
      for (int j = 0; j < outputs_of_thread; ++j) {
        const bool inside = in_x + j >= 0 && in_x + j < layer.in.w;
        pixels[j] = inside ? layer.in.pixel(at.n, in_y, in_x + j) : nullptr;
      }
      add_tap<T, PerChannel>(layer, 1LL * ky * layer.kernel_w + kx, first, pixels, sum);
    }
  }
#pragma unroll
  for (int j = 0; j < outputs_of_thread; ++j) {
    const int to = x + j * layer.stride;
    if (to >= layer.out.w) break;
    store_channels(layer.out, layer.out.pixel(at.n, at.y, to), vector, activated(layer.kind, sum[j]));
  }
}

}  // namespace

void conv_transpose2d(cudaStream_t stream, const ConvolutionWeights& w, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const Transposed<T> layer{TypedMap<T>(in),
                              TypedMap<T>(out),
                              static_cast<const float*>(w.weight),
                              w.bias,
                              w.kernel_h,
                              w.kernel_w,
                              w.stride,
                              w.padding,
                              w.dilation,
                              w.groups,
                              w.stride / std::gcd(w.stride, w.dilation),
                              w.activation};
    const long long of_phase = (1LL * out.w + w.stride - 1) / w.stride;
    const long long threads_of_row =
        std::min<long long>((of_phase + outputs_of_thread - 1) / outputs_of_thread * w.stride, out.w);
    const Grid grid =
        grid_of_rows(1LL * out.n * out.h, static_cast<int>(threads_of_row), vectors_of(layer.out));
    const bool per_channel = w.groups == in.c && w.groups == out.c;
    launch(per_channel ? transposed_kernel<T, true> : transposed_kernel<T, false>, grid.blocks, grid.threads,
           0, stream, layer, threads_of_row);
  });
}

}  // namespace atrous::cuda
