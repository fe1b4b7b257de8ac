#include "layers/cpu/conv/winograd_tiles.h"

#include <algorithm>
#include <utility>

#include "layers/base/checked.h"

namespace atrous::winograd {

namespace {

Scheme whole(std::int64_t size) { return size == 1 ? Scheme::z1 : size == 2 ? Scheme::z2 : Scheme::z3; }
Scheme tile(std::int64_t size) {
  return static_cast<Scheme>(static_cast<int>(Scheme::f2) + std::max<int>(0, static_cast<int>(size) - 2));
}

// The tiles of one sub-grid: outputs first, first + dilation, ... below size.
void cover_sub_grid(std::int64_t image, std::int64_t first, std::int64_t size, std::int64_t input_size,
                    std::int64_t padding, std::int64_t dilation, std::int64_t largest,
                    std::vector<AxisTile>& tiles) {
  std::int64_t left = divide_up(size - first, dilation);
  const std::int64_t before = first - padding, after = before + (left + 1) * dilation;
  if (left <= 3 && before < 0 && after >= input_size) {
    const Scheme s = whole(left);
    tiles.push_back({s, image, before + info(s).first_input * dilation, first, static_cast<int>(left)});
    return;
  }
  while (left > 0) {
    // A rim of one output would cost as much as one of two: take that from the tile before.
    const std::int64_t take = left == largest + 1 && largest > 2 ? largest - 1 : std::min(left, largest);
    tiles.push_back({tile(take), image, first - padding, first, static_cast<int>(take)});
    first += take * dilation;
    left -= take;
  }
}

void cover_repeated(std::int64_t image, std::int64_t size, std::vector<AxisTile>& tiles) {
  constexpr std::int64_t largest = 3;
  const std::int64_t pixels = size / 2;
  tiles.push_back({Scheme::db, image, 0, 0, 1});
  for (std::int64_t at = 0; at < pixels - 1;) {
    const std::int64_t take = pixels - 1 - at < largest ? 1 : largest;
    const Scheme scheme = take == 1 ? Scheme::d1 : Scheme::d3;
    tiles.push_back({scheme, image, at, 2 * at + 1, static_cast<int>(2 * take)});
    at += take;
  }
  tiles.push_back({Scheme::de, image, pixels - 1, size - 1, 1});
}

// The rest of what an axis says, from its tiles.
Axis with_ranks(Axis axis) {
  for (const AxisTile& t : axis.tiles) {
    axis.products += info(t.scheme).points;
    const auto known =
        std::ranges::find(axis.schemes, info(t.scheme).family, [](Scheme s) { return info(s).family; });
    // db's weights are not the first of its family, d1 has them too.
    if (known == axis.schemes.end())
      axis.schemes.push_back(t.scheme == Scheme::db ? Scheme::d1 : t.scheme);
    else if (info(*known).filters() < info(t.scheme).filters())
      *known = t.scheme;
  }
  for (Scheme s : axis.schemes)
    for (int p = 0; p < info(s).filters(); ++p) axis.filters.push_back(filter_row(s, p));

  const std::size_t pitch = axis.tiles.size() + 1;
  axis.ranks.resize(axis.filters.size() * pitch);
  for (std::size_t i = 0; i < axis.tiles.size(); ++i) {
    const SchemeInfo s = info(axis.tiles[i].scheme);
    const int first = axis.first_filter(axis.tiles[i].scheme), last = first + s.filters();
    for (int f = 0; f < axis.filter_count(); ++f) {
      std::int64_t* rank = axis.ranks.data() + static_cast<std::size_t>(f) * pitch + i;
      rank[1] = rank[0] + (f < first || f >= last ? 0 : f == first ? s.repeats : 1);
    }
  }
  return axis;
}

}  // namespace

int Axis::first_filter(Scheme s) const {
  int filter = info(s).first_filter - info(s).family;
  for (Scheme other : schemes) {
    if (info(other).family == info(s).family) break;
    filter += info(other).filters();
  }
  return filter;
}

Axis cover(std::int64_t images, std::int64_t size, std::int64_t input_size, std::int64_t padding,
           std::int64_t dilation, int largest_tile) {
  Axis axis;
  for (std::int64_t image = 0; image < images; ++image)
    for (std::int64_t first = 0; first < std::min(size, dilation); ++first)
      cover_sub_grid(image, first, size, input_size, padding, dilation, largest_tile, axis.tiles);
  return with_ranks(std::move(axis));
}

Axis cover_doubled(std::int64_t images, std::int64_t size) {
  Axis axis;
  for (std::int64_t image = 0; image < images; ++image) cover_repeated(image, size, axis.tiles);
  return with_ranks(std::move(axis));
}

Axis cover_strided(std::int64_t images, std::int64_t size, std::int64_t padding) {
  constexpr std::int64_t largest = 3;
  Axis axis;
  for (std::int64_t image = 0; image < images; ++image)
    for (std::int64_t at = 0; at < size;) {
      const std::int64_t take = size - at < largest ? 1 : largest;
      const Scheme scheme = take == 1 ? Scheme::s1 : Scheme::s3;
      axis.tiles.push_back({scheme, image, 2 * at - padding, at, static_cast<int>(take)});
      at += take;
    }
  return with_ranks(std::move(axis));
}

}  // namespace atrous::winograd
