#include "layers/cpu/conv/winograd_tiles.h"

#include <algorithm>

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

}  // namespace

int Axis::first_point(Scheme s) const {
  int point = 0;
  for (Scheme other : schemes) {
    if (info(other).first_point == info(s).first_point) break;
    point += info(other).points;
  }
  return point;
}

Axis cover(std::int64_t images, std::int64_t size, std::int64_t input_size, std::int64_t padding,
           std::int64_t dilation, int largest_tile) {
  Axis axis;
  for (std::int64_t image = 0; image < images; ++image)
    for (std::int64_t first = 0; first < std::min(size, dilation); ++first)
      cover_sub_grid(image, first, size, input_size, padding, dilation, largest_tile, axis.tiles);

  for (const AxisTile& t : axis.tiles) {
    axis.products += info(t.scheme).points;
    const auto family = std::ranges::find(axis.schemes, info(t.scheme).first_point,
                                          [](Scheme s) { return info(s).first_point; });
    if (family == axis.schemes.end())
      axis.schemes.push_back(t.scheme);
    else if (info(*family).points < info(t.scheme).points)
      *family = t.scheme;
  }
  for (Scheme s : axis.schemes) {
    axis.points += info(s).points;
    for (int p = 0; p < info(s).points; ++p) axis.filters.push_back(filter_row(s, p));
  }

  const std::size_t pitch = axis.tiles.size() + 1;
  axis.ranks.resize(static_cast<std::size_t>(axis.points) * pitch);
  for (std::size_t i = 0; i < axis.tiles.size(); ++i) {
    const Scheme s = axis.tiles[i].scheme;
    const int first = axis.first_point(s), last = first + info(s).points;
    for (int p = 0; p < axis.points; ++p) {
      std::int64_t* rank = axis.ranks.data() + static_cast<std::size_t>(p) * pitch + i;
      rank[1] = rank[0] + (p >= first && p < last ? 1 : 0);
    }
  }
  return axis;
}

}  // namespace atrous::winograd
