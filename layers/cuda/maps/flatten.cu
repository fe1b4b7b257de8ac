// A map into one pixel of all its channels, an image a pixel: torch.flatten with the channels last. A thread
// copies one vector of a pixel; only memory's speed counts.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/maps/cells.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256) flatten_kernel(TypedMap<T> in, CellsOut<T> out) {
  const InRow at = in_row_of_thread(in.h, in.w);
  const int vector = vector_of_thread();
  if (at.column >= in.w) return;
  Vector<T> x = splat<T>(0);
  if (vector * lanes<T> < in.c) x = load(in.pixel(at.n, at.y, at.column) + vector * lanes<T>);
  out.write(at.n, at.y * in.w + at.column, vector, x);
}

}  // namespace

void flatten(cudaStream_t stream, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const CellsOut<T> to(out, in.h * in.w, in.c);
    const Grid grid = grid_of_rows(1LL * in.n * in.h, in.w, to.vectors());
    launch(flatten_kernel<T>, grid.blocks, grid.threads, 0, stream, TypedMap<T>(in), to);
  });
}

}  // namespace atrous::cuda
