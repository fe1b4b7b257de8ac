#include "weights_tools/torch/pth.h"
#include "tests/support/weights_helpers.h"

namespace atrous::pth_test {

using namespace atrous::weights_testing;

namespace {

NetworkWeights read(const Bytes& bytes) {
  const TempFolder folder;
  const InputFile file(folder.save("a.pth", bytes));
  return bytes.starts_with("PK") ? read_pth_zip(file) : read_pth_legacy(file);
}

// A checkpoint whose one entry, "w", is `value`, with the storages given.
Bytes one(const Bytes& value, const Items& storages) {
  return pth_zip(pickled(dict({{"w", value}})), storages);
}

const Bytes six = floats({0, 1, 2, 3, 4, 5});

Bytes parameter(const Bytes& tensor) {
  return global("torch._utils", "_rebuild_parameter") + tensor + "\x88" + ordered_dict + "\x87R";
}

Bytes legacy(const Bytes& pickle, const std::vector<std::string>& keys, const Bytes& storages) {
  return legacy_head() + pickle + key_list(keys) + storages;
}

const Bytes view_none = "N";

Bytes view(std::string_view key, std::int64_t offset, std::int64_t elements) {
  return str(key) + num(offset) + num(elements) + "\x87";
}

}  // namespace

TEST_CASE("a contiguous tensor is the bytes of its storage") {
  const auto checkpoint = read(one(tensor(storage("0", 6), 0, {2, 3}, {3, 1}), {{"0", six}}));
  const StateTensor& w = *checkpoint.state.find("w");
  CHECK(w.dtype == DType::f32);
  CHECK(w.shape == std::vector<std::int64_t>{2, 3});
  CHECK(bytes_of(w) == six);
}

TEST_CASE("a transposed tensor is made contiguous") {
  const auto checkpoint = read(one(tensor(storage("0", 6), 0, {3, 2}, {1, 3}), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == floats({0, 3, 1, 4, 2, 5}));
}

TEST_CASE("a channels-last tensor is made contiguous") {
  // [n=1, c=2, h=1, w=3] with strides of a [n, h, w, c] memory.
  const auto checkpoint = read(one(tensor(storage("0", 6), 0, {1, 2, 1, 3}, {6, 1, 6, 2}), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == floats({0, 2, 4, 1, 3, 5}));
}

TEST_CASE("strides of dimensions of size one do not matter") {
  const auto checkpoint = read(one(tensor(storage("0", 6), 0, {6, 1, 1}, {1, 99, 77}), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == six);
}

TEST_CASE("an offset counts elements") {
  const auto checkpoint = read(one(tensor(storage("0", 6), 4, {2}, {1}), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == floats({4, 5}));
}

TEST_CASE("a zero-dimensional tensor has one element") {
  const auto checkpoint = read(one(tensor(storage("0", 1, "LongStorage"), 0, {}, {}), {{"0", le64(7)}}));
  const StateTensor& w = *checkpoint.state.find("w");
  CHECK(w.dtype == DType::i64);
  CHECK(w.shape.empty());
  CHECK(bytes_of(w) == le64(7));
}

TEST_CASE("an empty tensor has no elements") {
  const auto checkpoint = read(one(tensor(storage("0", 0), 0, {0, 5}, {5, 1}), {{"0", ""}}));
  CHECK(checkpoint.state.find("w")->elements() == 0);
}

TEST_CASE("a tensor expanded by stride 0 is written out") {
  const auto checkpoint = read(one(tensor(storage("0", 6), 0, {2, 6}, {0, 1}), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == six + six);
}

TEST_CASE("a parameter is its tensor") {
  const auto checkpoint = read(one(parameter(tensor(storage("0", 6), 0, {6}, {1})), {{"0", six}}));
  CHECK(bytes_of(*checkpoint.state.find("w")) == six);
}

TEST_CASE("a shared storage is read once and both tensors see it") {
  const Bytes both = pickled(
      dict({{"a", tensor(storage("0", 6), 0, {6}, {1})}, {"b", tensor(storage("0", 6), 2, {2}, {1})}}));
  const auto checkpoint = read(pth_zip(both, {{"0", six}}));
  const StateTensor& a = *checkpoint.state.find("a");
  CHECK(checkpoint.state.find("b")->data.get() == a.data.get() + 2 * sizeof(float));
  CHECK(bytes_of(a) == six);
}

TEST_CASE("every dtype of a state dict is read") {
  const std::vector<std::pair<const char*, DType>> types{
      {"FloatStorage", DType::f32},   {"HalfStorage", DType::f16}, {"BFloat16Storage", DType::bf16},
      {"DoubleStorage", DType::f64},  {"LongStorage", DType::i64}, {"IntStorage", DType::i32},
      {"ShortStorage", DType::i16},   {"CharStorage", DType::i8},  {"ByteStorage", DType::u8},
      {"BoolStorage", DType::boolean}};
  for (const auto& type : types) {
    const std::string name = type.first;
    const DType dtype = type.second;
    CAPTURE(name);
    const Bytes data(3 * size_of(dtype), '\1');
    const auto checkpoint = read(one(tensor(storage("0", 3, name), 0, {3}, {1}), {{"0", data}}));
    CHECK(checkpoint.state.find("w")->dtype == dtype);
    CHECK(bytes_of(*checkpoint.state.find("w")) == data);
  }
}

TEST_CASE("storages are looked up beside data.pkl, whatever its folder") {
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 6), 0, {6}, {1})}}));
  for (const char* folder : {"", "archive/", "some model/", "a/b/"})
    CHECK(bytes_of(*read(pth_zip(pickle, {{"0", six}}, folder)).state.find("w")) == six);
}

TEST_CASE("the dict of tensors is found inside what training scripts save") {
  const Bytes inner = dict({{"w", tensor(storage("0", 6), 0, {6}, {1})}});
  const Bytes arguments = global("argparse", "Namespace") + ")\x81}(" + str("lr") + "K\1ub";
  for (const char* key : {"model", "state_dict", "model_state_dict"}) {
    const auto checkpoint =
        read(pth_zip(pickled(dict({{"epoch", "K\3"}, {key, inner}, {"args", arguments}})), {{"0", six}}));
    CHECK(bytes_of(*checkpoint.state.find("w")) == six);
    CHECK(checkpoint.notes == std::vector<std::string>{std::string("unwrapped ") + key});
  }
  const auto twice = read(pth_zip(pickled(dict({{"model", dict({{"state_dict", inner}})}})), {{"0", six}}));
  CHECK(twice.notes.size() == 2);
}

TEST_CASE("_metadata among the tensors is skipped") {
  const auto checkpoint = read(pth_zip(
      pickled(dict({{"_metadata", "}"}, {"w", tensor(storage("0", 6), 0, {6}, {1})}})), {{"0", six}}));
  CHECK(checkpoint.state.size() == 1);
}

TEST_CASE("a byte order record must say little") {
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 6), 0, {6}, {1})}}));
  const auto with = [&](const Bytes& order) {
    return zip({{"a/data.pkl", pickle}, {"a/byteorder", order}, {"a/data/0", six}});
  };
  CHECK(read(with("little")).state.size() == 1);
  check_refused([&] { read(with("big")); }, ErrorCode::unsupported, "byte order is big");
}

TEST_CASE("a bad zip checkpoint is refused with a sentence") {
  using Code = ErrorCode;
  const Bytes good = pickled(dict({{"w", tensor(storage("0", 6), 0, {6}, {1})}}));
  const auto layout = [](std::int64_t offset, const std::vector<std::int64_t>& size,
                         const std::vector<std::int64_t>& stride) {
    return one(tensor(storage("0", 6), offset, size, stride), {{"0", six}});
  };
  const auto id = [](const Bytes& items) {
    return one(tensor("(" + items + "tQ", 0, {1}, {1}), {{"0", six}});
  };
  const Bytes rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const auto with_metadata = [&](const Bytes& metadata) {
    return one(rebuild + "(" + storage("0", 6) + num(0) + tuple({6}) + tuple({1}) + "\x89" + ordered_dict +
                   metadata + "tR",
               {{"0", six}});
  };
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  const BadFile rows[] = {
      {"no data.pkl", zip({{"a/data/0", six}}), Code::malformed, "no data.pkl"},
      {"two data.pkl", zip({{"a/data.pkl", good}, {"b/data.pkl", good}}), Code::malformed,
       "two pickles: a/data.pkl and b/data.pkl"},
      {"TorchScript without weights by name", zip({{"a/data.pkl", pickled("}")}, {"a/constants.pkl", good}}),
       Code::unsupported, "a TorchScript archive whose weights are in its program"},
      {"compressed code, but no program",
       zip({{"a/data.pkl", good}, {"a/data/0", six}, {.name = "a/code/x.py", .data = "x", .method = 8}}),
       Code::unsupported, "a/code/x.py is compressed"},
      {"compressed code of another folder",
       zip({{"a/data.pkl", good},
            {"a/data/0", six},
            {"a/constants.pkl", pickled(")")},
            {.name = "b/code/x.py", .data = "x", .method = 8}}),
       Code::unsupported, "b/code/x.py is compressed"},
      {"bytes after the pickle", pth_zip(good + "x", {{"0", six}}), Code::malformed, "its pickle ends at"},
      {"storage missing", pth_zip(good, {}), Code::malformed, "no entry archive/data/0"},
      {"storage elsewhere", zip({{"a/data.pkl", good}, {"b/data/0", six}}), Code::malformed,
       "no entry a/data/0"},
      {"storage too small", pth_zip(good, {{"0", floats({1})}}), Code::malformed,
       "has 4 bytes, its storage is declared with 24"},
      {"storage too large", pth_zip(good, {{"0", six + six}}), Code::malformed,
       "has 48 bytes, its storage is declared with 24"},
      {"unused storage missing", pth_zip(pickled(dict({{"model", dict({})}, {"x", storage("9", 1)}})), {}),
       Code::malformed, "no entry archive/data/9"},
      {"storage declared with two sizes",
       pth_zip(pickled(dict({{"a", tensor(storage("0", 6), 0, {1}, {1})},
                             {"b", tensor(storage("0", 5), 0, {1}, {1})}})),
               {{"0", six}}),
       Code::malformed, "the storage 0 is declared with 24 and with 20 bytes"},
      {"storage size overflows", one(tensor(storage("0", huge), 0, {1}, {1}), {{"0", six}}), Code::limit,
       "overflows"},
      {"storage size negative", one(tensor(storage("0", -1), 0, {1}, {1}), {{"0", six}}), Code::malformed,
       "a storage's size is negative: -1"},
      {"complex numbers", one(tensor(storage("0", 3, "ComplexFloatStorage"), 0, {1}, {1}), {{"0", six}}),
       Code::unsupported, "torch.ComplexFloatStorage"},
      {"id of a module", id(str("module") + "NNNN"), Code::unsupported, "describes module, not a storage"},
      {"id too short", id(str("storage")), Code::malformed, "does not describe a storage"},
      {"id with a number for a type", id(str("storage") + "K\1" + str("0") + str("cpu") + "K\6"),
       Code::malformed, "a storage's type is an integer"},
      {"id with a function for a type", id(str("storage") + rebuild + str("0") + str("cpu") + "K\6"),
       Code::malformed, "a storage's type is a type or function"},
      {"id with a number for a key",
       id(str("storage") + global("torch", "FloatStorage") + "K\1" + str("cpu") + "K\6"), Code::malformed,
       "a storage's key is an integer"},
      {"id with a long key", one(tensor(storage(Bytes(300, 'k'), 6), 0, {1}, {1}), {}), Code::limit,
       "a storage's key has 300 bytes, more than 256"},
      {"tensor of a string", one(tensor(str("x"), 0, {1}, {1}), {}), Code::malformed,
       "w: the tensor is made of a string"},
      {"too few arguments", one(rebuild + "NN\x86R", {}), Code::malformed,
       "w: _rebuild_tensor_v2 has 2 arguments"},
      {"negated values", with_metadata(dict({{"neg", "\x88"}})), Code::unsupported,
       "w: a tensor's metadata says neg"},
      {"metadata that is no dict", with_metadata("K\1"), Code::malformed,
       "w: a tensor's metadata is an integer"},
      {"_rebuild_tensor with too many", one(global("torch._utils", "_rebuild_tensor") + "(NNNNNtR", {}),
       Code::malformed, "_rebuild_tensor has 5 arguments, not 4"},
      {"parameter of a number", one(parameter("K\1"), {}), Code::malformed, "the parameter wraps an integer"},
      {"parameter with too few arguments", one(global("torch._utils", "_rebuild_parameter") + ")R", {}),
       Code::malformed, "_rebuild_parameter has 0 arguments"},
      {"data.pkl over 16 MiB", pth_zip(Bytes((std::size_t{16} << 20) + 1, 'N'), {}), Code::limit,
       "archive/data.pkl has 16777217 bytes, the limit is 16777216"},
      {"byte order of a book",
       zip({{"a/data.pkl", good}, {"a/data/0", six}, {"a/byteorder", Bytes(17, 'x')}}), Code::limit,
       "a/byteorder has 17 bytes, the limit is 16"},
      {"byte order empty", zip({{"a/data.pkl", good}, {"a/data/0", six}, {"a/byteorder", ""}}),
       Code::unsupported, "byte order is , not little"},
      {"damaged pickle", zip({{.name = "a/data.pkl", .data = good, .crc_error = 1}, {"a/data/0", six}}),
       Code::malformed, "a/data.pkl is damaged"},
      {"damaged storage", zip({{"a/data.pkl", good}, {.name = "a/data/0", .data = six, .crc_error = 1}}),
       Code::malformed, "w: the zip entry a/data/0 is damaged"},
      {"storage declared with two types of other sizes",
       pth_zip(pickled(dict({{"a", tensor(storage("0", 6), 0, {1}, {1})},
                             {"b", tensor(storage("0", 6, "HalfStorage"), 0, {1}, {1})}})),
               {{"0", six}}),
       Code::malformed, "the storage 0 is declared with 24 and with 12 bytes"},
      {"quantized numbers", one(tensor(storage("0", 24, "QInt8Storage"), 0, {1}, {1}), {{"0", six}}),
       Code::unsupported, "torch.QInt8Storage"},
      {"entry is a call", one(global("os", "system") + str("rm") + "\x85R", {}), Code::malformed,
       "the state dict's entry w is a value of os.system, not a tensor; nothing was run"},
      {"entry is a function", one(global("os", "system"), {}), Code::malformed,
       "the state dict's entry w is the type or function os.system, not a tensor; nothing was run"},
      {"root is a call", pth_zip(pickled(global("os", "system") + str("rm") + "\x85R"), {}), Code::malformed,
       "holds a value of os.system, not a state dict; nothing was run"},
      {"a size beyond 64 bits",
       one(rebuild + "(" + storage("0", 6) + num(0) + "\x8a\x09" + Bytes(9, '\1') + "\x85" + tuple({1}) +
               "\x89" + ordered_dict + "tR",
           {{"0", six}}),
       Code::malformed, "the size is an integer beyond 64 bits, not an integer"},
      {"wrapped beyond reason",
       pth_zip(pickled(dict(
                   {{"model",
                     dict({{"model", dict({{"model", dict({{"model", dict({{"model", dict({})}})}})}})}})}})),
               {}),
       Code::malformed, "the state dict's entry model is an OrderedDict, not a tensor"},
      {"dimensions are a number",
       one(rebuild + "(" + storage("0", 6) + num(0) + num(6) + tuple({1}) + "\x89" + ordered_dict + "tR",
           {{"0", six}}),
       Code::malformed, "the size is an integer, not a tuple"},
      {"bytes overflow", layout(0, {huge}, {0}), Code::limit, "overflows"},
      {"bytes of half the address space", layout(0, {std::int64_t{1} << 60}, {0}), Code::limit,
       "make 4611686018427387904 bytes of a file that has"},
      {"dimensions whose product is small but for overflow",
       layout(0, {huge, huge, huge, huge}, {0, 0, 0, 0}), Code::limit, "overflows"},
      {"two strides overflow together", layout(0, {2, 2}, {INT64_MAX, 1}), Code::limit, "overflows"},
      {"no element, but an offset beyond", layout(INT64_MAX, {0}, {1}), Code::malformed,
       "reach element 9223372036854775807"},
      {"scalar beyond the storage", layout(6, {}, {}), Code::malformed,
       "size [], stride [] and offset 6 reach element 6 of a storage with 6"},
      {"negative dimension", layout(0, {-1}, {1}), Code::malformed, "the size is negative: -1"},
      {"negative stride", layout(5, {6}, {-1}), Code::malformed, "the stride is negative: -1"},
      {"negative offset", layout(-1, {1}, {1}), Code::malformed, "the storage offset is negative: -1"},
      {"rank over 8", layout(0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1)),
       Code::limit, "9 dimensions, more than 8"},
      {"ranks differ", layout(0, {2, 3}, {1}), Code::malformed, "the size has 2 dimensions, the stride 1"},
      {"elements overflow", layout(0, {huge, 4}, {0, 0}), Code::limit, "overflows"},
      {"elements overflow to zero", layout(0, {huge, 4, 0}, {0, 0, 0}), Code::limit, "overflows"},
      {"stride overflows", layout(0, {3}, {huge}), Code::limit, "overflows"},
      {"offset overflows", layout(INT64_MAX, {2}, {1}), Code::limit, "overflows"},
      {"one element too many", layout(0, {7}, {1}), Code::malformed,
       "size [7], stride [1] and offset 0 reach element 6 of a storage with 6"},
      {"offset too far", layout(1, {6}, {1}), Code::malformed, "reach element 6 of a storage with 6"},
      {"stride too far", layout(0, {2, 3}, {4, 1}), Code::malformed, "reach element 6 of a storage with 6"},
      {"empty tensor far away", layout(7, {0}, {1}), Code::malformed, "reach element 7"},
      {"stride 0 blown up", layout(0, {1 << 20, 6}, {0, 1}), Code::limit,
       "make 25165824 bytes of a file that has"},
      {"size is a boolean",
       one(rebuild + "(" + storage("0", 6) + num(0) + "\x88\x85" + tuple({1}) + "\x89" + ordered_dict + "tR",
           {{"0", six}}),
       Code::malformed, "the size is a boolean"},
      {"root is a list", pth_zip(pickled("]"), {}), Code::malformed, "holds a list, not a state dict"},
      {"root is a tensor", pth_zip(pickled(tensor(storage("0", 6), 0, {6}, {1})), {{"0", six}}),
       Code::malformed, "holds a tensor, not a state dict"},
      {"entry is a number", one("K\1", {}), Code::malformed,
       "the state dict's entry w is an integer, not a tensor"},
      {"entry is a dict", one("}", {}), Code::malformed, "the state dict's entry w is a dict, not a tensor"},
      {"entry is a bare storage", one(storage("0", 6), {{"0", six}}), Code::malformed,
       "the state dict's entry w is a storage"},
      {"key is a number", pth_zip(pickled("}K\1" + tensor(storage("0", 6), 0, {6}, {1}) + "s"), {{"0", six}}),
       Code::malformed, "an integer for a key"},
      {"key twice",
       pth_zip(pickled(dict({{"w", tensor(storage("0", 6), 0, {6}, {1})},
                             {"w", tensor(storage("0", 6), 0, {6}, {1})}})),
               {{"0", six}}),
       Code::malformed, "the key w appears twice"},
      {"key with an escape", pth_zip(pickled(dict({{"a\x1b[2J", "N"}})), {}), Code::malformed,
       "the key a\\x1b[2J has control"},
      {"key is not UTF-8", pth_zip(pickled(dict({{"a\xff", "N"}})), {}), Code::malformed, "not UTF-8"},
      {"key too long", pth_zip(pickled(dict({{Bytes(1025, 'a'), "N"}})), {}), Code::malformed,
       "1025 bytes, more than 1024"},
      {"key empty", pth_zip(pickled(dict({{"", "N"}})), {}), Code::malformed, "empty key"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { read(row.bytes); }, row.code, row.part);
  }
}

TEST_CASE("many small strided tensors cannot fill the memory") {
  Items items;
  for (int i = 0; i < 50; ++i)
    items.emplace_back("w" + std::to_string(i), tensor(storage("0", 6), 0, {1000, 6}, {0, 1}));
  const Bytes file = pth_zip(pickled(dict(items)), {{"0", six}});
  check_refused([&] { read(file); }, ErrorCode::limit, "bytes of a file that has");
}

TEST_CASE("one strided tensor with many names is copied once") {
  Bytes entries = ordered_dict + "(" + str("w") + tensor(storage("0", 6), 0, {3, 2}, {1, 3}) + "q\x07";
  for (int i = 0; i < 100; ++i) entries += str("w" + std::to_string(i)) + "h\x07";
  const auto checkpoint = read(pth_zip(pickled(entries + "u"), {{"0", six}}));
  CHECK(checkpoint.state.size() == 101);
  CHECK(checkpoint.state.find("w99")->data == checkpoint.state.find("w")->data);
}

TEST_CASE("a legacy checkpoint gives its storages in the order of the key list") {
  const Bytes pickle = pickled(dict({{"a", tensor(storage("10", 2, "FloatStorage", view_none), 0, {2}, {1})},
                                     {"b", tensor(storage("9", 1, "LongStorage", view_none), 0, {}, {})}}));
  const auto checkpoint = read(legacy(pickle, {"9", "10"}, stored(1, le64(5)) + stored(2, floats({1, 2}))));
  CHECK(bytes_of(*checkpoint.state.find("a")) == floats({1, 2}));
  CHECK(bytes_of(*checkpoint.state.find("b")) == le64(5));
}

TEST_CASE("a legacy storage's size is its own, not that of its tensor") {
  const Bytes pickle =
      pickled(dict({{"a", tensor(storage("0", 6, "FloatStorage", view_none), 4, {1}, {1})},
                    {"b", tensor(storage("1", 1, "FloatStorage", view_none), 0, {1}, {1})}}));
  const auto checkpoint = read(legacy(pickle, {"0", "1"}, stored(6, six) + stored(1, floats({9}))));
  CHECK(bytes_of(*checkpoint.state.find("a")) == floats({4}));
  CHECK(bytes_of(*checkpoint.state.find("b")) == floats({9}));
}

TEST_CASE("the old _rebuild_tensor of legacy checkpoints is read") {
  const Bytes old = global("torch._utils", "_rebuild_tensor") + "(" +
                    storage("0", 6, "FloatStorage", view_none) + num(0) + tuple({2, 3}) + tuple({3, 1}) +
                    "tR";
  CHECK(bytes_of(*read(legacy(pickled(dict({{"w", old}})), {"0"}, stored(6, six))).state.find("w")) == six);
}

TEST_CASE("a legacy storage may be a view of another") {
  const Bytes part = storage("0", 6, "FloatStorage", view("0v", 2, 3));
  const Bytes pickle = pickled(dict({{"w", tensor(part, 1, {2}, {1})}}));
  CHECK(bytes_of(*read(legacy(pickle, {"0"}, stored(6, six))).state.find("w")) == floats({3, 4}));
}

TEST_CASE("a legacy magic number in a frame is recognised") {
  Bytes framed = "\x80\x04\x95" + le64(13) + legacy_magic.substr(2);
  framed += pickled(num(1001)) + system_info() + pickled(dict({})) + key_list({});
  CHECK(read(framed).state.size() == 0);
}

TEST_CASE("a bad legacy checkpoint is refused with a sentence") {
  using Code = ErrorCode;
  const auto w = [](const Bytes& id) { return pickled(dict({{"w", tensor(id, 0, {1}, {1})}})); };
  const Bytes pickle = w(storage("0", 6, "FloatStorage", view_none));
  Bytes wrong_magic = legacy_magic;
  wrong_magic[5] = 'x';
  const BadFile rows[] = {
      {"wrong magic", wrong_magic + system_info(), Code::malformed, "magic number 0x1950a86a20f9469cfc6c"},
      {"cut within the magic", legacy_magic.substr(0, 9), Code::malformed, "magic number"},
      {"one byte", legacy_magic.substr(0, 1), Code::malformed, "magic number"},
      {"another pickle", pickled("K\1"), Code::malformed, "magic number"},
      {"NumPy's arrays", pickled(str("numpy.core.multiarray")), Code::unsupported, "NumPy arrays"},
      {"Detectron2's model zoo", pickled(str("numpy.core.multiarray __author__ Detectron2 Model Zoo")),
       Code::unsupported, "is a pickle of Detectron2"},
      {"wrong protocol", legacy_magic + pickled(num(1002)), Code::unsupported,
       "protocol version is 1002, not 1001"},
      {"protocol is a string", legacy_magic + pickled(str("x")), Code::malformed,
       "protocol version is a string"},
      {"big-endian", legacy_magic + pickled(num(1001)) + system_info("\x89"), Code::unsupported,
       "little-endian"},
      {"word size", legacy_magic + pickled(num(1001)) + system_info("\x88", 3), Code::unsupported,
       "word size of short is 3, not 2"},
      {"no byte order", legacy_magic + pickled(num(1001)) + pickled("}"), Code::unsupported, "little-endian"},
      {"byte order is a number", legacy_magic + pickled(num(1001)) + system_info("K\1"), Code::unsupported,
       "little-endian"},
      {"word size of int",
       legacy_magic + pickled(num(1001)) +
           pickled("}(" + str("little_endian") + "\x88" + str("type_sizes") + "}(" + str("short") + num(2) +
                   str("int") + num(8) + str("long") + num(4) + "uu"),
       Code::unsupported, "word size of int is 8, not 4"},
      {"word size of long missing",
       legacy_magic + pickled(num(1001)) +
           pickled("}(" + str("little_endian") + "\x88" + str("type_sizes") + "}(" + str("short") + num(2) +
                   str("int") + num(4) + "uu"),
       Code::unsupported, "word size of long is 0, not 4"},
      {"no word sizes", legacy_magic + pickled(num(1001)) + pickled("}" + str("little_endian") + "\x88s"),
       Code::malformed, "word sizes"},
      {"machine is a list", legacy_magic + pickled(num(1001)) + pickled("]"), Code::malformed,
       "is a list, not a dict"},
      {"cut after the machine", legacy_head(), Code::malformed, "the pickle is empty"},
      {"cut after the object", legacy_head() + pickle, Code::malformed, "the pickle is empty"},
      {"keys are a dict", legacy_head() + pickle + pickled("}"), Code::malformed, "storage keys are a dict"},
      {"key is a number", legacy_head() + pickle + pickled("]K\1a"), Code::malformed,
       "a storage key is an integer"},
      {"stored count unlike the declared", legacy(pickle, {"0"}, stored(5, six)), Code::malformed,
       "has 5 elements, the pickle declares 6"},
      {"listed twice", legacy(pickle, {"0", "0"}, stored(6, six) + stored(6, six)), Code::malformed,
       "the storage 0 is listed twice"},
      {"declared twice with other sizes",
       legacy(pickled(dict({{"a", tensor(storage("0", 6, "FloatStorage", view_none), 0, {1}, {1})},
                            {"b", tensor(storage("0", 7, "FloatStorage", view_none), 0, {1}, {1})}})),
              {"0"}, stored(6, six)),
       Code::malformed, "the storage 0 is declared with 24 and with 28 bytes"},
      {"stored count of 64 bits", legacy(pickle, {"0"}, stored(~0ull, six)), Code::malformed,
       "has 18446744073709551615 elements, the pickle declares 6"},
      {"stored bytes overflow",
       legacy(w(storage("0", std::int64_t{1} << 62, "FloatStorage", view_none)), {"0"},
              stored(1ull << 62, six)),
       Code::limit, "overflows"},
      {"cut within the count", legacy(pickle, {"0"}, "1234567"), Code::malformed,
       "before the storage 0 listed in it"},
      {"listed but not declared", legacy(pickle, {"1"}, stored(6, six)), Code::malformed,
       "the storage 1 is listed, but the pickle does not mention it"},
      {"declared but not listed", legacy(pickle, {}, ""), Code::malformed,
       "the storage 0 is not in the file's list"},
      {"listed but absent", legacy(pickle, {"0"}, ""), Code::malformed, "before the storage 0 listed in it"},
      {"cut within a storage", legacy(pickle, {"0"}, stored(6, six.substr(1))), Code::malformed,
       "ends within the storage 0: 24 bytes wanted, 23 are left"},
      {"trailing bytes", legacy(pickle, {"0"}, stored(6, six) + "x"), Code::malformed,
       "1 bytes after its last storage"},
      {"view outside its root",
       legacy(w(storage("0", 6, "FloatStorage", view("v", 4, 3))), {"0"}, stored(6, six)), Code::malformed,
       "a view of it ends at 4 + 3"},
      {"view overflows",
       legacy(w(storage("0", 6, "FloatStorage", view("v", INT64_MAX, INT64_MAX))), {"0"}, stored(6, six)),
       Code::malformed, "has 6 elements, but a view"},
      {"view is a number", legacy(w(storage("0", 6, "FloatStorage", "K\1")), {"0"}, stored(6, six)),
       Code::malformed, "its view is an integer"},
      {"tensor outside its view",
       legacy(pickled(dict({{"w", tensor(storage("0", 6, "FloatStorage", view("v", 2, 2)), 0, {3}, {1})}})),
              {"0"}, stored(6, six)),
       Code::malformed, "reach element 2 of a storage with 2"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { read(row.bytes); }, row.code, row.part);
  }
}

}  // namespace atrous::pth_test
