// A rectangle of a map: layers/ops/crop.h. A thread copies one vector of a pixel; only memory's speed counts.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256) crop_kernel(int top, int left, TypedMap<T> in, TypedMap<T> out) {
  const InRow at = in_row_of_thread(out.h, out.w);
  const int vector = vector_of_thread();
  if (at.column >= out.w || vector * lanes<T> >= out.pitch) return;
  Vector<T> x = splat<T>(0);
  if (vector * lanes<T> < out.c) x = load(in.pixel(at.n, at.y + top, at.column + left) + vector * lanes<T>);
  store_channels(out, out.pixel(at.n, at.y, at.column), vector, x);
}

}  // namespace

void crop(cudaStream_t stream, int top, int left, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const TypedMap<T> to(out);
    const Grid grid = grid_of_rows(1LL * out.n * out.h, out.w, vectors_of(to));
    launch(crop_kernel<T>, grid.blocks, grid.threads, 0, stream, top, left, TypedMap<T>(in), to);
  });
}

}  // namespace atrous::cuda
