#include "runtime/tiles/tiled.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "layers/base/checked.h"
#include "layers/cpu/maps/upsample_argmax.h"
#include "layers/cpu/parallel.h"
#include "layers/ops/resize.h"
#include "runtime/engine/program.h"
#include "runtime/engine/set_aside.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/image/pillow_resize.h"

namespace atrous {

namespace {

// Rows that a sink gets at once, and with their logits.
constexpr int band_rows = 64, band_rows_with_logits = 16;

// How far pixel i of a tile is from the tile's edge, which is what its logits weigh.
float weight(int i, int tile, int overlap) {
  return static_cast<float>(std::min({i + 1, tile - i, overlap + 1}));
}

// The tiles along one side of a picture.
struct Side {
  int size, tile, overlap;
  std::vector<int> starts;
  std::vector<float> sums;  // of each pixel, the weights of the tiles on it

  Side(const Tiling& tiling, int pixels)
      : size(pixels),
        tile(std::min(tiling.tile, pixels)),
        overlap(tiling.overlap),
        starts(tile_starts(tiling, pixels)),
        sums(static_cast<std::size_t>(pixels)) {
    for (const int start : starts)
      for (int i = 0; i < tile; ++i) sums[static_cast<std::size_t>(start + i)] += weight(i, tile, overlap);
  }
  // 1 where the tile is alone.
  float share(int start, int pixel) const {
    return weight(pixel - start, tile, overlap) / sums[static_cast<std::size_t>(pixel)];
  }
};

// A picture's tiles, a row of them after the other.
class Tiles {
 public:
  Tiles(Session& session, const Model& model, const RowSource& source, const Tiling& tiling,
        const std::string& output)
      : rows_(tiling, source.height),
        columns_(tiling, source.width),
        session_(session),
        model_(model),
        source_(source),
        output_(output),
        pixels_(make_image(source.width, rows_.tile, 3)),
        tile_(make_image(columns_.tile, rows_.tile, 3)),
        row_taps_(static_cast<std::size_t>(rows_.tile)),
        column_taps_(static_cast<std::size_t>(columns_.tile)) {}

  // The network on the next row of tiles; false where there is none. Afterwards rows first() to end() - 1 of
  // the picture have all the tiles that they will have.
  bool next() {
    if (next_ == rows_.starts.size()) return false;
    Stopwatch watch;
    const int start = rows_.starts[next_++];
    read_rows(start);
    run_.prepare_seconds += watch.lap();
    while (!kept_.empty() && kept_.front().start + rows_.tile <= start) kept_.pop_front();
    TileRow& row = kept_.emplace_back(TileRow{start});
    for (const int x : columns_.starts) row.low.push_back(logits_of(x));
    run_.tiles += std::ssize(row.low);
    run_.network_seconds += watch.lap();
    return true;
  }
  int first() const { return kept_.back().start; }
  int end() const { return next_ == rows_.starts.size() ? rows_.size : rows_.starts[next_]; }

  // What a thread works in for row(): floats.
  std::int64_t channels() const { return kept_.back().low.front().shape().c; }
  std::int64_t scratch_floats() const { return kept_.back().low.front().shape().w * channels(); }

  const std::uint8_t* photo_row(int y) const { return pixels_.row(y - top_); }

  // The logits of picture row y, [width][channels].
  void row(int y, float* scratch, float* to) const {
    std::fill_n(to, columns_.size * channels(), 0.f);
    for (const TileRow& tiles : kept_) {
      if (y < tiles.start || y >= tiles.start + rows_.tile) continue;
      const ResizeTap& tap = row_taps_[static_cast<std::size_t>(y - tiles.start)];
      const float share = rows_.share(tiles.start, y);
      for (std::size_t i = 0; i < tiles.low.size(); ++i) {
        blend(tiles.low[i], tap, share, scratch);
        add(scratch, columns_.starts[i], channels(), to);
      }
    }
  }

  TiledRun run() const {
    TiledRun run = run_;
    run.input_height = tile_.height;
    run.input_width = tile_.width;
    return run;
  }

 private:
  struct TileRow {
    int start = 0;
    std::vector<Tensor> low = {};
  };

  // Picture rows from `top` on, as many as a tile has.
  void read_rows(int top) {
    const std::size_t bytes = pixels_.row_bytes();
    const auto kept = static_cast<std::size_t>(std::max(0, top_ + read_ - top));
    std::copy_n(pixels_.pixels.end() - static_cast<std::ptrdiff_t>(kept * bytes), kept * bytes,
                pixels_.pixels.begin());
    source_.read(std::span(pixels_.pixels).subspan(kept * bytes));
    top_ = top;
    read_ = rows_.tile;
  }

  // The session keeps them until its next run only.
  Tensor logits_of(int x) {
    for (int y = 0; y < tile_.height; ++y)
      std::copy_n(pixels_.row(y) + 3 * x, tile_.row_bytes(), tile_.row(y));
    session_.run(tile_, model_.preparation);
    session_.check_finite(0, output_);
    const ConstView low = image_of(session_.output(output_), 0);
    Tensor kept(low.shape);
    for (std::int64_t p = 0; p < low.shape.pixels(); ++p)
      std::copy_n(low.data + p * low.pitch, low.shape.c, kept.data() + p * low.shape.c);
    const Growth growth = session_.growth(tile_.height, tile_.width);
    const Resize bilinear{.mode = ResizeMode::bilinear, .align_corners = growth.align_corners};
    resize_taps(bilinear, low.shape.h, growth.out_h, row_taps_);
    resize_taps(bilinear, low.shape.w, growth.out_w, column_taps_);
    return kept;
  }

  static void blend(const Tensor& low, const ResizeTap& tap, float share, float* to) {
    const float *top = low.view().pixel(0, tap.low, 0), *bottom = low.view().pixel(0, tap.high, 0);
    const std::int64_t count = low.shape().w * low.shape().c;
    for (std::int64_t i = 0; i < count; ++i) to[i] = share * ((1.f - tap.f) * top[i] + tap.f * bottom[i]);
  }
  void add(const float* row, int start, std::int64_t channels, float* to) const {
    for (int i = 0; i < columns_.tile; ++i) {
      const ResizeTap& tap = column_taps_[static_cast<std::size_t>(i)];
      const float share = columns_.share(start, start + i);
      const float *low = row + tap.low * channels, *high = row + tap.high * channels;
      float* pixel = to + (start + i) * channels;
      for (std::int64_t c = 0; c < channels; ++c)
        pixel[c] += share * ((1.f - tap.f) * low[c] + tap.f * high[c]);
    }
  }

  const Side rows_, columns_;
  Session& session_;
  const Model& model_;
  const RowSource& source_;
  const std::string& output_;
  Image pixels_, tile_;  // the picture's rows that the row of tiles lies on, and one of these
  int top_ = 0, read_ = 0;
  std::vector<ResizeTap> row_taps_, column_taps_;  // of every tile
  std::deque<TileRow> kept_;
  std::size_t next_ = 0;
  TiledRun run_;
};

// What the threads work in while rows are made.
class RowScratch {
 public:
  RowScratch(const Tiles& tiles, int width, int threads)
      : logits_(round_up(width * tiles.channels(), 16)), scratch_(round_up(tiles.scratch_floats(), 16)) {
    labels_ =
        round_up(static_cast<std::int64_t>(upsample_argmax_workspace(tiles.channels(), 1, width, 1)), 64);
    const std::int64_t bytes = (logits_ + scratch_) * static_cast<std::int64_t>(sizeof(float)) + labels_;
    each_ = static_cast<std::size_t>(bytes);
    memory_ = Buffer(checked_multiply(each_, static_cast<std::size_t>(threads), "tiles"));
  }
  float* logits(int thread) { return reinterpret_cast<float*>(begin(thread)); }
  float* scratch(int thread) { return logits(thread) + logits_; }
  std::span<std::byte> workspace(int thread) {
    return {reinterpret_cast<std::byte*>(scratch(thread) + scratch_), static_cast<std::size_t>(labels_)};
  }

 private:
  std::byte* begin(int thread) { return memory_.data() + static_cast<std::size_t>(thread) * each_; }

  std::int64_t logits_, scratch_, labels_ = 0;
  std::size_t each_ = 0;
  Buffer memory_;
};

void check_photo(const Image& photo) {
  check(photo, "photo");
  if (photo.channels != 3)
    fail(ErrorCode::invalid_argument, "photo: expected 3 channels, found ", photo.channels);
}

void check_source(const RowSource& source) {
  if (source.width < 1 || source.height < 1)
    fail(ErrorCode::invalid_argument, "rows: ", source.width, "x", source.height, " has no pixels");
}

// A picture that one tile holds.
TiledRun segment_whole(Session& session, const Model& model, const Image& photo, const TiledOptions& options,
                       const std::function<void(const LabelRows&)>& sink) {
  Stopwatch watch;
  session.run(photo, model.preparation);
  TiledRun run{.input_height = photo.height, .input_width = photo.width, .tiles = 1};
  run.network_seconds = watch.lap();
  std::vector<float> confidence;
  const LabelMap labels =
      label(session, 0, photo.height, photo.width, options.confidence ? &confidence : nullptr, options.output,
            threshold_logit(model, options.threshold));
  run.label_seconds = watch.lap();
  Tensor logits;
  if (options.logits)
    logits = full_logits(session, model, 0, photo.height, photo.width, Upsampling::bilinear, options.output);
  call_host(sink, LabelRows{0, photo, labels, confidence, logits.view()});
  return run;
}

Image whole(const RowSource& source) {
  Image photo = make_image(source.width, source.height, 3);
  source.read(photo.pixels);
  return photo;
}

}  // namespace

void check(const Tiling& t) try {
  if (t.tile < 1 || t.tile > max_picture_side)
    fail(ErrorCode::invalid_argument, "tiles of ", t.tile, " pixels: expected 1 to ", max_picture_side);
  if (t.overlap < 0 || t.overlap >= t.tile)
    fail(ErrorCode::invalid_argument, "an overlap of ", t.overlap, " pixels: expected 0 to ", t.tile - 1,
         ", less than the tile's ", t.tile);
} catch (...) {
  rethrow_as_error();
}

std::string in_words(const Tiling& t) try {
  return str_cat("tiles of ", t.tile, " pixels that share ", t.overlap, ", blended");
} catch (...) {
  rethrow_as_error();
}

std::vector<int> tile_starts(const Tiling& t, int size) try {
  check(t);
  const int last = std::max(0, size - t.tile);
  std::vector<int> starts;
  for (int start = 0; start < last; start += t.tile - t.overlap) starts.push_back(start);
  starts.push_back(last);
  return starts;
} catch (...) {
  rethrow_as_error();
}

std::size_t tiled_bytes(const Model& model, const Tiling& t, int width, int height, int threads,
                        bool logits) try {
  check(t);
  const std::string_view what = "tiles";
  const std::int64_t channels = model.logits(), stride = model.output_stride;
  const std::int64_t w = std::min(t.tile, width), h = std::min(t.tile, height), step = t.tile - t.overlap;
  const std::int64_t columns = (width - w + step - 1) / step + 1,
                     rows = std::min((height - h + step - 1) / step + 1, (h - 1) / step + 2);
  // Networks pad their input: two more of the low-resolution map.
  const std::int64_t low =
      checked_product({columns, rows, w / stride + 2, h / stride + 2, channels, sizeof(float)}, what);
  const std::int64_t pixels = checked_product({width + w, h, 3}, what),
                     band = checked_product({band_rows, width, 3 + 1 + sizeof(float)}, what);
  // The row itself, and twice widened beside the results of labelling.
  const std::int64_t of_band = logits ? band_rows_with_logits * channels : 0;
  const std::int64_t row =
      checked_product({width, (3 * channels + 8) * threads + of_band, sizeof(float)}, what);
  return static_cast<std::size_t>(
      checked_add(checked_add(low, pixels, what), checked_add(band, row, what), what));
} catch (...) {
  rethrow_as_error();
}

TiledRun segment_tiled(Session& session, const Model& model, const RowSource& source,
                       const TiledOptions& options, const std::function<void(const LabelRows&)>& sink) try {
  check_runs(session, model);
  check(options.tiling);
  check_source(source);
  const float threshold = threshold_logit(model, options.threshold);
  if (fits_one_tile(options.tiling, source.width, source.height))
    return segment_whole(session, model, whole(source), options, sink);
  const int threads = session.threads(), width = source.width;
  const SetAside aside(session,
                       tiled_bytes(model, options.tiling, width, source.height, threads, options.logits));
  Tiles tiles(session, model, source, options.tiling, options.output);
  double label_seconds = 0;
  const int most_rows = options.logits ? band_rows_with_logits : band_rows;
  Tensor band;
  while (tiles.next()) {
    RowScratch scratch(tiles, width, threads);
    if (options.logits && band.values().empty()) band = Tensor({1, most_rows, width, tiles.channels()});
    for (int y = tiles.first(); y < tiles.end(); y += most_rows) {
      Stopwatch watch;
      const int rows = std::min(most_rows, tiles.end() - y);
      Image photo = make_image(width, rows, 3);
      std::copy_n(tiles.photo_row(y), photo.pixels.size(), photo.pixels.data());
      LabelMap labels{width, rows, std::vector<std::uint8_t>(photo.pixels.size() / 3)};
      std::vector<float> confidence(options.confidence ? labels.labels.size() : 0);
      parallel_tasks(threads, rows, [&](std::int64_t row, int thread) {
        const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
        const auto part = [&](auto& all) {
          return std::span(all).subspan(at, static_cast<std::size_t>(width));
        };
        float* const logits = options.logits ? band.view().pixel(0, row, 0) : scratch.logits(thread);
        tiles.row(y + static_cast<int>(row), scratch.scratch(thread), logits);
        upsample_argmax(session.program().isa,
                        {.logits = {logits, {1, 1, width, tiles.channels()}, tiles.channels()},
                         .height = 1,
                         .width = width,
                         .labels = part(labels.labels),
                         .confidence = options.confidence ? part(confidence) : std::span<float>(),
                         .workspace = scratch.workspace(thread),
                         .threads = 1,
                         .threshold = threshold});
      });
      label_seconds += watch.lap();
      ConstView logits;
      if (options.logits) logits = {band.data(), {1, rows, width, tiles.channels()}, tiles.channels()};
      call_host(sink, LabelRows{y, photo, labels, confidence, logits});
    }
  }
  TiledRun run = tiles.run();
  run.label_seconds = label_seconds;
  return run;
} catch (...) {
  rethrow_as_error();
}

Segmentation segment_tiled(Session& session, const Model& model, const Image& photo,
                           const TiledOptions& options) try {
  check_photo(photo);
  Segmentation all;
  all.labels = {photo.width, photo.height, {}};
  const TiledRun run = segment_tiled(session, model, rows_of(photo), options, [&](const LabelRows& rows) {
    all.labels.labels.insert(all.labels.labels.end(), rows.labels.labels.begin(), rows.labels.labels.end());
    all.confidence.insert(all.confidence.end(), rows.confidence.begin(), rows.confidence.end());
  });
  all.input_height = run.input_height;
  all.input_width = run.input_width;
  all.prepare_seconds = run.prepare_seconds;
  all.network_seconds = run.network_seconds;
  all.label_seconds = run.label_seconds;
  return all;
} catch (...) {
  rethrow_as_error();
}

Tensor tiled_logits(Session& session, const Model& model, const Image& photo, const Tiling& tiling,
                    const std::string& output) try {
  check_runs(session, model);
  check(tiling);
  check_photo(photo);
  if (fits_one_tile(tiling, photo.width, photo.height)) {
    session.run(photo, model.preparation);
    return full_logits(session, model, 0, photo.height, photo.width, Upsampling::bilinear, output);
  }
  const int threads = session.threads(), width = photo.width;
  const SetAside aside(session, tiled_bytes(model, tiling, width, photo.height, threads));
  const RowSource source = rows_of(photo);
  Tiles tiles(session, model, source, tiling, output);
  Tensor all;
  while (tiles.next()) {
    if (tiles.first() == 0) all = Tensor({1, photo.height, width, tiles.channels()});
    RowScratch scratch(tiles, width, threads);
    parallel_tasks(threads, tiles.end() - tiles.first(), [&](std::int64_t row, int thread) {
      const int y = tiles.first() + static_cast<int>(row);
      tiles.row(y, scratch.scratch(thread), all.view().pixel(0, y, 0));
    });
  }
  return all;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
