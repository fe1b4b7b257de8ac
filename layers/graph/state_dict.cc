#include "layers/graph/state_dict.h"

#include <bit>
#include <cstring>

#include "layers/base/checked.h"
#include "layers/base/stored_weights.h"

namespace atrous {

std::int64_t StateTensor::elements() const { return checked_product(shape, "tensor elements"); }

std::span<const std::byte> StateTensor::bytes() const {
  return {data.get(), checked_multiply(checked_cast<std::size_t>(elements(), "tensor elements"),
                                       size_of(dtype), "tensor bytes")};
}

namespace {

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  std::uint32_t exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);  // infinity, NaN
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

template <class Stored, class Convert>
std::shared_ptr<const float> convert(const StateTensor& t, Convert&& to_value) {
  const auto bytes = t.bytes();
  const std::size_t count = bytes.size() / sizeof(Stored);
  std::shared_ptr<float[]> out(new float[count]);
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out.get()[i] = to_value(stored);
  }
  return {out, out.get()};
}

template <class Stored>
std::shared_ptr<const float> convert_number(const StateTensor& t) {
  return convert<Stored>(t, [](Stored v) { return static_cast<float>(v); });
}

}  // namespace

std::shared_ptr<const float> to_float(const StateTensor& t) try {
  if (t.stored) {
    const auto count = checked_cast<std::size_t>(t.elements(), "tensor elements");
    std::shared_ptr<float[]> out(new float[count]);
    t.stored->read(0, {out.get(), count});
    return {out, out.get()};
  }
  switch (t.dtype) {
    case DType::f32:
      return {t.data, reinterpret_cast<const float*>(t.data.get())};
    case DType::f16:
      return convert<std::uint16_t>(t, half_to_float);
    case DType::bf16:
      return convert<Bf16>(t, [](Bf16 v) { return to_float(v); });
    case DType::f64:
      return convert_number<double>(t);
    case DType::boolean:
    case DType::u8:
      return convert_number<std::uint8_t>(t);
    case DType::i8:
      return convert_number<std::int8_t>(t);
    case DType::i16:
      return convert_number<std::int16_t>(t);
    case DType::i32:
      return convert_number<std::int32_t>(t);
    case DType::i64:
      return convert_number<std::int64_t>(t);
  }
  return {};
} catch (...) {
  rethrow_as_error();
}

std::string shape_text(std::span<const std::int64_t> shape) try {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
} catch (...) {
  rethrow_as_error();
}

void StateDict::add(std::string name, StateTensor tensor) try {
  if (!index_.emplace(name, entries_.size()).second)
    fail(ErrorCode::malformed, "state dict: the key ", name, " appears twice");
  entries_.emplace_back(std::move(name), std::move(tensor));
} catch (...) {
  rethrow_as_error();
}

const StateTensor* StateDict::find(std::string_view name) const {
  const std::size_t index = index_of(name);
  return index == size() ? nullptr : &entries_[index].second;
}

std::size_t StateDict::index_of(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? size() : it->second;
}

bool StateDict::has(std::string_view module) const {
  if (index_.contains(module)) return true;
  const std::string prefix = std::string(module) + '.';
  const auto first = index_.lower_bound(prefix);
  return first != index_.end() && first->first.starts_with(prefix);
}

}  // namespace atrous
