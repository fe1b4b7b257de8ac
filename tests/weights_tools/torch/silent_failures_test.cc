// What other readers of .pth files got wrong without a word. Every value is checked, in both containers where
// both can hold it.
#include <ctime>
#include <numeric>

#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"

namespace atrous::silent_failures_test {

using namespace atrous::weights_testing;

namespace {

StateDict load(const Bytes& file) { return load_checkpoint(as_bytes(file), "net.pth").state; }

std::vector<float> values(const StateDict& state, std::string_view name) {
  const StateTensor* tensor = state.find(name);
  REQUIRE(tensor != nullptr);
  const auto floats = to_float(*tensor);
  return {floats.get(), floats.get() + tensor->elements()};
}

std::vector<float> counted(float first, std::size_t count) {
  std::vector<float> out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

Bytes parameter(const Bytes& tensor) {
  return global("torch._utils", "_rebuild_parameter") + tensor + "\x88" + ordered_dict + "\x87R";
}

// The same entries and storages as both containers hold them.
struct Both {
  Items entries;  // whose storages are named by `id`
  std::vector<std::string> keys;
  std::vector<Bytes> data;
  std::vector<std::size_t> element_sizes;

  // A storage and its persistent id.
  Bytes id(const Bytes& bytes, const char* type = "FloatStorage", std::size_t element = sizeof(float)) {
    keys.push_back(std::to_string(keys.size()));
    data.push_back(bytes);
    element_sizes.push_back(element);
    return storage(keys.back(), static_cast<std::int64_t>(bytes.size() / element), type, "N");
  }
  Bytes zip_file() const {
    Items parts;
    for (std::size_t i = 0; i < keys.size(); ++i) parts.emplace_back(keys[i], data[i]);
    return pth_zip(pickled(dict(entries)), parts);
  }
  Bytes legacy_file() const {
    Bytes out = legacy_head() + pickled(dict(entries)) + key_list(keys);
    for (std::size_t i = 0; i < keys.size(); ++i) out += stored(data[i].size() / element_sizes[i], data[i]);
    return out;
  }
  std::vector<StateDict> read() const { return {load(zip_file()), load(legacy_file())}; }
};

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

TEST_CASE("parameters are tensors like any other: none of 122 is skipped, 40 of them parameters") {
  Both file;
  for (int i = 0; i < 122; ++i) {
    const Bytes plain = tensor(file.id(floats({static_cast<float>(i), -1.f})), 0, {2}, {1});
    file.entries.emplace_back("w" + std::to_string(i), i % 3 == 0 && i < 120 ? parameter(plain) : plain);
  }
  for (const StateDict& state : file.read()) {
    REQUIRE(state.size() == 122);
    for (int i = 0; i < 122; ++i)
      CHECK(values(state, "w" + std::to_string(i)) == std::vector<float>{static_cast<float>(i), -1});
  }
}

TEST_CASE("a storage has the size that is stored, not its tensor's, and each has its own count before it") {
  Both file;
  file.entries = {{"part", tensor(file.id(floats(counted(0, 10))), 3, {2, 2}, {2, 1})},
                  {"scalar", tensor(file.id(floats(counted(50, 5))), 4, {}, {})},
                  {"nothing", tensor(file.id(floats(counted(90, 3))), 0, {0}, {1})},
                  {"last", tensor(file.id(floats({7, 8})), 0, {2}, {1})}};
  for (const StateDict& state : file.read()) {
    CHECK(values(state, "part") == std::vector<float>{3, 4, 5, 6});
    CHECK(values(state, "scalar") == std::vector<float>{54});
    CHECK(values(state, "nothing").empty());
    CHECK(values(state, "last") == std::vector<float>{7, 8});
  }
}

TEST_CASE("strides count: a channels-last weight comes in the order of its shape") {
  Both file;
  // Shape [2, 3, 2, 2] in the memory of [2, 2, 2, 3].
  file.entries = {{"w", tensor(file.id(floats(counted(0, 24))), 0, {2, 3, 2, 2}, {12, 1, 6, 3})},
                  {"t", tensor(file.id(floats(counted(0, 6))), 0, {3, 2}, {1, 3})}};
  std::vector<float> expected;
  for (int o = 0; o < 2; ++o)
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < 2; ++y)
        for (int x = 0; x < 2; ++x) expected.push_back(static_cast<float>(((o * 2 + y) * 2 + x) * 3 + c));
  for (const StateDict& state : file.read()) {
    CHECK(values(state, "w") == expected);
    CHECK(values(state, "t") == std::vector<float>{0, 3, 1, 4, 2, 5});
  }
}

TEST_CASE("the memo shares: 28 doublings in 144 bytes cost no time and no tensor its values") {
  Bytes bomb = "]q" + byte(0);
  for (int i = 0; i < 28; ++i) bomb += "h" + byte(i) + "\x86q" + byte(i + 1);
  const Bytes six = floats(counted(1, 6));
  const Bytes w = tensor(storage("0", 6), 0, {6}, {1});
  const Bytes file =
      pth_zip(pickled(dict({{"epochs", "N"}, {"model", dict({{"w", w}})}, {"log", bomb}})), {{"0", six}});
  CHECK(bomb.size() <= 144);
  const double start = thread_seconds();
  const StateDict state = load(file);
  CHECK(thread_seconds() - start < 0.5);
  CHECK(values(state, "w") == counted(1, 6));
}

TEST_CASE("a stride of zero repeats its value, and is not let beyond the file") {
  Both file;
  file.entries = {{"bias", tensor(file.id(floats({5, 6})), 1, {4}, {0})},
                  {"rows", tensor(file.id(floats({1, 2, 3})), 0, {2, 3}, {0, 1})}};
  for (const StateDict& state : file.read()) {
    CHECK(values(state, "bias") == std::vector<float>(4, 6.f));
    CHECK(values(state, "rows") == std::vector<float>{1, 2, 3, 1, 2, 3});
  }
  Both large;
  large.entries = {{"w", tensor(large.id(floats({5})), 0, {1 << 30}, {0})}};
  for (const Bytes& bytes : {large.zip_file(), large.legacy_file()})
    check_refused([&] { load(bytes); }, ErrorCode::limit, "make 4294967296 bytes of a file that has");
}

TEST_CASE("data that is missing is refused, never read as zeros") {
  Both file;
  file.entries = {{"w", tensor(file.id(floats(counted(1, 8))), 0, {8}, {1})}};
  Both shorter = file;
  shorter.data[0].resize(28);
  check_refused([&] { load(shorter.zip_file()); }, ErrorCode::malformed,
                "has 28 bytes, its storage is declared with 32");
  check_refused([&] { load(shorter.legacy_file()); }, ErrorCode::malformed,
                "has 7 elements, the pickle declares 8");
  const Bytes whole = file.legacy_file();
  check_refused([&] { load(whole.substr(0, whole.size() - 4)); }, ErrorCode::malformed,
                "32 bytes wanted, 28 are left");
  check_refused(
      [&] {
        load(pth_zip(pickled(dict(file.entries)), {{"1", file.data[0]}}));
      },
      ErrorCode::malformed, "no entry archive/data/0");
}

TEST_CASE("storages are those beside data.pkl, not others of the usual name") {
  const Bytes pickle = pickled(dict({{"w", tensor(storage("0", 2), 0, {2}, {1})}}));
  for (const std::string folder : {"my model/", "a/b/", "archive/archive/", ""}) {
    CAPTURE(folder);
    const Bytes file = zip({{"archive/data/0", floats({-1, -1})},
                            {folder + "data/0", floats({3, 4})},
                            {folder + "data.pkl", pickle},
                            {"other/data/0", floats({-2, -2})}});
    CHECK(values(load(file), "w") == std::vector<float>{3, 4});
  }
}

TEST_CASE("a tensor without dimensions has its one value: num_batches_tracked") {
  Both file;
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  file.entries = {
      {"bn1.num_batches_tracked", tensor(file.id(le(large), "LongStorage", 8), 0, {}, {})},
      {"bn2.num_batches_tracked", tensor(file.id(le64(1) + le64(2), "LongStorage", 8), 1, {}, {})},
      {"temperature", parameter(tensor(file.id(floats({0.5f})), 0, {}, {}))}};
  for (const StateDict& state : file.read()) {
    const StateTensor& first = *state.find("bn1.num_batches_tracked");
    CHECK(first.shape.empty());
    CHECK(first.dtype == DType::i64);
    CHECK(bytes_of(first) == le(large));
    CHECK(values(state, "bn2.num_batches_tracked") == std::vector<float>{2});
    CHECK(values(state, "temperature") == std::vector<float>{0.5f});
  }
}

}  // namespace atrous::silent_failures_test
