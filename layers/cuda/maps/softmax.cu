// Softmax over the channels of each pixel: layers/ops/softmax.h.
//
//   1. A thread for each pixel, three loops over its channels: neighbouring threads read a pixel apart.
//   2. Eight threads for each pixel share its vectors, a warp works on four pixels: what a warp reads lies
//      together. Largest and sum are combined by shuffles, always in the same order.
//   3. exp is computed twice rather than kept: the channels, of any number, come from the L1 cache.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int softmax_threads_per_pixel = 8, softmax_pixels_per_block = 32;

// What the eight threads of a pixel combine to, in each of them.
template <class Combine>
__device__ float combined(float x, Combine combine) {
#pragma unroll
  for (int distance = softmax_threads_per_pixel / 2; distance > 0; distance /= 2)
    x = combine(x, __shfl_xor_sync(0xffffffffu, x, distance));
  return x;
}

template <class T>
__global__ void __launch_bounds__(256) softmax_kernel(TypedMap<T> in, TypedMap<T> out, long long pixels) {
  const long long p = pixel_of_thread();
  const bool there = p < pixels;  // all threads of a warp take part in its shuffles
  const T* from = in.pixel(there ? p : 0);
  const int thread = static_cast<int>(threadIdx.x);

  float largest = -INFINITY;
  for (int first = thread * lanes<T>; first < in.c; first += softmax_threads_per_pixel * lanes<T>) {
    const Vector<T> x = load(from + first);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i)
      if (first + i < in.c) largest = fmaxf(largest, x.v[i]);
  }
  largest = combined(largest, [](float a, float b) { return fmaxf(a, b); });

  float sum = 0;
  for (int first = thread * lanes<T>; first < in.c; first += softmax_threads_per_pixel * lanes<T>) {
    const Vector<T> x = load(from + first);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i)
      if (first + i < in.c) sum += expf(x.v[i] - largest);
  }
  sum = combined(sum, [](float a, float b) { return a + b; });

  if (!there) return;
  for (int vector = thread; vector * lanes<T> < out.pitch; vector += softmax_threads_per_pixel) {
    Vector<T> x = splat<T>(0);
    if (vector * lanes<T> < in.c) x = load(from + vector * lanes<T>);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] = expf(x.v[i] - largest) / sum;
    store_channels(out, out.pixel(p), vector, x);
  }
}

}  // namespace

void softmax(cudaStream_t stream, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    launch(softmax_kernel<T>, dim3(parts(out.pixels(), softmax_pixels_per_block)),
           dim3(softmax_threads_per_pixel, softmax_pixels_per_block), 0, stream, TypedMap<T>(in),
           TypedMap<T>(out), out.pixels());
  });
}

}  // namespace atrous::cuda
