// YUV4MPEG2's lines: what is read of them, what is refused, what is written.
#include "runtime/image/y4m.h"

#include <doctest/doctest.h>

#include "tests/support/image_helpers.h"

namespace atrous::y4m_test {

using namespace atrous::testing;

namespace {

Y4mHeader header(const std::string& fields) {
  return read_y4m_header("YUV4MPEG2" + fields, 1 << 20, "video");
}

}  // namespace

TEST_CASE("a YUV4MPEG2 header says size, rate, aspect, chroma and range") {
  // As ffmpeg 5.1 writes it.
  CHECK(header(" W36 H20 F30000:1001 Ip A8:9 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED") ==
        Y4mHeader{36, 20, 30000, 1001, 8, 9, {Chroma::c420_jpeg, false}});
  CHECK(header(" W36 H20 F30:1 Ip A1:1 C444 XYSCSS=444 XCOLORRANGE=FULL") ==
        Y4mHeader{36, 20, 30, 1, 1, 1, {Chroma::c444, true}});
  CHECK(header(" H2 W1") == Y4mHeader{.width = 1, .height = 2});
  CHECK(header("  W1  H2 F0:0 I? A0:0 C420 Z9 Xanything ") ==
        Y4mHeader{1, 2, 0, 0, 0, 0, {Chroma::c420_jpeg, false}});
  CHECK(header(" W1 H2 C420mpeg2").format.chroma == Chroma::c420_mpeg2);
  CHECK(header(" W1 H2 C420paldv").format.chroma == Chroma::c420_paldv);
  CHECK(header(" W1 H2 C422").format.chroma == Chroma::c422);
}

TEST_CASE("a YUV4MPEG2 header that says what cannot be is refused") {
  struct Bad {
    const char *fields, *sentence;
    ErrorCode code;
  };
  for (const Bad& bad : {
           Bad{"", "has no W", ErrorCode::malformed},
           Bad{" W1", "has no H", ErrorCode::malformed},
           Bad{" W H2", "says W, where a number belongs", ErrorCode::malformed},
           Bad{" W1x H2", "says W1x, where a number", ErrorCode::malformed},
           Bad{" W-1 H2", "says W-1, where a number", ErrorCode::malformed},
           Bad{" W+1 H2", "says W+1, where a number", ErrorCode::malformed},
           Bad{" W1 H9999999999", "says H9999999999, where a number", ErrorCode::malformed},
           Bad{" W1 W1 H2", "has W twice", ErrorCode::malformed},
           Bad{" W1 H2 C420 C420", "has C twice", ErrorCode::malformed},
           Bad{" W0 H2", "0x2 has no pixels", ErrorCode::malformed},
           Bad{" W65536 H1", "a side is over 65535", ErrorCode::limit},
           Bad{" W65535 H65535", "over the limit of 1048576", ErrorCode::limit},
           Bad{" W1 H2 F25", "says F25, where a number", ErrorCode::malformed},
           Bad{" W1 H2 F", "says F, where a number", ErrorCode::malformed},
           Bad{" W1 H2 F25:0", "F25:0, which is no ratio", ErrorCode::malformed},
           Bad{" W1 H2 F25:1:1", "says F25:1:1, where a number", ErrorCode::malformed},
           Bad{" W1 H2 A0:1", "A0:1, which is no ratio", ErrorCode::malformed},
           Bad{" W1 H2 It", "interlaced frames (It)", ErrorCode::unsupported},
           Bad{" W1 H2 Im", "interlaced frames (Im)", ErrorCode::unsupported},
           Bad{" W1 H2 I", "interlaced frames (I)", ErrorCode::unsupported},
           Bad{" W1 H2 C420p10", "colour space C420p10; C420jpeg, ", ErrorCode::unsupported},
           Bad{" W1 H2 C444p16", "colour space C444p16", ErrorCode::unsupported},
           Bad{" W1 H2 C444alpha", "colour space C444alpha", ErrorCode::unsupported},
           Bad{" W1 H2 C411", "colour space C411", ErrorCode::unsupported},
           Bad{" W1 H2 Cmono", "colour space Cmono", ErrorCode::unsupported},
           Bad{" W1 H2 C", "colour space C;", ErrorCode::unsupported},
           Bad{" W1 H2 C\x1b[2J", "colour space C\\x1b[2J", ErrorCode::unsupported},
           Bad{"X W1 H2", "no YUV4MPEG2 header", ErrorCode::malformed},
       }) {
    CAPTURE(bad.fields);
    try {
      header(bad.fields);
      FAIL_CHECK("is read");
    } catch (const Error& error) {
      CAPTURE(error.what());
      CHECK(error.code() == bad.code);
      CHECK(contains(error.what(), "video: "));
      CHECK(contains(error.what(), bad.sentence));
    }
  }
  CHECK(contains(sentence([] { read_y4m_header("YUV4MPEG", 9, "video"); }), "no YUV4MPEG2 header"));
  CHECK(contains(sentence([] { header(' ' + std::string(y4m_line_bytes, 'X')); }),
                 "of 1034 bytes, at most 1024"));
}

TEST_CASE("a YUV4MPEG2 header that is written is read back the same") {
  const Y4mHeader h{640, 360, 30000, 1001, 1, 1, {Chroma::c420_mpeg2, true}};
  const std::string line = y4m_header_line(h);
  CHECK(line == "YUV4MPEG2 W640 H360 F30000:1001 Ip A1:1 C420mpeg2 XCOLORRANGE=FULL\n");
  CHECK(read_y4m_header(line.substr(0, line.size() - 1), 1 << 20, "video") == h);
  CHECK(contains(y4m_header_line({.width = 1, .height = 1, .format = {Chroma::mono, false}}),
                 " Cmono XCOLORRANGE=FULL\n"));
}

TEST_CASE("a frame of YUV4MPEG2 is a line and its planes") {
  const Image image = noise(5, 3, 3);
  const Y4mHeader h{.width = 5, .height = 3};
  CHECK(encode_y4m_frame(image, h) == bytes("FRAME\n") + yuv_of_rgb(image, h.format));
  CHECK(contains(sentence([&] { encode_y4m_frame(noise(5, 4, 3), h); }), "5x4 in a YUV4MPEG2 stream of 5x3"));
}

}  // namespace atrous::y4m_test
