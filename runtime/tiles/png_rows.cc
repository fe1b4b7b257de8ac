#include "runtime/tiles/png_rows.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/png_parts.h"

namespace atrous {

namespace {

constexpr std::size_t input_bytes = 1 << 16;
// Any other chunk than IDAT that matters is shorter.
constexpr std::uint64_t most_chunk_bytes = 1 << 20;
constexpr std::int64_t most_pixels = std::int64_t{65535} * 65535;
constexpr std::size_t signature_bytes = 8;

std::uint32_t be32(std::span<const std::byte> bytes) { return formats::Bytes{bytes, ""}.be32(0); }

}  // namespace

struct PngRows::State {
  const InputFile& file;
  const std::string name;
  const PngSamples kind;
  int channels = 3;
  formats::PngParts parts = {};
  std::uint64_t expected = 0, produced = 0;  // inflated bytes, with the filters' numbers

  // The IDAT chunk that is read: `at` is in the file, behind what was read.
  std::uint64_t at = 0, chunk_at = 0;
  std::uint32_t left = 0, crc = 0;
  std::vector<std::byte> buffer = std::vector<std::byte>(input_bytes);

  z_stream inflater = {};
  bool initialised = false, begun = false, ended = false;
  std::uint32_t adler = 1;

  std::vector<std::uint8_t> row = {}, above = {};  // each with its filter's number in front
  int rows_read = 0;

  State(const InputFile& f, std::string_view n, PngSamples k) : file(f), name(visible(n)), kind(k) {
    walk();
    const std::size_t bytes = parts.header.row_bytes(parts.header.width) + 1;
    row.resize(bytes);
    above.resize(bytes);
    // Without zlib's header and checksum, which are read here: libdeflate and zlib differ in what they take.
    if (inflateInit2(&inflater, -MAX_WBITS) != Z_OK) fail(ErrorCode::limit, name, ": out of memory");
    initialised = true;
  }
  ~State() {
    if (initialised) inflateEnd(&inflater);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void read_at(std::uint64_t offset, std::span<std::byte> to) const {
    if (offset > file.size() || to.size() > file.size() - offset)
      fail(ErrorCode::malformed, name, ": truncated: ", to.size(), " bytes expected at offset ", offset,
           ", the file has ", file.size());
    file.read(offset, to);
  }

  // Length and type of the chunk that begins at `offset`.
  std::pair<std::uint32_t, std::string> head(std::uint64_t offset) const {
    std::array<std::byte, 8> bytes;
    read_at(offset, bytes);
    return {be32(bytes), formats::png_chunk_type(std::span(bytes).last(4), offset, name)};
  }

  void walk() {
    std::string previous;
    std::uint64_t compressed = 0;
    for (std::uint64_t next = signature_bytes; previous != "IEND";) {
      if (next == file.size()) fail(ErrorCode::malformed, name, ": truncated: the PNG ends without IEND");
      const auto [length, type] = head(next);
      if (file.size() - next - 8 < std::uint64_t{length} + 4)
        fail(ErrorCode::malformed, name, ": truncated: ", length, " bytes expected at offset ", next + 8,
             ", the file has ", file.size());
      const bool data = type == "IDAT", wanted = !data && (type[0] < 'a' || type == "eXIf");
      std::vector<std::byte> content;
      bool intact = true;
      if (wanted) {
        intact = length <= most_chunk_bytes;
        std::vector<std::byte> covered(4 + (intact ? length : 0) + 4);  // type, data, CRC
        read_at(next + 4, covered);
        if (intact)
          intact = libdeflate_crc32(0, covered.data(), 4 + length) == be32(std::span(covered).last(4));
        content.assign(covered.begin() + 4, covered.end() - 4);
      }
      formats::take_png_chunk(parts, type, previous, content, intact, next, most_pixels, name);
      if (data && !parts.has_data) at = next;
      if (data) compressed += length;
      parts.has_data = compressed > 0;
      previous = type;
      next += 12 + std::uint64_t{length};
    }
    const formats::PngHeader& h = parts.header;
    if (kind == PngSamples::annotations) channels = formats::png_label_channels(h, name);
    expected = static_cast<std::uint64_t>(h.height) * (h.row_bytes(h.width) + 1);
    if (!h.interlaced) formats::check_png_density(h, expected, compressed, name);
    if (h.colour == formats::png_indexed && parts.palette.empty())
      fail(ErrorCode::malformed, name, ": a palette PNG without a palette");
    if (h.colour != formats::png_indexed) parts.palette.clear();
  }

  // The next bytes of the IDAT chunks; none at their end.
  std::span<std::byte> fill() {
    while (left == 0) {
      const auto [length, type] = head(at);
      if (type != "IDAT") return {};
      chunk_at = at;
      left = length;
      crc = libdeflate_crc32(0, type.data(), 4);
      at += 8;
      if (left == 0) check_crc();
    }
    const std::span<std::byte> got(buffer.data(), std::min<std::size_t>(left, buffer.size()));
    read_at(at, got);
    crc = libdeflate_crc32(crc, got.data(), got.size());
    at += got.size();
    left -= static_cast<std::uint32_t>(got.size());
    if (left == 0) check_crc();
    return got;
  }
  void check_crc() {
    std::array<std::byte, 4> kept;
    read_at(at, kept);
    if (be32(kept) != crc)
      fail(ErrorCode::malformed, name, ": CRC mismatch in PNG chunk IDAT at offset ", chunk_at);
    at += 4;
  }

  // At least one byte of input.
  void feed() {
    if (inflater.avail_in > 0) return;
    const std::span<std::byte> bytes = fill();
    if (bytes.empty()) formats::fail_png_corrupt(name);
    inflater.next_in = reinterpret_cast<Bytef*>(bytes.data());
    inflater.avail_in = static_cast<uInt>(bytes.size());
  }
  unsigned next_byte() {
    feed();
    --inflater.avail_in;
    return *inflater.next_in++;
  }

  // zlib's header (RFC 1950): deflate, a window of up to 32 KB, no dictionary, divisible by 31.
  void begin() {
    const unsigned method = next_byte(), flags = next_byte();
    if ((method & 15) != 8 || method >> 4 > 7 || (flags & 32) != 0 || (method << 8 | flags) % 31 != 0)
      formats::fail_png_corrupt(name);
    begun = true;
  }
  void inflate_some() {
    feed();
    const int result = ::inflate(&inflater, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) fail(ErrorCode::limit, name, ": out of memory");
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) formats::fail_png_corrupt(name);
    ended = result == Z_STREAM_END;
  }

  void inflate_row() {
    if (!begun) begin();
    inflater.next_out = row.data();
    inflater.avail_out = static_cast<uInt>(row.size());
    while (inflater.avail_out > 0) {
      if (ended) formats::fail_png_truncated(expected, produced + row.size() - inflater.avail_out, name);
      inflate_some();
    }
    adler = libdeflate_adler32(adler, row.data(), row.size());
    produced += row.size();
  }

  // What is behind the last row: the end of the stream, its checksum, the checksums of its chunks.
  void finish() {
    Bytef more = 0;
    while (!ended) {
      inflater.next_out = &more;
      inflater.avail_out = 1;
      inflate_some();
      if (inflater.avail_out == 0) formats::fail_png_damaged(parts.header, expected, name);
    }
    std::uint32_t kept = 0;
    for (int i = 0; i < 4; ++i) kept = kept << 8 | next_byte();
    if (kept != adler) formats::fail_png_corrupt(name);
    while (!fill().empty()) continue;
  }

  void next(std::uint8_t* to) {
    const formats::PngHeader& h = parts.header;
    inflate_row();
    formats::unfilter_png_row(row[0], std::span(row).subspan(1), above.data() + 1, h.step(), name);
    if (channels == 1 && h.depth == 16)
      formats::check_png_labels(row.data() + 1, h.width, 0, 1, rows_read, name);
    formats::expand_png_row(parts, row.data() + 1, h.width, to, channels, name);
    std::swap(row, above);
    if (++rows_read == h.height) finish();
  }
};

PngRows::PngRows(const InputFile& file, std::string_view name, PngSamples samples) try
    : state_(std::make_unique<State>(file, name, samples)),
      width_(state_->parts.header.width),
      height_(state_->parts.header.height),
      channels_(state_->channels),
      orientation_(state_->parts.orientation),
      interlaced_(state_->parts.header.interlaced),
      palette_(state_->parts.palette) {
} catch (...) {
  rethrow_as_error();
}

PngRows::~PngRows() = default;

bool PngRows::is_png(const InputFile& file) try {
  std::array<std::byte, signature_bytes> bytes{};
  if (file.size() < bytes.size()) return false;
  file.read(0, bytes);
  return formats::is_png(bytes);
} catch (...) {
  rethrow_as_error();
}

void PngRows::read(std::span<std::uint8_t> rows) try {
  State& s = *state_;
  if (is_interlaced())
    fail(ErrorCode::invalid_argument, s.name, ": the PNG is interlaced and cannot be read row by row");
  const auto bytes = static_cast<std::size_t>(width()) * static_cast<std::size_t>(channels());
  const std::size_t count = rows.size() / bytes;
  const auto left = static_cast<std::size_t>(height() - s.rows_read);
  if (rows.size() % bytes != 0 || count > left)
    fail(ErrorCode::invalid_argument, s.name, ": room for ", rows.size(), " bytes of rows of ", bytes,
         ", of which ", left, " are left");
  for (std::size_t y = 0; y < count; ++y) s.next(rows.data() + y * bytes);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
