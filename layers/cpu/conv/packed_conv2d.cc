#include "layers/cpu/conv/packed_conv2d.h"

#include <algorithm>
#include <functional>
#include <type_traits>

#include "layers/base/checked.h"
#include "layers/base/large_pages.h"
#include "layers/base/weight_pages.h"
#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/conv/pending_rows.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

std::int64_t deepest_of(DType dtype) {
  return dtype == DType::i8 ? int8_tile_depth : dtype == DType::bf16 ? bf16_tile_depth : tile_depth;
}

std::vector<Stretch> cut_into_stretches(const Conv2d& layer, DType dtype) {
  const Filter& w = layer.weight;
  const std::int64_t channels = w.d1, deepest = deepest_of(dtype);
  const bool wide = 2 * channels >= deepest;
  constexpr std::int64_t any_step = 4;  // a multiple of every type's
  const std::int64_t piece =
      wide ? std::min(channels, round_up(divide_up(channels, divide_up(channels, deepest)), any_step))
           : channels;
  std::vector<Stretch> stretches;
  std::int64_t k = 0;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
      for (std::int64_t first = 0; first < channels; first += piece) {
        const std::int64_t floats = std::min(piece, channels - first);
        if (stretches.empty() || wide || stretches.back().depth + floats > deepest)
          stretches.push_back({k, 0, {}});
        Stretch& s = stretches.back();
        const bool continues = !s.segments.empty() && kx > 0 && layer.dilation == 1 && layer.groups == 1 &&
                               !wide && s.segments.back().dy == ky;
        if (continues)
          ++s.segments.back().taps;
        else
          s.segments.push_back({ky * layer.dilation, kx * layer.dilation, first, floats, 1, s.depth});
        s.depth += floats;
        k += floats;
      }
  return stretches;
}

}  // namespace

PackedConv2d::PackedConv2d(const Conv2d& layer, Isa isa, int threads, DType dtype)
    : layer_(layer),
      isa_(isa),
      dtype_(dtype),
      tile_(gemm_tile(isa)),
      stretches_(cut_into_stretches(layer, dtype)),
      depth_(layer.weight.d1 * layer.weight.kernel_h * layer.weight.kernel_w),
      group_columns_(layer.out_channels() / layer.groups),
      panels_(divide_up(group_columns_, tile_.columns)) {
  pack(threads);
  layer_.weight.data.reset();
  layer_.weight.quantised.reset();
  layer_.weight.pending.reset();
  if (dtype != DType::i8) layer_.bias.reset();
}

// From the weights of the panel's output channels, each by `convert`; zeros for those that do not exist.
template <class T, class From, class Convert>
void PackedConv2d::pack_panel(std::int64_t group, std::int64_t panel, const From* weights,
                              Convert&& convert) {
  const Filter& w = layer_.weight;
  constexpr auto step =
      static_cast<std::int64_t>(sizeof(float) / sizeof(T));  // how many k are one of the tile's
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  // Of a few channels at a time: what is read of them for one tap is still in the cache for the next one.
  constexpr std::int64_t block = 16;
  const auto pack_rows = [&](const Stretch& s, std::int64_t first, std::int64_t count, std::int64_t tap,
                             std::int64_t channel) {
    T* to = reinterpret_cast<T*>(weights_.get()) + offset(group, s, panel);
    if constexpr (std::is_same_v<T, float>) {
      return transpose_weights(weights + channel * taps + tap, taps, w.d1 * taps, count, columns_of(panel),
                               to + first * tile_.columns, tile_.columns);
    }
    for (std::int64_t j = 0; j < tile_.columns; ++j) {
      const bool exists = j < columns_of(panel);
      const From* from = exists ? weights + (j * w.d1 + channel) * taps + tap : nullptr;
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t row = (first + k) / step * step, within = (first + k) % step;
        to[row * tile_.columns + step * j + within] = exists ? convert(from[k * taps]) : T{};
      }
    }
  };
  for (std::int64_t channel = 0; channel < w.d1; channel += block)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t i = channel; i < std::min(channel + block, w.d1);) {
        const std::int64_t k = tap * w.d1 + i;
        const Stretch& s = stretch_of(k);
        const std::int64_t count = std::min(std::min(channel + block, w.d1) - i, s.first_k + s.depth - k);
        pack_rows(s, k - s.first_k, count, tap, i);
        i += count;
      }
}

void PackedConv2d::pack(int threads) {
  const std::int64_t width = panels_ * tile_.columns;
  weight_bytes_ = static_cast<std::size_t>(checked_product(
      {layer_.groups, depth_, width, static_cast<std::int64_t>(size_of(dtype_))}, "conv2d: packed weights"));
  weights_ = packed_memory(weight_bytes_);
  bias_ = Buffer(static_cast<std::size_t>(layer_.groups * width) * sizeof(float));
  const Filter& w = layer_.weight;
  const std::int64_t jobs = layer_.groups * panels_;

  // Of pending ones a panel's: in the cache from reading to packing.
  const std::int64_t read_floats = w.pending ? tile_.columns * depth_ : 0;
  LargeVector<float> read(static_cast<std::size_t>(threads * read_floats));
  const auto floats_of = [&](std::int64_t first, std::int64_t count, int thread) -> const float* {
    if (!w.pending) return w.data.get() + first * depth_;
    float* const place = read.data() + thread * read_floats;
    read_rows(w, first, first + count, place);
    return place;
  };
  FirstFailure failure;
  const auto pack_job = [&](std::int64_t job, int thread) {
    const std::int64_t group = job / panels_, panel = job % panels_, first = first_output(group, panel);
    if (dtype_ == DType::i8)
      pack_panel<std::int8_t>(group, panel, w.quantised.get() + first * depth_, std::identity());
    else if (dtype_ == DType::bf16)
      pack_panel<Bf16>(group, panel, floats_of(first, columns_of(panel), thread), to_bf16);
    else
      pack_panel<float>(group, panel, floats_of(first, columns_of(panel), thread), std::identity());
    for (std::int64_t j = 0; j < tile_.columns; ++j)
      data(bias_)[group * width + panel * tile_.columns + j] =
          layer_.bias && j < columns_of(panel) ? layer_.bias.get()[first + j] : 0.f;
  };
  parallel_for(threads, jobs,
               [&](std::int64_t job, int thread) { failure.guard([&] { pack_job(job, thread); }); });
  failure.rethrow();
}

const Stretch& PackedConv2d::stretch_of(std::int64_t k) const {
  return std::ranges::upper_bound(stretches_, k, {}, &Stretch::first_k)[-1];
}

template <class T>
PackedConv2d::Rows<T> PackedConv2d::rows(std::int64_t group, std::int64_t panel, std::int64_t k) const {
  const Stretch& s = stretch_of(k);
  const std::int64_t within = k - s.first_k;
  return {weights<T>(group, s, panel) + within * tile_.columns, s.depth - within};
}
template PackedConv2d::Rows<float> PackedConv2d::rows(std::int64_t, std::int64_t, std::int64_t) const;
template PackedConv2d::Rows<Bf16> PackedConv2d::rows(std::int64_t, std::int64_t, std::int64_t) const;

}  // namespace atrous
