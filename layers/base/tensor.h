// Tensors: four dimensions, channels last (NHWC), with a pitch between pixels; fp32, but for the maps inside
// a network (AnyView).
//
//   element (n, y, x, c)  =  data[((n * h + y) * w + x) * pitch + c]
//
// pitch >= c. Where pitch > c the view is a slice of channels of a wider tensor: that is how the branches of
// a concatenation write their results in place, or a plan keeps pixels from lying whole pages apart. Rows and
// images follow each other without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string_view>
#include <type_traits>

#include "layers/base/dtype.h"
#include "layers/base/public.h"
#include "layers/base/quantisation.h"

namespace ATROUS_PUBLIC atrous {

// n images of h rows, w columns and c channels.
struct Shape {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  bool operator==(const Shape&) const = default;
  std::int64_t pixels() const { return n * h * w; }
};
std::ostream& operator<<(std::ostream&, const Shape&);  // "[n, h, w, c]"

// Throws Error(limit) unless every dimension is at least 1 and n * h * w * c * 4 bytes fit in an int64.
// Returns the number of elements.
std::int64_t checked_elements(const Shape&);

// A borrowed tensor of elements T.
template <class T>
struct BasicView {
  T* data = nullptr;
  Shape shape;
  std::int64_t pitch = 0;  // elements from one pixel to the next

  T* pixel(std::int64_t n, std::int64_t y, std::int64_t x) const {
    return data + ((n * shape.h + y) * shape.w + x) * pitch;
  }
  T& at(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) const { return pixel(n, y, x)[c]; }
  bool dense() const { return pitch == shape.c; }
  operator BasicView<const T>() const { return {data, shape, pitch}; }
};
using View = BasicView<float>;
using ConstView = BasicView<const float>;

// Throws Error(invalid_argument) that names both types.
[[noreturn]] void fail_other_dtype(DType expected, DType found);

// A borrowed tensor whose element type is known at run time: a map inside a network. Byte is std::byte or
// const std::byte. On a device its memory is the device's (layers/graph/device.h).
template <class Byte>
struct BasicAnyView {
  template <class T>
  using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;

  Byte* data = nullptr;
  Shape shape;
  std::int64_t pitch = 0;  // elements from one pixel to the next
  DType dtype = DType::f32;
  Quantisation quantisation = {};  // as MapType's

  // Error(invalid_argument) where the elements are of another type.
  template <class T>
  BasicView<Element<T>> as() const {
    if (dtype != dtype_of<T>) fail_other_dtype(dtype_of<T>, dtype);
    return {reinterpret_cast<Element<T>*>(data), shape, pitch};
  }
  operator BasicView<Element<float>>() const { return as<float>(); }

  // The address of an element, of whatever type.
  Byte* at(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) const {
    const std::int64_t element = ((n * shape.h + y) * shape.w + x) * pitch + c;
    return data + element * static_cast<std::int64_t>(size_of(dtype));
  }
  operator BasicView<const float>() const requires(!std::is_const_v<Byte>) { return as<float>(); }
  operator BasicAnyView<const std::byte>() const requires(!std::is_const_v<Byte>) {
    return {data, shape, pitch, dtype, quantisation};
  }
};
using AnyView = BasicAnyView<std::byte>;
using ConstAnyView = BasicAnyView<const std::byte>;

template <class T>
AnyView any_view(const BasicView<T>& v) requires(!std::is_const_v<T>) {
  return {reinterpret_cast<std::byte*>(v.data), v.shape, v.pitch, dtype_of<T>, {}};
}
template <class T>
ConstAnyView any_view(const BasicView<const T>& v) {
  return {reinterpret_cast<const std::byte*>(v.data), v.shape, v.pitch, dtype_of<T>, {}};
}

// Error(invalid_argument), naming `what` and both numbers, for a view without memory, of a dimension below 1,
// or whose pitch is less than its channels; Error(limit) where its bytes overflow. Every function that takes
// a view from a caller begins with it.
void check(ConstView, std::string_view what);

// Image n of a batch. Error(invalid_argument) when there is none.
ConstView image_of(ConstView batch, std::int64_t n);

// Memory aligned to 64 bytes, uninitialised, moved and not copied.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);  // throws Error(limit) when the memory cannot be had
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte*) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

// An owned, dense tensor.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Shape&);  // uninitialised
  static Tensor zeros(const Shape&);

  const Shape& shape() const { return shape_; }
  float* data() { return reinterpret_cast<float*>(buffer_.data()); }
  const float* data() const { return reinterpret_cast<const float*>(buffer_.data()); }
  std::span<float> values() { return {data(), size()}; }
  std::span<const float> values() const { return {data(), size()}; }
  View view() { return {data(), shape_, shape_.c}; }
  ConstView view() const { return {data(), shape_, shape_.c}; }

 private:
  std::size_t size() const { return static_cast<std::size_t>(shape_.pixels() * shape_.c); }

  Shape shape_;
  Buffer buffer_;
};

// The channels [first, first + count) of a view, sharing its memory.
template <class T>
BasicView<T> channels(const BasicView<T>& v, std::int64_t first, std::int64_t count) {
  return {v.data + first, {v.shape.n, v.shape.h, v.shape.w, count}, v.pitch};
}

}  // namespace atrous
