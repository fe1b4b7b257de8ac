#include "runtime/instances/coco_mask.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr std::int64_t fine = 5;    // fine pixels to a pixel
constexpr std::int64_t middle = 2;  // the fine column that a crossing starts from
constexpr std::size_t crossing_limit = std::size_t{1} << 22;
constexpr std::int64_t run_limit = std::int64_t{1} << 31;

std::int64_t divide_down(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }
std::int64_t divide_upward(std::int64_t a, std::int64_t b) { return -divide_down(-a, b); }

struct Point {
  std::int64_t x, y;
};

// A line in fine pixels, its longer axis ascending: the other coordinate after t steps. In double and in
// this order, since rounding decides where halves go.
struct Line {
  std::int64_t start;
  double slope;
  std::int64_t at(std::int64_t t) const {
    return static_cast<std::int64_t>(static_cast<double>(start) + slope * static_cast<double>(t) + 0.5);
  }
};

// Collects where a polygon's outline crosses the middles of columns.
struct Crossings {
  int width, height;
  std::vector<std::uint32_t> pixels;

  void add(std::int64_t column, std::int64_t fine_row) {
    if (pixels.size() == crossing_limit)
      fail(ErrorCode::limit, "a polygon crosses more than ", crossing_limit, " columns in all");
    const std::int64_t row = std::clamp<std::int64_t>(divide_upward(fine_row - middle, fine), 0, height);
    pixels.push_back(static_cast<std::uint32_t>(column * height + row));
  }

  // The columns whose middle lies between two fine columns low < high.
  std::pair<std::int64_t, std::int64_t> columns(std::int64_t low, std::int64_t high) const {
    return {std::max<std::int64_t>(0, divide_upward(low - middle, fine)),
            std::min<std::int64_t>(width - 1, divide_down(high - 1 - middle, fine))};
  }

  void flat(Point a, Point b) {
    const Line line{a.y, static_cast<double>(b.y - a.y) / static_cast<double>(b.x - a.x)};
    const auto [first, last] = columns(a.x, b.x);
    for (std::int64_t column = first; column <= last; ++column) {
      const std::int64_t t = column * fine + middle - a.x;
      add(column, std::min(line.at(t), line.at(t + 1)));
    }
  }

  void steep(Point a, Point b) {
    const std::int64_t steps = b.y - a.y;
    const Line line{a.x, static_cast<double>(b.x - a.x) / static_cast<double>(steps)};
    const bool rising = b.x > a.x;
    const std::int64_t begin = line.at(0), end = line.at(steps);
    const auto [first, last] = columns(std::min(begin, end), std::max(begin, end));
    for (std::int64_t column = first; column <= last; ++column) {
      const std::int64_t edge = column * fine + middle;
      // The first step on the other side; a line never turns back.
      std::int64_t before = 0, after = steps;
      while (after - before > 1) {
        const std::int64_t t = before + (after - before) / 2;
        ((line.at(t) > edge) == rising ? after : before) = t;
      }
      add(column, a.y + before);
    }
  }

  void line(Point a, Point b) {
    const std::int64_t dx = std::abs(b.x - a.x), dy = std::abs(b.y - a.y);
    if (dx == 0) return;
    if (dx >= dy ? a.x > b.x : a.y > b.y) std::swap(a, b);
    if (dx >= dy)
      flat(a, b);
    else
      steep(a, b);
  }
};

}  // namespace

std::vector<std::int32_t> coco_fifths(std::span<const double> corners) {
  std::vector<std::int32_t> out;
  out.reserve(corners.size());
  for (const double c : corners) {
    if (!(std::abs(c) <= coco_coordinate_limit))
      fail(ErrorCode::limit, "the coordinate ", c, " is beyond ", coco_coordinate_limit);
    out.push_back(static_cast<std::int32_t>(static_cast<double>(fine) * c + 0.5));
  }
  return out;
}

std::size_t add_coco_polygon(std::vector<CocoSpan>& spans, std::span<const std::int32_t> corners, int width,
                             int height) {
  Crossings crossings{width, height, {}};
  const std::size_t count = corners.size() / 2;
  const auto corner = [corners](std::size_t i) { return Point{corners[2 * i], corners[2 * i + 1]}; };
  for (std::size_t i = 0; i < count; ++i) crossings.line(corner(i), corner((i + 1) % count));
  std::vector<std::uint32_t>& pixels = crossings.pixels;
  std::ranges::sort(pixels);
  // Every column's middle is crossed an even number of times: the outline is closed.
  for (std::size_t i = 0; i + 1 < pixels.size(); i += 2)
    if (pixels[i] < pixels[i + 1]) spans.push_back({pixels[i], pixels[i + 1]});
  return pixels.size();
}

void add_coco_runs(std::vector<CocoSpan>& spans, std::span<const std::uint32_t> runs, int width, int height) {
  const std::int64_t pixels = std::int64_t{width} * height;
  std::int64_t end = 0;
  bool inside = false;
  for (const std::uint32_t run : runs) {
    const std::int64_t begin = end;
    end += run;
    if (end > pixels) break;
    if (inside && run > 0)
      spans.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
    inside = !inside;
  }
  if (end != pixels)
    fail(ErrorCode::malformed, "the runs of a mask add up to ", end > pixels ? "more" : "less", " than ",
         width, "x", height, " pixels");
}

void merge_coco_spans(std::vector<CocoSpan>& spans) {
  std::ranges::sort(spans, {}, &CocoSpan::begin);
  std::size_t kept = 0;
  for (const CocoSpan& span : spans) {
    if (kept > 0 && span.begin <= spans[kept - 1].end)
      spans[kept - 1].end = std::max(spans[kept - 1].end, span.end);
    else
      spans[kept++] = span;
  }
  spans.resize(kept);
}

void CocoWork::take(std::uint64_t pixels) {
  if (pixels > left) fail(ErrorCode::limit, "the instances up to this one are too large and too many");
  left -= pixels;
}

std::vector<CocoSpan> coco_spans(const CocoMask& mask, int width, int height, CocoWork& work) {
  constexpr std::uint64_t crossing_work = 256;  // sorting a crossing costs more than painting a pixel
  std::vector<CocoSpan> spans;
  if (!mask.polygons.empty()) {
    for (const std::vector<std::int32_t>& polygon : mask.polygons)
      work.take(crossing_work * add_coco_polygon(spans, polygon, width, height));
  } else {
    if (mask.width != width || mask.height != height)
      fail(ErrorCode::malformed, "its mask is ", mask.width, "x", mask.height, ", the image ", width, "x",
           height);
    add_coco_runs(spans, mask.runs, width, height);
  }
  merge_coco_spans(spans);
  return spans;
}

std::uint64_t coco_area(std::span<const CocoSpan> spans) {
  std::uint64_t area = 0;
  for (const CocoSpan& span : spans) area += span.end - span.begin;
  return area;
}

std::uint64_t coco_intersection(std::span<const CocoSpan> a, std::span<const CocoSpan> b) {
  std::uint64_t area = 0;
  for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    const std::uint32_t begin = std::max(a[i].begin, b[k].begin), end = std::min(a[i].end, b[k].end);
    if (begin < end) area += end - begin;
    ++(a[i].end < b[k].end ? i : k);
  }
  return area;
}

CocoBox coco_box_around(std::span<const CocoSpan> spans, int height) {
  if (spans.empty()) return {};
  const auto rows = static_cast<std::uint32_t>(height);
  std::uint32_t top = rows - 1, bottom = 0;
  for (const CocoSpan& span : spans) {
    const bool several = span.begin / rows != (span.end - 1) / rows;  // columns
    top = std::min(top, several ? 0 : span.begin % rows);
    bottom = std::max(bottom, several ? rows - 1 : (span.end - 1) % rows);
  }
  const std::uint32_t left = spans.front().begin / rows, right = (spans.back().end - 1) / rows;
  return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(right - left + 1),
          static_cast<double>(bottom - top + 1)};
}

std::vector<double> coco_box_corners(const CocoBox& box) {
  const double left = box[0], right = box[0] + box[2], top = box[1], bottom = box[1] + box[3];
  return {left, top, left, bottom, right, bottom, right, top};
}

std::vector<std::uint32_t> coco_runs(std::span<const CocoSpan> spans, std::uint32_t pixels) {
  std::vector<std::uint32_t> runs;
  std::uint32_t reached = 0;
  for (const CocoSpan& span : spans) {
    runs.push_back(span.begin - reached);
    runs.push_back(span.end - span.begin);
    reached = span.end;
  }
  if (reached < pixels || runs.empty()) runs.push_back(pixels - reached);
  return runs;
}

std::vector<std::uint32_t> decode_coco_runs(std::string_view text) {
  constexpr int group = 5, group_limit = 7;  // 35 bits
  std::vector<std::uint32_t> runs;
  for (std::size_t i = 0; i < text.size();) {
    std::int64_t value = 0;
    bool more = true;
    for (int groups = 0; more; ++groups, ++i) {
      if (i == text.size() || groups == group_limit || text[i] < '0' || text[i] > '0' + 63)
        fail(ErrorCode::malformed, "the compressed runs of a mask are damaged at character ", i);
      const std::int64_t bits = text[i] - '0';
      value |= (bits & 31) << (group * groups);
      more = (bits & 32) != 0;
      if (!more && (bits & 16) != 0) value -= std::int64_t{1} << (group * (groups + 1));
    }
    if (runs.size() > 2) value += runs[runs.size() - 2];
    if (value < 0 || value > run_limit)
      fail(ErrorCode::malformed, "the compressed runs of a mask have one of ", value, " pixels");
    runs.push_back(static_cast<std::uint32_t>(value));
  }
  return runs;
}

std::string encode_coco_runs(std::span<const std::uint32_t> runs) {
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::int64_t value = runs[i];
    if (i > 2) value -= runs[i - 2];
    for (bool more = true; more;) {
      const std::int64_t bits = value & 31;
      value >>= 5;
      // The last group's highest bit is the sign of the whole.
      more = value != ((bits & 16) != 0 ? -1 : 0);
      text += static_cast<char>('0' + (bits | (more ? 32 : 0)));
    }
  }
  return text;
}

}  // namespace atrous
