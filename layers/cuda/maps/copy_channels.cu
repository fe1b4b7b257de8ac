// A map into some channels of a wider one: layers/ops/concat.h.
//
//   1. Channel by channel: right wherever it begins.
//   2. Where it begins at a multiple of 16 bytes, vectors, all but a last one that its neighbour shares. That
//      is every concatenation of the networks here.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

// `channel` begins a vector of `out` where Aligned. The last copy of a map, and it alone, writes zeros
// behind.
template <class T, bool Aligned>
__global__ void __launch_bounds__(256)
    copy_channels_kernel(TypedMap<T> in, TypedMap<T> out, int channel, int width, long long pixels) {
  const long long p = pixel_of_thread();
  const int first = vector_of_thread() * lanes<T>;
  if (p >= pixels || first >= width) return;
  T* to = out.pixel(p) + channel + first;
  const bool last_of_all = channel + in.c == out.c;
  if (Aligned && (first + lanes<T> <= in.c || last_of_all)) {
    Vector<T> x = splat<T>(0);
    if (first < in.c) x = load(in.pixel(p) + first);
    store_channels(out, out.pixel(p), (channel + first) / lanes<T>, x);
    return;
  }
  for (int i = 0; i < lanes<T> && first + i < width; ++i)
    to[i] = first + i < in.c ? in.pixel(p)[first + i] : from_float<T>(0);
}

}  // namespace

void copy_channels(cudaStream_t stream, Map in, Map out, int channel) {
  with_type_of(out, [&]<class T>(T) {
    const bool aligned = channel % lanes<T> == 0, last_of_all = channel + in.c == out.c;
    const int width = last_of_all ? out.pitch - channel : in.c;
    const Grid grid = grid_of_pixels(out.pixels(), (width + lanes<T> - 1) / lanes<T>);
    launch(aligned ? copy_channels_kernel<T, true> : copy_channels_kernel<T, false>, grid.blocks,
           grid.threads, 0, stream, TypedMap<T>(in), TypedMap<T>(out), channel, width, out.pixels());
  });
}

}  // namespace atrous::cuda
