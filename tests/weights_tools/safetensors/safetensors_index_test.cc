#include "weights_tools/safetensors/safetensors_index.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::safetensors_index_test {

using namespace atrous::weights_testing;

namespace {

// A shard of tensors of one float each, in the order of their names.
Bytes shard(const std::vector<std::string>& names) {
  Bytes header, data;
  for (const auto& name : names) {
    header +=
        str_cat(header.empty() ? "{" : ",", '"', name, R"(":{"dtype":"F32","shape":[1],"data_offsets":[)",
                data.size(), ",", data.size() + 4, "]}");
    data += floats({static_cast<float>(name.size())});
  }
  header += header.empty() ? "{}" : "}";
  return le64(header.size()) + header + data;
}

Bytes index(const Bytes& map) { return R"({"metadata": {"total_size": 8}, "weight_map": {)" + map + "}}"; }

const Bytes first = "a-00001-of-00002.safetensors", second = "a-00002-of-00002.safetensors";
const Bytes good_map = R"("w":")" + first + R"(", "v.w":")" + second + '"';

}  // namespace

TEST_CASE("a checkpoint in several safetensors files is read by its index") {
  const TempFolder folder;
  folder.save(first, shard({"w"}));
  folder.save(second, shard({"v.w"}));
  const Checkpoint checkpoint = load_checkpoint(folder.save("a.safetensors.index.json", index(good_map)));
  CHECK(checkpoint.container == Container::safetensors_index);
  REQUIRE(checkpoint.state.size() == 2);
  CHECK(bytes_of(*checkpoint.state.find("w")) == floats({1}));
  CHECK(bytes_of(*checkpoint.state.find("v.w")) == floats({3}));
  check_refused([&] { load_checkpoint(as_bytes(index(good_map)), "the download"); }, ErrorCode::unsupported,
                "the download: is the index of a checkpoint in several files");
}

TEST_CASE("an index is recognised wherever its weight map stands") {
  const TempFolder folder;
  folder.save(first, shard({"w"}));
  folder.save(second, shard({"v.w"}));
  const Bytes late =
      R"({"metadata": {"notes": ")" + Bytes(100'000, 'x') + R"("}, "weight_map": {)" + good_map + "}}";
  for (const Bytes& file : {late, "\xef\xbb\xbf" + late, Bytes(1000, ' ') + late}) {
    const Checkpoint checkpoint = load_checkpoint(folder.save("a.json", file));
    CHECK(checkpoint.container == Container::safetensors_index);
    CHECK(checkpoint.state.size() == 2);
  }
  check_refused(
      [&] { load_checkpoint(folder.save("a.json", R"({"weights": ")" + Bytes(1000, 'x') + "\"}")); },
      ErrorCode::unsupported, "a text file");
}

TEST_CASE("an index's weight map keeps its order, whatever stands beside it") {
  const auto map =
      parse_safetensors_index(R"( {"x": [1, {"y": null}], "weight_map": {"b":"1.safetensors",)"
                              R"("a":"1.safetensors"}, "metadata": {"total_size": 1.5, "z": {}}} )");
  CHECK(map ==
        std::vector<std::pair<std::string, std::string>>{{"b", "1.safetensors"}, {"a", "1.safetensors"}});
}

TEST_CASE("a bad index is refused with a sentence") {
  using Code = ErrorCode;
  const auto naming = [](const Bytes& name) { return index(R"("w":")" + name + '"'); };
  Bytes shards;
  for (int i = 0; i < 1025; ++i) shards += str_cat(i ? "," : "", '"', i, R"(":")", i, R"(.safetensors")");
  const BadFile rows[] = {
      {"cut short", R"({"weight_map": {"w":)", Code::malformed, "not UTF-8 JSON"},
      {"a list", R"(["weight_map"])", Code::malformed, "is a list, not an object"},
      {"a string", R"("weight_map")", Code::malformed, "no weight_map"},
      {"no map", R"({"metadata": {"weight_map": {}}})", Code::malformed, "no weight_map"},
      {"a map that is a list", R"({"weight_map": []})", Code::malformed, "weight_map is no object"},
      {"a map that is a number", R"({"weight_map": 1})", Code::malformed, "weight_map is no object"},
      {"a map that is a string", R"({"weight_map": "x"})", Code::malformed, "weight_map is no object"},
      {"two maps", R"({"weight_map": {}, "weight_map": {}})", Code::malformed, "the key weight_map twice"},
      {"a key twice", index(R"("w":"a.safetensors","w":"a.safetensors")"), Code::malformed, "gives w twice"},
      {"a number for a shard", index(R"("w": 1)"), Code::malformed, "something other than a name"},
      {"an object for a shard", index(R"("w": {})"), Code::malformed, "something other than a name"},
      {"a list for a shard", index(R"("w": [])"), Code::malformed, "something other than a name"},
      {"null for a shard", index(R"("w": null)"), Code::malformed, "something other than a name"},
      {"a folder above", naming("../a.safetensors"), Code::malformed,
       "the shard ../a.safetensors, which is not"},
      {"a folder", naming("b/a.safetensors"), Code::malformed, "not the plain name"},
      {"an absolute name", naming("/a.safetensors"), Code::malformed, "not the plain name"},
      {"a backslash", naming("b\\\\a.safetensors"), Code::malformed, "not the plain name"},
      {"two dots", naming(".."), Code::malformed, "not the plain name"},
      {"no name", naming(""), Code::malformed, "not the plain name"},
      {"another kind of file", naming("a.pth"), Code::malformed, "not the plain name"},
      {"an escape in a name", naming("\\u001b[2J.safetensors"), Code::malformed, "the shard \\x1b[2J"},
      {"a name no file may have", naming(Bytes(300, 'a') + ".safetensors"), Code::malformed,
       "not the plain name"},
      {"an empty key", index(R"("": "a.safetensors")"), Code::malformed, "empty key"},
      {"deep", R"({"a":)" + repeat("[", 20), Code::malformed, "nests more than 16 values deep"},
      {"a NUL", index(good_map) + Bytes(1, '\0'), Code::malformed, "NUL byte"},
      {"too many shards", index(shards), Code::limit, "more than 1024 shards"},
  };
  for (const BadFile& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { parse_safetensors_index(row.bytes); }, row.code, row.part);
  }
}

TEST_CASE("shards that are not what the index says are refused by name") {
  const auto refused = [](const Bytes& one, const Bytes& two, ErrorCode code, const char* part) {
    const TempFolder folder;
    if (!one.empty()) folder.save(first, one);
    if (!two.empty()) folder.save(second, two);
    const std::string path = folder.save("a.json", index(good_map));
    check_refused([&] { load_checkpoint(path); }, code, part);
  };
  refused(shard({"w"}), "", ErrorCode::io,
          "names shards that are not beside it: a-00002-of-00002.safetensors");
  refused("", "", ErrorCode::io, "not beside it: a-00001-of-00002.safetensors, a-00002-of-00002.safetensors");
  refused(shard({"w", "extra"}), shard({"v.w"}), ErrorCode::malformed,
          "a-00001-of-00002.safetensors holds extra, which the index gives no place");
  refused(shard({"w", "v.w"}), shard({"v.w"}), ErrorCode::malformed,
          "holds v.w, which the index gives to a-00002-of-00002.safetensors");
  refused(shard({"w"}), shard({}), ErrorCode::malformed,
          "the shard a-00002-of-00002.safetensors lacks v.w, which the index gives to it");
  refused(shard({"w"}), shard({"v.w"}) + "x", ErrorCode::malformed,
          "the shard a-00002-of-00002.safetensors: the file has 1 bytes after its last tensor");
  const TempFolder folder;
  const Bytes large = index(good_map) + Bytes(safetensors_index_limit, ' ');
  check_refused([&] { load_checkpoint(folder.save("a.json", large)); }, ErrorCode::limit,
                "the limit is 16777216");
}

}  // namespace atrous::safetensors_index_test
