// What the kernels share: 16 bytes of a pixel at a time, and which thread works where. For .cu files only.
//
// Why it is fast, in every kernel here:
//   1. The plain kernel has a thread for every element. Its neighbours in a warp read neighbouring channels,
//   so
//      that a warp's accesses fall together into few transactions.
//   2. Pixels begin at multiples of 16 bytes: a thread takes 16 bytes, 4 floats or 8 halves, in one
//      instruction. Fewer, wider requests keep more bytes under way.
//   3. Places are computed once for a block, not for each element: threadIdx.x counts vectors of channels,
//      threadIdx.y pixels, and no thread divides by a number of channels.
#pragma once

#include <algorithm>

#include "layers/cuda/cuda.h"
#include "layers/ops/activation.h"

namespace atrous::cuda {

// ---- vectors

template <class T>
inline constexpr int lanes = 16 / static_cast<int>(sizeof(T));

// Consecutive channels, in fp32.
template <class T>
struct Vector {
  float v[lanes<T>];
};

__device__ inline Vector<float> load(const float* from) {
  const float4 q = *reinterpret_cast<const float4*>(from);
  return {{q.x, q.y, q.z, q.w}};
}

// Two halves in a word. Words, since a copy of four __half2 is four instructions, and one of a uint4 is one.
__device__ inline float2 halves_of(unsigned word) {
  __half2_raw pair;
  memcpy(&pair, &word, sizeof(pair));
  return __half22float2(pair);
}
__device__ inline unsigned word_of(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  unsigned word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

__device__ inline Vector<__half> load(const __half* from) {
  const uint4 q = *reinterpret_cast<const uint4*>(from);
  const float2 a = halves_of(q.x), b = halves_of(q.y), c = halves_of(q.z), d = halves_of(q.w);
  return {{a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y}};
}

__device__ inline void store(float* to, const Vector<float>& x) {
  *reinterpret_cast<float4*>(to) = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
}

__device__ inline void store(__half* to, const Vector<__half>& x) {
  *reinterpret_cast<uint4*>(to) = make_uint4(word_of(x.v[0], x.v[1]), word_of(x.v[2], x.v[3]),
                                             word_of(x.v[4], x.v[5]), word_of(x.v[6], x.v[7]));
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
template <class T>
__device__ T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(float))
    return x;
  else
    return __float2half_rn(x);
}

template <class T>
__device__ Vector<T> splat(float value) {
  Vector<T> result;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) result.v[i] = value;
  return result;
}

// The channels from `first` on of an array of `count` floats, zero beyond. The array may begin anywhere.
template <class T>
__device__ Vector<T> load_floats(const float* array, int first, int count) {
  Vector<T> result;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) result.v[i] = first + i < count ? array[first + i] : 0.f;
  return result;
}

// The same of an array that has room for whole vectors, which begin at multiples of 16 bytes.
template <class T>
__device__ Vector<T> load_whole_floats(const float* array, int first) {
  Vector<T> result;
#pragma unroll
  for (int i = 0; i < lanes<T>; i += 4) {
    const float4 q = *reinterpret_cast<const float4*>(array + first + i);
    result.v[i] = q.x;
    result.v[i + 1] = q.y;
    result.v[i + 2] = q.z;
    result.v[i + 3] = q.w;
  }
  return result;
}

// ---- maps

// A Map with its type.
template <class T>
struct TypedMap {
  T* data;
  int n, h, w, c, pitch;

  explicit TypedMap(const Map& map)
      : data(static_cast<T*>(map.data)), n(map.n), h(map.h), w(map.w), c(map.c), pitch(map.pitch) {}

  __device__ T* pixel(long long p) const { return data + p * pitch; }
  __device__ T* pixel(int image, int y, int x) const { return pixel((1LL * image * h + y) * w + x); }
};

// Writes the channels of vector number `vector`, zeros for those that the map has not.
template <class T>
__device__ void store_channels(const TypedMap<T>& map, T* pixel, int vector, Vector<T> x) {
  const int first = vector * lanes<T>;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i)
    if (first + i >= map.c) x.v[i] = 0;
  store(pixel + first, x);
}

template <class T>
int vectors_of(const TypedMap<T>& map) {
  return map.pitch / lanes<T>;
}

// Calls with a T{}, float or __half.
template <class Action>
void with_type_of(const Map& map, Action&& action) {
  if (map.half)
    action(__half{});
  else
    action(float{});
}

// ---- who works where

struct Grid {
  dim3 blocks, threads;
};

inline unsigned blocks_of(long long count, const char* what = "cuda: blocks") {
  if (count > 0x7fffffff) fail(ErrorCode::limit, what, ": ", count, " are too many for one launch");
  return static_cast<unsigned>(count);
}

// 256 threads: in x as many as there are vectors, rounded up to a power of two.
inline dim3 threads_for(int vectors) {
  unsigned x = 1;
  while (x < 64 && static_cast<int>(x) < vectors) x *= 2;
  return dim3(x, 256 / x);
}

inline unsigned parts(long long size, unsigned part) {
  return blocks_of((size + static_cast<long long>(part) - 1) / static_cast<long long>(part));
}

// A thread for each vector of each pixel.
inline Grid grid_of_pixels(long long pixels, int vectors) {
  const dim3 threads = threads_for(vectors);
  return {dim3(parts(pixels, threads.y), parts(vectors, threads.x)), threads};
}
__device__ inline long long pixel_of_thread() {
  return static_cast<long long>(blockIdx.x) * static_cast<long long>(blockDim.y) +
         static_cast<long long>(threadIdx.y);
}
__device__ inline int vector_of_thread() { return static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x); }

// The same row by row, so that a thread knows its row and column.
inline Grid grid_of_rows(long long rows, int columns, int vectors) {
  const dim3 threads = threads_for(vectors);
  return {
      dim3(blocks_of(rows * static_cast<long long>(parts(columns, threads.y))), parts(vectors, threads.x)),
      threads};
}
struct InRow {
  int n, y, column;
};
__device__ inline InRow in_row_of_thread(int h, int columns) {
  const unsigned tiles = (static_cast<unsigned>(columns) + blockDim.y - 1) / blockDim.y;
  const unsigned row = blockIdx.x / tiles, tile = blockIdx.x - row * tiles;
  const unsigned n = row / static_cast<unsigned>(h);
  return {static_cast<int>(n), static_cast<int>(row - n * static_cast<unsigned>(h)),
          static_cast<int>(tile * blockDim.y + threadIdx.y)};
}

// ---- what ends a convolution

// As activate (activation.cc), to the bit but for exp.
__device__ inline float activated(ActivationKind kind, float x) {
  const auto relu6 = [](float v) {
    const float low = v < 0.f ? 0.f : v;
    return 6.f < low ? 6.f : low;
  };
  switch (kind) {
    case ActivationKind::none:
      return x;
    case ActivationKind::relu:
      return x < 0.f ? 0.f : x;
    case ActivationKind::relu6:
      return relu6(x);
    case ActivationKind::hardsigmoid:
      return relu6(x + 3.f) / 6.f;
    case ActivationKind::hardswish:
      return x * relu6(x + 3.f) / 6.f;
    case ActivationKind::sigmoid:
      return 1.f / (1.f + expf(-x));
  }
  return x;
}

template <class T>
__device__ Vector<T> activated(ActivationKind kind, Vector<T> x) {
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) x.v[i] = activated(kind, x.v[i]);
  return x;
}

// The residual of conv2d.h: none, of the output's size, or one pixel per image.
template <class T>
struct Residual {
  const T* data = nullptr;
  int pitch = 0;
  long long pixels = 0;  // of an image: to find it from the output's pixel, where one is repeated
  bool repeated = false;

  Residual(const Map* map, const Map& out) {
    if (!map) return;
    data = static_cast<const T*>(map->data);
    pitch = map->pitch;
    pixels = 1LL * out.h * out.w;
    repeated = map->h == 1 && map->w == 1;
  }
  __device__ const T* pixel(long long p) const { return data + (repeated ? p / pixels : p) * pitch; }

  // Adds it to the channels of vector number `vector` of output pixel p. There may be no vector beyond the
  // residual's channels.
  __device__ Vector<T> added(Vector<T> x, long long p, int vector, int channels) const {
    if (!data || vector * lanes<T> >= channels) return x;
    const Vector<T> more = load(pixel(p) + vector * lanes<T>);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] += more.v[i];
    return x;
  }
};

}  // namespace atrous::cuda
