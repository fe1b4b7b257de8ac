#include "weights_tools/safetensors/safetensors.h"
#include "layers/base/tensor.h"
#include "tests/support/weights_helpers.h"

namespace atrous::safetensors_test {

using namespace atrous::weights_testing;

namespace {

Bytes file_of(const Bytes& header, const Bytes& data) { return le64(header.size()) + header + data; }

Safetensors read(const Bytes& bytes) {
  const TempFolder folder;
  return read_safetensors(InputFile(folder.save("a.safetensors", bytes)));
}

StateTensor tensor_of(DType dtype, std::vector<std::int64_t> shape, const Bytes& bytes) {
  auto buffer = std::make_shared<Buffer>(bytes.size());
  std::ranges::copy(as_bytes(bytes), buffer->data());
  return {dtype, std::move(shape), std::shared_ptr<const std::byte>(buffer, buffer->data())};
}

// {"w": {...}} with one thing replaced.
Bytes entry(const Bytes& dtype, const Bytes& shape, const Bytes& offsets) {
  return R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

}  // namespace

TEST_CASE("tensors and metadata of a .safetensors file are read") {
  const Bytes header =
      R"({"__metadata__":{"format":"pt"},"b":{"shape":[2],"dtype":"F32","data_offsets":[3,11]},)"
      R"("a":{"dtype":"I8","shape":[3,1],"data_offsets":[0,3]},)"
      R"("s":{"dtype":"F16","shape":[],"data_offsets":[11,13]},)"
      R"("e":{"dtype":"I64","shape":[0,4],"data_offsets":[13,13]}}   )";
  const Safetensors file = read(file_of(header, "xyz" + floats({1, 2}) + "hh"));
  CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(file.state.size() == 4);
  CHECK(file.state.entries()[0].first == "b");
  const StateTensor& b = *file.state.find("b");
  CHECK(bytes_of(b) == floats({1, 2}));
  CHECK(reinterpret_cast<std::uintptr_t>(b.data.get()) % sizeof(float) == 0);
  CHECK(file.state.find("a")->shape == std::vector<std::int64_t>{3, 1});
  CHECK(file.state.find("s")->shape.empty());
  CHECK(file.state.find("e")->elements() == 0);
}

TEST_CASE("what is written reads back, aligned and in a fixed order") {
  StateDict state;
  state.add("flag", tensor_of(DType::boolean, {3}, Bytes("\1\0\1", 3)));
  state.add("half", tensor_of(DType::f16, {1}, "hh"));
  state.add("weight", tensor_of(DType::f32, {2, 1}, floats({1.5f, -0.f})));
  state.add("count \"quoted\" \\ ü", tensor_of(DType::i64, {}, le64(7)));
  state.add("bias", tensor_of(DType::f32, {1}, floats({3})));
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"note", "line\n\"two\""}};
  const TempFolder folder;
  write_safetensors(folder.path("a"), state, metadata);
  write_safetensors(folder.path("b"), state, metadata);
  CHECK(read_file(folder.path("a"), 10000) == read_file(folder.path("b"), 10000));

  const Safetensors back = read_safetensors(InputFile(folder.path("a")));
  CHECK(back.metadata == metadata);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : back.state.entries()) {
    names.push_back(name);
    const StateTensor& original = *state.find(name);
    CHECK(tensor.dtype == original.dtype);
    CHECK(tensor.shape == original.shape);
    CHECK(bytes_of(tensor) == bytes_of(original));
  }
  CHECK(names == std::vector<std::string>{"count \"quoted\" \\ ü", "weight", "bias", "half", "flag"});
  CHECK(InputFile(folder.path("a")).size() % 2 == 1);  // 8 + header, a multiple of 8, and 25 bytes of data
}

TEST_CASE("a file without tensors or metadata is the shortest of all") {
  const TempFolder folder;
  write_safetensors(folder.path("a"), {}, {});
  CHECK(as_text(read_file(folder.path("a"), 100)) == le64(8) + "{}      ");
  CHECK(read_safetensors(InputFile(folder.path("a"))).state.size() == 0);
}

TEST_CASE("what cannot be written is refused and leaves no file") {
  const TempFolder folder;
  StateDict reserved;
  reserved.add("__metadata__", tensor_of(DType::u8, {1}, "x"));
  check_refused([&] { write_safetensors(folder.path("a"), reserved, {}); }, ErrorCode::invalid_argument,
                "__metadata__");
  check_refused(
      [&] {
        write_safetensors(folder.path("a"), {}, {{"a", "\xff"}});
      },
      ErrorCode::invalid_argument, "\\xff is not UTF-8");
  CHECK(folder.files() == 0);
}

TEST_CASE("a bad .safetensors file is refused with a sentence") {
  using Code = ErrorCode;
  const Bytes f32 = "\"F32\"", four(4, 'x');
  const auto json = [&](const Bytes& header) { return file_of(header, four); };
  const auto two = [](const char* a, const char* b, const Bytes& data) {
    return file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + Bytes(a) +
                       R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                   data);
  };
  const BadFile rows[] = {
      {"too short", "1234567", Code::malformed, "at least 8 bytes, this one has 7"},
      {"header over 100 MB", le64(100'000'001) + "{", Code::limit, "100000001 bytes, the limit is 100000000"},
      {"header length of 64 bits", le64(~0ull) + "{", Code::limit, "18446744073709551615 bytes"},
      {"header outside the file", le64(9) + "{}", Code::malformed, "9 bytes, but the file ends after 2"},
      {"empty header", file_of("", ""), Code::malformed, "does not begin with {"},
      {"header is a list", json("[]"), Code::malformed, "does not begin with {"},
      {"header after a space", json(" {}"), Code::malformed, "does not begin with {"},
      {"not JSON", json("{\"w\":"), Code::malformed, "not UTF-8 JSON"},
      {"JSON and more", json("{}{}"), Code::malformed, "not UTF-8 JSON"},
      {"not UTF-8", json("{\"\xff\":{}}"), Code::malformed, "not UTF-8 JSON"},
      {"UTF-8 cut short", json("{\"\xe2\x82\":{}}"), Code::malformed, "not UTF-8 JSON"},
      {"overlong UTF-8", json("{\"\xc0\xaf\":{}}"), Code::malformed, "not UTF-8 JSON"},
      {"half a surrogate pair", json(R"({"\ud800":{}})"), Code::malformed, "not UTF-8 JSON"},
      {"byte order mark", json("\xef\xbb\xbf{}"), Code::malformed, "does not begin with {"},
      {"a comment", json("{/**/}"), Code::malformed, "not UTF-8 JSON"},
      {"a trailing comma", json(R"({"__metadata__":{},})"), Code::malformed, "not UTF-8 JSON"},
      {"NaN", json(entry(f32, "[NaN]", "[0,4]")), Code::malformed, "not UTF-8 JSON"},
      {"a header of 100 MB in a small file", le64(100'000'000) + "{}", Code::malformed,
       "100000000 bytes, but the file ends after 2"},
      {"a new line in a string", json("{\"a\nb\":{}}"), Code::malformed, "not UTF-8 JSON"},
      {"NUL", json(Bytes("{}\0", 3)), Code::malformed, "NUL byte at 2"},
      {"duplicate names", json(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})"),
       Code::malformed, "the key a twice"},
      {"duplicate names, one of them escaped",
       json(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{}})"), Code::malformed,
       "the key a twice"},
      {"duplicate dtype", json(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
       Code::malformed, "dtype is given twice"},
      {"duplicate shape", json(R"({"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})"),
       Code::malformed, "shape is given twice"},
      {"duplicate offsets",
       json(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})"),
       Code::malformed, "data_offsets is given twice"},
      {"duplicate metadata", json(R"({"__metadata__":{"a":"b","a":"b"}})"), Code::malformed,
       "the key a twice"},
      {"metadata twice", json(R"({"__metadata__":{},"__metadata__":{}})"), Code::malformed,
       "__metadata__ twice"},
      {"nested deep", json(repeat("{\"a\":", 100'000)), Code::malformed,
       "a: unknown key a in its description"},
      {"arrays deep", json("{\"w\":{\"shape\":" + repeat("[", 100'000)), Code::malformed,
       "an array at w.shape"},
      {"entry is a number", json(R"({"w":1})"), Code::malformed, "the number 1 at w"},
      {"entry is null", json(R"({"w":null})"), Code::malformed, "null at w"},
      {"dtype is a number", json(entry("1", "[1]", "[0,4]")), Code::malformed, "the number 1 at w.dtype"},
      {"dtype in small letters", json(entry("\"f32\"", "[1]", "[0,4]")), Code::unsupported, "dtype f32"},
      {"dtype of 64 complex bits", json(entry("\"C64\"", "[1]", "[0,4]")), Code::unsupported, "dtype C64"},
      {"dtype that steers the terminal", json(entry(R"("\u001b[2J")", "[1]", "[0,4]")), Code::unsupported,
       "dtype \\x1b[2J is not"},
      {"dtype unknown", json(entry("\"F8_E4M3\"", "[1]", "[0,4]")), Code::unsupported, "dtype F8_E4M3"},
      {"dtype missing", json(R"({"w":{"shape":[1],"data_offsets":[0,4]}})"), Code::malformed,
       "w: dtype is missing"},
      {"shape missing", json(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})"), Code::malformed,
       "w: shape is missing"},
      {"offsets missing", json(R"({"w":{"dtype":"F32","shape":[1]}})"), Code::malformed,
       "w: data_offsets is missing"},
      {"unknown key", json(R"({"w":{"dtype":"F32","shape":[1],"stride":[1],"data_offsets":[0,4]}})"),
       Code::malformed, "unknown key stride"},
      {"shape is a string", json(entry(f32, "\"1\"", "[0,4]")), Code::malformed, "a string at w.shape"},
      {"negative dimension", json(entry(f32, "[-1]", "[0,4]")), Code::malformed, "the number -1 at w.shape"},
      {"fractional dimension", json(entry(f32, "[1.0]", "[0,4]")), Code::malformed,
       "the number 1.0 at w.shape"},
      {"dimension with an exponent", json(entry(f32, "[1e0]", "[0,4]")), Code::malformed,
       "the number 1e0 at w.shape"},
      {"dimension of minus zero", json(entry(f32, "[-0]", "[0,4]")), Code::malformed,
       "the number 0 at w.shape"},
      {"dimension with a leading zero", json(entry(f32, "[01]", "[0,4]")), Code::malformed, "not UTF-8 JSON"},
      {"dimension in hexadecimal", json(entry(f32, "[0x1]", "[0,4]")), Code::malformed, "not UTF-8 JSON"},
      {"dimension of a string", json(entry(f32, "[\"1\"]", "[0,4]")), Code::malformed, "a string at w.shape"},
      {"dimension of null", json(entry(f32, "[null]", "[0,4]")), Code::malformed, "null at w.shape"},
      {"negative offset", json(entry(f32, "[1]", "[-4,0]")), Code::malformed,
       "the number -4 at w.data_offsets"},
      {"fractional offset", json(entry(f32, "[1]", "[0,4.0]")), Code::malformed,
       "the number 4.0 at w.data_offsets"},
      {"offset beyond 64 bits", json(entry(f32, "[1]", "[0,18446744073709551616]")), Code::malformed,
       "the number 18446744073709551616 at w.data_offsets"},
      {"offsets at the end of 64 bits",
       json(entry(f32, "[1]", "[18446744073709551611,18446744073709551615]")), Code::malformed,
       "w: begins at 18446744073709551611, leaving a hole"},
      {"dimension of 64 bits", json(entry(f32, "[18446744073709551615]", "[0,4]")), Code::limit,
       "out of range"},
      {"dimension beyond 64 bits", json(entry(f32, "[18446744073709551616]", "[0,4]")), Code::malformed,
       "the number 18446744073709551616 at w.shape"},
      {"boolean dimension", json(entry(f32, "[true]", "[0,4]")), Code::malformed, "a boolean at w.shape"},
      {"rank over 8", json(entry(f32, "[1,1,1,1,1,1,1,1,1]", "[0,4]")), Code::limit,
       "more than 8 dimensions"},
      {"elements overflow", json(entry(f32, "[4294967296,4294967296]", "[0,4]")), Code::limit, "overflows"},
      {"elements overflow to zero", json(entry(f32, "[4294967296,4294967296,0]", "[0,0]")), Code::limit,
       "overflows"},
      {"one offset", json(entry(f32, "[1]", "[0]")), Code::malformed, "1 data offsets, not two"},
      {"three offsets", json(entry(f32, "[1]", "[0,4,8]")), Code::malformed, "more than two data offsets"},
      {"size unlike shape", json(entry(f32, "[2]", "[0,4]")), Code::malformed,
       "w: shape [2] of F32 needs 8 bytes, the offsets 0 and 4 give 4"},
      {"offsets reversed", json(entry(f32, "[1]", "[4,0]")), Code::malformed, "give -4"},
      {"hole at the front", file_of(entry(f32, "[1]", "[4,8]"), Bytes(8, 'x')), Code::malformed,
       "w: begins at 4, leaving a hole after the tensor that ends at 0"},
      {"hole between", two("[0,4]", "[5,9]", Bytes(9, 'x')), Code::malformed,
       "b: begins at 5, leaving a hole"},
      {"overlap", two("[0,4]", "[3,7]", Bytes(7, 'x')), Code::malformed,
       "b: begins at 3, within the tensor that ends at 4"},
      {"the same bytes twice", two("[0,4]", "[0,4]", four), Code::malformed, "begins at 0, within"},
      {"data cut short", file_of(entry(f32, "[1]", "[0,4]"), "xyz"), Code::malformed,
       "4 bytes, but the file holds 3"},
      {"trailing bytes", file_of(entry(f32, "[1]", "[0,4]"), Bytes(5, 'x')), Code::malformed,
       "1 bytes after its last tensor"},
      {"metadata is a string", json(R"({"__metadata__":"x"})"), Code::malformed, "a string at __metadata__"},
      {"metadata value is a number", json(R"({"__metadata__":{"a":1}})"), Code::malformed,
       "the number 1 at __metadata__.a"},
      {"metadata value is null", json(R"({"__metadata__":{"a":null}})"), Code::malformed,
       "null at __metadata__.a"},
      {"metadata value is a boolean", json(R"({"__metadata__":{"a":true}})"), Code::malformed,
       "a boolean at __metadata__.a"},
      {"metadata value is a list", json(R"({"__metadata__":{"a":["b"]}})"), Code::malformed,
       "an array at __metadata__.a"},
      {"metadata is a list", json(R"({"__metadata__":["a"]})"), Code::malformed, "an array at __metadata__"},
      {"metadata deep", json(R"({"__metadata__":)" + repeat("{\"a\":", 100'000)), Code::malformed,
       "an object at __metadata__.a"},
      {"metadata value is an object", json(R"({"__metadata__":{"a":{}}})"), Code::malformed,
       "an object at __metadata__.a"},
      {"name with an escape", json(R"({"a\u001b[2J":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
       Code::malformed, "the key a\\x1b[2J has control"},
      {"empty name", json(R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"), Code::malformed,
       "empty key"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { read(row.bytes); }, row.code, row.part);
  }
}

}  // namespace atrous::safetensors_test
