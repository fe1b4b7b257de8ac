// The convolution of any kind, computed without anybody's library: layers/ops/conv2d.h. What runs where cuDNN
// refuses, and what its answers are compared with. fp32 arithmetic, no tensor cores.
//
//   1. A thread for each output channel of each pixel runs over taps and input channels: the plain kernel,
//   kept
//      for convolutions of many small groups.
//   2. A convolution is a product of matrices: a row for each output pixel, holding all that its taps see; a
//      column of weights for each output channel. The first is never written down: its pieces are read from
//      the map as they are needed (an implicit GEMM), tap by tap, 16 input channels at a time.
//   3. A block makes a tile of 64 pixels x 64 channels. Its 256 threads bring 64 x 16 inputs and 64 x 16
//      weights into shared memory, where each value serves 64 products: memory is read 64 times less.
//   4. A thread makes 4 x 4 outputs in registers: 8 reads of shared memory, as two vectors, serve 16
//   products.
//   5. There are two of each tile: while one is multiplied the next is on its way from memory, in registers,
//      and the threads wait for each other once per 16 channels.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

constexpr int tile = 64, depth = 16,
              per_thread = 4;  // of a block: pixels and channels, products; of a thread
constexpr int threads = (tile / per_thread) * (tile / per_thread);

template <class T>
struct Direct {
  TypedMap<T> in, out;
  Residual<T> residual;
  const T* weight;
  const float* bias;
  int row;  // of weights: from one tap's input channels to the next tap's
  int kernel_h, kernel_w, stride, padding, dilation, groups;
  int inputs, outputs;  // of a group
  ActivationKind kind;

  __device__ const T* weights(int output, int ky, int kx) const {
    return weight + ((1LL * output * kernel_h + ky) * kernel_w + kx) * row;
  }
};

// Step 1.
template <class T>
__global__ void __launch_bounds__(256) direct_plain(Direct<T> layer) {
  const InRow at = in_row_of_thread(layer.out.h, layer.out.w);
  const int vector = vector_of_thread(), first = vector * lanes<T>, x = at.column;
  if (x >= layer.out.w || first >= layer.out.pitch) return;
  const long long p = (1LL * at.n * layer.out.h + at.y) * layer.out.w + x;
  Vector<T> sum = layer.bias ? load_floats<T>(layer.bias, first, layer.out.c) : splat<T>(0);
  for (int ky = 0; ky < layer.kernel_h; ++ky) {
    const int in_y = at.y * layer.stride - layer.padding + ky * layer.dilation;
    if (in_y < 0 || in_y >= layer.in.h) continue;
    for (int kx = 0; kx < layer.kernel_w; ++kx) {
      const int in_x = x * layer.stride - layer.padding + kx * layer.dilation;
      if (in_x < 0 || in_x >= layer.in.w) continue;
      const T* pixel = layer.in.pixel(at.n, in_y, in_x);
#pragma unroll
      for (int l = 0; l < lanes<T>; ++l) {
        const int o = first + l;
        if (o >= layer.out.c) break;
        const T* seen = pixel + o / layer.outputs * layer.inputs;
        const T* weights = layer.weights(o, ky, kx);
        for (int i = 0; i < layer.inputs; ++i)
          sum.v[l] = fmaf(to_float(seen[i]), to_float(weights[i]), sum.v[l]);
      }
    }
  }
  sum = activated(layer.kind, layer.residual.added(sum, p, vector, layer.out.c));
  store_channels(layer.out, layer.out.pixel(p), vector, sum);
}

__device__ inline float4 load_four(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ inline float4 load_four(const __half* from) {
  const uint2 q = *reinterpret_cast<const uint2*>(from);
  const float2 low = halves_of(q.x), high = halves_of(q.y);
  return make_float4(low.x, low.y, high.x, high.y);
}
__device__ inline void store_four(float* to, float4 x) { *reinterpret_cast<float4*>(to) = x; }
__device__ inline void store_four(__half* to, float4 x) {
  *reinterpret_cast<uint2*>(to) = make_uint2(word_of(x.x, x.y), word_of(x.z, x.w));
}

// The first `count` of four, zeros for the rest.
template <class T>
__device__ float4 load_some(const T* from, int count) {
  return make_float4(count > 0 ? to_float(from[0]) : 0.f, count > 1 ? to_float(from[1]) : 0.f,
                     count > 2 ? to_float(from[2]) : 0.f, count > 3 ? to_float(from[3]) : 0.f);
}

// Padded, so that threads which write to neighbouring rows use different banks.
struct Tiles {
  alignas(16) float inputs[2][depth][tile + 4];   // [channel][pixel]
  alignas(16) float weights[2][depth][tile + 4];  // [input channel][output channel]
};

// Where in the sum a step of the product is.
struct Step {
  int ky = 0, kx = 0, input = 0;

  template <class T>
  __device__ void advance(const Direct<T>& layer) {
    input += depth;
    if (input < layer.inputs) return;
    input = 0;
    if (++kx < layer.kernel_w) return;
    kx = 0;
    ++ky;
  }
};

// Steps 2 and 3: what one thread brings of each pair of tiles: four channels of one pixel and the four
// weights of one output channel for them. In memory either lie side by side, and go on in the next threads.
template <class T, bool Grouped>
struct TileLoader {
  const Direct<T>& layer;
  int place, channel;  // in both tiles: the pixel, the output channel; the input channel
  int n = 0, top = 0, left = 0;
  bool there, output_there;
  int first_input, output;
  float4 input, weight;

  __device__ TileLoader(const Direct<T>& of, long long first_pixel, long long pixels, int group)
      : layer(of),
        place(static_cast<int>(threadIdx.x) / (depth / 4)),
        channel(static_cast<int>(threadIdx.x) % (depth / 4) * 4),
        there(first_pixel + place < pixels),
        output_there(static_cast<int>(blockIdx.y) * tile + place < of.outputs),
        first_input(group * of.inputs),
        output(group * of.outputs + static_cast<int>(blockIdx.y) * tile + place) {
    if (!there) return;
    const long long of_row = (first_pixel + place) / of.out.w;
    n = static_cast<int>(of_row / of.out.h);
    top = static_cast<int>(of_row - 1LL * n * of.out.h) * of.stride - of.padding;
    left = static_cast<int>(first_pixel + place - of_row * of.out.w) * of.stride - of.padding;
  }

  __device__ void load(const Step& step) {
    input = weight = make_float4(0, 0, 0, 0);
    const int y = top + step.ky * layer.dilation, x = left + step.kx * layer.dilation;
    const int channels_left = layer.inputs - step.input - channel;
    if (there && channels_left > 0 && y >= 0 && y < layer.in.h && x >= 0 && x < layer.in.w) {
      const T* from = layer.in.pixel(n, y, x) + first_input + step.input + channel;
      // A group begins anywhere, and behind it is the next one; behind a map's channels are numbers, which
      // meet weights of zero.
      input = Grouped ? load_some(from, channels_left) : load_four(from);
    }
    if (output_there && channels_left > 0) {
      const T* from = layer.weights(output, step.ky, step.kx) + step.input + channel;
      weight = Grouped ? load_some(from, channels_left) : load_four(from);
    }
  }

  __device__ void store(Tiles& tiles, int which) const {
    store_column(tiles.inputs[which], input);
    store_column(tiles.weights[which], weight);
  }

  __device__ void store_column(float (&rows)[depth][tile + 4], float4 x) const {
    rows[channel][place] = x.x;
    rows[channel + 1][place] = x.y;
    rows[channel + 2][place] = x.z;
    rows[channel + 3][place] = x.w;
  }
};

// Step 4.
__device__ inline void multiply(const Tiles& tiles, int which, int pixel, int channel,
                                float (&sum)[per_thread][per_thread]) {
#pragma unroll
  for (int k = 0; k < depth; ++k) {
    const float4 a = *reinterpret_cast<const float4*>(&tiles.inputs[which][k][pixel]);
    const float4 b = *reinterpret_cast<const float4*>(&tiles.weights[which][k][channel]);
    const float left[per_thread] = {a.x, a.y, a.z, a.w}, right[per_thread] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < per_thread; ++i)
#pragma unroll
      for (int j = 0; j < per_thread; ++j) sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
  }
}

// One pixel's four channels from `channel` of the group on, of which there are `count`; more where the map's
// padding follows.
template <class T, bool Grouped>
__device__ void finish(const Direct<T>& layer, long long p, int channel, int count,
                       const float (&sum)[per_thread]) {
  float x[per_thread];
#pragma unroll
  for (int j = 0; j < per_thread; ++j) {
    x[j] = 0;
    if (j >= count) continue;
    x[j] = sum[j];
    if (layer.residual.data) x[j] += to_float(layer.residual.pixel(p)[channel + j]);
    x[j] = activated(layer.kind, x[j]);
  }
  T* to = layer.out.pixel(p) + channel;
  if constexpr (!Grouped) {
    if (channel < layer.out.pitch) store_four(to, make_float4(x[0], x[1], x[2], x[3]));
  } else {
#pragma unroll
    for (int j = 0; j < per_thread; ++j)
      if (j < count) to[j] = from_float<T>(x[j]);
  }
}

// Step 5.
template <class T, bool Grouped>
__global__ void __launch_bounds__(threads) direct_tiled(Direct<T> layer, long long pixels, int steps) {
  Tiles& tiles = *shared_memory<Tiles>();
  const long long first_pixel = static_cast<long long>(blockIdx.x) * tile;
  const int group = static_cast<int>(blockIdx.z);
  const int thread_pixel = static_cast<int>(threadIdx.x) / (tile / per_thread) * per_thread;
  const int thread_channel = static_cast<int>(threadIdx.x) % (tile / per_thread) * per_thread;
  const int in_group = static_cast<int>(blockIdx.y) * tile + thread_channel;
  const int channel = group * layer.outputs + in_group, count = layer.outputs - in_group;

  float sum[per_thread][per_thread];
#pragma unroll
  for (int i = 0; i < per_thread; ++i)
#pragma unroll
    for (int j = 0; j < per_thread; ++j) sum[i][j] = layer.bias && j < count ? layer.bias[channel + j] : 0.f;

  TileLoader<T, Grouped> loader(layer, first_pixel, pixels, group);
  Step step;
  loader.load(step);
  loader.store(tiles, 0);
  __syncthreads();
  for (int i = 0; i < steps; ++i) {
    const bool more = i + 1 < steps;
    if (more) {
      step.advance(layer);
      loader.load(step);
    }
    multiply(tiles, i % 2, thread_pixel, thread_channel, sum);
    if (more) loader.store(tiles, (i + 1) % 2);
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < per_thread; ++i) {
    const long long p = first_pixel + thread_pixel + i;
    if (p >= pixels) break;
    finish<T, Grouped>(layer, p, channel, count, sum[i]);
    if (Grouped && group == layer.groups - 1 && blockIdx.y == 0)
      for (int c = layer.out.c + thread_channel / per_thread; c < layer.out.pitch; c += tile / per_thread)
        layer.out.pixel(p)[c] = from_float<T>(0);
  }
}

template <class T>
void run(cudaStream_t stream, const Direct<T>& layer) {
  const long long pixels = 1LL * layer.out.n * layer.out.h * layer.out.w;
  if (layer.groups > 1 && (layer.outputs < tile / 4 || layer.groups > 65535)) {
    const Grid grid = grid_of_rows(1LL * layer.out.n * layer.out.h, layer.out.w, vectors_of(layer.out));
    return launch(direct_plain<T>, grid.blocks, grid.threads, 0, stream, layer);
  }
  const bool grouped = layer.groups > 1;
  const int steps = layer.kernel_h * layer.kernel_w * static_cast<int>(parts(layer.inputs, depth));
  const dim3 blocks(parts(pixels, tile), parts(grouped ? layer.outputs : layer.out.pitch, tile),
                    static_cast<unsigned>(layer.groups));
  launch(grouped ? direct_tiled<T, true> : direct_tiled<T, false>, blocks, dim3(threads), sizeof(Tiles),
         stream, layer, pixels, steps);
}

}  // namespace

void conv2d_direct(cudaStream_t stream, const ConvolutionWeights& w, Map in, const Map* residual, Map out) {
  with_type_of(out, [&]<class T>(T) {
    run(stream,
        Direct<T>{TypedMap<T>(in), TypedMap<T>(out), Residual<T>(residual, out),
                  static_cast<const T*>(w.weight), w.bias, w.input_pitch, w.kernel_h, w.kernel_w, w.stride,
                  w.padding, w.dilation, w.groups, in.c / w.groups, out.c / w.groups, w.activation});
  });
}

}  // namespace atrous::cuda
