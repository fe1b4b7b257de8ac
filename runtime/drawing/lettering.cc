#include "runtime/drawing/lettering.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/visible_text.h"
#include "runtime/drawing/font.h"
#include "runtime/image/pillow_resize.h"

namespace atrous {

namespace {

constexpr Colour paper{255, 255, 255}, ink{34, 34, 38}, pale_ink{112, 112, 120}, outline{90, 90, 96};
constexpr std::string_view ellipsis = "\u2026";

void check_rgb(const Image& image, std::string_view what) {
  check(image, what);
  if (image.channels != 3)
    fail(ErrorCode::invalid_argument, what, ": expected 3 channels, found ", image.channels);
}

void check_scale(int scale) {
  if (scale < 1 || scale > max_picture_side)
    fail(ErrorCode::invalid_argument, "text: scale ", scale, " is outside 1..", max_picture_side);
}

void paste(Image& image, int x, int y, const Image& picture) {
  for (int row = 0; row < picture.height; ++row)
    std::copy_n(picture.row(row), picture.row_bytes(), image.row(y + row) + std::ptrdiff_t{x} * 3);
}

Image blank(int width, int height) {
  Image image = make_image(width, height, 3);
  fill_rectangle(image, 0, 0, width, height, paper);
  return image;
}

// Whether pixel (x, y) of the glyph magnified by `scale` is ink. Where two of its pixels touch at a corner
// only, both angles between them are filled, with legs of 7/10 of a pixel: a slanted stroke becomes as wide
// as an upright one.
bool is_ink(const Glyph& glyph, int x, int y, int scale) {
  const int column = x / scale, row = y / scale;
  if (glyph.at(column, row)) return true;
  const int from_left = x % scale, from_top = y % scale;
  for (const int dx : {-1, 1})
    for (const int dy : {-1, 1}) {
      const int distance =
          (dx < 0 ? from_left : scale - 1 - from_left) + (dy < 0 ? from_top : scale - 1 - from_top) + 1;
      if (10 * distance <= 7 * scale && glyph.at(column + dx, row) && glyph.at(column, row + dy) &&
          !glyph.at(column + dx, row + dy))
        return true;
    }
  return false;
}

// The position is wider than an int: a line may begin anywhere and be of any length.
void draw_glyph(Image& image, std::int64_t x, std::int64_t y, const Glyph& glyph, Colour colour, int scale) {
  const auto within = [](std::int64_t v, int size) {
    return static_cast<int>(std::clamp<std::int64_t>(v, 0, size));
  };
  // What lies in the picture, in the magnified glyph's own coordinates.
  const int width = glyph.width * scale, height = glyph_height * scale;
  const int left = within(-x, width), right = within(image.width - x, width);
  const int top = within(-y, height), bottom = within(image.height - y, height);
  for (int v = top; v < bottom; ++v)
    for (int u = left; u < right; ++u)
      if (is_ink(glyph, u, v, scale))
        std::ranges::copy(colour, image.row(static_cast<int>(y + v)) + (x + u) * 3);
}

// ---- legend

// Lengths in the font's own pixels.
constexpr int margin = 8, swatch = 9, swatch_gap = 5, value_gap = 6, column_gap = 16, row_gap = 4;
constexpr int longest_text = 200, longest_value = 80;  // about 35 and 14 letters

// The scale of letters on something of these sides.
int natural_scale(std::int64_t width, std::int64_t height) {
  return static_cast<int>(1 + (std::max(width, height) + 100) / 800);
}
// The least that long texts may bring it down to before they are shortened.
int least_scale(int natural) { return (natural + 1) / 2; }

// How wide a legend or a caption may be: narrow pictures give it more than their own width.
int room_beside(int width, int height) { return std::max({width, height / 3, 120}); }

struct Column {
  int text = 0, value = 0;  // widths of the widest of each, in pixels
  int width(int scale) const {
    return (swatch + swatch_gap) * scale + text + (value > 0 ? value_gap * scale + value : 0);
  }
};

struct Legend {
  int scale = 1;
  std::vector<LegendEntry> entries;  // as drawn: long texts shortened
  bool cramped = false;              // whether any was for want of room
  std::vector<Column> columns;
  int width = 0, height = 0;  // margins included; 0 without entries
};

std::vector<Column> in_columns(const std::vector<Column>& entries, int count) {
  std::vector<Column> columns(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Column& c = columns[i % columns.size()];
    c.text = std::max(c.text, entries[i].text);
    c.value = std::max(c.value, entries[i].value);
  }
  return columns;
}

int width_of(const std::vector<Column>& columns, int scale) {
  std::int64_t width = (2 * margin - column_gap) * scale;
  for (const Column& c : columns) width += c.width(scale) + column_gap * scale;
  return checked_cast<int>(width, "legend");
}

// As many columns as fit into the room, at least one; then as few as need no more rows.
std::vector<Column> choose_columns(const std::vector<Column>& entries, int room, int scale) {
  int count = static_cast<int>(std::min<std::size_t>(entries.size(), 256));
  std::vector<Column> columns = in_columns(entries, count);
  while (count > 1 && width_of(columns, scale) > room) columns = in_columns(entries, --count);
  const std::int64_t rows = divide_up(std::ssize(entries), count);
  std::vector<Column> even = in_columns(entries, static_cast<int>(divide_up(std::ssize(entries), rows)));
  return width_of(even, scale) <= room ? even : columns;
}

Legend lay_out(std::span<const LegendEntry> entries, int room, int scale) {
  Legend legend;
  legend.scale = scale;
  if (entries.empty()) return legend;
  legend.entries.assign(entries.begin(), entries.end());
  std::vector<Column> sizes(entries.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    auto& [colour, text, value] = legend.entries[i];
    value = shortened(value, longest_value * scale, scale);
    sizes[i].value = text_width(value, scale);
    const int text_room = room - 2 * margin * scale - sizes[i].width(scale);
    std::string cut = shortened(text, std::min(text_room, longest_text * scale), scale);
    legend.cramped = legend.cramped || (cut != text && text_room < longest_text * scale);
    text = std::move(cut);
    sizes[i].text = text_width(text, scale);
  }
  legend.columns = choose_columns(sizes, room, scale);
  legend.width = width_of(legend.columns, scale);
  const std::int64_t rows = divide_up(std::ssize(entries), std::ssize(legend.columns));
  const std::int64_t height = (rows * (glyph_height + row_gap) - row_gap + 2 * margin) * scale;
  legend.height = checked_cast<int>(height, "legend");
  return legend;
}

// For something of this width and height, at the largest scale that shortens no text and takes no more room
// than the picture.
Legend lay_out_below(int width, int height, std::span<const LegendEntry> entries, int natural) {
  const int room = room_beside(width, height), highest = std::max({height, width / 4});
  for (int scale = natural; scale > 1; --scale) {
    Legend legend = lay_out(entries, room, scale);
    if (legend.height <= highest && (!legend.cramped || scale <= least_scale(natural))) return legend;
  }
  return lay_out(entries, room, 1);
}

void draw_swatch(Image& image, int x, int y, Colour colour, int scale) {
  const int side = swatch * scale, line = std::max(1, scale / 2);
  fill_rectangle(image, x, y, side, side, outline);
  fill_rectangle(image, x + line, y + line, side - 2 * line, side - 2 * line, colour);
}

void draw_legend(Image& image, int top, const Legend& legend) {
  const int scale = legend.scale;
  int y = top + margin * scale;
  for (auto entry = legend.entries.begin(); entry != legend.entries.end();
       y += (glyph_height + row_gap) * scale) {
    int x = margin * scale;
    for (const Column& column : legend.columns) {
      if (entry == legend.entries.end()) break;
      draw_swatch(image, x, y + (glyph_height - swatch) / 2 * scale, entry->colour, scale);
      draw_text(image, x + (swatch + swatch_gap) * scale, y, entry->text, ink, scale);
      const int right = x + column.width(scale);
      draw_text(image, right - text_width(entry->value, scale), y, entry->value, pale_ink, scale);
      x = right + column_gap * scale;
      ++entry;
    }
  }
}

void check_side(std::int64_t width, std::int64_t height, std::string_view what) {
  for (const std::int64_t side : {width, height})
    if (side > max_picture_side)
      fail(ErrorCode::limit, what, ": ", width, "x", height, ", but a side is at most ", max_picture_side);
}

// ---- sheet

struct Sheet {
  int scale = 1;
  struct Cell {
    int x = 0, picture_width = 0;
    std::string caption;
  };
  std::vector<Cell> cells;
  Legend legend;
  std::int64_t width = 0, height = 0;  // of all

  int captions_top() const { return (margin - 2) * scale; }  // rows for accents make up for the rest
  int pictures_top() const { return captions_top() + (glyph_height + 2) * scale; }
};

std::int64_t width_at(const Image& picture, int height) {
  const std::int64_t twice = 2 * std::int64_t{picture.width} * height + picture.height;
  return std::max<std::int64_t>(1, twice / (2 * std::int64_t{picture.height}));
}

// The panels alone, all at this height: whether they keep to what sheet() promises of its size.
bool panels_fit(std::span<const Panel> panels, int height) {
  std::int64_t width = 0, pixels = 0;
  bool same = true;
  for (const Panel& p : panels) {
    width += width_at(p.picture, height);
    pixels += std::int64_t{p.picture.width} * p.picture.height;
    same = same && p.picture.height == height;
  }
  return std::max<std::int64_t>(width, height) <= max_picture_side && (same || width * height <= 4 * pixels);
}

Sheet lay_out_sheet(std::span<const Panel> panels, std::span<const LegendEntry> entries, int height) {
  Sheet s;
  s.cells.resize(panels.size());
  std::int64_t all = 0;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    s.cells[i].picture_width = static_cast<int>(width_at(panels[i].picture, height));
    all += s.cells[i].picture_width;
  }
  const int natural = natural_scale(all, height);
  const auto captions_fit = [&](int scale) {
    for (std::size_t i = 0; i < panels.size(); ++i)
      if (text_width(panels[i].caption, scale) > room_beside(s.cells[i].picture_width, height)) return false;
    return true;
  };
  s.scale = natural;
  while (s.scale > least_scale(natural) && !captions_fit(s.scale)) --s.scale;
  std::int64_t x = margin * s.scale;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    Sheet::Cell& cell = s.cells[i];
    cell.x = checked_cast<int>(x, "sheet");
    cell.caption = shortened(panels[i].caption, room_beside(cell.picture_width, height), s.scale);
    x += std::max(cell.picture_width, text_width(cell.caption, s.scale)) + margin * s.scale;
  }
  s.legend = lay_out_below(checked_cast<int>(x, "sheet"), height, entries, s.scale);
  s.width = std::max<std::int64_t>(x, s.legend.width);
  s.height = std::int64_t{s.pictures_top()} + height + (entries.empty() ? margin * s.scale : s.legend.height);
  return s;
}

}  // namespace

void fill_rectangle(Image& image, int x, int y, int width, int height, const Colour& colour) try {
  const int left = std::max(x, 0), right = std::min(x + width, image.width);
  for (int row = std::max(y, 0); row < std::min(y + height, image.height); ++row)
    for (int column = left; column < right; ++column)
      std::ranges::copy(colour, image.row(row) + std::ptrdiff_t{column} * 3);
} catch (...) {
  rethrow_as_error();
}

int text_height(int scale) try {
  check_scale(scale);
  return glyph_height * scale;
} catch (...) {
  rethrow_as_error();
}

int text_width(std::string_view text, int scale) try {
  check_scale(scale);
  std::int64_t width = 0;
  while (!text.empty()) width += glyph_of(next_code_point(text)).width + (text.empty() ? 0 : 1);
  return checked_cast<int>(width * scale, "text");
} catch (...) {
  rethrow_as_error();
}

std::string shortened(std::string_view text, int width, int scale) try {
  check_scale(scale);
  const int dots = text_width(ellipsis);
  std::int64_t taken = 0;
  std::size_t cut = 0;  // how many bytes leave room for the dots
  for (std::string_view rest = text; !rest.empty();) {
    taken += glyph_of(next_code_point(rest)).width;
    if (taken * scale > width)
      return dots * scale > width ? std::string() : std::string(text.substr(0, cut)).append(ellipsis);
    ++taken;
    if ((taken + dots) * scale <= width) cut = text.size() - rest.size();
  }
  return std::string(text);
} catch (...) {
  rethrow_as_error();
}

void draw_text(Image& image, int x, int y, std::string_view text, Colour colour, int scale) try {
  check_rgb(image, "text");
  check_scale(scale);
  std::int64_t left = x;
  while (!text.empty() && left < image.width) {
    const Glyph glyph = glyph_of(next_code_point(text));
    draw_glyph(image, left, y, glyph, colour, scale);
    left += std::int64_t{glyph.width + 1} * scale;
  }
} catch (...) {
  rethrow_as_error();
}

std::vector<LegendEntry> legend_of(const std::vector<ClassShare>& shares,
                                   const std::vector<std::string>& classes, const Palette& palette) try {
  std::vector<LegendEntry> entries;
  for (const ClassShare& c : shares) {
    if (c.index < 0 || std::cmp_greater_equal(c.index, std::min(classes.size(), palette.size())))
      fail(ErrorCode::invalid_argument, "legend: class ", c.index, ", but there are ", classes.size(),
           " names and ", palette.size(), " colours");
    const auto index = static_cast<std::size_t>(c.index);
    const long tenths = std::lround(1000 * c.share);
    std::string percent = tenths > 0 ? str_cat(tenths / 10, ".", tenths % 10, "%") : "<0.1%";
    entries.push_back({palette[index], classes[index], std::move(percent)});
  }
  return entries;
} catch (...) {
  rethrow_as_error();
}

Image with_legend(const Image& picture, std::span<const LegendEntry> entries) try {
  check_rgb(picture, "legend");
  if (entries.empty()) return picture;
  check_side(picture.width, picture.height, "picture for a legend");
  const int natural = natural_scale(picture.width, picture.height);
  const Legend legend = lay_out_below(picture.width, picture.height, entries, natural);
  const int width = std::max(picture.width, legend.width);
  const std::int64_t height = std::int64_t{picture.height} + legend.height;
  check_side(width, height, "picture with legend");
  Image out = blank(width, static_cast<int>(height));
  paste(out, 0, 0, picture);
  draw_legend(out, picture.height, legend);
  return out;
} catch (...) {
  rethrow_as_error();
}

Image grid(std::span<const Image> pictures, int columns) try {
  if (pictures.empty() || columns < 1)
    fail(ErrorCode::invalid_argument, "grid: expected pictures and columns, found ", pictures.size(), " and ",
         columns);
  constexpr std::int64_t gap = 2;
  const auto count = static_cast<std::int64_t>(pictures.size());
  const std::int64_t across = std::min<std::int64_t>(columns, count), down = divide_up(count, across);
  std::int64_t width = 0, height = 0;  // of a cell
  for (const Image& picture : pictures) {
    check_rgb(picture, "grid");
    width = std::max<std::int64_t>(width, picture.width);
    height = std::max<std::int64_t>(height, picture.height);
  }
  const std::int64_t all_width = across * (width + gap) - gap, all_height = down * (height + gap) - gap;
  check_side(all_width, all_height, "grid");
  Image out = blank(static_cast<int>(all_width), static_cast<int>(all_height));
  for (std::int64_t i = 0; i < count; ++i)
    paste(out, static_cast<int>(i % across * (width + gap)), static_cast<int>(i / across * (height + gap)),
          pictures[static_cast<std::size_t>(i)]);
  return out;
} catch (...) {
  rethrow_as_error();
}

Image captioned_grid(std::string_view title, std::span<const Panel> panels, int columns) try {
  if (panels.empty() || columns < 1)
    fail(ErrorCode::invalid_argument, "grid: expected panels and columns, found ", panels.size(), " and ",
         columns);
  int cell_width = 1, cell_height = 1;
  for (const Panel& p : panels) {
    check_rgb(p.picture, "grid");
    cell_width = std::max(cell_width, p.picture.width);
    cell_height = std::max(cell_height, p.picture.height);
  }
  const auto count = static_cast<std::int64_t>(panels.size());
  const std::int64_t across = std::min<std::int64_t>(columns, count), down = divide_up(count, across);
  check_side(across * cell_width, down * cell_height, "grid");
  int scale = natural_scale(across * cell_width, down * cell_height);
  const auto captions_fit = [&] {
    return std::ranges::all_of(panels,
                               [&](const Panel& p) { return text_width(p.caption, scale) <= cell_width; });
  };
  while (scale > 1 && (!captions_fit() || text_width(title, scale) > across * cell_width)) --scale;
  const int gap = margin * scale, line = (glyph_height + 2) * scale;
  const std::int64_t width = across * (cell_width + gap) + gap,
                     height = line + down * (cell_height + line + gap) + gap;
  check_side(width, height, "grid");
  Image out = blank(static_cast<int>(width), static_cast<int>(height));
  draw_text(out, gap, gap / 2, shortened(title, out.width - 2 * gap, scale), ink, scale);
  for (std::int64_t i = 0; i < count; ++i) {
    const Panel& panel = panels[static_cast<std::size_t>(i)];
    const int x = gap + static_cast<int>(i % across) * (cell_width + gap),
              y = gap + line + static_cast<int>(i / across) * (cell_height + line + gap);
    draw_text(out, x, y, shortened(panel.caption, cell_width, scale), ink, scale);
    paste(out, x, y + line, panel.picture);
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

Image sheet(std::span<const Panel> panels, std::span<const LegendEntry> entries) try {
  if (panels.empty()) fail(ErrorCode::invalid_argument, "sheet: no panels");
  int height = 1;
  for (const Panel& p : panels) {
    check_rgb(p.picture, "sheet");
    height = std::max(height, p.picture.height);
  }
  const auto smaller = [](int h) { return h - std::max(1, h / 16); };
  while (height > 1 && !panels_fit(panels, height)) height = smaller(height);
  if (!panels_fit(panels, height))
    fail(ErrorCode::limit, "sheet: ", panels.size(), " panels, but a side is at most ", max_picture_side);
  Sheet s = lay_out_sheet(panels, entries, height);
  while (height > 1 && std::max(s.width, s.height) > max_picture_side)
    s = lay_out_sheet(panels, entries, height = smaller(height));
  check_side(s.width, s.height, "sheet");
  Image out = blank(static_cast<int>(s.width), static_cast<int>(s.height));
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const Sheet::Cell& cell = s.cells[i];
    draw_text(out, cell.x, s.captions_top(), cell.caption, ink, s.scale);
    paste(out, cell.x, s.pictures_top(), resize_bilinear(panels[i].picture, cell.picture_width, height));
  }
  draw_legend(out, s.pictures_top() + height, s.legend);
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
