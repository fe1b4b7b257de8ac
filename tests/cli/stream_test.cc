// atrous segment - --stream: frames in, frames out; by ffmpeg too, where it is there.
#include <csignal>
#include <cstdio>

#include "runtime/image/frame_stream.h"
#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "tests/support/cli_testing.h"
#include "tests/support/sanitizers.h"
#include "weights_tools/io/bytes.h"

namespace atrous::stream_test {

using namespace atrous::cli_testing;

namespace {

constexpr const char* ffmpeg = "/usr/bin/ffmpeg";

std::string ppm(const Image& image) {
  return str_cat("P6\n", image.width, ' ', image.height, "\n255\n") +
         std::string(image.pixels.begin(), image.pixels.end());
}
std::string png(const Image& image) { return text_of(encode_png(image)); }
std::string y4m(const std::vector<Image>& images, const Y4mHeader& like = {.format = {Chroma::c444, false}}) {
  Y4mHeader h = like;
  h.width = images.at(0).width;
  h.height = images.at(0).height;
  std::string out = y4m_header_line(h);
  for (const Image& image : images) out += text_of(encode_y4m_frame(image, h));
  return out;
}

Image plain(int width, int height, int grey) {
  Image image = make_image(width, height, 3);
  std::ranges::fill(image.pixels, static_cast<std::uint8_t>(grey));
  return image;
}

// All frames of an output, which must be whole.
std::vector<Image> frames_of(const std::string& bytes) {
  std::size_t at = 0;
  FrameStream stream(
      [&](std::span<std::byte> to) {
        const std::size_t count = std::min(to.size(), bytes.size() - at);
        std::memcpy(to.data(), bytes.data() + at, count);
        at += count;
        return count;
      },
      "output");
  std::vector<Image> all;
  while (auto frame = stream.next()) {
    if (frame->failure) std::rethrow_exception(frame->failure);
    all.push_back(std::move(frame->picture));
  }
  return all;
}

struct StreamBench : Bench {
  const std::vector<Image> photos{photo(48, 32), plain(48, 32, 90), photo(48, 32), plain(48, 32, 200)};

  Arguments stream(const Arguments& more = {}) const { return segment({"-", "--stream", "-q"}) + more; }
  // Frames as they came in.
  Arguments as_it_is(const Arguments& more = {}) const {
    return stream({"--alpha", "0", "--no-contours"}) + more;
  }
  Segmentation expected_of(const Image& image) {
    return atrous::segment(session, model, image, {.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}});
  }
  // What segment says of the frame as a picture of its own.
  std::string alone(const Image& image, const Arguments& arguments) const {
    return succeed(segment({"-", "-o", "-"}) + arguments, {.input = png(image)});
  }
};

// The grey of each frame, which is plain but for the rounding of conversions.
std::vector<int> greys(const std::vector<Image>& frames) {
  std::vector<int> all;
  for (const Image& frame : frames) {
    const std::size_t middle = frame.pixels.size() / 2;
    all.push_back(frame.pixels[middle]);
    for (const std::uint8_t sample : frame.pixels)
      if (std::abs(sample - all.back()) > 2) CHECK(int{sample} == all.back());
  }
  return all;
}

bool has_ffmpeg() {
  if (std::filesystem::exists(ffmpeg)) return true;
  MESSAGE("skipped: no ffmpeg (Debian's package ffmpeg)");
  return false;
}

std::string program() {
  const char* other = std::getenv("ATROUS_CLI");
  return other ? other : ATROUS_CLI;
}

std::string by_ffmpeg(const Arguments& arguments, const std::string& input = "") {
  const ProcessResult r =
      testing::run_process(Arguments{ffmpeg, "-v", "error"} + arguments, {.input = input});
  INFO(joined(arguments));
  CHECK(r.errors == "");
  REQUIRE(r.exit_code == 0);
  return r.output;
}

}  // namespace

TEST_CASE_FIXTURE(StreamBench, "each frame of a stream is what segment writes of it alone, bit for bit") {
  std::string pngs, ppms;
  for (const Image& image : photos) {
    pngs += png(image);
    ppms += ppm(image);
  }
  for (const char* kind : {"--overlay", "--mask", "--labels"}) {
    CAPTURE(kind);
    std::string expected;
    for (const Image& image : photos) expected += alone(image, {kind});
    CHECK(succeed(stream({kind}), {.input = pngs}) == expected);
    CHECK(succeed(stream({kind, "--format", "png"}), {.input = ppms}) == expected);
    CHECK(succeed({"segment", "-", "--stream", "-q", "-m", checkpoint, "--threads", "2", "--no-resize", kind,
                   "--format", "png"},
                  {.input = ppms}) == expected);
  }
  std::string overlays;
  for (const Image& image : photos)
    overlays += ppm(read_image(as_bytes(alone(image, {"--overlay"})), "overlay"));
  CHECK(succeed(stream(), {.input = ppms}) == overlays);
}

TEST_CASE_FIXTURE(StreamBench, "YUV4MPEG2 comes out with its own rate, aspect, chroma and range") {
  const Y4mHeader like{
      .rate = 30000, .rate_base = 1001, .aspect = 8, .aspect_base = 9, .format = {Chroma::c420_mpeg2, true}};
  const std::string video = y4m(photos, like);
  std::vector<Image> overlays;
  for (const Image& image : photos) {
    const Image seen = rgb_of_yuv(yuv_of_rgb(image, like.format), 48, 32, like.format);
    overlays.push_back(
        overlay(seen, expected_of(seen).labels, model.palette, {.background = model.background}));
  }
  CHECK(succeed(stream(), {.input = video}) == y4m(overlays, like));

  std::string labels = "YUV4MPEG2 W48 H32 F25:1 Ip A0:0 Cmono XCOLORRANGE=FULL\n", maps;
  for (const Image& image : photos) {
    const LabelMap map = expected_of(image).labels;
    const std::string values(map.labels.begin(), map.labels.end());
    labels += "FRAME\n" + values;
    maps += "P5\n48 32\n255\n" + values;
  }
  std::string pngs;
  for (const Image& image : photos) pngs += png(image);
  CHECK(succeed(stream({"--labels", "--format", "y4m"}), {.input = pngs}) == labels);
  CHECK(succeed(stream({"--labels", "--format", "ppm"}), {.input = pngs}) == maps);
  CHECK(succeed(stream({"--format", "y4m"}), {.input = pngs})
            .starts_with("YUV4MPEG2 W48 H32 F25:1 Ip A0:0 C444 XCOLORRANGE=LIMITED\nFRAME\n"));
}

TEST_CASE_FIXTURE(StreamBench, "JPEG frames become PNG, or JPEG where it is asked for") {
  const std::string jpegs = text_of(encode_jpeg(photos[0])) + text_of(encode_jpeg(photos[1]));
  const Image seen = read_image(encode_jpeg(photos[0]), "frame");
  CHECK(succeed(stream(), {.input = jpegs}).starts_with(alone(seen, {"--overlay"})));
  const std::string out = succeed(stream({"--format", "jpg", "--quality", "95"}), {.input = jpegs});
  CHECK(out.starts_with("\xff\xd8\xff"));
  CHECK(frames_of(out).size() == 2);
}

TEST_CASE_FIXTURE(StreamBench, "a frame of another size is planned anew, and refused in YUV4MPEG2 alone") {
  const std::vector<Image> sizes{photo(48, 32), photo(31, 40), photo(48, 32), photo(60, 60)};
  std::string pngs, expected;
  for (const Image& image : sizes) {
    pngs += png(image);
    expected += alone(image, {"--mask"});
  }
  CHECK(succeed(stream({"--mask"}), {.input = pngs}) == expected);
  const ProcessResult r = run_atrous(stream({"--format", "y4m"}), {.input = pngs});
  CHECK(r.exit_code == 1);
  CHECK(r.errors ==
        "atrous: error: frame 2 is 31x40, the YUV4MPEG2 written so far 48x32; --format png and ppm have room "
        "for frames of any size\n");
  CHECK(frames_of(r.output).size() == 1);
}

TEST_CASE_FIXTURE(StreamBench, "the frame rate is said at the end, unless quiet") {
  const std::string two = png(photos[0]) + png(photos[1]);
  const ProcessResult r = run_atrous(segment({"-", "--stream"}), {.input = two});
  CHECK(r.exit_code == 0);
  CHECK(r.errors.starts_with("atrous: 2 frames, "));
  CHECK(r.errors.ends_with(" a second\n"));
}

TEST_CASE_FIXTURE(StreamBench, "a file of frames appears whole or not at all, in the format of its name") {
  const std::string video = y4m(photos), out = folder / "out.y4m";
  const Names before = names();
  succeed(stream({"-o", out}), {.input = video});
  CHECK(read_text(out) == succeed(stream(), {.input = video}));
  succeed(stream({"-o", folder / "out.ppm"}), {.input = video});
  CHECK(read_text(folder / "out.ppm").starts_with("P6\n48 32\n"));
  std::filesystem::remove(folder / "out.ppm");

  write_text(out, "as it was");
  refuse(1, stream({"-o", out}), {"frame 4: truncated"}, {.input = video.substr(0, video.size() - 9)});
  CHECK(read_text(out) == "as it was");
  std::filesystem::remove(out);
  CHECK(names() == before);
  refuse(1, stream({"-o", folder.path()}), {"is a directory"}, {.input = video});
  refuse(1, stream({"-o", folder / "none/out.y4m"}), {"none/out.y4m", "No such file"}, {.input = video});
}

TEST_CASE_FIXTURE(StreamBench,
                  "a broken frame ends the stream behind whole frames, or is named and left out") {
  std::string broken = png(photos[1]);
  broken[60] ^= 1;
  const std::string three = png(photos[0]) + broken + png(photos[2]);
  const ProcessResult r = run_atrous(stream({"--mask"}), {.input = three});
  CHECK(r.exit_code == 1);
  CHECK(r.errors == "atrous: error: standard input: frame 2: CRC mismatch in PNG chunk IDAT at offset 33\n");
  CHECK(r.output == alone(photos[0], {"--mask"}));

  const ProcessResult skipped = run_atrous(stream({"--mask", "--skip-broken"}), {.input = three});
  CHECK(skipped.exit_code == 0);
  CHECK(skipped.errors ==
        "atrous: error: standard input: frame 2: CRC mismatch in PNG chunk IDAT at offset 33\n"
        "atrous: error: 1 of 3 frames failed\n");
  CHECK(skipped.output == alone(photos[0], {"--mask"}) + alone(photos[2], {"--mask"}));

  const ProcessResult all = run_atrous(stream({"--skip-broken"}), {.input = broken});
  CHECK(all.exit_code == 1);
  CHECK(mentions(all.errors, "1 of 1 frame failed"));
}

TEST_CASE_FIXTURE(StreamBench, "streams that are none are refused in one sentence") {
  struct Bad {
    std::string input, sentence;
  };
  for (const Bad& bad : {
           Bad{"", "standard input: is empty"},
           Bad{"hello there", "is a text file; a stream is of JPEG, PNG, PNM or YUV4MPEG2"},
           Bad{png(photos[0]).substr(0, 100), "frame 1: truncated: the stream ends after 100 bytes"},
           Bad{y4m(photos).substr(0, 70), "frame 1: truncated"},
           Bad{"YUV4MPEG2 W48 H32 F25:1 Ip\n", "holds no frame"},
           Bad{"YUV4MPEG2 W48 H32 C420p10\nFRAME\n", "colour space C420p10"},
           Bad{"YUV4MPEG2 W48 H32 Cmono\nFRAME\n", "colour space Cmono"},
           Bad{"YUV4MPEG2 W48 H32 It\nFRAME\n", "interlaced frames (It)"},
           Bad{"YUV4MPEG2 W99999 H99999\nFRAME\n", "a side is over 65535"},
           Bad{"YUV4MPEG2 W48 H32 X" + std::string(2000, 'x'), "of more than 1024 bytes"},
       })
    refuse(1, stream(), {bad.sentence}, {.input = bad.input});
  const std::string mixed = png(photos[0]) + ppm(photos[0]);
  const ProcessResult r = run_atrous(stream(), {.input = mixed});
  CHECK(r.exit_code == 1);
  CHECK(r.errors == "atrous: error: standard input: frame 2: is a PNM image, in a stream of PNG\n");
}

TEST_CASE_FIXTURE(StreamBench, "options that a stream has no use for are refused by name") {
  for (const char* option :
       {"--sheet", "--legend", "--confidence", "--indexed", "--recursive", "--no-mask", "--no-overlay"})
    refuse(2, stream({option}), {option, "a stream is frames of one picture each"});
  for (const char* option : {"--cutout", "--logits", "--json", "--truth", "--instances"})
    refuse(2, stream({option, "x"}), {option, "a stream is frames of one picture each"});
  refuse(2, stream({"--mask", "--labels"}), {"a frame is one picture"});
  refuse(2, segment({dog, "--stream"}), {"--stream reads standard input"});
  refuse(2, stream({dog}), {"--stream reads standard input"});
  refuse(2, stream({"--labels", "--format", "jpg"}), {"--format jpg"});
  refuse(2, stream({"--quality", "50"}), {"--quality is for --format jpg"});
  refuse(2, segment({dog, "--format", "y4m"}), {"--format y4m is for --stream"});
}

// 380 frames more are 88 MB more. The shell makes them: a program's peak counts what its parent had at the
// fork.
TEST_CASE_FIXTURE(StreamBench, "memory does not grow with the stream") {
  if (ATROUS_ADDRESS_SANITIZER) {
    std::puts("skipped: AddressSanitizer keeps memory that was given back");
    return;
  }
  const std::string video = y4m({plain(320, 240, 100)});
  const std::size_t head = video.find('\n') + 1;
  write_text(folder / "head", video.substr(0, head));
  write_text(folder / "frame", video.substr(head));
  const auto peak = [&](std::size_t frames) {
    const std::string script =
        "{ cat head; for ((i = 0; i < $1; ++i)); do cat frame; done; } | \"$0\" segment - --stream -q "
        "-m net.safetensors --threads 1 --resize 32 -o out.y4m";
    const ProcessResult r = testing::run_process(
        {"/bin/bash", "-c", script, program(), std::to_string(frames)}, {.folder = folder.path()});
    CHECK(r.errors == "");
    CHECK(r.exit_code == 0);
    CHECK(std::filesystem::file_size(folder / "out.y4m") == head + frames * (video.size() - head));
    return r.peak_kilobytes;
  };
  const long few = peak(20), many = peak(400);
  CHECK_MESSAGE(many < few + 8000, many, " kB after ", few);
}

TEST_CASE_FIXTURE(StreamBench, "Ctrl-C ends a stream between two frames, though it goes on for ever") {
  const std::string video = y4m(std::vector<Image>(2000, plain(48, 32, 100)));
  for (const int signal : {SIGINT, SIGTERM}) {
    const ProcessResult r = run_atrous(stream(), {.input = video, .signal_at_output = signal});
    CAPTURE(r.errors);
    CHECK(r.exit_code == 128 + signal);
    CHECK(r.errors.starts_with("atrous: error: stopped after "));
    CHECK(r.errors.find('\n') == r.errors.size() - 1);
    const std::size_t frames = frames_of(r.output).size();
    CHECK(frames > 0);
    CHECK(frames < 2000);
    CHECK(mentions(r.errors, str_cat("after ", frames, " frame")));
  }
}

TEST_CASE_FIXTURE(StreamBench,
                  "a stream that waits for its next frame ends at Ctrl-C, and its file is not there") {
  write_text(folder / "one.y4m", y4m({photos[0]}));
  // The shell keeps the stream open behind its one frame.
  const std::string script =
      "mkfifo fifo; exec 3<>fifo; cat one.y4m >&3; \"$0\" segment - --stream -q -m net.safetensors "
      "--no-resize "
      "-o out.y4m <fifo 3>&- & sleep 1; kill -$1 $!; wait $!; echo $?";
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    const ProcessResult r = testing::run_process(
        {"/bin/bash", "-mc", script, program(), std::to_string(signal)}, {.folder = folder.path()});
    CHECK(r.output == str_cat(128 + signal, '\n'));
    CHECK(names() == Names{"dog.png", "fifo", "net.safetensors", "one.y4m"});
    std::filesystem::remove(folder / "fifo");
  }
}

TEST_CASE_FIXTURE(StreamBench, "a reader that goes away ends the stream with one line") {
  const std::string video = y4m(std::vector<Image>(2000, plain(48, 32, 100)));
  const ProcessResult r = run_atrous(stream(), {.input = video, .close_after = 1});
  CHECK(r.exit_code == 1);
  CHECK(r.errors == "atrous: error: standard output: Broken pipe\n");
}

TEST_CASE_FIXTURE(StreamBench, "a disk that fills up is said, and holds no part of a stream") {
  const std::string video = y4m(std::vector<Image>(50, plain(48, 32, 100)));
  refuse(1, stream({"-o", folder / "out.y4m"}), {"out.y4m", "cannot write"},
         {.input = video, .file_size_limit = 100000});
  CHECK(!std::filesystem::exists(folder / "out.y4m"));
}

// ---- ffmpeg

TEST_CASE_FIXTURE(StreamBench, "a video goes from ffmpeg through the program and back, frame for frame") {
  if (!has_ffmpeg()) return;
  const std::string source =
      "nullsrc=size=64x48:rate=30:duration=2,format=yuv444p,geq=lum='40+N':cb=128:cr=128";
  struct Way {
    const char *what, *encoder;
  };
  for (const Way& way : {Way{"YUV4MPEG2, 4:2:0", "-pix_fmt yuv420p -f yuv4mpegpipe"},
                         Way{"YUV4MPEG2, 4:2:2", "-pix_fmt yuv422p -f yuv4mpegpipe"},
                         Way{"YUV4MPEG2, 4:4:4", "-pix_fmt yuv444p -f yuv4mpegpipe"},
                         Way{"YUV4MPEG2 of full range", "-pix_fmt yuvj420p -strict -1 -f yuv4mpegpipe"},
                         Way{"JPEG", "-c:v mjpeg -q:v 2 -f image2pipe"}, Way{"PNG", "-c:v png -f image2pipe"},
                         Way{"PPM", "-c:v ppm -f image2pipe"}}) {
    CAPTURE(way.what);
    // As it comes from a shell: three programs at work at once.
    const std::string script =
        str_cat("set -o pipefail; ", ffmpeg, " -v error -f lavfi -i \"$1\" ", way.encoder,
                " - | \"$0\" segment - --stream ",
                "--format y4m -m net.safetensors --threads 1 --no-resize --alpha 0 --no-contours | ", ffmpeg,
                " -v error -i - -pix_fmt rgb24 -c:v ppm -f image2pipe -");
    const ProcessResult r =
        testing::run_process({"/bin/bash", "-c", script, program(), source}, {.folder = folder.path()});
    CHECK(r.exit_code == 0);
    CHECK(r.errors.starts_with("atrous: 60 frames, "));
    const std::vector<int> seen = greys(frames_of(r.output));
    REQUIRE(seen.size() == 60);
    for (std::size_t n = 0; n < seen.size(); ++n) {
      const double grey = (40.0 + static_cast<double>(n) - 16) * 255 / 219;
      CHECK_MESSAGE(std::abs(seen[n] - grey) <= 3, "frame ", n, " is ", seen[n], ", not ", grey);
    }
  }
}

TEST_CASE_FIXTURE(StreamBench, "colours are those that ffmpeg's own conversion gives") {
  if (!has_ffmpeg()) return;
  const auto distance = [](const std::vector<Image>& ours, const std::vector<Image>& theirs) {
    REQUIRE(ours.size() == theirs.size());
    int largest = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      REQUIRE(ours[i].pixels.size() == theirs[i].pixels.size());
      for (std::size_t k = 0; k < ours[i].pixels.size(); ++k)
        largest = std::max(largest, std::abs(ours[i].pixels[k] - theirs[i].pixels[k]));
    }
    return largest;
  };
  const Arguments to_ppm{
      "-i",       "-",          "-sws_flags", "bilinear+accurate_rnd+full_chroma_int+full_chroma_inp",
      "-pix_fmt", "rgb24",      "-c:v",       "ppm",
      "-f",       "image2pipe", "-"};
  for (const char* format : {"yuv444p", "yuv420p", "yuv422p", "yuvj444p"}) {
    CAPTURE(format);
    // Smooth, so that ways to interpolate chroma hardly differ; 4:4:4 is the matrix alone.
    const std::string video = by_ffmpeg(
        {"-f", "lavfi", "-i",
         "nullsrc=size=96x64:rate=5:duration=1,format=yuv444p,geq=lum='40+X+Y+N*4':cb='60+X':cr='200-2*Y'",
         "-pix_fmt", format, "-strict", "-1", "-f", "yuv4mpegpipe", "-"});
    const std::vector<Image> ours = frames_of(succeed(as_it_is({"--format", "ppm"}), {.input = video})),
                             theirs = frames_of(by_ffmpeg(to_ppm, video));
    const int largest = distance(ours, theirs);
    CHECK_MESSAGE(largest <= (std::string(format).ends_with("444p") ? 1 : 4), largest, " levels apart");
    CHECK(ours.size() == 5);
  }
  // And the way back: our planes of an RGB picture beside theirs.
  const std::string rgb = ppm(photo(48, 32));
  const std::string theirs = by_ffmpeg(
                        {"-i", "-", "-sws_flags", "bilinear+accurate_rnd+full_chroma_int+full_chroma_inp",
                         "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "-"},
                        rgb),
                    ours = succeed(as_it_is({"--format", "y4m"}), {.input = rgb});
  const std::string our_planes = ours.substr(ours.find("FRAME\n")),
                    their_planes = theirs.substr(theirs.find("FRAME\n"));
  REQUIRE(our_planes.size() == their_planes.size());
  int largest = 0;
  for (std::size_t i = 0; i < our_planes.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<unsigned char>(our_planes[i]) -
                                         static_cast<unsigned char>(their_planes[i])));
  CHECK(largest <= 1);
}

TEST_CASE_FIXTURE(StreamBench, "labels survive YUV4MPEG2 on their way through ffmpeg") {
  if (!has_ffmpeg()) return;
  std::string pngs;
  for (const Image& image : photos) pngs += png(image);
  const std::string labels = succeed(stream({"--labels", "--format", "y4m"}), {.input = pngs});
  std::string expected;
  for (const Image& image : photos) {
    const LabelMap map = expected_of(image).labels;
    expected += std::string(map.labels.begin(), map.labels.end());
  }
  CHECK(by_ffmpeg({"-i", "-", "-f", "rawvideo", "-pix_fmt", "gray", "-"}, labels) == expected);
}

}  // namespace atrous::stream_test
