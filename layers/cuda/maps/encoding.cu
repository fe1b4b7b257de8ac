// Encoding: layers/ops/encoding.h, in three steps.
//
//   1. shares: a thread for each pixel and codeword sums its distance; neighbouring threads have neighbouring
//      codewords, whose transposed table they read together, and the same pixel. A pixel's distances meet in
//      shared memory, where each thread makes its softmax.
//   2. sums: a thread for each channel of each codeword runs over all pixels; neighbouring threads read
//      neighbouring channels. Kahan's sum (Kahan 1965), since a map has thousands of pixels.
//   3. out: a thread for each channel.
//
// All is small beside the convolutions in front of it: 32 codewords against their thousands of filters.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads)
    shares_kernel(EncodingWeights weights, TypedMap<T> in, float* shares, long long pixels) {
  float* distances = shared_memory<float>();  // [pixel of the block][codeword]
  const int K = weights.codewords;
  const long long p = static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
  float* mine = distances + static_cast<int>(threadIdx.y) * K;
  for (int k = static_cast<int>(threadIdx.x); k < K && p < pixels; k += static_cast<int>(blockDim.x)) {
    const T* x = in.pixel(p);
    float distance = 0;
    for (int c = 0; c < in.c; ++c) {
      const float apart = to_float(x[c]) - weights.codeword[1LL * c * K + k];
      distance = fmaf(apart, apart, distance);
    }
    mine[k] = weights.smoothing[k] * distance;
  }
  __syncthreads();
  if (p >= pixels) return;
  float largest = mine[0], total = 0;
  for (int k = 1; k < K; ++k) largest = fmaxf(largest, mine[k]);
  for (int k = 0; k < K; ++k) total += expf(mine[k] - largest);
  for (int k = static_cast<int>(threadIdx.x); k < K; k += static_cast<int>(blockDim.x))
    shares[p * K + k] = expf(mine[k] - largest) / total;
}

template <class T>
__global__ void __launch_bounds__(threads)
    sums_kernel(EncodingWeights weights, TypedMap<T> in, const float* shares, float* sums) {
  const int K = weights.codewords, c = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  const int n = static_cast<int>(blockIdx.x) / K, k = static_cast<int>(blockIdx.x) % K;
  if (c >= in.c) return;
  const float codeword = weights.codeword[1LL * c * K + k];
  const long long pixels = 1LL * in.h * in.w;
  float sum = 0, lost = 0;
  for (long long p = n * pixels; p < (n + 1) * pixels; ++p) {
    const float more = __fsub_rn(shares[p * K + k] * (to_float(in.pixel(p)[c]) - codeword), lost);
    const float total = __fadd_rn(sum, more);
    lost = __fsub_rn(__fsub_rn(total, sum), more);
    sum = total;
  }
  sums[(1LL * n * K + k) * in.c + c] = sum;
}

template <class T>
__global__ void __launch_bounds__(threads)
    mean_of_codewords_kernel(EncodingWeights weights, const float* sums, TypedMap<T> out) {
  const int c = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x), n = static_cast<int>(blockIdx.x);
  if (c >= out.pitch) return;
  float mean = 0;
  for (int k = 0; k < weights.codewords && c < out.c; ++k)
    mean += fmaxf(
        fmaf(weights.scale[k], sums[(1LL * n * weights.codewords + k) * out.c + c], weights.shift[k]), 0.f);
  out.pixel(n, 0, 0)[c] = from_float<T>(mean / static_cast<float>(weights.codewords));
}

}  // namespace

void encoding(cudaStream_t stream, const EncodingWeights& weights, Map in, float* shares, float* sums,
              Map out) {
  with_type_of(in, [&]<class T>(T) {
    const TypedMap<T> from(in);
    const long long pixels = in.pixels();
    unsigned x = 1;
    while (x < 32 && static_cast<int>(x) < weights.codewords) x *= 2;
    // Fewer pixels a block where their distances would not fit into 32 KiB.
    unsigned y = threads / x;
    while (y > 1 && y * static_cast<unsigned>(weights.codewords) * sizeof(float) > 32768) y /= 2;
    launch(shares_kernel<T>, dim3(parts(pixels, y)), dim3(x, y),
           y * static_cast<unsigned>(weights.codewords) * sizeof(float), stream, weights, from, shares,
           pixels);
    launch(sums_kernel<T>, dim3(blocks_of(1LL * in.n * weights.codewords), parts(in.c, threads)),
           dim3(threads), 0, stream, weights, from, static_cast<const float*>(shares), sums);
    launch(mean_of_codewords_kernel<T>, dim3(blocks_of(in.n), parts(out.pitch, threads)), dim3(threads), 0,
           stream, weights, static_cast<const float*>(sums), TypedMap<T>(out));
  });
}

}  // namespace atrous::cuda
