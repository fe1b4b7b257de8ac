// Group norm: layers/ops/group_norm.h, in three steps, as on the processor
// (layers/cpu/maps/group_norm_channelwise.h).
//
//   1. moments: a block takes 256 pixels and a few vectors of channels, a thread every so-many-th pixel of
//      them. The block's sums give its mean, and a second run over the same pixels, which come from the
//      L1 cache, the sum and the squares of what is beside that mean: nothing cancels.
//   2. factors: a thread for each group joins the blocks' moments in double; there are few.
//   3. out: a thread for each vector of each pixel. Only memory's speed counts.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr unsigned block_threads = 256;

// x.v[i] = the sum of what the threads of threadIdx.x have, in each of them, always added up in the same
// order.
template <class T>
__device__ Vector<T> sum_of_column(Vector<T> x, float* room) {
  float* own = room + (threadIdx.y * blockDim.x + threadIdx.x) * lanes<T>;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) own[i] = x.v[i];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y >= half) continue;
    const float* other = own + half * blockDim.x * lanes<T>;
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) own[i] += other[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) x.v[i] = room[static_cast<int>(threadIdx.x) * lanes<T> + i];
  __syncthreads();
  return x;
}

// moments: [image][chunk][mean, beside, squares][channels]
template <class T>
__global__ void __launch_bounds__(block_threads)
    moments_kernel(TypedMap<T> in, int chunk_pixels, int chunks, float* moments) {
  float* room = shared_memory<float>();  // [threads][lanes]
  const int vector = vector_of_thread(), first_channel = vector * lanes<T>;
  const int n = static_cast<int>(blockIdx.x) / chunks, chunk = static_cast<int>(blockIdx.x) % chunks;
  const long long pixels = 1LL * in.h * in.w, first = 1LL * chunk * chunk_pixels;
  const int count = static_cast<int>(min(first + chunk_pixels, pixels) - first);
  const T* from = in.pixel(n * pixels + first) + first_channel;
  const bool there = first_channel < in.c;

  Vector<T> sum = splat<T>(0);
  for (int p = static_cast<int>(threadIdx.y); there && p < count; p += static_cast<int>(blockDim.y)) {
    const Vector<T> x = load(from + 1LL * p * in.pitch);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) sum.v[i] += x.v[i];
  }
  Vector<T> mean = sum_of_column<T>(sum, room);
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) mean.v[i] /= static_cast<float>(count);
  Vector<T> beside = splat<T>(0), squares = splat<T>(0);
  for (int p = static_cast<int>(threadIdx.y); there && p < count; p += static_cast<int>(blockDim.y)) {
    const Vector<T> x = load(from + 1LL * p * in.pitch);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) {
      const float apart = x.v[i] - mean.v[i];
      beside.v[i] += apart;
      squares.v[i] = fmaf(apart, apart, squares.v[i]);
    }
  }
  beside = sum_of_column<T>(beside, room);
  squares = sum_of_column<T>(squares, room);
  if (threadIdx.y != 0) return;
  float* to = moments + 3LL * blockIdx.x * in.c;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i)
    if (first_channel + i < in.c) {
      to[first_channel + i] = mean.v[i];
      to[in.c + first_channel + i] = beside.v[i];
      to[2LL * in.c + first_channel + i] = squares.v[i];
    }
}

// factors: [image][mean, scale, shift][channels]. What the mean in fp32 is beside the true one goes into the
// shift.
__global__ void __launch_bounds__(block_threads)
    factors_kernel(GroupNormWeights weights, const float* moments, int images, int channels, int chunk_pixels,
                   int chunks, long long pixels, float* factors) {
  const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (thread >= images * weights.groups) return;
  const int n = thread / weights.groups, width = channels / weights.groups;
  const int first = thread % weights.groups * width;
  const float* of_image = moments + 3LL * n * chunks * channels + first;
  const double values = static_cast<double>(pixels * width);
  double mean = 0, squares = 0;
  for (int run = 0; run < 2; ++run)  // the mean, then what is beside that
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const double count = static_cast<double>(min(1LL * chunk_pixels, pixels - 1LL * chunk * chunk_pixels));
      for (int c = 0; c < width; ++c) {
        const float* at = of_image + 3LL * chunk * channels + c;
        const double beside = static_cast<double>(at[channels]);
        const double own = static_cast<double>(at[0]) + beside / count;
        if (run == 1)
          squares += static_cast<double>(at[2LL * channels]) - beside * beside / count +
                     count * (own - mean) * (own - mean);
        else
          mean += own * (count / values);
      }
    }
  const double factor = 1 / sqrt(fmax(squares, 0.0) / values + weights.eps);
  float* to = factors + 3LL * n * channels;
  for (int c = first; c < first + width; ++c) {
    const double by = factor * static_cast<double>(weights.weight[c]);
    to[c] = static_cast<float>(mean);
    to[channels + c] = static_cast<float>(by);
    to[2 * channels + c] =
        static_cast<float>(static_cast<double>(weights.bias[c]) - (mean - static_cast<double>(to[c])) * by);
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    group_normalise_kernel(TypedMap<T> in, const float* factors, TypedMap<T> out) {
  const InRow at = in_row_of_thread(out.h, out.w);
  const int vector = vector_of_thread(), first = vector * lanes<T>;
  if (at.column >= out.w || first >= out.pitch) return;
  Vector<T> x = splat<T>(0);
  if (first < in.c) {
    const float* of_image = factors + 3LL * at.n * in.c;
    const Vector<T> mean = load_floats<T>(of_image, first, in.c),
                    scale = load_floats<T>(of_image + in.c, first, in.c),
                    shift = load_floats<T>(of_image + 2LL * in.c, first, in.c);
    x = load(in.pixel(at.n, at.y, at.column) + first);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] = fmaf(x.v[i] - mean.v[i], scale.v[i], shift.v[i]);
  }
  store_channels(out, out.pixel(at.n, at.y, at.column), vector, x);
}

}  // namespace

void group_norm(cudaStream_t stream, const GroupNormWeights& weights, Map in, float* moments, float* factors,
                Map out) {
  with_type_of(in, [&]<class T>(T) {
    const TypedMap<T> from(in), to(out);
    const long long pixels = 1LL * in.h * in.w;
    const auto chunks =
        static_cast<int>(parts(pixels, static_cast<unsigned>(GroupNormWeights::chunk_pixels)));
    unsigned x = 8;
    while (x > 1 && static_cast<int>(x) / 2 >= vectors_of(from)) x /= 2;
    const dim3 threads(x, block_threads / x);
    launch(moments_kernel<T>, dim3(blocks_of(1LL * in.n * chunks), parts(vectors_of(from), x)), threads,
           block_threads * lanes<T> * sizeof(float), stream, from, GroupNormWeights::chunk_pixels, chunks,
           moments);
    launch(factors_kernel, dim3(parts(1LL * in.n * weights.groups, block_threads)), dim3(block_threads), 0,
           stream, weights, static_cast<const float*>(moments), in.n, in.c, GroupNormWeights::chunk_pixels,
           chunks, pixels, factors);
    const Grid grid = grid_of_rows(1LL * out.n * out.h, out.w, vectors_of(to));
    launch(group_normalise_kernel<T>, grid.blocks, grid.threads, 0, stream, from,
           static_cast<const float*>(factors), to);
  });
}

}  // namespace atrous::cuda
