// --tile and --overlap without a protocol: large pictures in tiles, written row by row.
#include <filesystem>
#include <functional>

#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/label_read.h"
#include "runtime/image/palette.h"
#include "runtime/tiles/png_writer.h"
#include "runtime/tiles/tiled.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/png_helpers.h"
#include "tests/support/sanitizers.h"

namespace atrous::cli_tiled_test {

using namespace atrous::cli_testing;
using atrous::evaluate_testing::Pairs;
using cli_testing::operator+;
using testing::operator+;

namespace {

std::span<const std::byte> as_bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Row by row: a program's peak counts what its parent had at the fork.
void write_large(const std::string& path, int width, int height, int channels,
                 const std::function<int(int x, int y, int channel)>& value) {
  OutputFile file(path);
  PngWriter writer(width, height, channels, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  std::vector<std::uint8_t> row(static_cast<std::size_t>(channels) * static_cast<std::size_t>(width));
  for (int y = 0; y < height; ++y) {
    for (std::size_t i = 0; i < row.size(); ++i)
      row[i] =
          static_cast<std::uint8_t>(value(static_cast<int>(i) / channels, y, static_cast<int>(i) % channels));
    writer.write(row);
  }
  writer.finish();
  file.commit();
}

struct TiledBench : Bench {
  const Image large_photo = photo(150, 131);
  const std::string large = write_photo("large.png", large_photo), out = folder / "out";
  const Arguments small_tiles{"--tile", "64", "--overlap", "24"};
  const Tiling tiling{64, 24};

  Arguments segment(const Arguments& arguments) const {
    return Arguments{"segment", "-m", checkpoint, "--threads", "1"} + arguments;
  }
  Image written(const std::string& name) const { return read_image_file(out + '/' + name); }
};

}  // namespace

TEST_CASE_FIXTURE(TiledBench, "segment --tile writes what the library says, every kind of picture") {
  const Segmentation s = segment_tiled(session, model, large_photo, {.tiling = tiling});
  const std::string table = succeed(
      segment(Arguments{large, "-o", out, "--labels", "--confidence", "--cutout", "class 1"} + small_tiles));
  CHECK(mentions(table, "large.png: 150x131, network at 64x64, "));
  CHECK(mentions(table, "\ntiles of 64 pixels that share 24, blended\nwrote "));
  CHECK(names_in(out) == Names{"large.confidence.png", "large.cutout-class_1.png", "large.labels.png",
                               "large.mask.png", "large.overlay.png"});
  CHECK(read_labels_file(out + "/large.labels.png") == s.labels);
  CHECK(written("large.mask.png") == colourise(s.labels, model.palette));
  CHECK(written("large.overlay.png") ==
        overlay(large_photo, s.labels, model.palette, {.background = model.background}));
  const Image grey = confidence_picture(s.confidence, 150, 131);
  CHECK(read_labels_file(out + "/large.confidence.png").labels == grey.pixels);
  CHECK(written("large.cutout-class_1.png") == read_image(encode_png(cutout(large_photo, s.labels, 1)), "x"));
  succeed(segment(Arguments{large, "-o", out, "-q", "--indexed", "--no-mask", "--cutout", "class 1",
                            "--cutout-on", "#102030", "--no-contours"} +
                  small_tiles));
  CHECK(read_labels_file(out + "/large.labels.png") == s.labels);
  CHECK(written("large.labels.png") == colourise(s.labels, model.palette));
  CHECK(written("large.cutout-class_1.png") == cutout(large_photo, s.labels, 1, {16, 32, 48}));
  CHECK(written("large.overlay.png") ==
        overlay(large_photo, s.labels, model.palette, {.contours = false, .background = model.background}));
  CHECK(s.labels != expected().labels);
}

TEST_CASE_FIXTURE(TiledBench, "contours of a large picture are those of the whole, wide as they are") {
  const Image wide = photo(2500, 300);  // contours of four pixels
  write_photo("wide.png", wide);
  succeed(segment({folder / "wide.png", "-o", out, "-q", "--labels", "--tile", "200", "--overlap", "10"}));
  const LabelMap labels = read_labels_file(out + "/wide.labels.png");
  CHECK(written("wide.overlay.png") ==
        overlay(wide, labels, model.palette, {.background = model.background}));
}

TEST_CASE_FIXTURE(TiledBench, "where one tile holds the picture the results are those of --no-resize") {
  const Arguments all{large, "-q", "--labels", "--confidence", "--json", "-"};
  Json whole = Json::parse(succeed(segment(all + Arguments{"--no-resize", "-o", folder / "whole"})));
  Json tiled = Json::parse(succeed(segment(all + Arguments{"--tile", "150", "-o", out})));
  CHECK(tiled[0]["tiles"].dump() == R"({"tile":150,"overlap":18})");
  CHECK(whole[0]["classes"] == tiled[0]["classes"]);
  for (const char* member : {"width", "height", "input_width", "input_height", "precision"})
    CHECK(whole[0][member] == tiled[0][member]);
  for (const char* kind : {"mask", "overlay", "labels", "confidence"}) {
    const std::string name = str_cat("/large.", kind, ".png");
    CHECK(read_image_file(out + name) == read_image_file(folder / "whole" + name));
  }
}

TEST_CASE_FIXTURE(TiledBench, "standard input, and pictures that are not read by rows") {
  const std::string by_rows = succeed(segment(Arguments{large, "--labels", "-o", "-"} + small_tiles));
  const LabelMap expected_labels = segment_tiled(session, model, large_photo, {.tiling = tiling}).labels;
  CHECK(read_labels(as_bytes_of(by_rows), "x") == expected_labels);
  ProcessOptions piped;
  piped.input = read_text(large);
  CHECK(succeed(segment(Arguments{"-", "--labels", "-o", "-"} + small_tiles), piped) == by_rows);
  // Decoded whole, which is said before.
  std::string pnm = "P6 150 131 255\n";
  pnm.append(reinterpret_cast<const char*>(large_photo.pixels.data()), large_photo.pixels.size());
  write_text(folder / "large.ppm", pnm);
  const ProcessResult whole =
      run_atrous(segment(Arguments{folder / "large.ppm", "--labels", "-o", "-"} + small_tiles));
  CHECK(whole.exit_code == 0);
  CHECK(whole.output == by_rows);
  CHECK(mentions(whole.errors, "large.ppm: 150x131 pixels, decoded whole, take up to 0.6 MB\n"));
  write_file(folder / "large.jpg", encode_jpeg(large_photo, 90));
  const ProcessResult jpeg =
      run_atrous(segment(Arguments{folder / "large.jpg", "--labels", "-o", "-"} + small_tiles));
  CHECK(mentions(jpeg.errors, "large.jpg: 150x131 pixels, decoded whole, take up to "));
  CHECK(read_labels(as_bytes_of(jpeg.output), "x") ==
        segment_tiled(session, model, read_image_file(folder / "large.jpg"), {.tiling = tiling}).labels);
  // Quiet, or within a tile: nothing to say.
  CHECK(succeed(segment(Arguments{folder / "large.ppm", "-q", "--labels", "-o", "-"} + small_tiles)) ==
        by_rows);
  succeed(segment({folder / "large.ppm", "--labels", "-o", "-", "--tile", "150"}));
}

TEST_CASE_FIXTURE(TiledBench, "an interlaced PNG and one that EXIF turns are decoded whole") {
  // A picture of one colour, 20 by 10 samples of grey: Adam7's passes, each row with its filter's number.
  std::string adam7;
  for (const auto& [width, height] : {std::pair{3, 2}, {2, 2}, {5, 1}, {5, 3}, {10, 2}, {10, 5}, {20, 5}})
    for (int y = 0; y < height; ++y)
      adam7 += std::string(1, '\0') + std::string(static_cast<std::size_t>(width), 'x');
  const auto file = [&](const testing::FileBytes& chunks) {
    const testing::FileBytes all = testing::png(chunks);
    write_file(folder / "odd.png", all);
    return folder / "odd.png";
  };
  const auto size_of = [&](const std::string& path, const Arguments& more) {
    const ProcessResult r =
        run_atrous(segment(Arguments{path, "--labels", "-o", "-", "--tile", "8", "--overlap", "2"} + more));
    CHECK(r.exit_code == 0);
    const LabelMap labels = read_labels(as_bytes_of(r.output), "x");
    return str_cat(labels.width, 'x', labels.height, mentions(r.errors, "decoded whole") ? " whole" : "");
  };
  CHECK(size_of(file(testing::png_header(20, 10, 8, 0, 1) +
                     testing::chunk("IDAT", testing::zlib(testing::bytes(adam7)))),
                {}) == "20x10 whole");
  std::string rows;
  for (int y = 0; y < 10; ++y) rows += std::string(1, '\0') + std::string(20, 'x');
  // TIFF of one entry: orientation 6, a quarter turn.
  const testing::FileBytes turn = testing::bytes(
      {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0});
  const std::string turned =
      file(testing::png_header(20, 10, 8, 0) + testing::chunk("IDAT", testing::zlib(testing::bytes(rows))) +
           testing::chunk("eXIf", turn));
  CHECK(size_of(turned, {}) == "10x20 whole");
  CHECK(size_of(turned, {"--no-exif"}) == "20x10");
}

TEST_CASE_FIXTURE(TiledBench, "what does not go with --tile is refused in a line, by the option's name") {
  const auto refused = [&](const Arguments& given, const std::vector<std::string>& parts) {
    refuse(2, segment(Arguments{large, "-o", out} + given), parts);
  };
  refused({"--tile", "64", "--overlap", "64"}, {"an overlap of 64 pixels", "less than the tile's 64"});
  refused({"--tile", "64", "--overlap", "65"}, {"an overlap of 65 pixels", "less than the tile's 64"});
  refused({"--tile", "64", "--overlap", "-1"}, {"--overlap"});
  refused({"--tile", "0"}, {"tiles of 0 pixels", "1 to 16384"});
  refused({"--tile", "99999"}, {"tiles of 99999 pixels"});
  for (const char* word : {"64x32", "many", "64.5", "99999999999999999999"})
    refused({"--tile", word}, {str_cat("--tile ", word), "one number"});
  refused({"--overlap", "8"}, {"--overlap", "--tile"});
  for (const Arguments& other : {Arguments{"--sheet"},
                                 {"--legend"},
                                 {"--format", "jpg"},
                                 {"--logits", "l.npy"},
                                 {"--probabilities", "p.npy"},
                                 {"--truth", dog},
                                 {"--crf"},
                                 {"--center-crop", "32"},
                                 {"--upsample", "transposed"}})
    refused(small_tiles + other, {other[0], "does not go with --tile"});
  for (const Arguments& other : {Arguments{"--scales", "1,2"}, {"--flip"}, {"--base-size", "512"}})
    refused(small_tiles + other, {other[0], "--tile without --protocol"});
  refused(small_tiles + Arguments{"--resize", "64"}, {"--resize", "--tile", "own size"});
  refused(small_tiles + Arguments{"--size", "64x64"}, {"--size", "--tile", "own size"});
  CHECK(succeed(segment(Arguments{large, "--labels", "-o", "-", "--no-resize"} + small_tiles)) != "");
  const std::string tensor = folder / "x.npy";
  write_file(tensor, encode_npy(noise({1, 32, 48, 3}).view()));
  refuse(1, segment(Arguments{tensor, "-o", out} + small_tiles),
         {"x.npy", "a tensor has no pixels for --tile"});
  CHECK(names_in(out).empty());
}

TEST_CASE_FIXTURE(TiledBench,
                  "a PNG that is cut off, damaged or absurd is one sentence, and nothing is written") {
  const std::string bytes = read_text(large), cut = folder / "cut.png", absurd = folder / "absurd.png",
                    damaged = folder / "damaged.png";
  const auto refused = [&](const std::string& path, const std::vector<std::string>& parts) {
    const std::string said = refuse(1, segment(Arguments{path, "-o", out} + small_tiles), parts);
    CHECK(said.find(path) == said.rfind(path));  // named once
    CHECK(names_in(out).empty());
  };
  write_text(cut, bytes.substr(0, bytes.size() / 2));
  refused(cut, {"cut.png: truncated: "});
  std::string one = bytes;
  one[one.size() - 100] ^= 1;
  write_text(damaged, one);
  refused(damaged, {"damaged.png: CRC mismatch in PNG chunk IDAT at offset 33"});
  write_file(absurd, testing::png(testing::png_header(65535, 65535, 8, 2) +
                                  testing::chunk("IDAT", testing::zlib(testing::bytes({0, 0})))));
  refused(absurd, {"absurd.png", "cannot hold", "65535x65535"});
  refuse(1, segment(Arguments{large, "-o", out, "--memory-limit", "200KB"} + small_tiles),
         {"large.png: ", "limit"});
  write_text(folder / "file", "");
  refuse(1, segment(Arguments{large, "-o", folder / "file"} + small_tiles), {"file"});
  CHECK(names_in(out).empty());
  // Of several the others are segmented.
  const ProcessResult several =
      run_atrous(segment(Arguments{cut, large, "-o", out, "--skip-broken", "--no-overlay"} + small_tiles));
  CHECK(several.exit_code == 0);
  CHECK(mentions(several.errors, "1 of 2 pictures failed"));
  CHECK(names_in(out) == Names{"large.mask.png"});
}

TEST_CASE_FIXTURE(TiledBench, "a disk that is full leaves nothing behind") {
  const ProcessResult r =
      run_atrous(segment(Arguments{large, "-o", out} + small_tiles), {.file_size_limit = 4096});
  CHECK(r.exit_code == 1);
  CHECK(mentions(r.errors, "large."));
  CHECK(names_in(out).empty());
}

TEST_CASE_FIXTURE(TiledBench, "frames of a stream are tiled too") {
  ProcessOptions piped;
  piped.input = read_text(large) + read_text(large);
  const std::string frames =
      succeed(segment(Arguments{"-", "--stream", "-q", "--labels"} + small_tiles), piped);
  const std::string frame = labels_png(segment_tiled(session, model, large_photo, {.tiling = tiling}).labels);
  CHECK(frames == frame + frame);
}

TEST_CASE_FIXTURE(Pairs, "eval --tile scores the labels that segment --tile gives") {
  const std::string checkpoint = folder / "net.safetensors", maps = folder / "maps";
  write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
  const Arguments data{"--dataset", "pairs", folder / "photos", folder / "labels", "--json", "-"};
  const Arguments tiles{"--tile", "24", "--overlap", "9"}, one_tile{"--tile", "4000"};
  const auto eval = [&](const Arguments& how) {
    return Json::parse(succeed(Arguments{"eval", "-m", checkpoint, "--threads", "1"} + data + how));
  };
  const Json all = eval(tiles), untiled = eval({"--no-resize"});
  for (std::size_t i = 0; i < names.size(); ++i)
    succeed(Arguments{"segment", photo_path(i), "-m", checkpoint, "--threads", "1", "--labels", "-q",
                      "--no-overlay", "--no-mask", "-o", maps} +
            tiles);
  std::string class_names;
  for (const std::string& name : model.classes) class_names += name + '\n';
  write_text(folder / "names.txt", class_names);
  const Json scored = Json::parse(
      succeed(Arguments{"eval", "--predictions", maps, "--classes", folder / "names.txt"} + data));
  CHECK(all["confusion_matrix"] == scored["confusion_matrix"]);
  CHECK(all["confusion_matrix"] != untiled["confusion_matrix"]);
  CHECK(all["tiles"].dump() == R"({"tile":24,"overlap":9})");
  CHECK(all["size"] == "the photos' own size");
  CHECK(all["notes"][0] == "tiles of 24 pixels that share 9, blended");
  // Rows are counted one by one; the same of all logits at once. With a report pictures are kept.
  Session session(model.program, {.threads = 1});
  ScoreHistogram scores(static_cast<int>(model.classes.size()));
  for (std::size_t i = 0; i < names.size(); ++i)
    scores.add(tiled_logits(session, model, read_image_file(photo_path(i)), {24, 9}).view(),
               read_labels_file(label_path(i)));
  CHECK(all["summary"]["cross_entropy"].get<double>() ==
        doctest::Approx(scores.cross_entropy / static_cast<double>(scores.pixels)).epsilon(1e-6));
  const Json drawn = eval(tiles + Arguments{"--report", folder / "report"});
  CHECK(drawn["summary"] == all["summary"]);
  CHECK(drawn["confusion_matrix"] == all["confusion_matrix"]);
  const Json one = eval(one_tile);
  CHECK(one["confusion_matrix"] == untiled["confusion_matrix"]);
  CHECK(one["summary"] == untiled["summary"]);
  const std::string state = folder / "state";
  const auto resumed = [&](const Arguments& how) {
    return Arguments{"eval",
                     "-m",
                     checkpoint,
                     "-q",
                     "--resume",
                     state,
                     "--dataset",
                     "pairs",
                     folder / "photos",
                     folder / "labels"} +
           how;
  };
  succeed(resumed(tiles));
  refuse(1, resumed({"--tile", "24", "--overlap", "8"}), {"state", "tiles was", "share 9"});
  refuse(2, resumed(Arguments{"--crf"} + tiles), {"--crf", "--tile"});
  refuse(2, resumed({"--tile", "24", "--overlap", "24"}), {"an overlap of 24 pixels"});
}

// The whole picture takes 144 MB for its RGB alone, and its results six times that.
TEST_CASE_FIXTURE(TiledBench, "memory is that of a row of tiles, however high the picture is") {
  if (ATROUS_ADDRESS_SANITIZER) {
    std::puts("skipped: AddressSanitizer keeps memory that was given back");
    return;
  }
  constexpr int width = 8000;
  const std::string lraspp = folder / "lraspp.safetensors";
  write_safetensors(lraspp, tiny_mobilenet_state("lraspp"), {});
  const auto peak = [&](int height) {
    const std::string path = folder / str_cat("high", height, ".png");
    write_large(path, width, height, 3,
                [](int x, int y, int c) { return x / 50 * 40 + y / 60 * 30 + c * 9; });
    const ProcessResult r = run_atrous({"segment", path, "-m", lraspp, "--threads", "1", "-q", "-o", out,
                                        "--labels", "--confidence", "--tile", "256", "--overlap", "32"});
    CHECK(r.errors == "");
    CHECK(r.exit_code == 0);
    return r.peak_kilobytes;
  };
  const long low = peak(600), high = peak(6000);
  CHECK_MESSAGE(high < low + 8000, high, " kB after ", low);
  CHECK_MESSAGE(high < 60'000, high, " kB");
}

namespace {

// Truths of 24 megapixels: their labels alone take 24 MB, their colours 72; the logits of the whole picture
// would take 480 MB, its RGB 72.
struct LargePairs : TiledBench {
  static constexpr int width = 4000;
  const std::string lraspp = folder / "lraspp.safetensors";
  LargePairs() { write_safetensors(lraspp, tiny_mobilenet_state("lraspp"), {}); }

  // Kilobytes of a run with a pair so high. channels: of the truth's samples, labels or colours.
  long peak(int height, int channels, const Arguments& more = {}) const {
    const std::string photos = folder / str_cat("photos", height),
                      labels = folder / str_cat("labels", height, '-', channels);
    if (!std::filesystem::exists(photos)) {
      std::filesystem::create_directories(photos);
      write_large(photos + "/high.png", width, height, 3,
                  [](int x, int y, int c) { return x / 50 * 40 + y / 60 * 30 + c * 9; });
    }
    std::filesystem::create_directories(labels);
    write_text(labels + "/class_dict.csv", "name,r,g,b\na,0,0,0\nb,1,8,15\nc,2,9,16\nd,3,10,17\ne,4,11,18\n");
    write_large(labels + "/high.png", width, height, channels, [channels](int x, int y, int c) {
      const int label = (x / 90 + y / 70) % 5;
      return channels == 1 || label > 0 ? label + 7 * c : 0;
    });
    const ProcessResult r =
        run_atrous(Arguments{"eval", "-m", lraspp, "--threads", "1", "-q", "--dataset", "pairs", photos,
                             labels, "--json", folder / "e.json", "--tile", "256", "--overlap", "32"} +
                   more);
    CHECK(r.errors == "");
    REQUIRE(r.exit_code == 0);
    const Json e = Json::parse(read_text(folder / "e.json"));
    CHECK(e["failed"].empty());
    CHECK(e["summary"]["pixels"].get<int>() == width * height);
    return r.peak_kilobytes;
  }
};

}  // namespace

TEST_CASE_FIXTURE(LargePairs,
                  "eval --tile: memory is that of a row of tiles, however high photo and truth are") {
  if (ATROUS_ADDRESS_SANITIZER) {
    std::puts("skipped: AddressSanitizer keeps memory that was given back");
    return;
  }
  for (const int channels : {1, 3}) {
    const long low = peak(600, channels), high = peak(6000, channels);
    MESSAGE("peaks of ", low, " and ", high, " kB");
    CHECK_MESSAGE(high < low + 8000, high, " kB after ", low);
    CHECK_MESSAGE(high < 60'000, high, " kB");
  }
}

// Pictures of a page are of 2048 pixels at most: 3 bytes of the photo, one of truth, prediction and errors.
TEST_CASE_FIXTURE(LargePairs, "eval --tile --report: pictures are made smaller while rows pass") {
  if (ATROUS_ADDRESS_SANITIZER) {
    std::puts("skipped: AddressSanitizer keeps memory that was given back");
    return;
  }
  const std::string pages = folder / "pages";
  const long low = peak(600, 1, {"--report", pages}), high = peak(6000, 1, {"--report", pages});
  MESSAGE("peaks of ", low, " and ", high, " kB");
  CHECK_MESSAGE(high < low + 40'000, high, " kB after ", low);
  for (const char* kind : {"photo", "truth", "prediction", "errors"}) {
    const Image shown = read_image_file(str_cat(pages, "/images/high-", kind, ".png"));
    CHECK(shown.width == 4000 / 3 + 1);
    CHECK(shown.height == 2000);
  }
  CHECK(mentions(read_text(pages + "/index.html"), "\"shown\":[1334,2000]"));
}

}  // namespace atrous::cli_tiled_test
