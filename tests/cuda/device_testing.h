// What the tests of the CUDA kernels share: maps in a device's memory, of exactly their size, and comparison
// with the layers' references. Only the runtime's own functions are used: it is the same on a GPU and on the
// simulated device (simulation/).
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "layers/cuda/cuda.h"
#include "tests/support/layers_testing.h"

namespace atrous::cuda {

// A copy in the device's memory, or fresh memory there.
class OnDevice {
 public:
  explicit OnDevice(std::size_t bytes) : bytes_(bytes) { check(cudaMalloc(&data_, bytes), "cudaMalloc"); }
  OnDevice(const void* from, std::size_t bytes) : OnDevice(bytes) {
    check(cudaMemcpy(data_, from, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  template <class T>
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.data(), values.size() * sizeof(T)) {}
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  template <class T>
  std::vector<T> read() const {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::vector<T> values(bytes_ / sizeof(T));
    check(cudaMemcpy(values.data(), data_, bytes_, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

inline float rounded(float x, bool half) { return half ? __half2float(__float2half_rn(x)) : x; }

inline Tensor rounded(const Tensor& t, bool half) {
  Tensor result(t.shape());
  for (std::size_t i = 0; i < t.values().size(); ++i) result.values()[i] = rounded(t.values()[i], half);
  return result;
}

inline Tensor drawn_map(const Shape& shape, Random& random, Draw draw, bool half) {
  Tensor t(shape);
  fill(t.view(), random, draw);
  return rounded(t, half);
}

// A map whose allocation ends with its last pixel. What lies between the channels and the next pixel is 1000:
// a number, as the contract says, that shows where it gets into a result.
class DeviceMap {
 public:
  // Full of NaN. `wider` more vectors of 16 bytes than the channels need.
  DeviceMap(const Shape& shape, bool half, int wider = 0)
      : shape_(shape),
        half_(half),
        pitch_(pitch(shape.c, half, wider)),
        memory_(elements() * element_bytes()) {
    const std::vector<unsigned char> fresh(elements() * element_bytes(), 0xff);
    check(cudaMemcpy(memory_.as<void>(), fresh.data(), fresh.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceMap(const Tensor& t, bool half, int wider = 0) : DeviceMap(t.shape(), half, wider) {
    std::vector<float> values(elements(), 1000.f);
    for (std::int64_t p = 0; p < shape_.pixels(); ++p)
      std::copy_n(t.data() + p * shape_.c, shape_.c, values.data() + p * pitch_);
    std::vector<__half> halves;
    for (float x : values) halves.push_back(__float2half_rn(x));
    const void* from = half ? static_cast<const void*>(halves.data()) : values.data();
    check(cudaMemcpy(memory_.as<void>(), from, elements() * element_bytes(), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }

  Map map() const {
    const auto narrow = [](std::int64_t x) { return static_cast<int>(x); };
    return {memory_.as<void>(),
            narrow(shape_.n),
            narrow(shape_.h),
            narrow(shape_.w),
            narrow(shape_.c),
            narrow(pitch_),
            half_};
  }

  Tensor read() const {
    const std::vector<float> values = read_all();
    Tensor t(shape_);
    for (std::int64_t p = 0; p < shape_.pixels(); ++p)
      std::copy_n(values.data() + p * pitch_, shape_.c, t.data() + p * shape_.c);
    return t;
  }

  bool zeros_behind_channels() const {
    const std::vector<float> values = read_all();
    for (std::int64_t p = 0; p < shape_.pixels(); ++p)
      for (std::int64_t c = shape_.c; c < pitch_; ++c)
        if (values[static_cast<std::size_t>(p * pitch_ + c)] != 0) return false;
    return true;
  }

 private:
  static std::int64_t pitch(std::int64_t channels, bool half, int wider) {
    const std::int64_t lanes = half ? 8 : 4;
    return ((channels + lanes - 1) / lanes + wider) * lanes;
  }
  std::size_t elements() const { return static_cast<std::size_t>(shape_.pixels() * pitch_); }
  std::size_t element_bytes() const { return half_ ? sizeof(__half) : sizeof(float); }
  std::vector<float> read_all() const {
    if (!half_) return memory_.read<float>();
    std::vector<float> values;
    for (__half x : memory_.read<__half>()) values.push_back(__half2float(x));
    return values;
  }

  Shape shape_;
  bool half_;
  std::int64_t pitch_;
  OnDevice memory_;
};

// "" where the map holds `expected`, rounded to its type, within tolerance * (1 + |expected|), halves one
// unit in the last place beside it, and zeros behind the channels.
inline std::string difference(const DeviceMap& found, const Tensor& expected, double tolerance) {
  const bool half = found.map().half;
  if (!found.zeros_behind_channels()) return "there are no zeros behind the channels";
  const Tensor e = rounded(expected, half), f = found.read();
  return atrous::difference(f.view(), e.view(), half && tolerance > 0 ? 1.0 / 1024 : tolerance);
}

// What differs from run to run of a test's loops, and whether maps are of halves and wider than needed.
struct Setting {
  bool half;
  int wider;
  std::uint64_t seed;
};
inline const std::vector<Setting> settings{{false, 0, 1}, {true, 0, 2}, {false, 2, 3}, {true, 1, 4}};

inline std::string text_of(const Setting& s) {
  return str_cat(s.half ? "half" : "float", ", ", s.wider, " vectors wider, seed ", s.seed);
}

// Shapes with every kind of end: one pixel, one row, one column, channels that fill vectors and that do not,
// several images.
inline const std::vector<Shape> odd_shapes{{1, 1, 1, 1},  {1, 1, 9, 3},    {2, 7, 1, 5},   {1, 5, 6, 8},
                                           {3, 4, 5, 21}, {1, 13, 11, 24}, {2, 3, 35, 40}, {1, 2, 3, 300}};

inline const std::vector<ActivationKind> activations{ActivationKind::none,      ActivationKind::relu,
                                                     ActivationKind::relu6,     ActivationKind::hardsigmoid,
                                                     ActivationKind::hardswish, ActivationKind::sigmoid};

}  // namespace atrous::cuda

// Where the program runs on real devices and there is none.
#define SKIP_WITHOUT_DEVICE()                                                    \
  do {                                                                           \
    int device_count = 0;                                                        \
    if (cudaGetDeviceCount(&device_count) != cudaSuccess || device_count == 0) { \
      MESSAGE("skipped: no CUDA device");                                        \
      return;                                                                    \
    }                                                                            \
  } while (false)
