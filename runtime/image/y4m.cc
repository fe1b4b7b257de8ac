#include "runtime/image/y4m.h"

#include <array>
#include <charconv>
#include <span>
#include <tuple>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "weights_tools/io/bytes.h"

namespace atrous {

namespace {

constexpr std::pair<Chroma, std::string_view> chroma_names[] = {
    {Chroma::c420_jpeg, "420jpeg"},
    {Chroma::c420_jpeg, "420"},
    {Chroma::c420_mpeg2, "420mpeg2"},
    {Chroma::c420_paldv, "420paldv"},
    {Chroma::c422, "422"},
    {Chroma::c444, "444"},
    {Chroma::mono, "mono"}};  // the last is written only

std::string_view chroma_name(Chroma chroma) {
  for (const auto& [value, name] : chroma_names)
    if (value == chroma) return name;
  return {};
}

Chroma chroma_by_name(std::string_view given, std::string_view name) {
  for (const auto& [value, known] : chroma_names)
    if (known == given && value != Chroma::mono) return value;
  fail(ErrorCode::unsupported, name, ": YUV4MPEG2 of the colour space C", given,
       "; C420jpeg, C420mpeg2, C420paldv, C422 and C444, of 8 bits, are supported");
}

// Digits alone, at most nine of them, up to the end of the text.
int whole_number(std::string_view digits, std::string_view field, std::string_view name) {
  int value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end || digits.size() > 9 || !is_digit(digits.front()))
    fail(ErrorCode::malformed, name, ": the YUV4MPEG2 header says ", field, ", where a number belongs");
  return value;
}

// "30000:1001", both above zero, or "0:0" for what is not known.
std::pair<int, int> y4m_ratio(std::string_view field, std::string_view name) {
  const std::string_view text = field.substr(1);
  const std::size_t colon = std::min(text.find(':'), text.size());
  const int over = whole_number(text.substr(0, colon), field, name),
            under = whole_number(text.substr(std::min(colon + 1, text.size())), field, name);
  if ((over == 0) != (under == 0))
    fail(ErrorCode::malformed, name, ": the YUV4MPEG2 header says ", field, ", which is no ratio");
  return {over, under};
}

void check_interlacing(std::string_view field, std::string_view name) {
  if (field == "Ip" || field == "I?") return;
  fail(ErrorCode::unsupported, name, ": YUV4MPEG2 of interlaced frames (", field,
       "); progressive ones (Ip) are supported: let ffmpeg make them by -vf yadif");
}

}  // namespace

Y4mHeader read_y4m_header(std::string_view line, std::int64_t max_pixels, std::string_view name) try {
  if (line.size() > y4m_line_bytes)
    fail(ErrorCode::limit, name, ": a YUV4MPEG2 header of ", line.size(), " bytes, at most ", y4m_line_bytes,
         " are read");
  Y4mHeader h;
  std::array<bool, 128> seen{};
  std::string_view rest = line.substr(std::min(y4m_signature.size(), line.size()));
  if (!line.starts_with(y4m_signature) || !(rest.empty() || rest.front() == ' '))
    fail(ErrorCode::malformed, name, ": no YUV4MPEG2 header");
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(field.size());
    if (field.empty()) continue;
    const char tag = field.front();
    if (std::string_view("WHFIAC").find(tag) != std::string_view::npos &&
        std::exchange(seen[static_cast<std::size_t>(tag)], true))
      fail(ErrorCode::malformed, name, ": the YUV4MPEG2 header has ", tag, " twice");
    if (tag == 'W') h.width = whole_number(field.substr(1), field, name);
    if (tag == 'H') h.height = whole_number(field.substr(1), field, name);
    if (tag == 'F') std::tie(h.rate, h.rate_base) = y4m_ratio(field, name);
    if (tag == 'A') std::tie(h.aspect, h.aspect_base) = y4m_ratio(field, name);
    if (tag == 'I') check_interlacing(field, name);
    if (tag == 'C') h.format.chroma = chroma_by_name(field.substr(1), name);
    if (field == "XCOLORRANGE=FULL") h.format.full_range = true;
  }
  for (const char side : {'W', 'H'})
    if (!seen[static_cast<std::size_t>(side)])
      fail(ErrorCode::malformed, name, ": the YUV4MPEG2 header has no ", side);
  formats::check_dimensions(h.width, h.height, max_pixels, name);
  return h;
} catch (...) {
  rethrow_as_error();
}

std::string y4m_header_line(const Y4mHeader& h) try {
  const bool full = h.format.full_range || h.format.chroma == Chroma::mono;
  return str_cat(y4m_signature, " W", h.width, " H", h.height, " F", h.rate, ':', h.rate_base, " Ip A",
                 h.aspect, ':', h.aspect_base, " C", chroma_name(h.format.chroma),
                 " XCOLORRANGE=", full ? "FULL" : "LIMITED", '\n');
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> encode_y4m_frame(const Image& image, const Y4mHeader& h) try {
  if (image.width != h.width || image.height != h.height)
    fail(ErrorCode::invalid_argument, "a frame of ", image.width, "x", image.height,
         " in a YUV4MPEG2 stream of ", h.width, "x", h.height);
  const auto line = as_bytes("FRAME\n");
  const std::vector<std::byte> planes = yuv_of_rgb(image, h.format);
  std::vector<std::byte> frame;
  frame.reserve(line.size() + planes.size());
  frame.assign(line.begin(), line.end());
  frame.insert(frame.end(), planes.begin(), planes.end());
  return frame;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
