#include "runtime/tiles/png_writer.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/image/png_parts.h"

namespace atrous {

namespace {

constexpr std::size_t piece_bytes = 1 << 20;

using Inflater = std::unique_ptr<z_stream, void (*)(z_stream*)>;

void end_inflater(z_stream* stream) {
  inflateEnd(stream);
  delete stream;
}

Inflater make_inflater() {
  auto stream = std::make_unique<z_stream>();
  if (inflateInit2(stream.get(), -MAX_WBITS) != Z_OK) fail(ErrorCode::limit, "PNG: out of memory");
  return Inflater(stream.release(), end_inflater);
}

// Turns a whole raw deflate stream, as libdeflate makes them, into the beginning of one that goes on behind
// its last byte: its last block is no longer marked as the last, and an empty stored block fills its last
// byte. Where blocks begin inflating says. After gzjoin.c in zlib's examples.
void leave_open(z_stream& inflater, std::vector<std::byte>& deflated) {
  auto* const bytes = reinterpret_cast<Bytef*>(deflated.data());
  Bytef unused[1 << 14];
  inflateReset(&inflater);
  inflater.next_in = bytes;
  inflater.avail_in = checked_cast<uInt>(deflated.size(), "PNG");
  Bytef *marked = bytes, mark = 1;  // the bit that marks the last block: a block's first
  int bits_left = 0;                // of the last byte read
  for (bool over = false; !over;) {
    inflater.next_out = unused;
    inflater.avail_out = sizeof unused;
    if (::inflate(&inflater, Z_BLOCK) != Z_OK) fail(ErrorCode::limit, "PNG: out of memory");
    if ((inflater.data_type & 128) == 0) continue;  // not between blocks
    bits_left = inflater.data_type & 7;
    over = (inflater.data_type & 64) != 0;
    if (over) continue;
    marked = bits_left == 0 ? inflater.next_in : inflater.next_in - 1;
    mark = static_cast<Bytef>(bits_left == 0 ? 1 : 0x100 >> bits_left);
  }
  *marked = static_cast<Bytef>(*marked & ~mark);
  if (bits_left == 0) return;
  // A stored block's header is three bits of zero, then to the next byte, then its length and that inverted.
  if (bits_left < 3) deflated.push_back(std::byte{0});
  for (const int b : {0, 0, 255, 255}) deflated.push_back(static_cast<std::byte>(b));
}

}  // namespace

struct PngWriter::State {
  int height = 0;
  std::size_t row_bytes = 0;
  Palette palette = {};  // of an indexed picture
  ByteSink sink;
  std::optional<formats::PngRowFilters> filters = {};  // none for labels
  std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> deflater;
  Inflater inflater = make_inflater();
  std::vector<std::uint8_t> filtered = {};
  std::vector<std::byte> out = {};
  std::uint32_t adler = 1;
  int rows_written = 0;
  bool begun = false;

  State(int w, int h, int channels, const Palette* colours, ByteSink to)
      : height(h),
        sink(std::move(to)),
        deflater(libdeflate_alloc_compressor(colours ? formats::png_flat_level : formats::png_photo_level),
                 libdeflate_free_compressor) {
    if (w < 1 || h < 1 || (channels != 1 && channels != 3 && channels != 4))
      fail(ErrorCode::invalid_argument, "PNG: ", w, "x", h, " pixels of ", channels, " channels");
    if (!deflater) fail(ErrorCode::limit, "PNG: out of memory");
    row_bytes = static_cast<std::size_t>(w) * static_cast<std::size_t>(channels);
    formats::append_png_header(out, w, h, colours ? formats::png_indexed : formats::png_colour_of(channels));
    if (colours) {
      palette = *colours;
      formats::append_png_chunk(out, "PLTE", std::as_bytes(std::span(palette)));
    } else {
      filters.emplace(row_bytes, static_cast<std::size_t>(channels));
    }
    hand_on();
  }

  void hand_on() {
    call_host(sink, std::span<const std::byte>(out));
    out.clear();
  }

  // The filtered rows so far become an IDAT chunk. The first begins with zlib's header; the last ends with an
  // empty block that is marked as the last, and the checksum of all.
  void append_piece(bool last) {
    std::vector<std::byte> compressed;
    if (!std::exchange(begun, true))
      for (const int b : {0x78, 0x01}) compressed.push_back(static_cast<std::byte>(b));
    if (!filtered.empty()) {
      std::vector<std::byte> deflated(libdeflate_deflate_compress_bound(deflater.get(), filtered.size()));
      deflated.resize(libdeflate_deflate_compress(deflater.get(), filtered.data(), filtered.size(),
                                                  deflated.data(), deflated.size()));
      leave_open(*inflater, deflated);
      compressed.insert(compressed.end(), deflated.begin(), deflated.end());
      adler = libdeflate_adler32(adler, filtered.data(), filtered.size());
      filtered.clear();
    }
    if (last) {
      for (const int b : {1, 0, 0, 255, 255}) compressed.push_back(static_cast<std::byte>(b));
      formats::append_png_be32(compressed, adler);
    }
    formats::append_png_chunk(out, "IDAT", compressed);
  }

  void add(const std::uint8_t* row) {
    if (filters) {
      const std::vector<std::uint8_t>& best = filters->filter(row);
      filtered.insert(filtered.end(), best.begin(), best.end());
    } else {
      filtered.push_back(0);
      filtered.insert(filtered.end(), row, row + row_bytes);
    }
    ++rows_written;
    if (filtered.size() < piece_bytes) return;
    append_piece(false);
    hand_on();
  }
};

PngWriter::PngWriter(int width, int height, int channels, ByteSink sink) try
    : state_(std::make_unique<State>(width, height, channels, nullptr, std::move(sink))) {
} catch (...) {
  rethrow_as_error();
}

PngWriter::PngWriter(int width, int height, const Palette& palette, ByteSink sink) try {
  constexpr std::uint8_t none[] = {0};
  formats::check_png_palette(palette, none);
  state_ = std::make_unique<State>(width, height, 1, &palette, std::move(sink));
} catch (...) {
  rethrow_as_error();
}

PngWriter::~PngWriter() = default;
PngWriter::PngWriter(PngWriter&&) noexcept = default;
PngWriter& PngWriter::operator=(PngWriter&&) noexcept = default;

void PngWriter::write(std::span<const std::uint8_t> rows) try {
  State& s = *state_;
  const std::size_t count = rows.size() / s.row_bytes;
  const auto left = static_cast<std::size_t>(s.height - s.rows_written);
  if (rows.size() % s.row_bytes != 0 || count > left)
    fail(ErrorCode::invalid_argument, "PNG: ", rows.size(), " bytes of rows of ", s.row_bytes, ", of which ",
         left, " are missing");
  if (!s.filters && !rows.empty()) formats::check_png_palette(s.palette, rows);
  for (std::size_t y = 0; y < count; ++y) s.add(rows.data() + y * s.row_bytes);
} catch (...) {
  rethrow_as_error();
}

void PngWriter::finish() try {
  State& s = *state_;
  if (s.rows_written != s.height)
    fail(ErrorCode::invalid_argument, "PNG: ", s.rows_written, " rows of ", s.height);
  s.append_piece(true);
  formats::append_png_chunk(s.out, "IEND", {});
  s.hand_on();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
