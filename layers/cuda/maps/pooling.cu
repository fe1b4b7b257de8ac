// Max pooling, its undoing and adaptive average pooling: layers/ops/max_pool2d.h, layers/ops/max_unpool2d.h,
// layers/ops/adaptive_avg_pool2d.h.
//
// The largest:
//   1. A thread for each vector of each output pixel runs over its window. What neighbouring windows share
//      comes from the caches.
//
// The undoing: a thread for each vector of each window writes all of the window, those that no pool covered
// included, so that nothing is cleared before.
//
// The mean:
//   2. A block for each cell and a few vectors of channels: its threads take every so-many-th pixel of the
//      cell, so that the single cell of a global mean is still the work of many.
//   3. A thread's sum carries what rounding cut off (Kahan 1965, "Further remarks on reducing truncation
//      errors"), and the threads' sums are added in double, as pairs, always the same: the mean of a large
//      map is as good as its elements, without a device's slow double arithmetic in the loop.
//   4. A block takes as few vectors of channels as leaves enough blocks for a large device, but never less
//      than 32 bytes, what a memory access brings anyway. That depends on the layer, not on the batch: a
//      picture gets the same bits in any.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

struct Window {
  int kernel, stride, padding;
};

template <class T>
__global__ void __launch_bounds__(256) max_pool2d_kernel(Window window, TypedMap<T> in, TypedMap<T> out) {
  const InRow at = in_row_of_thread(out.h, out.w);
  const int vector = vector_of_thread();
  if (at.column >= out.w || vector * lanes<T> >= out.pitch) return;
  Vector<T> largest = splat<T>(-INFINITY);
  if (vector * lanes<T> < out.c) {
    const int top = at.y * window.stride - window.padding, left = at.column * window.stride - window.padding;
    const int bottom = min(top + window.kernel, in.h), right = min(left + window.kernel, in.w);
    for (int y = max(top, 0); y < bottom; ++y)
      for (int x = max(left, 0); x < right; ++x) {
        const Vector<T> value = load(in.pixel(at.n, y, x) + vector * lanes<T>);
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i) largest.v[i] = fmaxf(largest.v[i], value.v[i]);
      }
  }
  store_channels(out, out.pixel(at.n, at.y, at.column), vector, largest);
}

template <class T>
__global__ void __launch_bounds__(256) max_unpool2d_kernel(int kernel, int rows, int columns, TypedMap<T> in,
                                                           TypedMap<T> before, TypedMap<T> out) {
  const InRow at = in_row_of_thread(rows, columns);
  const int vector = vector_of_thread();
  if (at.column >= columns || vector * lanes<T> >= out.pitch) return;
  const int top = at.y * kernel, left = at.column * kernel;
  const int bottom = min(top + kernel, out.h), right = min(left + kernel, out.w);
  const bool whole = at.y < in.h && at.column < in.w, there = whole && vector * lanes<T> < out.c;
  Vector<T> value = splat<T>(0), largest = splat<T>(-INFINITY);
  if (there) {
    value = load(in.pixel(at.n, at.y, at.column) + vector * lanes<T>);
    for (int y = top; y < bottom; ++y)
      for (int x = left; x < right; ++x) {
        const Vector<T> v = load(before.pixel(at.n, y, x) + vector * lanes<T>);
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i) largest.v[i] = fmaxf(largest.v[i], v.v[i]);
      }
  }
  unsigned given = 0;  // a bit for each lane
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) {
      Vector<T> result = splat<T>(0);
      if (there) {
        const Vector<T> v = load(before.pixel(at.n, y, x) + vector * lanes<T>);
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i)
          if (v.v[i] == largest.v[i] && !(given >> i & 1u)) {
            result.v[i] = value.v[i];
            given |= 1u << i;
          }
      }
      store_channels(out, out.pixel(at.n, y, x), vector, result);
    }
}

constexpr int threads_per_cell = 512;

template <class T>
__global__ void __launch_bounds__(threads_per_cell) mean_kernel(TypedMap<T> in, TypedMap<T> out) {
  double* sums = shared_memory<double>();  // [threads][lanes]
  const int vector = vector_of_thread();
  const unsigned row = blockIdx.x / static_cast<unsigned>(out.w);
  const int x = static_cast<int>(blockIdx.x - row * static_cast<unsigned>(out.w));
  const int n = static_cast<int>(row / static_cast<unsigned>(out.h));
  const int y = static_cast<int>(row - static_cast<unsigned>(n) * static_cast<unsigned>(out.h));
  const auto first = [](int cell, int size, int cells) {
    return static_cast<int>(1LL * cell * size / cells);
  };
  const auto last = [](int cell, int size, int cells) {
    return static_cast<int>(((cell + 1LL) * size + cells - 1) / cells);
  };
  const int y0 = first(y, in.h, out.h), y1 = last(y, in.h, out.h);
  const int x0 = first(x, in.w, out.w), x1 = last(x, in.w, out.w);

  Vector<T> sum = splat<T>(0), lost = splat<T>(0);
  if (vector * lanes<T> < in.c) {
    // Pixel after pixel of the cell, as if its rows were one; steps across rows without dividing.
    const int step = static_cast<int>(blockDim.y), width = x1 - x0;
    const int rows = step / width, columns = step - rows * width;
    int in_y = y0 + static_cast<int>(threadIdx.y) / width;
    int in_x = x0 + static_cast<int>(threadIdx.y) % width;
    while (in_y < y1) {
      const Vector<T> value = load(in.pixel(n, in_y, in_x) + vector * lanes<T>);
#pragma unroll
      for (int i = 0; i < lanes<T>; ++i) {
        const float more = __fsub_rn(value.v[i], lost.v[i]);
        const float total = __fadd_rn(sum.v[i], more);
        lost.v[i] = __fsub_rn(__fsub_rn(total, sum.v[i]), more);
        sum.v[i] = total;
      }
      in_y += rows;
      in_x += columns;
      if (in_x >= x1) {
        in_x -= width;
        ++in_y;
      }
    }
  }

  double* thread_sums = sums + (threadIdx.y * blockDim.x + threadIdx.x) * lanes<T>;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i)
    thread_sums[i] = static_cast<double>(sum.v[i]) - static_cast<double>(lost.v[i]);
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y >= half) continue;
    const double* other = thread_sums + half * blockDim.x * lanes<T>;
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) thread_sums[i] += other[i];
  }
  if (threadIdx.y != 0 || vector * lanes<T> >= out.pitch) return;
  Vector<T> mean;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i)
    mean.v[i] = static_cast<float>(thread_sums[i] / static_cast<double>(1LL * (y1 - y0) * (x1 - x0)));
  store_channels(out, out.pixel(n, y, x), vector, mean);
}

}  // namespace

void max_pool2d(cudaStream_t stream, const MaxPool2d& layer, Map in, Map out) {
  const Window window{static_cast<int>(layer.kernel), static_cast<int>(layer.stride),
                      static_cast<int>(layer.padding)};
  with_type_of(out, [&]<class T>(T) {
    const TypedMap<T> to(out);
    const Grid grid = grid_of_rows(1LL * out.n * out.h, out.w, vectors_of(to));
    launch(max_pool2d_kernel<T>, grid.blocks, grid.threads, 0, stream, window, TypedMap<T>(in), to);
  });
}

void max_unpool2d(cudaStream_t stream, int kernel, Map in, Map before, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const TypedMap<T> to(out);
    const int rows = (out.h + kernel - 1) / kernel, columns = (out.w + kernel - 1) / kernel;
    const Grid grid = grid_of_rows(1LL * out.n * rows, columns, vectors_of(to));
    launch(max_unpool2d_kernel<T>, grid.blocks, grid.threads, 0, stream, kernel, rows, columns,
           TypedMap<T>(in), TypedMap<T>(before), to);
  });
}

void adaptive_avg_pool2d(cudaStream_t stream, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) {
    const TypedMap<T> to(out);
    const long long enough_blocks = 128, cells = 1LL * out.h * out.w;
    unsigned x = 8;
    while (x > 2 && cells * parts(vectors_of(to), x) < enough_blocks) x /= 2;
    // No more threads than the largest cell has pixels.
    const long long pixels = (in.h / out.h + 2LL) * (in.w / out.w + 2LL);
    unsigned y = threads_per_cell / x;
    while (y > 1 && y / 2 >= pixels) y /= 2;
    launch(mean_kernel<T>, dim3(blocks_of(out.pixels()), parts(vectors_of(to), x)), dim3(x, y),
           x * y * lanes<T> * sizeof(double), stream, TypedMap<T>(in), to);
  });
}

}  // namespace atrous::cuda
