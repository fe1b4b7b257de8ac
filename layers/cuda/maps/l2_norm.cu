// L2 normalisation over the channels of each pixel: layers/ops/l2_norm.h.
//
// Eight threads for each pixel share its vectors, as in softmax.cu; their sums are combined by shuffles,
// always in the same order. The channels are read twice, the second time from the L1 cache.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int threads_per_pixel = 8, pixels_per_block = 32;

template <class T>
__global__ void __launch_bounds__(256)
    l2_norm_kernel(const float* weight, float eps, TypedMap<T> in, TypedMap<T> out, long long pixels) {
  const long long p = pixel_of_thread();
  const bool there = p < pixels;  // all threads of a warp take part in its shuffles
  const T* from = in.pixel(there ? p : 0);
  const int own = static_cast<int>(threadIdx.x);

  float sum = 0;
  for (int first = own * lanes<T>; first < in.c; first += threads_per_pixel * lanes<T>) {
    const Vector<T> x = load(from + first);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i)
      if (first + i < in.c) sum = fmaf(x.v[i], x.v[i], sum);
  }
#pragma unroll
  for (int distance = threads_per_pixel / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  const float length = sqrtf(sum + eps);

  if (!there) return;
  for (int vector = own; vector * lanes<T> < out.pitch; vector += threads_per_pixel) {
    Vector<T> x = splat<T>(0);
    if (vector * lanes<T> < in.c) {
      x = load(from + vector * lanes<T>);
      const Vector<T> w = load_floats<T>(weight, vector * lanes<T>, in.c);
#pragma unroll
      for (int i = 0; i < lanes<T>; ++i) x.v[i] = x.v[i] / length * w.v[i];
    }
    store_channels(out, out.pixel(p), vector, x);
  }
}

}  // namespace

void l2_norm(cudaStream_t stream, const float* weight, float eps, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    launch(l2_norm_kernel<T>, dim3(parts(out.pixels(), pixels_per_block)),
           dim3(threads_per_pixel, pixels_per_block), 0, stream, weight, eps, TypedMap<T>(in),
           TypedMap<T>(out), out.pixels());
  });
}

}  // namespace atrous::cuda
