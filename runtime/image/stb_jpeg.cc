// The one file that compiles stb_image: static, so that a program with its own copy links, JPEG only, and
// without stdio. It makes no security promise; clean_jpeg stands before it.
#include <cstdlib>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65535
#define STBI_ASSERT(condition) ((void)sizeof(condition))  // the library never aborts
// Cleared memory: what no scan writes would otherwise be pixels from the heap.
#define STBI_MALLOC(bytes) std::calloc(1, bytes)
#define STBI_REALLOC(pointer, bytes) std::realloc(pointer, bytes)
#define STBI_FREE(pointer) std::free(pointer)
#include <stb/stb_image.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

// The decoder's state, with the planes it decodes to.
struct Decoder {
  stbi__context context;
  stbi__jpeg jpeg;
  std::string_view name;
  Decoder(const stbi_uc* bytes, int size, std::string_view file_name) : name(file_name) {
    stbi__start_mem(&context, bytes, size);
    jpeg.s = &context;
    stbi__setup_jpeg(&jpeg);
    context.img_n = 0;  // so many components to free
  }
  ~Decoder() { stbi__cleanup_jpeg(&jpeg); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

// T.81 codes differences of DC coefficients of up to 11 bits (table F.1), which are those of quantised
// coefficients of -1024 to 1023. Samples of 8 bits give -1024 to 1016 before quantisation (A.3.1, A.3.3), and
// the multiple of a step nearest to such a number is never over 2048 (A.3.4). stb_image would wrap larger
// ones around at 16 bits, libjpeg at 4096.
constexpr int least_dc = -1024, most_dc = 1023, most_dequantised_dc = 2048;

void check_quantised_dc(const Decoder& d, int component, int dc) {
  if (dc < least_dc || dc > most_dc)
    fail(ErrorCode::malformed, d.name, ": JPEG with a DC coefficient of ", dc, " in component ",
         d.jpeg.img_comp[component].id, ", samples of 8 bits have ", least_dc, " to ", most_dc);
}

void check_dc(const Decoder& d, int component, int dc) {
  check_quantised_dc(d, component, dc);
  const int step = d.jpeg.dequant[d.jpeg.img_comp[component].tq][0];
  if (std::abs(dc * step) > most_dequantised_dc)
    fail(ErrorCode::malformed, d.name, ": JPEG with a DC coefficient of ", dc, " times ", step,
         " in component ", d.jpeg.img_comp[component].id, ", samples of 8 bits have at most ",
         most_dequantised_dc);
}

// T.81 codes AC coefficients of up to 10 bits (table F.2). Before quantisation those of 8-bit samples are
// smaller than DC's, so that what holds for DC's multiples of their step holds for theirs.
constexpr int most_ac_bits = 10, most_ac = 1023, most_dequantised = most_dequantised_dc;

[[noreturn]] void refuse_ac(const Decoder& d, int component, int ac, int step) {
  const int id = d.jpeg.img_comp[component].id;
  if (std::abs(ac) > most_ac)
    fail(ErrorCode::malformed, d.name, ": JPEG with an AC coefficient of ", ac, " in component ", id,
         ", samples of 8 bits have ", -most_ac, " to ", most_ac);
  fail(ErrorCode::malformed, d.name, ": JPEG with an AC coefficient of ", ac, " times ", step,
       " in component ", id, ", samples of 8 bits have at most ", most_dequantised);
}

bool is_beyond(int value, int most) { return (value > most) | (value < -most); }

// Column and row of a block in its component's plane, in blocks.
struct BlockPlace {
  int x, y;
};

short* coefficients(Decoder& d, int component, BlockPlace at) {
  const auto& c = d.jpeg.img_comp[component];
  return c.coeff + std::ptrdiff_t{64} * (at.x + std::ptrdiff_t{at.y} * c.coeff_w);
}

stbi_uc* samples(Decoder& d, int component, BlockPlace at) {
  const auto& c = d.jpeg.img_comp[component];
  return c.data + std::ptrdiff_t{8} * (std::ptrdiff_t{at.y} * c.w2 + at.x);
}

// A run of zeros and the coefficient behind it. Without the latter, a run of 15 is one of 16 zeros, a shorter
// one the end of the block.
struct Coded {
  int run = 0;
  bool has_value = false;
  int value = 0;
};

// The next of a scan of AC coefficients, as stbi__jpeg_decode_block reads it: a short code comes with its
// value from a table, that of a long one follows in the stream. False for a code that is in no table.
[[gnu::always_inline]] inline bool next_coded(Decoder& d, int component, Coded& coded) {
  stbi__jpeg& j = d.jpeg;
  const int table = j.img_comp[component].ha;
  if (j.code_bits < 16) stbi__grow_buffer_unsafe(&j);
  const int short_code = static_cast<int>(j.code_buffer >> (32 - FAST_BITS)) & ((1 << FAST_BITS) - 1);
  if (const int fast = j.fast_ac[table][short_code]) {
    const int length = fast & 15;
    j.code_buffer <<= length;
    j.code_bits -= length;
    coded = {(fast >> 4) & 15, true, fast >> 8};
    return true;
  }
  const int both = stbi__jpeg_huff_decode(&j, j.huff_ac + table);
  if (both < 0) return stbi__err("bad huffman code", "Corrupt JPEG") != 0;
  const int bits = both & 15;
  coded = {both >> 4, bits != 0, bits != 0 ? stbi__extend_receive(&j, bits) : 0};
  if (bits > most_ac_bits) refuse_ac(d, component, coded.value, 1);
  return true;
}

// stbi__jpeg_decode_block, but for the checks.
bool decode_block(Decoder& d, int component, short* data) {
  stbi__jpeg& j = d.jpeg;
  auto& c = j.img_comp[component];
  if (j.code_bits < 16) stbi__grow_buffer_unsafe(&j);
  const int dc_bits = stbi__jpeg_huff_decode(&j, j.huff_dc + c.hd);
  if (dc_bits < 0 || dc_bits > 15) return stbi__err("bad huffman code", "Corrupt JPEG") != 0;
  std::fill_n(data, 64, short{0});
  c.dc_pred += dc_bits ? stbi__extend_receive(&j, dc_bits) : 0;
  check_dc(d, component, c.dc_pred);
  const stbi__uint16* const steps = j.dequant[c.tq];
  data[0] = static_cast<short>(c.dc_pred * steps[0]);
  Coded coded;
  for (int k = 1; k < 64; ++k) {
    if (!next_coded(d, component, coded)) return false;
    if (!coded.has_value && coded.run < 15) break;
    k += coded.run;
    if (!coded.has_value) continue;
    const int place = stbi__jpeg_dezigzag[k];
    const int product = coded.value * steps[place];
    if (is_beyond(product, most_dequantised)) refuse_ac(d, component, coded.value, steps[place]);
    data[place] = static_cast<short>(product);
  }
  return true;
}

bool decode_sequential(Decoder& d, int component, BlockPlace at) {
  STBI_SIMD_ALIGN(short, data[64]);
  if (!decode_block(d, component, data)) return false;
  d.jpeg.idct_block_kernel(samples(d, component, at), d.jpeg.img_comp[component].w2, data);
  return true;
}

// stbi__jpeg_decode_block_prog_ac of a first scan, but for the checks.
bool decode_first_ac(Decoder& d, int component, short* data) {
  stbi__jpeg& j = d.jpeg;
  if (j.eob_run > 0) {
    --j.eob_run;
    return true;
  }
  Coded coded;
  for (int k = j.spec_start; k <= j.spec_end; ++k) {
    if (!next_coded(d, component, coded)) return false;
    if (!coded.has_value && coded.run < 15) {  // the end of this block and of so many more
      j.eob_run = (1 << coded.run) - 1;
      if (coded.run > 0) j.eob_run += stbi__jpeg_get_bits(&j, coded.run);
      break;
    }
    k += coded.run;
    if (!coded.has_value) continue;
    const int value = coded.value * (1 << j.succ_low);
    if (is_beyond(value, most_ac)) refuse_ac(d, component, value, 1);
    data[stbi__jpeg_dezigzag[k]] = static_cast<short>(value);
  }
  return true;
}

bool decode_progressive(Decoder& d, int component, BlockPlace at) {
  stbi__jpeg& j = d.jpeg;
  const auto& c = j.img_comp[component];
  short* const data = coefficients(d, component, at);
  if (j.spec_start > 0 && j.scan_n == 1)  // several are refused below
    return j.succ_high == 0
               ? decode_first_ac(d, component, data)
               : stbi__jpeg_decode_block_prog_ac(&j, data, j.huff_ac + c.ha, j.fast_ac[c.ha]) != 0;
  if (!stbi__jpeg_decode_block_prog_dc(&j, data, j.huff_dc + c.hd, component)) return false;
  // Now, because 16 bits of the product are kept.
  if (j.succ_high == 0) check_quantised_dc(d, component, c.dc_pred * (1 << j.succ_low));
  return true;
}

// At the end of a unit (T.81, A.2): false where the scan's data ends, which leaves the other units as they
// are.
bool next_unit(stbi__jpeg& j) {
  if (--j.todo > 0) return true;
  if (j.code_bits < 24) stbi__grow_buffer_unsafe(&j);
  if (!STBI__RESTART(j.marker)) return false;
  stbi__jpeg_reset(&j);
  return true;
}

template <bool (*decode_block)(Decoder&, int component, BlockPlace)>
bool decode_blocks_of_one(Decoder& d, int component) {
  const auto& c = d.jpeg.img_comp[component];
  const int across = (c.x + 7) / 8, down = (c.y + 7) / 8;
  for (int y = 0; y < down; ++y)
    for (int x = 0; x < across; ++x) {
      if (!decode_block(d, component, {x, y})) return false;
      if (!next_unit(d.jpeg)) return true;
    }
  return true;
}

template <bool (*decode_block)(Decoder&, int component, BlockPlace)>
bool decode_unit_of_several(Decoder& d, int unit_x, int unit_y) {
  for (int i = 0; i < d.jpeg.scan_n; ++i) {
    const int component = d.jpeg.order[i];
    const auto& c = d.jpeg.img_comp[component];
    for (int y = 0; y < c.v; ++y)
      for (int x = 0; x < c.h; ++x)
        if (!decode_block(d, component, {unit_x * c.h + x, unit_y * c.v + y})) return false;
  }
  return true;
}

// stbi__parse_entropy_coded_data, but for the checks.
template <bool (*decode_block)(Decoder&, int component, BlockPlace)>
bool decode_scan(Decoder& d) {
  stbi__jpeg& j = d.jpeg;
  stbi__jpeg_reset(&j);
  if (j.scan_n == 1) return decode_blocks_of_one<decode_block>(d, j.order[0]);
  for (int y = 0; y < j.img_mcu_y; ++y)
    for (int x = 0; x < j.img_mcu_x; ++x) {
      if (!decode_unit_of_several<decode_block>(d, x, y)) return false;
      if (!next_unit(j)) return true;
    }
  return true;
}

// Bytes behind the last block of a scan, as some cameras leave them.
void skip_to_marker(stbi__jpeg& j) {
  if (j.marker != STBI__MARKER_none) return;
  while (!stbi__at_eof(j.s))
    if (stbi__get8(j.s) == 0xff) {
      j.marker = stbi__get8(j.s);
      return;
    }
}

// `to` gets the coefficients times their steps.
void dequantise(Decoder& d, int component, short* __restrict data, short* __restrict to) {
  const stbi__uint16* const __restrict steps = d.jpeg.dequant[d.jpeg.img_comp[component].tq];
  const short dc = std::exchange(data[0], short{0});  // has bounds of its own
  check_dc(d, component, dc);
  int beyond = 0;
  for (int k = 0; k < 64; ++k) {
    const int product = data[k] * steps[k];
    beyond |= static_cast<int>(is_beyond(data[k], most_ac)) |
              static_cast<int>(is_beyond(product, most_dequantised));
    to[k] = static_cast<short>(product);
  }
  to[0] = static_cast<short>(dc * steps[0]);
  if (beyond != 0)
    for (int k = 1; k < 64; ++k)
      if (is_beyond(data[k], most_ac) || is_beyond(data[k] * steps[k], most_dequantised))
        refuse_ac(d, component, data[k], steps[k]);
}

// stbi__jpeg_finish, but for the checks: from coefficients to samples, once all scans are read.
void transform_coefficients(Decoder& d) {
  for (int component = 0; component < d.context.img_n; ++component) {
    const auto& c = d.jpeg.img_comp[component];
    const int across = (c.x + 7) / 8, down = (c.y + 7) / 8;
    for (int y = 0; y < down; ++y)
      for (int x = 0; x < across; ++x) {
        STBI_SIMD_ALIGN(short, data[64]);
        dequantise(d, component, coefficients(d, component, {x, y}), data);
        d.jpeg.idct_block_kernel(samples(d, component, {x, y}), c.w2, data);
      }
  }
}

// stbi__decode_jpeg_image of a file from clean_jpeg.
bool decode(Decoder& d) {
  stbi__jpeg& j = d.jpeg;
  for (auto& c : j.img_comp) c.raw_data = c.raw_coeff = nullptr;
  j.restart_interval = 0;
  if (!stbi__decode_jpeg_header(&j, STBI__SCAN_load)) return false;
  for (int marker = stbi__get_marker(&j); !stbi__EOI(marker); marker = stbi__get_marker(&j)) {
    if (!stbi__SOS(marker)) {
      if (!stbi__process_marker(&j, marker)) return false;
      continue;
    }
    if (!stbi__process_scan_header(&j)) return false;
    if (!(j.progressive ? decode_scan<decode_progressive>(d) : decode_scan<decode_sequential>(d)))
      return false;
    skip_to_marker(j);
  }
  if (j.progressive) transform_coefficients(d);
  return true;
}

}  // namespace

Image stb_decode_jpeg(std::span<const std::byte> file, JpegColours colours, std::string_view name) {
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const auto decoder = std::make_unique<Decoder>(bytes, checked_cast<int>(file.size(), name), name);
  stbi__jpeg& j = decoder->jpeg;
  if (!decode(*decoder))
    fail(ErrorCode::malformed, name, ": the JPEG cannot be decoded: ", stbi_failure_reason());
  std::vector<JpegPlane> planes;
  for (const auto& c : std::span(j.img_comp, static_cast<std::size_t>(j.s->img_n)))
    planes.push_back(
        {c.data, static_cast<std::size_t>(c.w2), c.x, c.y, j.img_h_max / c.h, j.img_v_max / c.v});
  return jpeg_pixels(planes, colours, static_cast<int>(j.s->img_x), static_cast<int>(j.s->img_y));
}

}  // namespace atrous::formats
