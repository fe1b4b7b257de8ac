#include "weights_tools/seeded.h"

#include <cmath>
#include <span>

#include "layers/base/checked.h"
#include "layers/networks/segmentation.h"
#include "weights_tools/io/deflate.h"
#include "weights_tools/random_state.h"

namespace atrous {

namespace {

template <class Value, class Draw>
StateTensor filled(DType dtype, const std::vector<std::int64_t>& shape, std::int64_t count, Draw&& draw) {
  std::shared_ptr<Value[]> values(new Value[static_cast<std::size_t>(count)]);
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<Value>(draw());
  return {dtype, shape, {values, reinterpret_cast<const std::byte*>(values.get())}};
}

}  // namespace

StateTensor seeded_tensor(std::string_view key, DType dtype, const std::vector<std::int64_t>& shape) {
  const std::int64_t count = checked_product(shape, key);
  if (dtype == DType::i64) return filled<std::int64_t>(dtype, shape, count, [] { return 0; });
  if (dtype != DType::f32)
    fail(ErrorCode::invalid_argument, key, ": seeded weights are F32 or I64, not ", name_of(dtype));
  RandomState draw(crc32(std::as_bytes(std::span<const char>(key))));
  const std::string_view last = key.substr(key.rfind('.') + 1);
  if (last == "running_var" || (last == "weight" && shape.size() == 1))
    return filled<float>(dtype, shape, count, [&] { return 0.5 + 0.5 * draw.uniform(); });
  if (last == "scale" && shape.size() == 1)
    return filled<float>(dtype, shape, count, [&] { return -0.02 + 0.02 * draw.uniform(); });
  if (shape.size() <= 1) return filled<float>(dtype, shape, count, [&] { return 0.1 * draw.normal(); });
  const double deviation = std::sqrt(2.0 / static_cast<double>(count / shape[0]));
  return filled<float>(dtype, shape, count, [&] { return draw.normal() * deviation; });
}

StateDict seeded_state(std::string_view architecture, const SeededOptions& options) try {
  if (options.width < 4 || options.width > 256 || options.classes < 0 || options.classes > 256)
    fail(ErrorCode::invalid_argument,
         "seeded network: expected a width of 4 to 256 and at most 256 classes, found ", options.width,
         " and ", options.classes);
  const PublishedNetwork published =
      published_network(architecture, {.width = options.width, .classes = options.classes}, options.aux);
  StateDict state;
  for (const auto& [key, tensor] : published.keys.entries()) {
    const auto same = published.same_as.find(key);
    state.add(
        key, seeded_tensor(same == published.same_as.end() ? key : same->second, tensor.dtype, tensor.shape));
  }
  return state;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
