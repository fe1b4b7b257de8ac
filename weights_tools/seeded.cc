#include "weights_tools/seeded.h"

#include <libdeflate.h>

#include <cmath>
#include <random>

#include "layers/base/checked.h"
#include "layers/networks/segmentation.h"

namespace atrous {

namespace {

// numpy.random.RandomState: its doubles and normals of MT19937 (Matsumoto & Nishimura 1998).
class RandomState {
 public:
  explicit RandomState(std::uint32_t seed) : words_(seed) {}

  // 53 bits, [0, 1).
  double uniform() {
    const double high = static_cast<double>(words_() >> 5), low = static_cast<double>(words_() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  // The polar method (Marsaglia & Bray 1964), which gives two at a time; the second is kept.
  double normal() {
    if (has_kept_) {
      has_kept_ = false;
      return kept_;
    }
    double x, y, square;
    do {
      x = 2.0 * uniform() - 1.0;
      y = 2.0 * uniform() - 1.0;
      square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    const double factor = std::sqrt(-2.0 * std::log(square) / square);
    kept_ = factor * x;
    has_kept_ = true;
    return factor * y;
  }

 private:
  std::mt19937 words_;
  double kept_ = 0;
  bool has_kept_ = false;
};

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
  RandomState draw(libdeflate_crc32(0, key.data(), key.size()));
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
  for (const auto& [key, tensor] : published.keys.entries())
    state.add(key, seeded_tensor(key, tensor.dtype, tensor.shape));
  return state;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
