// The guard before stb_image's JPEG decoder. Markers and segments: ITU-T T.81 (JPEG), annex B.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

using namespace std::string_view_literals;

enum Marker : unsigned char {
  tem = 0x01,
  sof0 = 0xc0,
  sof1 = 0xc1,
  sof2 = 0xc2,
  dht = 0xc4,
  dac = 0xcc,
  rst0 = 0xd0,
  rst7 = 0xd7,
  soi = 0xd8,
  eoi = 0xd9,
  sos = 0xda,
  dqt = 0xdb,
  dri = 0xdd,
  dhp = 0xde,
  expand = 0xdf,
  app0 = 0xe0,
  app1 = 0xe1,
  app14 = 0xee,
};

struct Component {
  unsigned id = 0, horizontal = 0, vertical = 0, quantisation = 0;
  bool scanned = false;
  // Of a progressive picture: up to which bit each coefficient is known, 0 in full; `unknown`: not at all.
  std::array<unsigned, 64> known_to = filled_with_unknown();

  static constexpr unsigned unknown = 14;
  static constexpr std::array<unsigned, 64> filled_with_unknown() {
    std::array<unsigned, 64> all{};
    all.fill(unknown);
    return all;
  }
};

// Blocks of 8x8 samples that a scan codes: in units of `blocks_each` blocks, as many as `units`.
struct ScanSize {
  std::size_t units = 0, blocks_each = 0;
};

struct Walk {
  const Bytes& file;
  std::int64_t max_pixels;
  CleanJpeg out{};
  std::size_t width = 0, height = 0;
  std::vector<Component> components{};
  unsigned widest = 1, tallest = 1;  // sampling factors
  bool progressive = false, has_exif = false, has_jfif = false;
  int adobe_transform = -1;  // of the APP14 segment; -1: there is none
  std::size_t restart_interval = 0;
  std::size_t scans = 0;
  // Tables defined so far, a bit each.
  unsigned quantisation = 0, huffman_dc = 0, huffman_ac = 0;

  template <class... Parts>
  [[noreturn]] void malformed(const Parts&... parts) const {
    fail(ErrorCode::malformed, file.name, ": JPEG ", parts...);
  }
  void copy(std::span<const std::byte> bytes) {
    out.bytes.insert(out.bytes.end(), bytes.begin(), bytes.end());
  }
  void copy_marker(unsigned marker) {
    out.bytes.push_back(std::byte{0xff});
    out.bytes.push_back(static_cast<std::byte>(marker));
  }
};

bool begins_with(std::span<const std::byte> data, std::string_view prefix) {
  return data.size() >= prefix.size() && std::memcmp(data.data(), prefix.data(), prefix.size()) == 0;
}

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

void read_quantisation(Walk& w, const Bytes& s) {
  for (std::size_t at = 0; at < s.size();) {
    const unsigned table = s.u8(at) & 15u, precision = s.u8(at) >> 4;
    if (table > 3 || precision > 1) w.malformed("quantisation table ", table, " of precision ", precision);
    const std::size_t bytes = precision == 0 ? 65 : 129;
    s.slice(at, bytes);
    w.quantisation |= 1u << table;
    at += bytes;
  }
}

// stb_image 2.27 writes beyond its tables when more than 256 codes are announced, and shifts by the DC
// symbol, which is a number of bits.
void read_huffman(Walk& w, const Bytes& s) {
  for (std::size_t at = 0; at < s.size();) {
    const unsigned table = s.u8(at) & 15u, is_ac = s.u8(at) >> 4;
    if (table > 3 || is_ac > 1) w.malformed("Huffman table ", table, " of class ", is_ac);
    std::size_t codes = 0;
    for (std::size_t i = 1; i <= 16; ++i) codes += s.u8(at + i);
    if (codes > 256) w.malformed("Huffman table with ", codes, " codes, at most 256 exist");
    for (const std::byte symbol : s.slice(at + 17, codes))
      if (!is_ac && std::to_integer<unsigned>(symbol) > 15)
        w.malformed("Huffman table with a DC value of ", std::to_integer<unsigned>(symbol),
                    " bits, at most 15 exist");
    (is_ac ? w.huffman_ac : w.huffman_dc) |= 1u << table;
    at += 17 + codes;
  }
}

std::string_view unsupported_process(unsigned marker) {
  switch (marker) {
    case 0xc3:
      return "lossless";
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case dhp:
    case expand:
      return "hierarchical";
    case 0xc9:
    case 0xca:
    case 0xcb:
    case 0xcd:
    case 0xce:
    case 0xcf:
    case dac:
      return "arithmetic-coded";
    case 0xf7:
      return "JPEG-LS";
    default:
      return {};
  }
}

void read_component(Walk& w, const Bytes& s, std::size_t at) {
  const unsigned sampling = s.u8(at + 1);
  w.components.push_back(
      {.id = s.u8(at), .horizontal = sampling >> 4, .vertical = sampling & 15, .quantisation = s.u8(at + 2)});
  const Component& c = w.components.back();
  if (c.horizontal < 1 || c.horizontal > 4 || c.vertical < 1 || c.vertical > 4 || c.quantisation > 3)
    w.malformed("component ", c.id, ": sampling ", c.horizontal, "x", c.vertical, ", quantisation table ",
                c.quantisation);
  w.widest = std::max(w.widest, c.horizontal);
  w.tallest = std::max(w.tallest, c.vertical);
}

// stb_image 2.27 upsamples by whole factors only; elsewhere it reads out of bounds (CVE-2021-37789).
void check_sampling(const Walk& w) {
  for (const Component& c : w.components)
    if (w.widest % c.horizontal != 0 || w.tallest % c.vertical != 0)
      fail(ErrorCode::unsupported, w.file.name, ": JPEG component ", c.id, " sampled ", c.horizontal, "x",
           c.vertical, " of ", w.widest, "x", w.tallest, ": not a whole factor");
}

void read_frame(Walk& w, const Bytes& s, unsigned marker) {
  if (!w.components.empty()) w.malformed("with two frame headers");
  const unsigned precision = s.u8(0), components = s.u8(5);
  if (precision != 8)
    fail(ErrorCode::unsupported, w.file.name, ": JPEG with ", precision, " bits a sample; 8 are supported");
  w.height = s.be16(1);
  w.width = s.be16(3);
  check_dimensions(s.be16(3), s.be16(1), w.max_pixels, w.file.name);
  if (components != 1 && components != 3 && components != 4)
    fail(ErrorCode::unsupported, w.file.name, ": JPEG with ", components,
         " components; 1, 3 or 4 are supported");
  if (s.size() != 6 + 3 * std::size_t{components}) w.malformed("frame header of ", s.size(), " bytes");
  w.progressive = marker == sof2;
  for (std::size_t i = 0; i < components; ++i) read_component(w, s, 6 + 3 * i);
  check_sampling(w);
  // A block takes at least one bit: a size that cannot be in the file is refused before it is allocated.
  if (divide_up(w.width, 8) * divide_up(w.height, 8) / 8 > w.file.size())
    fail(ErrorCode::limit, w.file.name, ": a JPEG file of ", w.file.size(), " bytes cannot hold ", w.width,
         "x", w.height, " pixels");
}

// stb_image does not clear its tables: a scan may only use those that were defined before it.
void check_tables(const Walk& w, const Component& c, unsigned tables, bool needs_dc, bool needs_ac) {
  const unsigned dc = tables >> 4, ac = tables & 15;
  if (dc > 3 || ac > 3 || (needs_dc && !(w.huffman_dc >> dc & 1)) || (needs_ac && !(w.huffman_ac >> ac & 1)))
    w.malformed("scan of component ", c.id, " uses undefined Huffman tables ", dc, " and ", ac);
  if (!(w.quantisation >> c.quantisation & 1))
    w.malformed("scan of component ", c.id, " uses undefined quantisation table ", c.quantisation);
}

// T.81, A.2: a scan of one component codes its blocks one by one, one of several codes units of all their
// blocks.
ScanSize scan_size(const Walk& w, std::span<const Component* const> scanned) {
  if (scanned.size() == 1) {
    const Component& c = *scanned[0];
    const std::size_t columns = divide_up(divide_up(w.width * c.horizontal, w.widest), 8);
    return {columns * divide_up(divide_up(w.height * c.vertical, w.tallest), 8), 1};
  }
  ScanSize size{divide_up(w.width, 8 * w.widest) * divide_up(w.height, 8 * w.tallest), 0};
  for (const Component* c : scanned) size.blocks_each += c->horizontal * c->vertical;
  return size;
}

// What of a scan's entropy-coded data belongs to the picture: restart intervals after the last unit are cut
// off, which stb_image would take for unknown markers. Fewer than the picture has means that data is missing.
std::span<const std::byte> used_intervals(const Walk& w, std::span<const std::byte> coded,
                                          std::size_t units) {
  const std::size_t expected = w.restart_interval == 0 ? 0 : divide_up(units, w.restart_interval) - 1;
  std::size_t restarts = 0;
  for (std::size_t i = 0; i + 1 < coded.size(); ++i) {
    const unsigned next = std::to_integer<unsigned>(coded[i + 1]);
    if (coded[i] != std::byte{0xff} || next < rst0 || next > rst7) continue;
    if (restarts == expected) return coded.first(i);
    // Another number: intervals are missing, or come twice.
    if (next - rst0 != restarts % 8)
      w.malformed("is damaged: restart marker ", next - rst0, " where ", restarts % 8, " is due");
    ++restarts;
  }
  if (restarts < expected)
    w.malformed("is truncated or damaged: a scan has ", restarts, " restart markers, expected ", expected);
  return coded;
}

// T.81, G.1.1.1: a coefficient comes once down to some bit, then bit by bit. A scan out of turn would be
// added to what is there, or, of the first coefficient, which stb_image takes for a block's beginning, erase
// it.
void check_progression(const Walk& w, Component& c, const Bytes& parameters) {
  const unsigned first = parameters.u8(0), last = parameters.u8(1), from = parameters.u8(2) >> 4,
                 to = parameters.u8(2) & 15;
  if (first > last || last > 63 || (first == 0) != (last == 0) || to > 13 || (from != 0 && from != to + 1))
    w.malformed("scan of coefficients ", first, " to ", last, ", bits ", from, " to ", to);
  const bool begins = first == 0 && from == 0;
  for (unsigned k = first; k <= (begins ? 63 : last); ++k)
    if (c.known_to[k] != (from == 0 ? c.unknown : from))
      w.malformed("scan of coefficient ", k, " of component ", c.id, " out of turn");
  std::fill(c.known_to.begin() + first, c.known_to.begin() + last + 1, to);
}

// `coded` is what follows the scan header, up to the next segment.
void read_scan(Walk& w, const Bytes& s, std::span<const std::byte> coded) {
  // Each costs time for the whole picture, however few bytes it has; progressive pictures have about ten.
  constexpr std::size_t max_scans = 256, max_scanned = std::size_t{2} << 30;
  if (w.components.empty()) w.malformed("scan before the frame header");
  if (++w.scans > max_scans)
    fail(ErrorCode::limit, w.file.name, ": JPEG with more than ", max_scans, " scans");
  if (w.width * w.height * w.scans > max_scanned)
    fail(ErrorCode::limit, w.file.name, ": JPEG with ", w.scans, " scans or more of ", w.width, "x", w.height,
         " pixels, ", max_scanned, " pixels in all at most");
  const std::size_t count = s.u8(0);
  if (count < 1 || count > 4 || s.size() != 4 + 2 * count) w.malformed("scan header of ", s.size(), " bytes");
  const unsigned first = s.u8(1 + 2 * count), refines = s.u8(3 + 2 * count) >> 4;
  std::vector<const Component*> scanned;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned id = s.u8(1 + 2 * i);
    const auto c = std::ranges::find(w.components, id, &Component::id);
    if (c == w.components.end()) w.malformed("scan of component ", id, ", which the frame does not have");
    const bool needs_dc = !w.progressive || (first == 0 && refines == 0);
    check_tables(w, *c, s.u8(2 + 2 * i), needs_dc, !w.progressive || first > 0);
    if (w.progressive) check_progression(w, *c, {s.slice(1 + 2 * count, 3), s.name});
    c->scanned = true;
    scanned.push_back(&*c);
  }
  const ScanSize size = scan_size(w, scanned);
  // Two codes a block, or one where a progressive scan holds only the first coefficient; runs of empty blocks
  // cost nothing.
  const std::size_t bits = !w.progressive ? 2 : first == 0 ? 1 : 0, blocks = size.units * size.blocks_each;
  if (blocks * bits / 8 > coded.size())
    w.malformed("is truncated: a scan of ", coded.size(), " bytes cannot hold its ", blocks, " blocks");
  w.copy(used_intervals(w, coded, size.units));
}

void read_segment(Walk& w, unsigned marker, const Bytes& s) {
  if (const auto process = unsupported_process(marker); !process.empty())
    fail(ErrorCode::unsupported, w.file.name, ": ", process, " JPEG is not supported");
  switch (marker) {
    case sof0:
    case sof1:
    case sof2:
      return read_frame(w, s, marker);
    case dht:
      return read_huffman(w, s);
    case dqt:
      return read_quantisation(w, s);
    case dri:
      w.restart_interval = s.be16(0);
      return;
    case app1:
      if (!w.has_exif && begins_with(s.data, "Exif\0"sv) && s.size() > 6) {
        w.has_exif = true;
        w.out.orientation = exif_orientation(s.data.subspan(6));
      }
      return;
    case app0:
      w.has_jfif = w.has_jfif || (begins_with(s.data, "JFIF\0"sv) && s.size() >= 14);
      return;
    case app14:
      if (begins_with(s.data, "Adobe"sv) && s.size() >= 12) w.adobe_transform = s.u8(11);
      return;
    default:
      return;
  }
}

bool decoder_needs(unsigned marker) {
  constexpr std::array needed{sof0, sof1, sof2, dht, dqt, dri, sos};
  return std::ranges::find(needed, marker) != needed.end();
}

bool stands_alone(unsigned marker) { return marker == tem || (marker >= rst0 && marker <= soi); }

// The offset of the next marker's second byte, or 0 when there is none. Skips entropy-coded data, where 0xff
// is followed by 0 or a restart marker, and stray bytes between segments, which cameras do leave.
std::size_t next_marker(const Bytes& file, std::size_t at) {
  const std::byte* const begin = file.data.data();
  while (at + 1 < file.size()) {
    const void* found = std::memchr(begin + at, 0xff, file.size() - 1 - at);
    if (!found) return 0;
    at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - begin) + 1;
    const unsigned code = file.u8(at);
    if (code != 0 && code != 0xff && !stands_alone(code)) return at;
  }
  return 0;
}

std::size_t require_marker(const Bytes& file, std::size_t at) {
  const std::size_t found = next_marker(file, at);
  if (found == 0)
    fail(ErrorCode::malformed, file.name, ": truncated: the JPEG ends after ", file.size(),
         " bytes without its end marker");
  return found;
}

// What the components are, which no segment says outright.
JpegColours colours_of(const Walk& w) {
  const int transform = w.adobe_transform;
  if (w.components.size() == 1) return JpegColours::grey;
  if (w.components.size() == 4) {
    if (transform > 2 || transform == 1)
      fail(ErrorCode::unsupported, w.file.name, ": JPEG of four components with Adobe transform ", transform,
           "; 0 (CMYK) and 2 (YCCK) are supported");
    return transform == 2 ? JpegColours::ycck : JpegColours::cmyk;
  }
  const auto id = [&w](std::size_t i) { return w.components[i].id; };
  const bool named_rgb = id(0) == 'R' && id(1) == 'G' && id(2) == 'B';
  if (w.has_jfif) return JpegColours::ycc;
  return transform == 0 || (transform == -1 && named_rgb) ? JpegColours::rgb : JpegColours::ycc;
}

}  // namespace

bool is_jpeg(std::span<const std::byte> file) { return begins_with(file, "\xff\xd8\xff"sv); }

CleanJpeg clean_jpeg(const Bytes& file, std::int64_t max_pixels) {
  Walk w{file, max_pixels};
  w.out.bytes.reserve(file.size());
  w.copy_marker(soi);
  std::size_t at = require_marker(file, 2);
  while (file.u8(at) != eoi) {
    const unsigned marker = file.u8(at);
    const std::size_t length = file.be16(at + 1), end = at + 1 + length;
    if (length < 2) w.malformed("segment of ", length, " bytes at offset ", at - 1);
    const auto segment = file.slice(at + 1, length);
    const Bytes content{segment.subspan(2), file.name};
    if (decoder_needs(marker)) {
      w.copy_marker(marker);
      w.copy(segment);
    }
    at = require_marker(file, end);
    if (marker == sos)
      read_scan(w, content, file.slice(end, at - 1 - end));
    else
      read_segment(w, marker, content);
  }
  w.copy_marker(eoi);
  w.out.end = at + 1;
  if (w.components.empty()) w.malformed("without a frame header");
  for (const Component& c : w.components)
    if (!c.scanned) w.malformed("without a scan of component ", c.id);
  w.out.colours = colours_of(w);
  return std::move(w.out);
}

Decoded read_jpeg(const Bytes& file, std::int64_t max_pixels) {
  const CleanJpeg jpeg = clean_jpeg(file, max_pixels);
  return {stb_decode_jpeg(jpeg.bytes, jpeg.colours, file.name), jpeg.orientation, jpeg.end};
}

}  // namespace atrous::formats
