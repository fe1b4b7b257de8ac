// Where frames end, in streams built of files; bytes come in pieces of every size.
#include "runtime/image/frame_stream.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/png.h"
#include "tests/support/image_bytes.h"

namespace atrous::frame_stream_test {

using namespace atrous::testing;

namespace {

// Hands out a stream in pieces, and counts what was asked for.
struct Pieces {
  FileBytes stream;
  std::size_t piece = 1 << 20, at = 0;

  ByteSource source() {
    return [this](std::span<std::byte> to) {
      const std::size_t count = std::min({piece, to.size(), stream.size() - at});
      std::copy_n(stream.begin() + static_cast<std::ptrdiff_t>(at), count, to.begin());
      at += count;
      return count;
    };
  }
};

struct Told {
  std::vector<Image> pictures;
  std::vector<std::string> failures;  // of frames
  std::string end;                    // why the stream could not be followed
};

Told tell(const FileBytes& stream, std::size_t piece = 1 << 20, const FrameStreamOptions& options = {}) {
  Pieces pieces{stream, piece};
  Told told;
  FrameStream frames(pieces.source(), "video", options);
  try {
    for (std::size_t number = 1; auto frame = frames.next(); ++number) {
      CHECK(frame->number == number);
      if (frame->failure)
        told.failures.push_back(sentence([&] { std::rethrow_exception(frame->failure); }));
      else
        told.pictures.push_back(frame->picture);
      REQUIRE(number < 100);
    }
  } catch (const Error& error) {
    told.end = error.what();
    CHECK(!frames.next());
  }
  return told;
}

FileBytes ppm(const Image& image) {
  return bytes(str_cat("P6\n# a frame\n", image.width, ' ', image.height, "\n255\n")) +
         bytes(std::string_view(reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()));
}

FileBytes y4m(const std::vector<Image>& images, const YuvFormat& format = {Chroma::c444, true}) {
  Y4mHeader h{.width = images[0].width, .height = images[0].height, .format = format};
  FileBytes out = bytes(y4m_header_line(h));
  for (const Image& image : images) out = out + encode_y4m_frame(image, h);
  return out;
}

// A JPEG with a whole one in an APP1 segment, as EXIF's thumbnails are.
FileBytes jpeg_with_thumbnail(const Image& image) {
  const FileBytes whole = encode_jpeg(image), small = encode_jpeg(noise(8, 8, 3));
  return first(whole, 2) + segment(0xe1, bytes("Exif\0\0") + small) +
         FileBytes(whole.begin() + 2, whole.end());
}

const Image a = noise(20, 12, 3), b = noise(7, 5, 3), c = noise(33, 9, 3);

}  // namespace

TEST_CASE("files one after the other are frames, whatever pieces they come in") {
  struct Stream {
    const char* what;
    FileBytes (*encode)(const Image&);
  };
  for (const Stream& s : {Stream{"JPEG", [](const Image& i) { return encode_jpeg(i); }},
                          Stream{"JPEG with thumbnails", jpeg_with_thumbnail},
                          Stream{"PNG", [](const Image& i) { return encode_png(i); }}, Stream{"PPM", ppm}}) {
    CAPTURE(std::string(s.what));
    const std::vector<FileBytes> files{s.encode(a), s.encode(b), s.encode(c), s.encode(a)};
    FileBytes stream;
    for (const FileBytes& file : files) stream = stream + file;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{100},
                                    std::size_t{1000}, std::size_t{1} << 20}) {
      const Told told = tell(stream, piece);
      CHECK(told.failures.empty());
      CHECK(told.end == "");
      REQUIRE(told.pictures.size() == files.size());
      for (std::size_t i = 0; i < files.size(); ++i) CHECK(told.pictures[i] == read_image(files[i], "file"));
    }
  }
}

TEST_CASE("frames of YUV4MPEG2 are the planes behind each FRAME; joined streams may change size and chroma") {
  const std::vector<Image> first_two{a, noise(20, 12, 3)};
  const YuvFormat half{Chroma::c420_mpeg2, false};
  FileBytes stream = y4m(first_two);
  stream = stream + y4m({b}, half);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, std::size_t{1} << 20}) {
    const Told told = tell(stream, piece);
    CHECK(told.end == "");
    REQUIRE(told.pictures.size() == 3);
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(told.pictures[i] ==
            rgb_of_yuv(yuv_of_rgb(first_two[i], {Chroma::c444, true}), 20, 12, {Chroma::c444, true}));
    CHECK(told.pictures[2] == rgb_of_yuv(yuv_of_rgb(b, half), 7, 5, half));
  }
  // A FRAME line may hold fields of its own.
  FileBytes with_fields = bytes("YUV4MPEG2 W1 H1\nFRAME Xsomething\n") + bytes({235, 128, 128});
  CHECK(tell(with_fields).pictures == std::vector{picture(1, 1, 3, {255, 255, 255})});
}

TEST_CASE("no byte beyond a frame is waited for") {
  for (const FileBytes& file : {encode_jpeg(a), encode_png(a), ppm(a), y4m({a})}) {
    Pieces pieces{file + file, 1};
    FrameStream frames(pieces.source(), "video");
    REQUIRE(frames.next());
    CHECK(pieces.at == file.size());
  }
}

TEST_CASE("an EXIF orientation turns a frame unless it is left out") {
  const FileBytes turned = grey_jpeg(segment(0xe1, bytes(std::string_view("Exif\0\0", 6)) + exif(6)));
  const FileBytes stream = turned + turned;
  CHECK(tell(stream).pictures == std::vector(2, read_image(turned, "file")));
  CHECK(tell(stream, 3, {.exif = false}).pictures.size() == 2);
}

TEST_CASE("a broken frame is named by its number, and the next one read") {
  struct Broken {
    const char* what;
    FileBytes stream;
    const char* sentence;
    std::size_t pictures;
  };
  const FileBytes jpeg = encode_jpeg(a), png = encode_png(a);
  FileBytes bad_crc = png, bad_chunk = png, bad_segment = jpeg;
  bad_crc[bad_crc.size() - 14] ^= std::byte{1};  // of IDAT
  bad_chunk[37] = std::byte{'1'};                // its type
  bad_segment[5] = bad_segment[4] = std::byte{0};
  const FileBytes huge_chunk = first(png, 33) + be32(0x7fffffff) + FileBytes(png.begin() + 37, png.end());
  const std::vector<Broken> table{
      {"a PNG with a bad CRC", png + bad_crc + png, "video: frame 2: CRC mismatch in PNG chunk IDAT", 2},
      {"no chunk", png + bad_chunk + png, "video: frame 2: no PNG chunk begins at offset 33", 2},
      {"a chunk of 2 GB", png + huge_chunk + png, "video: frame 2: takes 2147483692 bytes or more", 2},
      {"a PNG cut off", png + first(png, 60), "video: frame 2: truncated: the stream ends after 60 bytes", 1},
      {"a PNG's first bytes", png + first(png, 5), "video: frame 2: ", 1},
      {"a JPEG in PNGs", png + jpeg + png, "video: frame 2: is a JPEG image, in a stream of PNG", 2},
      {"text in PNGs", png + bytes("hello") + png, "video: frame 2: is ", 2},
      {"a JPEG without its end", jpeg + first(jpeg, jpeg.size() - 20) + jpeg,
       "video: frame 2: truncated: the next JPEG begins after ", 2},
      {"a JPEG cut off", jpeg + first(jpeg, 300),
       "video: frame 2: truncated: the stream ends after 300 bytes of this JPEG frame", 1},
      {"an empty segment", jpeg + bad_segment + jpeg, "video: frame 2: JPEG segment of 0 bytes at offset 2",
       2},
      {"a JPEG that cannot be decoded", jpeg + soi + segment(0xdb, bytes({9})) + eoi + jpeg,
       "video: frame 2: JPEG ", 2},
      {"a PPM cut off", ppm(a) + first(ppm(a), 100), "video: frame 2: truncated: the stream ends after 100 ",
       1},
      {"a PPM's header cut off", ppm(a) + bytes("P6\n20"),
       "video: frame 2: truncated: the stream ends after 5 ", 1},
      {"a YUV4MPEG2 frame cut off", y4m({a, a}) + bytes("FRAME\nxy"),
       "video: frame 3: truncated: the stream ends after 8 bytes of this YUV4MPEG2 frame", 2},
      {"a FRAME line cut off", y4m({a, a}) + bytes("FRAM"),
       "video: frame 3: truncated: the stream ends after 4 ", 2},
  };
  for (const Broken& broken : table)
    for (const std::size_t piece : {std::size_t{1}, std::size_t{64}, std::size_t{1} << 20}) {
      CAPTURE(std::string(broken.what));
      const Told told = tell(broken.stream, piece);
      CHECK(told.end == "");
      REQUIRE(told.failures.size() == 1);
      CAPTURE(told.failures[0]);
      CHECK(told.failures[0].starts_with(broken.sentence));
      CHECK(told.pictures.size() == broken.pictures);
    }
}

TEST_CASE("a stream that cannot be followed ends in one sentence") {
  struct Lost {
    const char* what;
    FileBytes stream;
    const char* sentence;
  };
  const std::vector<Lost> table{
      {"nothing", {}, "video: is empty"},
      {"text", bytes("hello there, nobody"),
       "video: is a text file; a stream is of JPEG, PNG, PNM or YUV4MPEG2"},
      {"GIF", bytes("GIF89a......"), "video: is a GIF image; a stream"},
      {"an MP4", be32(32) + bytes("ftypisom") + FileBytes(20), "video: is an MP4 video; a stream"},
      {"ascii PNM", bytes("P3 1 1 255 1 2 3"),
       "video: frame 1: the stream cannot be followed from here: PNM kind P3"},
      {"a PPM of too many pixels", bytes("P6 60000 60000 255 "),
       "3600000000 pixels, over the limit of 67108864"},
      {"a PPM of too many bytes", bytes("P6 8192 8192 65535 "),
       "takes 402653203 bytes or more, at most 268435456"},
      {"a PPM without a number", ppm(a) + bytes("P6 x"),
       "video: frame 2: the PNM header has no number at offset 3"},
      {"a PPM of white space", bytes("P6") + FileBytes(70000, std::byte{' '}),
       "header of more than 65536 bytes"},
      {"a PPM of digits", bytes("P6 ") + FileBytes(70000, std::byte{'1'}), "header of more than 65536 bytes"},
      {"a PPM of a comment", bytes("P6 #") + FileBytes(70000, std::byte{'x'}),
       "header of more than 65536 bytes"},
      {"a PNG in PPMs", ppm(a) + encode_png(a), "video: frame 2: is a PNG image, in a stream of PNM"},
      {"a YUV4MPEG2 header cut off", bytes("YUV4MPEG2 W1 H1"), "video: truncated: the stream ends after 15 "},
      {"a header without an end", bytes("YUV4MPEG2 W1 H1 X") + FileBytes(5000, std::byte{'x'}),
       "of more than 1024 bytes"},
      {"an absurd header", bytes("YUV4MPEG2 W65535 H65535\nFRAME\n"),
       "video: 65535x65535 is 4294836225 pixels"},
      {"10 bits", bytes("YUV4MPEG2 W2 H2 C420p10\nFRAME\n"), "video: YUV4MPEG2 of the colour space C420p10"},
      {"a frame of another kind", y4m({a}) + encode_png(a), "video: frame 2: "},
      {"no FRAME", y4m({a}) + bytes("FRAMES\nabc"), "video: frame 2: does not begin with FRAME"},
      {"bytes too many", y4m({a}) + bytes("\nFRAME\n"), "video: frame 2: does not begin with FRAME"},
      {"a second header of nonsense", y4m({a}) + bytes("YUV4MPEG2 W0 H1\n"), "0x1 has no pixels"},
  };
  for (const Lost& lost : table)
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20}) {
      CAPTURE(std::string(lost.what));
      const Told told = tell(lost.stream, piece);
      CAPTURE(told.end);
      CHECK(contains(told.end, lost.sentence));
      CHECK(told.failures.empty());
    }
}

TEST_CASE("a YUV4MPEG2 stream of a header alone has no frames, and zeros may lie between JPEGs") {
  CHECK(tell(bytes("YUV4MPEG2 W1 H1\n")).pictures.empty());
  const FileBytes jpeg = encode_jpeg(a);
  CHECK(tell(jpeg + FileBytes(5) + jpeg + FileBytes(3)).pictures.size() == 2);
}

TEST_CASE("what a source throws comes through") {
  FrameStream frames([](std::span<std::byte>) -> std::size_t { throw std::out_of_range("gone"); }, "video");
  CHECK_THROWS_AS(frames.next(), std::out_of_range);
  CHECK(!frames.next());
}

}  // namespace atrous::frame_stream_test
