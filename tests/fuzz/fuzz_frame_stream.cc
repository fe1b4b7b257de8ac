// Streams of JPEG, PNG, PNM and YUV4MPEG2. Frames are numbered from 1, hold no more pixels than allowed, and
// are the same whatever pieces the bytes come in; a broken one has no picture; nothing comes after the end.
#include "runtime/image/frame_stream.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

struct Told {
  std::vector<Image> pictures;
  std::vector<std::string> failures;
};

Told tell(Bytes stream, std::size_t piece) {
  std::size_t at = 0;
  const FrameStreamOptions options{.max_pixels = 1 << 14, .max_frame_bytes = 1 << 16};
  FrameStream frames(
      [&](std::span<std::byte> to) {
        const Bytes some = stream.subspan(at, std::min({piece, to.size(), stream.size() - at}));
        std::ranges::copy(some, to.begin());
        at += some.size();
        return some.size();
      },
      "fuzz", options);
  Told told;
  try {
    for (std::size_t number = 1; const auto frame = frames.next(); ++number) {
      promise(frame->number == number, "frame ", number, " is called ", frame->number);
      promise(number <= stream.size(), "more frames than bytes");
      promise(frame->failure || frame->picture.channels == 3, frame->picture.channels, " channels");
      promise(!frame->failure || frame->picture.pixels.empty(), "a broken frame with a picture");
      promise(std::int64_t{frame->picture.width} * frame->picture.height <= options.max_pixels,
              "too many pixels");
      if (!frame->failure)
        told.pictures.push_back(frame->picture);
      else
        try {
          std::rethrow_exception(frame->failure);
        } catch (const Error& error) {
          told.failures.emplace_back(error.what());
        }
    }
  } catch (const Error& error) {
    told.failures.emplace_back(error.what());
  }
  promise(!frames.next(), "a frame after the end");
  return told;
}

}  // namespace

void frame_stream(Bytes input) {
  const Told whole = tell(input, input.size() + 1), pieces = tell(input, 1 + input.size() % 7);
  promise(whole.pictures == pieces.pictures, "pieces change the pictures");
  promise(whole.failures == pieces.failures, "pieces change what is said");
}

}  // namespace atrous::fuzz
