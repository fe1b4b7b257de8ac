#include "weights_tools/caffe/caffemodel.h"

#include <array>

#include "tests/support/weights_helpers.h"
#include "tests/weights_tools/caffe/wire_bytes.h"
#include "weights_tools/checkpoint.h"

namespace atrous::caffemodel_test {

using namespace atrous::weights_testing;

namespace {

StateDict read(const Bytes& bytes) { return read_caffemodel(InputFile(as_bytes(bytes), "net.caffemodel")); }

using Sizes = std::vector<std::int64_t>;

void check_tensor(const StateDict& state, std::string_view key, const Sizes& shape,
                  const std::vector<float>& values) {
  CAPTURE(key);
  const StateTensor* tensor = state.find(key);
  REQUIRE(tensor);
  CHECK(tensor->shape == shape);
  CHECK(bytes_of(*tensor) == floats(values));
}

Bytes doubles(const std::vector<double>& values) {
  Bytes out;
  for (const double value : values) out += le(value);
  return out;
}

Bytes one(const Bytes& blob) { return layer_v2("conv", "Convolution", {blob}); }

}  // namespace

TEST_CASE(
    "layers of both generations give weights and biases by their names; those without blobs give nothing") {
  const Bytes weight = blob_shape({1, 2, 1, 1}) + field(5, floats({1, 2})), bias = blob_of({3});
  const Bytes net = field(1, "a net") + field(3, "data") + number_field(4, 224) + number_field(5, 1);
  for (const bool second : {false, true}) {
    CAPTURE(second);
    const auto layer = [&](std::string_view name, std::uint64_t number, std::string_view type,
                           const std::vector<Bytes>& blobs) {
      return second ? layer_v2(name, type, blobs) : layer_v1(name, number, blobs);
    };
    const StateDict state =
        read(net + layer("data", 5, "Data", {}) + layer("conv1/3x3", 4, "Convolution", {weight, bias}) +
             layer("fuse", 25, "Eltwise", {}) + layer("fuse", 25, "Eltwise", {}));
    CHECK(state.size() == 2);
    check_tensor(state, "conv1/3x3.weight", {1, 2, 1, 1}, {1, 2});
    check_tensor(state, "conv1/3x3.bias", {1}, {3});
  }
}

TEST_CASE("shapes of four numbers count from the right; a convolution keeps all four") {
  const auto blob = [](std::array<std::uint64_t, 4> s, const std::vector<float>& values) {
    return legacy_shape(s[0], s[1], s[2], s[3]) + field(5, floats(values));
  };
  const StateDict state = read(layer_v1("conv", 4, {blob({1, 1, 2, 1}, {1, 2}), blob({1, 1, 1, 1}, {5})}) +
                               layer_v1("deconv", 39, {blob({2, 1, 1, 1}, {1, 2})}) +
                               layer_v1("fc", 14, {blob({1, 1, 1, 2}, {3, 4}), blob({1, 1, 1, 1}, {6})}) +
                               layer_v1("bn", 43, {blob({1, 2, 1, 1}, {7, 8}), blob({1, 2, 1, 1}, {9, 10})}) +
                               layer_v1("prelu", 99, {blob({1, 1, 1, 3}, {1, 2, 3})}));
  check_tensor(state, "conv.weight", {1, 1, 2, 1}, {1, 2});
  check_tensor(state, "conv.bias", {1}, {5});
  check_tensor(state, "deconv.weight", {2, 1, 1, 1}, {1, 2});
  check_tensor(state, "fc.weight", {1, 2}, {3, 4});
  check_tensor(state, "fc.bias", {1}, {6});
  check_tensor(state, "bn.weight", {2}, {7, 8});
  check_tensor(state, "bn.bias", {2}, {9, 10});
  check_tensor(state, "prelu.weight", {3}, {1, 2, 3});
}

TEST_CASE(
    "data comes packed, one by one or in several runs, as floats or doubles, and differences are skipped") {
  const Bytes shape = blob_shape({3}), key_of_four = varint(5 << 3 | 5), key_of_eight = varint(8 << 3 | 1);
  const std::vector<float> values{1.5f, -2, 3};
  for (const Bytes& data :
       {field(5, floats(values)), field(5, floats({1.5f})) + field(5, "") + field(5, floats({-2, 3})),
        key_of_four + floats({1.5f}) + key_of_four + floats({-2}) + key_of_four + floats({3}),
        field(6, floats({9, 9, 9})) + key_of_four + floats({1.5f}) + field(5, floats({-2, 3}))}) {
    check_tensor(read(one(shape + data)), "conv.weight", {3}, values);
    check_tensor(read(one(data + shape)), "conv.weight", {3}, values);
  }
  for (const Bytes& data :
       {field(8, doubles({1.5, -2, 3})),
        key_of_eight + doubles({1.5}) + field(8, doubles({-2, 3})) + field(9, doubles({0}))}) {
    const StateDict state = read(one(shape + data));
    const StateTensor& tensor = *state.find("conv.weight");
    CHECK(tensor.dtype == DType::f64);
    CHECK(bytes_of(tensor) == doubles({1.5, -2, 3}));
  }
}

TEST_CASE("sizes come packed or one by one") {
  check_tensor(read(one(field(7, number_field(1, 2) + number_field(1, 1)) + field(5, floats({1, 2})))),
               "conv.weight", {2, 1}, {1, 2});
  check_tensor(read(layer_v2("norm", "Normalize", {field(7, "") + field(5, floats({4}))})), "norm.weight",
               {1}, {4});
}

TEST_CASE("a BatchNorm is divided by its factor, and the Scale right behind is its weight and bias") {
  const Bytes norm = layer_v2("bn", "BatchNorm", {blob_of({2, 4}), blob_of({8, 1}), blob_of({2})});
  SUBCASE("Scale with a bias") {
    const StateDict state = read(norm + layer_v2("scale", "Scale", {blob_of({5, 6}), blob_of({7, 8})}));
    CHECK(state.size() == 4);
    check_tensor(state, "bn.running_mean", {2}, {1, 2});
    check_tensor(state, "bn.running_var", {2}, {4, 0.5f});
    check_tensor(state, "bn.weight", {2}, {5, 6});
    check_tensor(state, "bn.bias", {2}, {7, 8});
  }
  SUBCASE("Scale without a bias") {
    const StateDict state = read(norm + layer_v2("scale", "Scale", {blob_of({5, 6})}));
    check_tensor(state, "bn.weight", {2}, {5, 6});
    check_tensor(state, "bn.bias", {2}, {0, 0});
  }
  SUBCASE("no Scale, or not right behind") {
    for (const Bytes& next :
         {Bytes(),
          layer_v2("conv", "Convolution", {blob_of({1})}) + layer_v2("s", "Scale", {blob_of({1, 2})}),
          layer_v2("relu", "ReLU", {}) + layer_v2("s", "Scale", {blob_of({1, 2})})}) {
      const StateDict state = read(norm + next);
      check_tensor(state, "bn.weight", {2}, {1, 1});
      check_tensor(state, "bn.bias", {2}, {0, 0});
      CHECK(state.has("s") == !next.empty());
    }
  }
  SUBCASE("a factor of zero") {
    const StateDict state = read(layer_v2("bn", "BatchNorm", {blob_of({2}), blob_of({8}), blob_of({0})}));
    check_tensor(state, "bn.running_mean", {1}, {0});
    check_tensor(state, "bn.running_var", {1}, {0});
  }
}

TEST_CASE("the BN of PSPNet's fork has four blobs, that of DeconvNet's two") {
  const StateDict state =
      read(layer_v2("a/bn", "BN", {blob_of({1}), blob_of({2}), blob_of({3}), blob_of({4})}) +
           layer_v2("b", "BN", {blob_of({5}), blob_of({6})}));
  check_tensor(state, "a/bn.weight", {1}, {1});
  check_tensor(state, "a/bn.bias", {1}, {2});
  check_tensor(state, "a/bn.running_mean", {1}, {3});
  check_tensor(state, "a/bn.running_var", {1}, {4});
  check_tensor(state, "b.weight", {1}, {5});
  check_tensor(state, "b.bias", {1}, {6});
  CHECK(state.size() == 6);
}

TEST_CASE("DeconvNet's batch norms of training, by their mode, are refused, those of inference are not") {
  // bn_param, 45, with the mode, 3, LEARN 0 or INFERENCE 1, behind a filler, 1.
  const auto with_mode = [](std::uint64_t type, const Bytes& mode) {
    return field(2, field(4, "bn1_1") + number_field(5, type) + field(45, field(1, "") + mode) +
                        field(6, blob_of({7})) + field(6, blob_of({8})));
  };
  check_refused([&] { read(with_mode(43, number_field(3, 0))); }, ErrorCode::unsupported,
                "bn1_1: a batch norm of training (bn_mode LEARN), without statistics");
  check_tensor(read(with_mode(43, number_field(3, 1))), "bn1_1.weight", {1}, {7});
  check_tensor(read(with_mode(43, "")), "bn1_1.bias", {1}, {8});
  check_tensor(read(with_mode(4, number_field(3, 0))), "bn1_1.bias", {1}, {8});  // another layer's
}

TEST_CASE("a .caffemodel is recognised by its content, whatever it is called") {
  const Bytes layer = layer_v2("conv", "Convolution", {blob_of({1})});
  for (const Bytes& file : {layer, field(1, "name") + layer, number_field(4, 3) + layer,
                            layer_v1("c", 4, {blob_of({1})}), layer.substr(0, layer.size() - 1)})
    CHECK(looks_like_caffemodel(InputFile(as_bytes(file), "x")));
  for (const Bytes& file :
       {Bytes(), Bytes("name: \"net\"\nlayer {"), Bytes("\n\n\n"), field(1, "only a name"),
        field(9, "x") + layer, Bytes(100, '\xff'), Bytes("\x12\0", 2)})
    CHECK(!looks_like_caffemodel(InputFile(as_bytes(file), "x")));
  const Checkpoint checkpoint = load_checkpoint(as_bytes(layer), "x.bin");
  CHECK(checkpoint.container == Container::caffemodel);
  CHECK(name_of(checkpoint.container) == ".caffemodel");
}

TEST_CASE("a bad .caffemodel is refused with a sentence") {
  using Code = ErrorCode;
  const Bytes good = one(blob_of({1, 2})), ten(10, '\xff');
  const auto blob = [](const Bytes& fields) { return one(fields); };
  const auto shape = [](std::initializer_list<std::int64_t> sizes) {
    return one(blob_shape(sizes) + field(5, floats({1, 2})));
  };
  Bytes many_blobs = field(1, "conv") + field(2, "Convolution");
  for (int i = 0; i < 17; ++i) many_blobs += field(7, blob_of({1}));
  Bytes many_layers;
  for (int i = 0; i <= 100'000; ++i) many_layers += field(100, "");
  const BadFile rows[] = {
      {"cut within a layer", good.substr(0, good.size() - 3), Code::malformed, "but only"},
      {"cut within a length", Bytes("\x0a\x80"), Code::malformed, "ends within a number"},
      {"a number of ten bytes and more", field(1, "n") + varint(4 << 3) + ten + Bytes(1, '\1'),
       Code::malformed, "64 bits"},
      {"a number over 64 bits", varint(4 << 3) + Bytes(9, '\xff') + "\2", Code::malformed, "over 64 bits"},
      {"field number 0", varint(2) + varint(0), Code::malformed, "field number 0"},
      {"field number beyond 2^29", varint(std::uint64_t{1} << 32 | 2) + varint(0), Code::malformed,
       "field number 536870912"},
      {"a group", varint(9 << 3 | 3), Code::malformed, "wire type 3"},
      {"wire type 7", varint(9 << 3 | 7), Code::malformed, "wire type 7"},
      {"a length of 64 bits", varint(100 << 3 | 2) + varint(~0ull), Code::malformed,
       "18446744073709551615 bytes"},
      {"a layer that is a number", number_field(100, 1), Code::malformed,
       "expected a length and bytes, found a varint"},
      {"both generations", good + layer_v1("b", 4, {blob_of({1})}), Code::malformed, "two formats"},
      {"layers of the first format", field(2, field(1, field(1, "conv1") + field(50, blob_of({1})))),
       Code::unsupported, "V0"},
      {"a layer without a name", layer_v2("", "Convolution", {blob_of({1})}), Code::malformed, "has no name"},
      {"a name with a control character", layer_v2("a\n", "Convolution", {blob_of({1})}), Code::malformed,
       "a\\x0a"},
      {"a name that is not UTF-8", layer_v2("\xff", "Convolution", {blob_of({1})}), Code::malformed, "\\xff"},
      {"a name over 1024 bytes", layer_v2(Bytes(1025, 'a'), "Convolution", {}), Code::limit,
       "1025 bytes, the limit is 1024"},
      {"a type over 1024 bytes", layer_v2("a", Bytes(1025, 'a'), {}), Code::limit,
       "1025 bytes, the limit is 1024"},
      {"a name that is a number", field(100, number_field(1, 3)), Code::malformed, "a layer's name: field 1"},
      {"a type of the other generation", field(2, field(4, "a") + field(5, "Convolution")), Code::malformed,
       "a layer's type"},
      {"a name twice", good + good, Code::malformed, "conv.weight"},
      {"17 blobs", field(100, many_blobs), Code::limit, "conv: more than 16 blobs"},
      {"100,001 layers", many_layers, Code::limit, "more than 100000 layers"},
      {"no shape", blob(field(5, floats({1}))), Code::malformed,
       "conv: a blob of 1 elements without a shape"},
      {"no data", blob(blob_shape({2})), Code::malformed, "shape [2] with 0 elements, expected 2"},
      {"too little data", shape({3}), Code::malformed, "shape [3] with 2 elements, expected 3"},
      {"too much data", shape({1}), Code::malformed, "shape [1] with 2 elements, expected 1"},
      {"a scalar's shape for two", shape({}), Code::malformed, "with 2 elements, expected 1"},
      {"a size of zero", shape({0}), Code::malformed, "size of 0, expected at least 1"},
      {"a size below zero", shape({-2, -1}), Code::malformed, "size of -2"},
      {"sizes that overflow", shape({std::int64_t{1} << 62, 8}), Code::limit, "conv"},
      {"sizes that overflow bytes", blob(blob_shape({std::int64_t{1} << 62})), Code::malformed,
       "expected 4611686018427387904"},
      {"nine dimensions", shape({1, 1, 1, 1, 1, 1, 1, 1, 2}), Code::limit, "more than 8 dimensions"},
      {"a shape cut within a number", blob(field(7, field(1, "\x80")) + field(5, floats({1}))),
       Code::malformed, "within a number"},
      {"a shape that is a number", blob(number_field(7, 1)), Code::malformed, "field 7: expected a length"},
      {"a size of four bytes", blob(field(7, varint(1 << 3 | 5) + "abcd")), Code::malformed,
       "found four bytes"},
      {"legacy sizes, one missing", blob(number_field(1, 1) + number_field(2, 1) + field(5, floats({1}))),
       Code::malformed, "size of 0"},
      {"a legacy size below zero", blob(legacy_shape(1, 1, 1, ~0ull) + field(5, floats({1}))),
       Code::malformed, "size of -1"},
      {"a legacy size of the wrong type", blob(field(1, "x")), Code::malformed, "expected a varint"},
      {"data of half a float", blob(blob_shape({1}) + field(5, "abcdef")), Code::malformed,
       "6 bytes of data, no multiple of 4"},
      {"data of half a double", blob(blob_shape({1}) + field(8, "abcd")), Code::malformed,
       "4 bytes of data, no multiple of 8"},
      {"data as varints", blob(blob_shape({1}) + number_field(5, 1)), Code::malformed, "found a varint"},
      {"a float of eight bytes", blob(blob_shape({1}) + varint(5 << 3 | 1) + "abcdefgh"), Code::malformed,
       "found eight bytes"},
      {"data of both kinds", blob(blob_shape({2}) + field(5, floats({1})) + field(8, doubles({1}))),
       Code::malformed, "1 floats and 1 doubles"},
      {"a BatchNorm of two blobs", layer_v2("bn", "BatchNorm", {blob_of({1}), blob_of({1})}), Code::malformed,
       "bn: expected mean, variance and one factor"},
      {"a BatchNorm of unequal blobs",
       layer_v2("bn", "BatchNorm", {blob_of({1}), blob_of({1, 2}), blob_of({1})}), Code::malformed,
       "blobs of 1, 2, 1 elements"},
      {"a BatchNorm of two factors",
       layer_v2("bn", "BatchNorm", {blob_of({1}), blob_of({1}), blob_of({1, 1})}), Code::malformed,
       "blobs of 1, 1, 2 elements"},
      {"a BN of three blobs", layer_v2("bn", "BN", {blob_of({1}), blob_of({1}), blob_of({1})}),
       Code::malformed, "bn: expected two or four blobs"},
      {"a Scale for other channels",
       layer_v2("bn", "BatchNorm", {blob_of({1}), blob_of({1}), blob_of({1})}) +
           layer_v2("s", "Scale", {blob_of({1, 2})}),
       Code::malformed, "s: expected factors and shifts for 1 channels"}};
  for (const BadFile& row : rows) {
    CAPTURE(row.defect);
    check_refused([&] { read(row.bytes); }, row.code, row.part);
  }
}

TEST_CASE("a .caffemodel that is cut anywhere is refused, never read beyond its end") {
  const Bytes file = field(1, "net") +
                     layer_v2("bn", "BatchNorm", {blob_of({1, 2}), blob_of({3, 4}), blob_of({1})}) +
                     layer_v2("scale", "Scale", {blob_of({1, 2}), blob_of({5, 6})});
  CHECK(read(file).size() == 4);
  int read_whole = 0;
  for (std::size_t size = 0; size < file.size(); ++size) {
    const Bytes cut = file.substr(0, size);
    try {
      read(cut);
      ++read_whole;  // the cut fell between two fields of the network
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::malformed);
    }
  }
  CHECK(read_whole == 3);
}

TEST_CASE("a checkpoint of Caffe that holds no tensors says so") {
  check_refused([&] { load_checkpoint(as_bytes(layer_v2("data", "Data", {})), "x.caffemodel"); },
                ErrorCode::malformed, "x.caffemodel: holds no tensors");
}

}  // namespace atrous::caffemodel_test
