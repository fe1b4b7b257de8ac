#include "layers/base/tensor.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/base/large_pages.h"

namespace atrous {

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << '[' << s.n << ", " << s.h << ", " << s.w << ", " << s.c << ']';
}

std::int64_t checked_elements(const Shape& s) try {
  for (std::int64_t d : {s.n, s.h, s.w, s.c})
    if (d < 1) fail(ErrorCode::limit, "tensor ", s, ": dimension ", d, " is not positive");
  const std::int64_t elements = checked_product({s.n, s.h, s.w, s.c}, "tensor elements");
  checked_multiply<std::int64_t>(elements, sizeof(float), "tensor bytes");
  return elements;
} catch (...) {
  rethrow_as_error();
}

void fail_other_dtype(DType expected, DType found) {
  fail(ErrorCode::invalid_argument, "a view of ", name_of(expected), " on elements of ", name_of(found));
}

void check(ConstView v, std::string_view what) try {
  const Shape& s = v.shape;
  for (std::int64_t d : {s.n, s.h, s.w, s.c})
    if (d < 1) fail(ErrorCode::invalid_argument, what, ": ", s, " has a dimension of ", d);
  if (v.pitch < s.c)
    fail(ErrorCode::invalid_argument, what, ": a pitch of ", v.pitch, " is less than its ", s.c, " channels");
  const std::int64_t pixels = checked_product({s.n, s.h, s.w}, what);
  checked_multiply<std::int64_t>(checked_multiply(pixels, v.pitch, what), sizeof(float), what);
  if (v.data == nullptr)
    fail(ErrorCode::invalid_argument, what, ": ", s, " needs ", pixels * s.c, " values, there is no memory");
} catch (...) {
  rethrow_as_error();
}

ConstView image_of(ConstView batch, std::int64_t n) try {
  if (n < 0 || n >= batch.shape.n)
    fail(ErrorCode::invalid_argument, "image ", n, " of a batch of ", batch.shape.n);
  return {batch.pixel(n, 0, 0), {1, batch.shape.h, batch.shape.w, batch.shape.c}, batch.pitch};
} catch (...) {
  rethrow_as_error();
}

void Buffer::Free::operator()(std::byte* p) const { free_large(p); }

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* p = allocate_large(bytes);
  if (!p) throw OutOfMemory(bytes);
  data_.reset(static_cast<std::byte*>(p));
}

Tensor::Tensor(const Shape& shape)
    : shape_(shape), buffer_(static_cast<std::size_t>(checked_elements(shape)) * sizeof(float)) {}

Tensor Tensor::zeros(const Shape& shape) {
  Tensor t(shape);
  std::ranges::fill(t.values(), 0.f);
  return t;
}

}  // namespace atrous
