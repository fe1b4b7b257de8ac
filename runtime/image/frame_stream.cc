#include "runtime/image/frame_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/image_read.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file_kind.h"

namespace atrous {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view streamed = "a stream is of JPEG, PNG, PNM or YUV4MPEG2";
constexpr std::string_view png_beginning = "\x89PNG\r\n\x1a\n", jpeg_beginning = "\xff\xd8\xff";

std::string_view format_name(FrameFormat format) {
  constexpr std::array names{"JPEG"sv, "PNG"sv, "PNM"sv, "YUV4MPEG2"sv};
  return names[static_cast<std::size_t>(format)];
}

bool is_y4m(std::span<const std::byte> file) { return as_text(file).starts_with(y4m_signature); }

bool begins(FrameFormat format, std::span<const std::byte> bytes) {
  switch (format) {
    case FrameFormat::jpeg:
      return formats::is_jpeg(bytes);
    case FrameFormat::png:
      return formats::is_png(bytes);
    case FrameFormat::pnm:
      return formats::is_pnm(bytes);
    case FrameFormat::y4m:
      return is_y4m(bytes);
  }
  return false;
}

// What lies where a frame should begin, to follow the word "is".
std::string described(std::span<const std::byte> bytes) {
  if (is_y4m(bytes)) return "a YUV4MPEG2 stream";
  if (formats::is_pnm(bytes)) return "a PNM image";
  const std::string_view known = describe_file(as_text(bytes));
  return std::string(known.empty() ? "not the beginning of a frame" : known);
}

}  // namespace

// Compacts only when more than half is gone, so that each byte moves a few times at most. Memory follows what
// has come, not what a header announces.
bool FrameStream::Window::has(std::size_t count) {
  while (buffer_.size() - begin_ < count && !ended_) {
    if (begin_ >= buffer_.size() - begin_) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
    const std::size_t got = std::min(call_host(source_, std::span(piece_)), piece_.size());
    buffer_.insert(buffer_.end(), piece_.begin(), piece_.begin() + static_cast<std::ptrdiff_t>(got));
    ended_ = got == 0;
  }
  return buffer_.size() - begin_ >= count;
}

FrameStream::FrameStream(ByteSource source, std::string name, const FrameStreamOptions& options) try
    : window_(std::move(source)), name_(visible(name)), options_(options) {
} catch (...) {
  rethrow_as_error();
}

std::string FrameStream::frame_name() const { return str_cat(name_, ": frame ", number_); }

// The frame's first bytes, so many.
std::span<const std::byte> FrameStream::need(std::size_t count) {
  if (count > options_.max_frame_bytes)
    fail(ErrorCode::limit, "takes ", count, " bytes or more, at most ", options_.max_frame_bytes,
         " are read");
  if (!window_.has(count)) {
    walked_ = window_.bytes().size();
    fail(ErrorCode::malformed, "truncated: the stream ends after ", walked_, " bytes of this ",
         format_name(*format_), " frame");
  }
  return window_.bytes().first(count);
}

std::uint8_t FrameStream::byte_at(std::size_t at) { return std::to_integer<std::uint8_t>(need(at + 1)[at]); }

void FrameStream::recognise() {
  window_.has(y4m_signature.size());
  for (const FrameFormat format : {FrameFormat::jpeg, FrameFormat::png, FrameFormat::pnm, FrameFormat::y4m})
    if (begins(format, window_.bytes())) format_ = format;
  if (format_) return;
  window_.has(described_bytes);
  if (window_.bytes().empty()) fail(ErrorCode::malformed, name_, ": is empty");
  const std::string what = described(window_.bytes());
  fail(ErrorCode::unsupported, name_, ": is ", what, "; ", streamed);
}

// Drops what lies before the next JPEG or PNG; whether there is one.
bool FrameStream::find_beginning() {
  const std::string_view wanted = *format_ == FrameFormat::png ? png_beginning : jpeg_beginning;
  while (window_.has(wanted.size())) {
    const std::string_view text = as_text(window_.bytes());
    const std::size_t at = text.find(wanted);
    window_.drop(at != text.npos ? at : text.size() - (wanted.size() - 1));
    if (at != text.npos) return true;
  }
  return false;
}

// Whether there is another frame, or what should be one. Cameras fill up JPEGs by zeros.
bool FrameStream::at_beginning() {
  if (std::exchange(astray_, false)) return find_beginning();
  if (*format_ == FrameFormat::y4m) return read_y4m_headers();
  while (*format_ == FrameFormat::jpeg && window_.has(1) && window_.bytes()[0] == std::byte{0})
    window_.drop(1);
  return window_.has(1);
}

std::optional<StreamFrame> FrameStream::next() try {
  if (ended_) return std::nullopt;
  ended_ = true;  // unless all goes well
  if (!format_) recognise();
  if (!at_beginning()) return std::nullopt;
  ++number_;
  StreamFrame frame{.number = number_, .format = *format_, .y4m = y4m_};
  const std::string name = frame_name();
  std::size_t end = 0;
  try {
    walked_ = 0;
    naming(name, [&] { end = end_of_frame(); });
  } catch (const Error&) {
    const bool at_the_end = !window_.has(walked_ + 1);
    astray_ = *format_ == FrameFormat::jpeg || *format_ == FrameFormat::png;
    if (!at_the_end && !astray_) throw;
    frame.failure = std::current_exception();
    end = walked_;
  }
  if (!frame.failure) try {
      frame.picture = *format_ == FrameFormat::y4m
                          ? read_y4m_frame()
                          : read_image(window_.bytes().first(end), name,
                                       {.exif = options_.exif, .max_pixels = options_.max_pixels});
    } catch (const OutOfMemory&) {
      throw;
    } catch (const Error&) {
      frame.failure = std::current_exception();
    }
  window_.drop(end);
  ended_ = false;
  return frame;
} catch (...) {
  rethrow_as_error();
}

std::size_t FrameStream::end_of_frame() {
  if (*format_ == FrameFormat::y4m) {
    const std::string_view line = y4m_line();
    if (line != "FRAME"sv && !line.starts_with("FRAME "sv))
      fail(ErrorCode::malformed, "does not begin with FRAME; the stream cannot be followed from here");
    return need(line.size() + 1 + yuv_bytes(y4m_->width, y4m_->height, y4m_->format)).size();
  }
  window_.has(png_beginning.size());
  if (!begins(*format_, window_.bytes())) {
    window_.has(described_bytes);
    const std::string what = described(window_.bytes());
    fail(ErrorCode::malformed, "is ", what, ", in a stream of ", format_name(*format_));
  }
  return *format_ == FrameFormat::jpeg  ? end_of_jpeg()
         : *format_ == FrameFormat::png ? end_of_png()
                                        : end_of_pnm();
}

// ---- JPEG: ITU-T T.81, annex B

namespace {

enum JpegMarker : unsigned {
  temporary = 0x01,
  first_restart = 0xd0,
  last_restart = 0xd7,
  start = 0xd8,
  end_of_image = 0xd9
};

}  // namespace

// The place of the next marker's code. Entropy-coded data, in which 0 follows 0xff, restart markers and bytes
// between segments are passed over, as the decoder does.
std::size_t FrameStream::next_jpeg_marker(std::size_t at) {
  for (;;) {
    need(at + 2);
    const std::span<const std::byte> bytes = window_.bytes();
    const void* found = std::memchr(bytes.data() + at, 0xff, bytes.size() - 1 - at);
    walked_ = at = found ? static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes.data())
                         : bytes.size() - 1;
    if (!found) continue;
    const auto code = std::to_integer<unsigned>(bytes[at + 1]);
    const bool passed =
        code == 0 || code == 0xff || code == temporary || (code >= first_restart && code <= last_restart);
    if (!passed) return at + 1;
    ++at;
  }
}

std::size_t FrameStream::end_of_jpeg() {
  for (std::size_t at = 2;;) {
    at = next_jpeg_marker(at);
    const unsigned code = byte_at(at);
    if (code == end_of_image) return at + 1;
    if (code == start)
      fail(ErrorCode::malformed, "truncated: the next JPEG begins after ", at - 1, " bytes of this one");
    const std::size_t length = std::size_t{byte_at(at + 1)} << 8 | byte_at(at + 2);
    if (length < 2) fail(ErrorCode::malformed, "JPEG segment of ", length, " bytes at offset ", at - 1);
    at += 1 + length;
  }
}

// ---- PNG: its chunks come as length, type, data, CRC

std::size_t FrameStream::end_of_png() {
  for (std::size_t at = png_beginning.size();;) {
    walked_ = at;
    const std::span<const std::byte> head = need(at + 8).subspan(at);
    const formats::Bytes fields{head, name_};
    const std::string_view type = as_text(head.subspan(4));
    if (!std::ranges::all_of(type, is_letter))
      fail(ErrorCode::malformed, "no PNG chunk begins at offset ", at);
    const bool last = type == "IEND"sv;
    at += std::size_t{fields.be32(0)} + 12;
    need(at);
    if (last) return at;
  }
}

// ---- PNM: three numbers, between them white space and comments; then one character, then pixels

std::size_t FrameStream::end_of_pnm() {
  constexpr std::size_t longest_header = std::size_t{1} << 16;
  std::size_t at = 2;
  const auto here = [&] {
    if (at > longest_header) fail(ErrorCode::limit, "a PNM header of more than ", longest_header, " bytes");
    return static_cast<char>(byte_at(at));
  };
  for (int numbers = 0; numbers < 3; ++numbers) {
    for (; is_space(here()) || here() == '#'; ++at)
      if (here() == '#')
        while (here() != '\n' && here() != '\r') ++at;
    if (!is_digit(here())) fail(ErrorCode::malformed, "the PNM header has no number at offset ", at);
    while (is_digit(here())) ++at;
  }
  const formats::Bytes header{need(at + 1), "the stream cannot be followed from here"};
  return need(formats::pnm_bytes(header, options_.max_pixels)).size();
}

// ---- YUV4MPEG2

// The line that begins here, without its end.
std::string_view FrameStream::y4m_line() {
  std::size_t length = 0;
  for (; byte_at(length) != '\n'; ++length)
    if (length == y4m_line_bytes)
      fail(ErrorCode::limit, "a line of YUV4MPEG2 of more than ", y4m_line_bytes, " bytes");
  return as_text(window_.bytes().first(length));
}

// Whether something follows the headers, of which there may be several: streams that were joined.
bool FrameStream::read_y4m_headers() {
  while (window_.has(y4m_signature.size()) && is_y4m(window_.bytes())) {
    const std::string_view line = naming(name_, [&] { return y4m_line(); });
    y4m_ = read_y4m_header(line, options_.max_pixels, name_);
    window_.drop(line.size() + 1);
  }
  return window_.has(1);
}

Image FrameStream::read_y4m_frame() {
  const std::size_t planes = yuv_bytes(y4m_->width, y4m_->height, y4m_->format);
  const std::size_t line = y4m_line().size() + 1;
  return rgb_of_yuv(window_.bytes().subspan(line, planes), y4m_->width, y4m_->height, y4m_->format);
}

}  // namespace atrous
