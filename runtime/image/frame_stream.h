// A video as bytes that come one after the other, frame by frame: JPEG, PNG or PNM files (P5, P6) without
// anything between them, as `ffmpeg -f image2pipe` writes, or YUV4MPEG2 (y4m.h).
//
//   FrameStream stream(source, "standard input");
//   while (std::optional<StreamFrame> frame = stream.next()) ...
//
// Where a frame ends its format says: a JPEG at its end marker, beyond the thumbnails in its segments; a PNG
// behind IEND; PNM and YUV4MPEG2 by their headers. So a picture that a phone puts behind a JPEG is a frame of
// its own. No byte beyond that is waited for, and no more than a frame is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "runtime/image/y4m.h"

namespace ATROUS_PUBLIC atrous {

// Puts the next bytes there, at least one, and returns how many; 0 at the end. What it throws passes through.
using ByteSource = std::function<std::size_t(std::span<std::byte>)>;

enum class FrameFormat { jpeg, png, pnm, y4m };

struct FrameStreamOptions {
  bool exif = true;                   // apply the EXIF orientation
  std::int64_t max_pixels = 1 << 26;  // of a frame: twice those of 8K
  std::size_t max_frame_bytes = std::size_t{1} << 28;
};

struct StreamFrame {
  std::size_t number = 0;  // from 1
  Image picture = {};      // RGB; empty where the frame is broken
  // Why this frame is broken: an Error that begins "NAME: frame NUMBER: ". The stream can be followed beyond.
  std::exception_ptr failure = {};
  FrameFormat format = FrameFormat::jpeg;
  std::optional<Y4mHeader> y4m = {};  // of YUV4MPEG2, as the frame's stream has it
};

class FrameStream {
 public:
  FrameStream(ByteSource, std::string name, const FrameStreamOptions& = {});

  // The next frame, which may be of another size than the last; none at the end. A frame is broken where
  // read_image() (image_read.h) refuses it, where it is of another format than the first, and where the
  // stream ends in it; where a JPEG or PNG is broken so that its end cannot be told, the next frame is the
  // next one that begins. An Error that is thrown is one of the stream: of a format that is none of these, or
  // a PNM or YUV4MPEG2 whose next frame is nowhere to be found. Nothing comes after it.
  std::optional<StreamFrame> next();

 private:
  // The bytes from the next frame's first on, as far as they have come.
  class Window {
   public:
    explicit Window(ByteSource source) : source_(std::move(source)) {}
    bool has(std::size_t count);  // reads until there are so many, or no more
    std::span<const std::byte> bytes() const { return std::span(buffer_).subspan(begin_); }
    void drop(std::size_t count) { begin_ += count; }

   private:
    ByteSource source_;
    std::vector<std::byte> piece_ = std::vector<std::byte>(std::size_t{1} << 16);  // that the source fills
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
    bool ended_ = false;
  };

  void recognise();
  bool find_beginning();
  bool at_beginning();
  std::string frame_name() const;
  std::span<const std::byte> need(std::size_t count);
  std::uint8_t byte_at(std::size_t at);
  std::size_t end_of_frame();
  std::size_t end_of_jpeg();
  std::size_t end_of_png();
  std::size_t end_of_pnm();
  std::size_t next_jpeg_marker(std::size_t at);
  std::string_view y4m_line();
  bool read_y4m_headers();
  Image read_y4m_frame();

  Window window_;
  const std::string name_;
  const FrameStreamOptions options_;
  std::optional<FrameFormat> format_;
  std::optional<Y4mHeader> y4m_;
  std::size_t number_ = 0;
  std::size_t walked_ = 0;  // bytes of the frame that are known to be of it
  bool astray_ = false;     // the next frame's beginning has to be found
  bool ended_ = false;
};

}  // namespace atrous
