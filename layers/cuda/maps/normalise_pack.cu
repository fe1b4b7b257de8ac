// The way in and out: pictures of bytes and fp32 from outside become maps, and maps dense fp32.
//
//   1. A picture crosses the bus as bytes and is normalised here: a quarter of the traffic, and every value
//      still the one that the processor's table holds.
//   2. A thread makes a whole pixel: three bytes in, one store of 16 out. The table of 3 KB stays in the
//      L1 cache.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256)
    normalise_kernel(const std::uint8_t* rgb, const float* table, TypedMap<T> out, long long pixels) {
  const long long p = pixel_of_thread();
  if (p >= pixels) return;
  Vector<T> x = splat<T>(0);
#pragma unroll
  for (int i = 0; i < 3; ++i) x.v[i] = table[256 * i + rgb[3 * p + i]];
  store_channels(out, out.pixel(p), 0, x);
  for (int vector = 1; vector * lanes<T> < out.pitch; ++vector)
    store_channels(out, out.pixel(p), vector, splat<T>(0));
}

template <class T>
__global__ void __launch_bounds__(256)
    pack_kernel(const float* from, int from_pitch, TypedMap<T> to, long long pixels) {
  const long long p = pixel_of_thread();
  const int vector = vector_of_thread();
  if (p >= pixels || vector * lanes<T> >= to.pitch) return;
  store_channels(to, to.pixel(p), vector, load_floats<T>(from + p * from_pitch, vector * lanes<T>, to.c));
}

template <class T>
__global__ void __launch_bounds__(256) unpack_kernel(TypedMap<T> from, float* to, long long pixels) {
  const long long p = pixel_of_thread();
  const int first = vector_of_thread() * lanes<T>;
  if (p >= pixels || first >= from.c) return;
  const Vector<T> x = load(from.pixel(p) + first);
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i)
    if (first + i < from.c) to[p * from.c + first + i] = x.v[i];
}

}  // namespace

void normalise(cudaStream_t stream, const std::uint8_t* rgb, const float* table, Map out) {
  if (out.c != 3) fail(ErrorCode::invalid_argument, "normalise: expected 3 channels, found ", out.c);
  const Grid grid = grid_of_pixels(out.pixels(), 1);
  with_type_of(out, [&]<class T>(T) {
    launch(normalise_kernel<T>, grid.blocks, grid.threads, 0, stream, rgb, table, TypedMap<T>(out),
           out.pixels());
  });
}

void pack(cudaStream_t stream, const float* from, int from_pitch, Map to) {
  with_type_of(to, [&]<class T>(T) {
    const TypedMap<T> typed(to);
    const Grid grid = grid_of_pixels(to.pixels(), vectors_of(typed));
    launch(pack_kernel<T>, grid.blocks, grid.threads, 0, stream, from, from_pitch, typed, to.pixels());
  });
}

void unpack(cudaStream_t stream, Map from, float* to) {
  with_type_of(from, [&]<class T>(T) {
    const TypedMap<T> typed(from);
    const Grid grid = grid_of_pixels(from.pixels(), vectors_of(typed));
    launch(unpack_kernel<T>, grid.blocks, grid.threads, 0, stream, typed, to, from.pixels());
  });
}

}  // namespace atrous::cuda
