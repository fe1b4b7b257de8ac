// Reading a file holds at most a small multiple of the file's size, whatever the file says of itself.
#include <algorithm>

#include "layers/base/tensor.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "runtime/tiles/png_label_rows.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/png_writer.h"
#include "tests/programs/bounds/counted_memory.h"
#include "tests/support/image_bytes.h"
#include "tests/support/weights_helpers.h"
#include "tests/weights_tools/caffe/wire_bytes.h"
#include "weights_tools/checkpoint.h"

namespace atrous::memory_test {

using namespace atrous::weights_testing;
using atrous::testing::FileBytes;
using atrous::testing::noise;
using atrous::testing::peak_of;

namespace {

// Every file may cost this much, whatever its size: a chunk of a pickle, the tail of a zip archive.
constexpr std::size_t constant = 200'000;

// Bytes held at most while the checkpoint is read or refused, without those of the file itself.
std::size_t peak_of_checkpoint(const Bytes& file, std::string& said) {
  return peak_of([&] {
    try {
      load_checkpoint(as_bytes(file), "a");
    } catch (const Error& error) {
      said = error.what();
    }
  });
}

struct Row {
  const char* what;
  Bytes file;
  double most;  // bytes for each byte of the file
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(std::string(row.what));
    std::string said;
    const std::size_t peak = peak_of_checkpoint(row.file, said);
    CAPTURE(said);
    CAPTURE(row.file.size());
    CHECK(static_cast<double>(peak) <=
          row.most * static_cast<double>(row.file.size()) + static_cast<double>(constant));
  }
}

constexpr std::int64_t side = 1024;
const Bytes values(side* side * sizeof(float), '\1');

Bytes matrix(const std::vector<std::int64_t>& stride, const Bytes& view = "") {
  return tensor(storage("0", side * side, "FloatStorage", view), 0, {side, side}, stride);
}

Bytes zipped(const Bytes& entries) { return pth_zip(pickled(entries), {{"0", values}}); }

// As many copies of a transposed matrix as may be, and one more.
Bytes transposed(int count) {
  Items items;
  for (int i = 0; i < count; ++i) items.emplace_back("w" + std::to_string(i), matrix({1, side}));
  return zipped(dict(items));
}

Bytes json_file(const Bytes& header, std::size_t data = 0) {
  return le64(header.size()) + header + Bytes(data, 'x');
}

// {"0": VALUE, "1": VALUE, ...}; `value` gets the number.
template <class Value>
Bytes json_object(int count, const Value& value) {
  Bytes out;
  for (int i = 0; i < count; ++i) out += (out.empty() ? "{\"" : ",\"") + std::to_string(i) + "\":" + value(i);
  return out + "}";
}

}  // namespace

TEST_CASE("tensors are held once, and copies only where the file's strides ask for them") {
  check_rows({
      {"zip", zipped(dict({{"w", matrix({side, 1})}})), 1.01},
      {"zip, one storage under three names",
       zipped(dict({{"a", matrix({side, 1})}, {"b", matrix({side, 1})}, {"c", matrix({side, 1})}})), 1.01},
      {"legacy",
       legacy_head() + pickled(dict({{"w", matrix({side, 1}, "N")}})) + key_list({"0"}) +
           stored(side * side, values),
       1.01},
      {"safetensors",
       json_file(R"({"w":{"dtype":"F32","shape":[1024,1024],"data_offsets":[0,4194304]}})", values.size()),
       1.01},
      {"zip, transposed", transposed(1), 2.01},
      {"zip, transposed four times", transposed(4), 5.01},
      {"zip, transposed forty times", transposed(40), 5.1},
      {"zip, a stride of 0 beyond the file",
       zipped(dict({{"w", tensor(storage("0", side * side), 0, {1 << 20, side}, {0, 1})}})), 1.01},
      {"zip, cut short in its directory", zipped(dict({{"w", matrix({side, 1})}})).substr(0, 4'194'500),
       0.01},
  });
}

// A byte of a pickle may be a value of its own, which takes a node, and two places on the stack while it
// grows. The opcodes are capped: 72 MB at most.
TEST_CASE("a pickle costs at most 72 bytes for each of its own") {
  std::vector<Row> rows;
  for (const char* unit : {"]", "}", "N\x85", "K\1", "K\1K\2\x86", "\x8a\x01\x05", "G12345678", "(", "N",
                           "(t", ")\x85", "N2\x86", "](", "]q\x01", "}NNs", "]Na", "U\1a", "NQ", "((("})
    rows.push_back(
        {unit, pth_zip(pickled("](" + repeat(unit, 900'000 / std::string_view(unit).size()) + "e"), {}), 72});
  rows.push_back({"memo index far away", pth_zip(pickled("Nr" + le32(999'999)), {}), 72});
  const Bytes thing = global("a", "B");
  for (const Bytes& unit :
       {Bytes("\x8f"), Bytes("(\x91"), Bytes("q\1h\1)\x81"), thing, thing + ")\x81", thing + ")R}b"})
    rows.push_back({"opaque values",
                    pth_zip(pickled("](" + thing + repeat(unit, 900'000 / unit.size()) + "e"), {}), 72});
  // Names of their own in each of many dictionaries, under a long name that all share.
  const Bytes entry = "h\1h\2";
  Bytes shared = "}(" + str(Bytes(1000, 'n')) + "](" + str("backbone.conv1.weight") + "q\1" +
                 tensor(storage("0", 1), 0, {1}, {1}) + "q\2";
  for (int i = 0; i < 2'000; ++i) shared += "}(" + repeat(entry, 100) + "u";
  rows.push_back({"many names under a long one", pth_zip(pickled(shared + "eu"), {{"0", "abcd"}}), 72});
  Bytes modules =
      thing + ")\x81}(" + str("_parameters") + "}" + str("_buffers") + "}" + str("_modules") + "}ubq\1";
  for (int i = 1; i < 60; ++i)
    modules += "0" + thing + ")\x81}(" + str("_parameters") + "}" + str("_buffers") + "}" + str("_modules") +
               "}(" + str("a") + "h" + byte(i) + str("b") + "h" + byte(i) + "uubq" + byte(i + 1);
  rows.push_back({"modules within modules", pth_zip(pickled(modules), {}), 72});
  Bytes names = ordered_dict + "(" + str("w") + tensor(storage("0", 1), 0, {1}, {1}) + "q\x07";
  for (int i = 100'000; i < 300'000; ++i) names += "U\6" + std::to_string(i) + "h\x07";
  rows.push_back({"one tensor under 200000 names", pth_zip(pickled(names + "u"), {{"0", "abcd"}}), 72});
  check_rows(rows);
}

TEST_CASE("headers and directories cost at most twelve times their size") {
  std::vector<ZipPart> parts;
  for (int i = 0; i < 20'000; ++i) parts.push_back({std::to_string(i), ""});
  const auto entry = [](int i) {
    return str_cat(R"({"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  };
  check_rows({
      {"zip entries", zip(parts), 12},
      {"safetensors entries", json_file(json_object(20'000, entry), 20'000), 12},
      {"safetensors metadata",
       json_file("{\"__metadata__\":" + json_object(100'000, [](int) { return "\"\""; }) + "}"), 12},
      {"safetensors, a long key", json_file("{\"" + Bytes(1 << 20, 'k') + "\":"), 12},
      {"safetensors, a long value", json_file(R"({"__metadata__":{"a":")" + Bytes(1 << 20, 'k') + "\"}}"),
       12},
      {"safetensors, a long shape", json_file(R"({"a":{"dtype":"U8","shape":[)" + repeat("0,", 1 << 19)), 12},
      {"safetensors, deep", json_file(repeat("{\"a\":", 200'000)), 12},
      {"safetensors, deep arrays", json_file("{\"a\":{\"shape\":" + repeat("[", 1'000'000)), 12},
  });
}

TEST_CASE(
    "a .caffemodel costs at most forty times its size, where all its layers hold one number, else its "
    "tensors") {
  Bytes layers, without_blobs, unpacked = blob_shape({side * side});
  for (int i = 0; i < 20'000; ++i) {
    layers +=
        field(100, field(1, std::to_string(i)) + field(7, legacy_shape(1, 1, 1, 1) + field(5, floats({1}))));
    without_blobs += field(100, field(1, "relu"));
  }
  for (std::int64_t i = 0; i < side * side; ++i) unpacked += Bytes("\x2d\1\1\1\1", 5);
  check_rows({
      {"layers of one number", layers, 40},
      {"layers without blobs", without_blobs, 0.01},
      {"a tensor", layer_v2("w", "Convolution", {blob_shape({side, side}) + field(5, values)}), 1.01},
      {"a tensor in the wrong shape",
       layer_v2("w", "Convolution", {blob_shape({side, 2}) + field(5, values)}), 0.01},
      {"a tensor, number by number", layer_v2("w", "Convolution", {unpacked}), 1.01},
      {"a BatchNorm without a Scale",
       layer_v2("w", "BatchNorm",
                {blob_shape({side * side}) + field(5, values), blob_shape({side * side}) + field(5, values),
                 blob_of({1})}),
       3.01},
      {"a shape of 2^60", layer_v2("w", "Convolution", {blob_shape({1 << 30, 1 << 30})}), 12},
      {"a name of 1 MB", layer_v2(Bytes(1 << 20, 'k'), "Convolution", {blob_of({1})}), 0.01},
  });
}

TEST_CASE("lengths that a file only claims are not allocated") {
  check_rows({
      {"pickle string of 4 GB", pth_zip(pickled("X" + le32(0xfffffff0)), {}), 12},
      {"pickle string of 2^63", pth_zip(pickled("\x8d" + le64(std::uint64_t{1} << 63)), {}), 12},
      {"storage of 2^40 in a zip",
       pth_zip(pickled(dict({{"w", tensor(storage("0", std::int64_t{1} << 40), 0, {1}, {1})}})),
               {{"0", "abcd"}}),
       30},
      {"storage of 2^40, legacy",
       legacy_head() +
           pickled(
               dict({{"w", tensor(storage("0", std::int64_t{1} << 40, "FloatStorage", "N"), 0, {1}, {1})}})) +
           key_list({"0"}) + stored(std::uint64_t{1} << 40, "abcd"),
       30},
      {"safetensors header of 100 MB", le64(100'000'000) + "{}", 12},
      {"safetensors tensor of 2^60",
       json_file(
           R"({"w":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]}})"),
       12},
      {"zip directory of 4 GB", zip({{"a", "x"}}, {.directory_size = 0xfffffff0}), 12},
  });
}

TEST_CASE("a picture costs at most 16 bytes for each pixel, and three times its file") {
  using namespace atrous::testing;
  constexpr int width = 1500, height = 1000;
  const auto check_picture = [](const char* what, const FileBytes& file, std::size_t pixels) {
    CAPTURE(std::string(what));
    std::string said;
    const std::size_t peak =
        peak_of([&] { said = atrous::testing::sentence([&] { read_image(file, "a"); }); });
    CAPTURE(said);
    CHECK(said.empty() == (pixels > 0));
    CHECK(peak <= 16 * pixels + 3 * file.size() + constant);
  };
  for (const int channels : {1, 3, 4})
    check_picture("PNG", encode_png(noise(width, height, channels)), std::size_t{width} * height);
  for (const int channels : {1, 3, 4}) {
    const FileBytes labels = encode_png(noise(width, height, channels));
    LabelColours colours{.palette = {{0, 0, 0}, {1, 2, 3}}};
    const std::size_t peak =
        peak_of([&] { atrous::testing::sentence([&] { read_labels(labels, "a", colours); }); });
    CHECK(peak <= 16 * std::size_t{width} * height + 3 * labels.size() + constant);
  }
  const Bytes ppm = "P6 1500 1000 255\n" + Bytes(std::size_t{3} * width * height, 'x');
  const auto view = as_bytes(ppm);
  check_picture("PNM", {view.begin(), view.end()}, std::size_t{width} * height);
  // Blocks of no bits: two codes of one bit each, or one where a scan holds only the first coefficient.
  const std::size_t blocks = std::size_t{(width + 7) / 8} * ((height + 7) / 8);
  const FileBytes all = segment(0xda, atrous::testing::bytes({3, 1, 0, 2, 0, 3, 0, 0, 63, 0}));
  const FileBytes first = segment(0xda, atrous::testing::bytes({3, 1, 0, 2, 0, 3, 0, 0, 0, 0}));
  check_picture("JPEG, grey",
                soi + tables + frame(0xc0, width, height) + scan + FileBytes(blocks / 4 + 1) + eoi,
                width * height);
  check_picture("JPEG",
                soi + tables + frame3(0xc0, width, height) + all + FileBytes(3 * blocks / 4 + 1) + eoi,
                width * height);
  check_picture("JPEG, turned",
                soi + segment(0xe1, atrous::testing::bytes("Exif") + FileBytes(2) + exif(6)) + tables +
                    frame3(0xc0, width, height) + all + FileBytes(3 * blocks / 4 + 1) + eoi,
                width * height);
  check_picture("JPEG, progressive",
                soi + tables + frame3(0xc2, width, height) + first + FileBytes(3 * blocks / 8 + 1) + eoi,
                width * height);
#if ATROUS_HAS_WEBP
  check_picture("WebP", webp(webp_picture(width, height, 1, 2, 3)), width * height);
  check_picture("WebP with alpha, turned",
                webp(webp_canvas(0x18, width, height) + webp_picture(width, height, 1, 2, 3, 4) +
                     webp_chunk("EXIF", exif(6))),
                width * height);
  check_picture("WebP that claims 90 megapixels",
                atrous::testing::first(webp(webp_picture(9472, 9472, 1, 2, 3)), 30), 0);
#endif
  FileBytes bomb = encode_png(noise(8, 8, 3));
  const FileBytes huge = atrous::testing::bytes({0, 0, 0x25, 0, 0, 0, 0x25, 0});  // 9472 x 9472
  std::ranges::copy(huge, bomb.begin() + 16);
  check_picture("PNG that claims 90 megapixels", bomb, 0);
  check_picture("PNM that claims 90 megapixels", atrous::testing::bytes("P6 9472 9472 255\n123"), 0);
}

TEST_CASE("a PNG read row by row costs a few rows, its labels too, and one written so a few megabytes") {
  using namespace atrous::testing;
  constexpr int width = 1500, height = 4000;
  const Image picture = atrous::testing::noise(width, height, 3);
  const FileBytes file = encode_png(picture);
  std::vector<std::uint8_t> row(picture.row_bytes());
  CHECK(peak_of([&] {
          const InputFile input(file, "a");
          PngRows rows(input, "a");
          for (int y = 0; y < height; ++y) rows.read(row);
        }) <= 3 * row.size() + constant);
  const Image levels = atrous::testing::noise(width, height, 1);
  const FileBytes annotation = encode_png(LabelMap{width, height, levels.pixels}, voc_palette(256));
  std::vector<std::uint8_t> labels(width);
  CHECK(peak_of([&] {
          const InputFile input(annotation, "a");
          PngLabelRows rows(input, "a");
          rows.survey({.palette = voc_palette(256)});
          for (int y = 0; y < height; ++y) rows.read(labels);
        }) <= 10 * labels.size() + 2 * constant);
  std::size_t written = 0;
  CHECK(peak_of([&] {
          PngWriter writer(width, height, 3,
                           [&](std::span<const std::byte> more) { written += more.size(); });
          for (int y = 0; y < height; ++y) writer.write({picture.row(y), picture.row_bytes()});
          writer.finish();
        }) <= 10'000'000);
  CHECK(written > picture.pixels.size() / 2);
}

TEST_CASE("a .npy is held once") {
  const Bytes header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 512, 512), }\n";
  const Bytes file = "\x93NUMPY" + Bytes("\1\0", 2) + le16(header.size()) + header +
                     Bytes(std::size_t{3} * 512 * 512 * sizeof(float), '\0');
  CHECK(peak_of([&] { read_npy(as_bytes(file), "a", 3); }) <= file.size() + constant);
  const Bytes claims = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 32768, 32768), }\n";
  const Bytes small = "\x93NUMPY" + Bytes("\1\0", 2) + le16(claims.size()) + claims;
  CHECK(peak_of([&] { atrous::testing::sentence([&] { read_npy(as_bytes(small), "a", 3); }); }) <= constant);

  const auto labels = [](const Bytes& sides, const Bytes& data) {
    const Bytes head = "{'descr': '|u1', 'fortran_order': False, 'shape': " + sides + ", }\n";
    return "\x93NUMPY" + Bytes("\1\0", 2) + le16(head.size()) + head + data;
  };
  const Bytes whole = labels("(512, 512)", Bytes(512 * 512, '\3'));
  CHECK(peak_of([&] { read_npy_labels(as_bytes(whole), "a", 1 << 20); }) <= whole.size() + constant);
  const Bytes claimed = labels("(9000, 9000)", "");
  CHECK(peak_of([&] {
          atrous::testing::sentence([&] { read_npy_labels(as_bytes(claimed), "a", 100'000'000); });
        }) <= constant);
}

TEST_CASE("the counter counts: a buffer, a vector, and what is freed again") {
  CHECK(peak_of([] { Buffer(1'000'000); }) >= 1'000'000);
  CHECK(peak_of([] { Buffer(1'000'000); }) < 1'100'000);
  const std::size_t before = atrous::testing::bytes_held();
  CHECK(peak_of([] { std::vector<char>(1'000'000, 'x').resize(3'000'000); }) >= 4'000'000);
  CHECK(atrous::testing::bytes_held() == before);
}

}  // namespace atrous::memory_test
