// Position attention: layers/ops/position_attention.h, a stripe of rows of the pairs' matrix at a time.
//
//   1. shares: a block for each row. Its threads have a pixel each of the key and the row's query in shared
//      memory; exp is of what a fit is beside its row's largest.
//   2. mixed: a thread for each channel of eight rows, which share every load of the value. Neighbouring
//      threads read neighbouring channels.
//   3. total: one block finds the largest of all rows and the sum of all exponentials beside it.
//   4. out: a thread for each number; a row's largest and the sum of all turn it into what the softmax over
//      all pairs gives.
//
// A stripe's rows are few enough for 4 million pairs: the matrix of a large picture's map would not fit.
// All is small beside the 3x3 convolutions around it.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr unsigned attention_threads = 256;
constexpr int rows_of_thread = 8;

// What all threads of a block combine to, in each of them, always in the same order.
template <class Combine>
__device__ float combined(float x, float* room, Combine combine) {
  room[threadIdx.x] = x;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) room[threadIdx.x] = combine(room[threadIdx.x], room[threadIdx.x + half]);
  }
  __syncthreads();
  x = room[0];
  __syncthreads();
  return x;
}

template <class T>
__global__ void __launch_bounds__(attention_threads)
    pair_shares_kernel(TypedMap<T> query, TypedMap<T> key, int first_row, float* shares, float* largest,
                       float* sums) {
  float* room = shared_memory<float>();  // [threads], then the query's channels
  float* q = room + blockDim.x;
  const int pixels = query.h * query.w, row = first_row + static_cast<int>(blockIdx.x);
  const int own = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  for (int k = own; k < query.c; k += step) q[k] = to_float(query.pixel(row)[k]);
  __syncthreads();
  float* of_row = shares + 1LL * blockIdx.x * pixels;
  float most = -INFINITY;
  for (int j = own; j < pixels; j += step) {
    const T* k = key.pixel(j);
    float fit = 0;
    for (int c = 0; c < key.c; ++c) fit = fmaf(q[c], to_float(k[c]), fit);
    of_row[j] = fit;
    most = fmaxf(most, fit);
  }
  most = combined(most, room, [](float a, float b) { return fmaxf(a, b); });
  float sum = 0;
  for (int j = own; j < pixels; j += step) {
    const float share = expf(of_row[j] - most);
    of_row[j] = share;
    sum += share;
  }
  sum = combined(sum, room, [](float a, float b) { return a + b; });
  if (own != 0) return;
  largest[row] = most;
  sums[row] = sum;
}

// mixed: [row][channels]
template <class T>
__global__ void __launch_bounds__(attention_threads)
    mixed_kernel(TypedMap<T> value, const float* shares, int first_row, int rows, float* mixed) {
  const int c = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x), pixels = value.h * value.w;
  const int first = static_cast<int>(blockIdx.x) * rows_of_thread, count = min(rows_of_thread, rows - first);
  if (c >= value.c) return;
  float sum[rows_of_thread] = {};
  for (int j = 0; j < pixels; ++j) {
    const float x = to_float(value.pixel(j)[c]);
#pragma unroll
    for (int r = 0; r < rows_of_thread; ++r)
      if (r < count) sum[r] = fmaf(shares[1LL * (first + r) * pixels + j], x, sum[r]);
  }
#pragma unroll
  for (int r = 0; r < rows_of_thread; ++r)
    if (r < count) mixed[1LL * (first_row + first + r) * value.c + c] = sum[r];
}

// total: the largest of all rows, and the sum of all exponentials beside it.
__global__ void __launch_bounds__(attention_threads)
    total_kernel(const float* largest, const float* sums, int rows, float* total) {
  float* room = shared_memory<float>();  // [threads]
  const int own = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  float most = -INFINITY;
  for (int r = own; r < rows; r += step) most = fmaxf(most, largest[r]);
  most = combined(most, room, [](float a, float b) { return fmaxf(a, b); });
  float sum = 0;
  for (int r = own; r < rows; r += step) sum = fmaf(expf(largest[r] - most), sums[r], sum);
  sum = combined(sum, room, [](float a, float b) { return a + b; });
  if (own != 0) return;
  total[0] = most;
  total[1] = sum;
}

// mixed, read on as channels x height x width.
template <class T>
__global__ void __launch_bounds__(attention_threads)
    spread_kernel(const float* mixed, const float* largest, const float* total, TypedMap<T> out) {
  const int pixels = out.h * out.w, pixel = static_cast<int>(blockIdx.x);
  const int c = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  if (c >= out.pitch) return;
  float x = 0;
  if (c < out.c) {
    const long long at = 1LL * c * pixels + pixel;
    x = mixed[at] * (expf(largest[at / out.c] - total[0]) / total[1]);
  }
  out.pixel(pixel)[c] = from_float<T>(x);
}

}  // namespace

void position_attention(cudaStream_t stream, Map query, Map key, Map value, const PositionAttentionRoom& room,
                        Map out) {
  const int pixels = value.h * value.w;
  with_type_of(out, [&]<class T>(T) {
    for (int n = 0; n < value.n; ++n) {
      const TypedMap<T> q(image_of(query, n)), k(image_of(key, n)), v(image_of(value, n)),
          to(image_of(out, n));
      for (int first = 0; first < pixels; first += room.rows) {
        const int rows = std::min(room.rows, pixels - first);
        launch(pair_shares_kernel<T>, dim3(blocks_of(rows)), dim3(attention_threads),
               (attention_threads + static_cast<unsigned>(query.c)) * sizeof(float), stream, q, k, first,
               room.shares, room.largest, room.sums);
        launch(mixed_kernel<T>, dim3(parts(rows, rows_of_thread), parts(value.c, attention_threads)),
               dim3(attention_threads), 0, stream, v, static_cast<const float*>(room.shares), first, rows,
               room.mixed);
      }
      launch(total_kernel, dim3(1), dim3(attention_threads), attention_threads * sizeof(float), stream,
             static_cast<const float*>(room.largest), static_cast<const float*>(room.sums), pixels,
             room.total);
      launch(spread_kernel<T>, dim3(blocks_of(pixels), parts(out.pitch, attention_threads)),
             dim3(attention_threads), 0, stream, static_cast<const float*>(room.mixed),
             static_cast<const float*>(room.largest), static_cast<const float*>(room.total), to);
    }
  });
}

}  // namespace atrous::cuda
