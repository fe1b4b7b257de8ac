// A dense map of any element type that maps inside networks have.
#pragma once

#include <cstring>

#include "layers/base/tensor.h"

namespace atrous {

class TypedMap {
 public:
  TypedMap(const Shape& shape, const MapType& type)
      : shape_(shape),
        type_(type),
        memory_(static_cast<std::size_t>(shape.pixels() * shape.c) * size_of(type.dtype)) {
    std::memset(memory_.data(), 0xff, memory_.size());  // NaN, or 255
  }
  // Of floats, rounded.
  TypedMap(ConstView values, const MapType& type) : TypedMap(values.shape, type) {
    for (std::int64_t p = 0; p < shape_.pixels(); ++p)
      for (std::int64_t c = 0; c < shape_.c; ++c) set(p * shape_.c + c, values.data[p * values.pitch + c]);
  }
  AnyView view() { return {memory_.data(), shape_, shape_.c, type_.dtype, type_.quantisation}; }
  const MapType& type() const { return type_; }
  std::span<const std::byte> bytes() const { return {memory_.data(), memory_.size()}; }
  Tensor floats() const {
    Tensor t(shape_);
    for (std::int64_t i = 0; i < shape_.pixels() * shape_.c; ++i) t.data()[i] = get(i);
    return t;
  }

 private:
  template <class T>
  const T* elements() const {
    return reinterpret_cast<const T*>(memory_.data());
  }
  float get(std::int64_t i) const {
    if (type_.dtype == DType::bf16) return to_float(elements<Bf16>()[i]);
    if (type_.dtype == DType::u8) return dequantise(elements<std::uint8_t>()[i], type_.quantisation);
    return elements<float>()[i];
  }
  void set(std::int64_t i, float x) {
    if (type_.dtype == DType::bf16)
      reinterpret_cast<Bf16*>(memory_.data())[i] = to_bf16(x);
    else if (type_.dtype == DType::u8)
      reinterpret_cast<std::uint8_t*>(memory_.data())[i] = quantise(x, type_.quantisation);
    else
      reinterpret_cast<float*>(memory_.data())[i] = x;
  }
  Shape shape_;
  MapType type_;
  Buffer memory_;
};

}  // namespace atrous
