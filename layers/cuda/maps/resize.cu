// Resize, bilinear and nearest: layers/ops/resize.h.
//
//   1. A thread for each vector of each output pixel finds its taps and blends four pixels. Where a map
//   grows,
//      neighbouring outputs read the same four, from the L1 cache: writing takes the time.
//   2. Rounded as the reference rounds, so that fp32 results are its to the bit: arithmetic is not what takes
//      the time.
#include "layers/cuda/conv/taps.h"
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256)
    resize_kernel(Taps rows, Taps columns, TypedMap<T> in, TypedMap<T> out) {
  const InRow at = in_row_of_thread(out.h, out.w);
  const int vector = vector_of_thread();
  if (at.column >= out.w || vector * lanes<T> >= out.pitch) return;
  Vector<T> result = splat<T>(0);
  if (vector * lanes<T> < out.c) {
    const Tap row = tap_of(rows, at.y), column = tap_of(columns, at.column);
    const auto pixel = [&](int y, int x) { return load(in.pixel(at.n, y, x) + vector * lanes<T>); };
    if (rows.nearest) {
      result = pixel(row.low, column.low);
    } else {
      const Vector<T> top_left = pixel(row.low, column.low), top_right = pixel(row.low, column.high);
      const Vector<T> left = pixel(row.high, column.low), right = pixel(row.high, column.high);
#pragma unroll
      for (int i = 0; i < lanes<T>; ++i)
        result.v[i] = blended(blended(top_left.v[i], top_right.v[i], column.f),
                              blended(left.v[i], right.v[i], column.f), row.f);
    }
  }
  store_channels(out, out.pixel(at.n, at.y, at.column), vector, result);
}

}  // namespace

void resize(cudaStream_t stream, const Resize& layer, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const TypedMap<T> to(out);
    const Grid grid = grid_of_rows(1LL * out.n * out.h, out.w, vectors_of(to));
    launch(resize_kernel<T>, grid.blocks, grid.threads, 0, stream, Taps(layer, in.h, out.h),
           Taps(layer, in.w, out.w), TypedMap<T>(in), to);
  });
}

}  // namespace atrous::cuda
