// Kernels that look at one pixel at a time: what is computed is said in layers/ops/activation.h,
// arithmetic.h, batch_norm.h and, of the epilogue, conv2d.h.
//
//   1. All are the same kernel, around a function object that makes one vector of an output pixel.
//   2. Nothing is reused, so memory's speed is all there is: 16 bytes per thread, channels along the warp.
//      Activations are computed meanwhile; their switch is the same for all threads.
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/launch.h"
#include "layers/cuda/vectors.h"

namespace atrous::cuda {

namespace {

template <class T, class Function>
__global__ void __launch_bounds__(256) for_each_vector(Function function, TypedMap<T> out, long long pixels) {
  const long long p = pixel_of_thread();
  const int vector = vector_of_thread();
  if (p >= pixels || vector * lanes<T> >= out.pitch) return;
  const Vector<T> result = vector * lanes<T> < out.c ? function(p, vector) : splat<T>(0);
  store_channels(out, out.pixel(p), vector, result);
}

template <class T, class Function>
void apply(cudaStream_t stream, const Function& function, const Map& out) {
  const TypedMap<T> to(out);
  const Grid grid = grid_of_pixels(out.pixels(), vectors_of(to));
  launch(for_each_vector<T, Function>, grid.blocks, grid.threads, 0, stream, function, to, out.pixels());
}

// Reads only. Threads that find one write the same value.
template <class T>
__global__ void __launch_bounds__(256)
    find_not_finite_kernel(TypedMap<T> in, long long pixels, std::uint32_t* found) {
  const long long p = pixel_of_thread();
  const int first = vector_of_thread() * lanes<T>;
  if (p >= pixels || first >= in.c) return;
  const Vector<T> x = load(in.pixel(p) + first);
  bool finite = true;
#pragma unroll
  for (int i = 0; i < lanes<T>; ++i) finite = finite && (first + i >= in.c || fabsf(x.v[i]) < INFINITY);
  if (!finite) *found = 1;
}

template <class T>
struct Epilogue {
  TypedMap<T> in;
  const float* bias;
  Residual<T> residual;
  ActivationKind kind;

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(in.pixel(p) + vector * lanes<T>);
    if (bias) {
      const Vector<T> b = load_floats<T>(bias, vector * lanes<T>, in.c);
#pragma unroll
      for (int i = 0; i < lanes<T>; ++i) x.v[i] += b.v[i];
    }
    return activated(kind, residual.added(x, p, vector, in.c));
  }
};

template <class T>
struct Normalised {
  TypedMap<T> in;
  const float *scale, *shift;

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(in.pixel(p) + vector * lanes<T>);
    const Vector<T> s = load_floats<T>(scale, vector * lanes<T>, in.c);
    const Vector<T> t = load_floats<T>(shift, vector * lanes<T>, in.c);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] = fmaf(x.v[i], s.v[i], t.v[i]);
    return x;
  }
};

template <class T>
struct Product {
  TypedMap<T> a;
  Residual<T> b;  // found as a residual is: of the same size, or a pixel per image

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(a.pixel(p) + vector * lanes<T>);
    const Vector<T> y = load(b.pixel(p) + vector * lanes<T>);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] *= y.v[i];
    return x;
  }
};

// By one number for each pixel.
template <class T>
struct ProductWithPixel {
  TypedMap<T> a, b;

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(a.pixel(p) + vector * lanes<T>);
    const float factor = to_float(*b.pixel(p));
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] *= factor;
    return x;
  }
};

template <class T>
struct Larger {
  TypedMap<T> a, b;

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(a.pixel(p) + vector * lanes<T>);
    const Vector<T> y = load(b.pixel(p) + vector * lanes<T>);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] = x.v[i] < y.v[i] ? y.v[i] : x.v[i];
    return x;
  }
};

template <class T>
struct Scaled {
  TypedMap<T> in;
  float factor;

  __device__ Vector<T> operator()(long long p, int vector) const {
    Vector<T> x = load(in.pixel(p) + vector * lanes<T>);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) x.v[i] *= factor;
    return x;
  }
};

}  // namespace

void find_not_finite(cudaStream_t stream, Map in, std::uint32_t* found) {
  with_type_of(in, [&]<class T>(T) {
    const TypedMap<T> map(in);
    const Grid grid = grid_of_pixels(in.pixels(), vectors_of(map));
    launch(find_not_finite_kernel<T>, grid.blocks, grid.threads, 0, stream, map, in.pixels(), found);
  });
}

void epilogue(cudaStream_t stream, const float* bias, const Map* residual, ActivationKind kind, Map in,
              Map out) {
  with_type_of(out, [&]<class T>(T) {
    apply<T>(stream, Epilogue<T>{TypedMap<T>(in), bias, Residual<T>(residual, out), kind}, out);
  });
}

void activation(cudaStream_t stream, ActivationKind kind, Map in, Map out) {
  epilogue(stream, nullptr, nullptr, kind, in, out);
}

void add(cudaStream_t stream, Map a, Map b, Map out) {
  epilogue(stream, nullptr, &b, ActivationKind::none, a, out);
}

void mul(cudaStream_t stream, Map a, Map b, Map out) {
  with_type_of(out, [&]<class T>(T) {
    if (b.c == 1 && out.c != 1)
      apply<T>(stream, ProductWithPixel<T>{TypedMap<T>(a), TypedMap<T>(b)}, out);
    else
      apply<T>(stream, Product<T>{TypedMap<T>(a), Residual<T>(&b, out)}, out);
  });
}

void maximum(cudaStream_t stream, Map a, Map b, Map out) {
  with_type_of(out, [&]<class T>(T) { apply<T>(stream, Larger<T>{TypedMap<T>(a), TypedMap<T>(b)}, out); });
}

void scale(cudaStream_t stream, float factor, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) { apply<T>(stream, Scaled<T>{TypedMap<T>(in), factor}, out); });
}

void batch_norm(cudaStream_t stream, const float* scale, const float* shift, Map in, Map out) {
  with_type_of(out, [&]<class T>(T) { apply<T>(stream, Normalised<T>{TypedMap<T>(in), scale, shift}, out); });
}

}  // namespace atrous::cuda
