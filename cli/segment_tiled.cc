#include "cli/segment_tiled.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "cli/names.h"
#include "cli/progress_line.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/png_writer.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace {

// What a picture takes at most while it is decoded whole (tests/programs/bounds/memory_test.cc), its file
// among it.
std::uint64_t decoding_bytes(int width, int height, std::size_t file) {
  return 16 * static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height) + 4 * file;
}

void check_memory(const std::string& what, std::uint64_t bytes) {
  const std::uint64_t available = physical_memory();
  if (available != 0 && bytes > available)
    fail(ErrorCode::limit, what, " take up to ", megabytes(bytes), ", this machine has ",
         megabytes(available));
}

// Where a photo's rows come from.
class Photo {
 public:
  Photo(const Input& input, const SegmentArguments& o, const Tiling& tiling)
      : name_(input.path == "-" ? "standard input" : input.path) {
    if (input.path == "-") {
      bytes_ = read_input(input.path);
      file_ = std::make_unique<InputFile>(bytes_, name_);
    } else {
      file_ = std::make_unique<InputFile>(input.path);
    }
    if (PngRows::is_png(*file_)) {
      png_ = std::make_unique<PngRows>(*file_, name_);
      if (!png_->is_interlaced() && (o.no_exif || png_->orientation() == 1)) {
        rows_ = {png_->width(), png_->height(), [this](std::span<std::uint8_t> to) { png_->read(to); }};
        return;
      }
    }
    read_whole(input, o, tiling);
  }
  Photo(const Photo&) = delete;
  Photo& operator=(const Photo&) = delete;

  const RowSource& rows() const { return rows_; }
  const std::string& name() const { return name_; }

 private:
  void read_whole(const Input& input, const SegmentArguments& o, const Tiling& tiling) {
    if (input.path != "-") bytes_ = read_input(input.path);
    if (is_npy(bytes_)) fail(ErrorCode::invalid_argument, name_, ": a tensor has no pixels for --tile");
    const auto [width, height] = picture_size(bytes_, name_);
    const std::uint64_t bytes = decoding_bytes(width, height, bytes_.size());
    const std::string pixels = str_cat(visible(name_), ": ", width, "x", height, " pixels, decoded whole,");
    check_memory(pixels, bytes);
    if (!o.quiet && !fits_one_tile(tiling, width, height))
      note(str_cat(pixels, " take up to ", megabytes(bytes)));
    image_ = read_image(bytes_, name_, {.exif = !o.no_exif, .alone = input.path == "-"});
    rows_ = rows_of(image_);
  }

  std::string name_;
  std::vector<std::byte> bytes_;
  std::unique_ptr<InputFile> file_;
  std::unique_ptr<PngRows> png_;
  Image image_;
  RowSource rows_;
};

// An overlay as far as it can be drawn: a contour depends on the labels of as many rows below.
class OverlayRows {
 public:
  OverlayRows(int width, int height, const Model& model, OverlayOptions style)
      : height_(height), model_(model), style_(style), reach_(contour_width(width, height)) {
    style_.contour = reach_;
    photo_ = {width, 0, 3, {}};
    labels_ = {width, 0, {}};
  }

  void add(const LabelRows& rows, PngWriter& out) {
    append(photo_.pixels, rows.photo.pixels);
    append(labels_.labels, rows.labels.labels);
    photo_.height = labels_.height += rows.photo.height;
    const int have = first_ + photo_.height, until = have == height_ ? have : have - reach_;
    if (until <= drawn_) return;
    const Image drawn = overlay(photo_, labels_, model_.palette, style_);
    const std::size_t bytes = drawn.row_bytes();
    out.write(std::span(drawn.pixels)
                  .subspan(rows_before(drawn_) * bytes, static_cast<std::size_t>(until - drawn_) * bytes));
    drawn_ = until;
    const std::size_t done = rows_before(std::max(first_, until - reach_));
    drop(photo_.pixels, done * bytes);
    drop(labels_.labels, done * static_cast<std::size_t>(labels_.width));
    first_ += static_cast<int>(done);
    photo_.height = labels_.height -= static_cast<int>(done);
  }

 private:
  std::size_t rows_before(int y) const { return static_cast<std::size_t>(y - first_); }
  static void append(std::vector<std::uint8_t>& to, const std::vector<std::uint8_t>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }
  static void drop(std::vector<std::uint8_t>& from, std::size_t count) {
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  }

  int height_;
  const Model& model_;
  OverlayOptions style_;
  int reach_, first_ = 0, drawn_ = 0;  // rows of the picture: the first that is kept, the first not drawn
  Image photo_;
  LabelMap labels_;
};

// The pictures that are asked for, each with what draws it.
class Pictures {
 public:
  Pictures(const SegmentArguments& o, const Model& model, const OverlayOptions& style, int width, int height,
           const std::string& stem)
      : options_(o), width_(width), height_(height), stem_(stem) {
    const Palette& palette = model.palette;
    if (o.wants_mask())
      add("mask", 3, [&](const LabelRows& r, PngWriter& w) { w.write(colourise(r.labels, palette).pixels); });
    if (o.wants_overlay())
      add("overlay", 3,
          [rows = std::make_shared<OverlayRows>(width, height, model, style)](
              const LabelRows& r, PngWriter& w) { rows->add(r, w); });
    if (o.indexed || o.labels)
      add(
          "labels", o.indexed ? 0 : 1, [](const LabelRows& r, PngWriter& w) { w.write(r.labels.labels); },
          palette);
    if (o.confidence)
      add("confidence", 1, [](const LabelRows& r, PngWriter& w) {
        w.write(confidence_picture(r.confidence, r.labels.width, r.labels.height).pixels);
      });
    if (o.cutout.empty()) return;
    const std::uint8_t cls = class_by_name(model, o.cutout);
    if (o.cutout_on.empty())
      add("cutout-" + file_safe(o.cutout), 4,
          [cls](const LabelRows& r, PngWriter& w) { w.write(cutout(r.photo, r.labels, cls).pixels); });
    else
      add("cutout-" + file_safe(o.cutout), 3,
          [cls, on = parse_colour("--cutout-on", o.cutout_on)](const LabelRows& r, PngWriter& w) {
            w.write(cutout(r.photo, r.labels, cls, on).pixels);
          });
  }

  // Each by a thread, since compressing takes longer than drawing.
  void write(const LabelRows& rows, int threads) {
    if (all_.empty()) return;
    std::vector<std::exception_ptr> failures(all_.size());
    parallel_for(threads, std::ssize(all_), [&](std::int64_t i) {
      const auto n = static_cast<std::size_t>(i);
      try {
        all_[n].draw(rows, all_[n].writer);
      } catch (...) {
        failures[n] = std::current_exception();
      }
    });
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
  }
  // All are whole: now they appear.
  std::vector<std::string> commit() {
    for (Picture& p : all_) p.writer.finish();
    std::vector<std::string> files;
    for (Picture& p : all_) {
      if (p.file) p.file->commit();
      files.push_back(p.path);
    }
    return files;
  }

 private:
  using Draw = std::function<void(const LabelRows&, PngWriter&)>;
  struct Picture {
    std::string path;
    std::unique_ptr<OutputFile> file;  // null for standard output
    PngWriter writer;
    Draw draw;
  };

  // channels: 0 for labels in the palette's colours.
  void add(const std::string& kind, int channels, Draw draw, const Palette& palette = {}) {
    const std::string path = options_.to_stdout() ? "-" : stem_ + '.' + kind + ".png";
    auto file = options_.to_stdout() ? nullptr : std::make_unique<OutputFile>(path);
    const ByteSink sink = [to = file.get()](std::span<const std::byte> bytes) {
      if (to)
        to->write(bytes);
      else
        print({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    PngWriter writer = channels == 0 ? PngWriter(width_, height_, palette, sink)
                                     : PngWriter(width_, height_, channels, sink);
    all_.push_back({path, std::move(file), std::move(writer), std::move(draw)});
  }

  const SegmentArguments& options_;
  int width_, height_;
  std::string stem_;
  std::vector<Picture> all_;
};

}  // namespace

TiledPhoto segment_tiled_photo(const SegmentArguments& o, const Model& model, Session& session,
                               const OverlayOptions& style, const Input& input, bool shows, bool& writing) {
  const Tiling tiling = *o.protocol.tiling();
  const Photo photo(input, o, tiling);
  const int width = photo.rows().width, height = photo.rows().height;
  if (!fits_one_tile(tiling, width, height))
    check_memory(str_cat(visible(photo.name()), ": rows of tiles across ", width, " pixels"),
                 tiled_bytes(model, tiling, width, height, session.threads()));
  const auto written = [&](const auto& step) {
    writing = true;
    step();
    writing = false;
  };
  ProgressLine line(shows);
  std::optional<Pictures> pictures;
  written([&] { pictures.emplace(o, model, style, width, height, input.stem); });
  ClassShares shares;
  const auto take = [&](const LabelRows& rows) {
    written([&] { pictures->write(rows, session.threads()); });
    shares.add(rows.labels.labels, rows.confidence);
    line.show(str_cat(visible(photo.name()), ": row ", rows.y + rows.labels.height, " of ", height));
  };
  TiledPhoto all;
  try {
    const TiledRun run =
        segment_tiled(session, model, photo.rows(), {tiling, true, o.aux ? "aux" : "out", o.threshold}, take);
    all.result.labels = {width, height, {}};
    all.result.input_height = run.input_height;
    all.result.input_width = run.input_width;
    all.result.prepare_seconds = run.prepare_seconds;
    all.result.network_seconds = run.network_seconds;
    all.result.label_seconds = run.label_seconds;
  } catch (const Error& error) {  // what a file is to blame for names it
    if (error.code() == ErrorCode::malformed || error.code() == ErrorCode::io) throw;
    fail(error.code(), photo.name(), ": ", error.what());
  }
  all.shares = shares.sorted();
  written([&] { all.files = pictures->commit(); });
  return all;
}

}  // namespace atrous::cli
