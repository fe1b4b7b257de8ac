// Reading a file takes time in proportion to its size, whatever the file says of itself.
#include <algorithm>
#include <ctime>
#include <functional>

#include "layers/networks/segmentation.h"
#include "runtime/image/image_read.h"
#include "tests/support/image_bytes.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"

namespace atrous::time_test {

using namespace atrous::weights_testing;
using atrous::testing::FileBytes;

namespace {

// Seconds of this thread, which other processes do not lengthen.
double seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double quickest(const std::function<void()>& action) {
  double least = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double start = seconds();
    action();
    least = std::min(least, seconds() - start);
  }
  return least;
}

void read(const Bytes& file) {
  try {
    load_checkpoint(as_bytes(file), "a");
  } catch (const Error&) {
  }
}

Bytes tensors(int count, const Bytes& value) {
  Items items;
  for (int i = 0; i < count; ++i) items.emplace_back(std::to_string(i), value);
  return dict(items);
}

// A .safetensors file whose tensors have one element each, and names that come to a megabyte.
Bytes megabyte_of_names(const std::vector<std::string>& first, const std::function<std::string(int)>& name) {
  Bytes json;
  std::size_t names = 0;
  int count = 0;
  const auto add = [&](const std::string& key) {
    json += str_cat(json.empty() ? "{\"" : ",\"", key, R"(":{"dtype":"F32","shape":[1],"data_offsets":[)",
                    4 * count, ",", 4 * (count + 1), "]}");
    names += key.size();
    ++count;
  };
  for (const std::string& key : first) add(key);
  for (int i = 0; names < 1'000'000; ++i) add(name(i));
  json += "}";
  return le64(json.size()) + json + Bytes(static_cast<std::size_t>(4 * count), 'x');
}

// Whether four times as much takes at most eight times as long: caches and sorting cost something, but what
// is quadratic takes sixteen times. A neighbour on the same core can halve a thread's speed for a while: what
// is linear shows it in one of a few attempts, what is quadratic in none.
bool takes_time_in_proportion(const std::function<void()>& one, const std::function<void()>& four_times) {
  for (int attempt = 0; attempt < 5; ++attempt)
    if (const double least = quickest(one); quickest(four_times) <= 8 * least + 0.001) return true;
  return false;
}

// A file that grows with a number.
struct Growing {
  const char* what;
  int count;
  std::function<Bytes(int)> file;
};

Bytes zipped(const Bytes& value) { return pth_zip(pickled(value), {{"0", "abcd"}}); }

}  // namespace

TEST_CASE("four times the checkpoint takes at most eight times as long") {
  const Bytes one = tensor(storage("0", 1), 0, {1}, {1});
  const Growing rows[] = {
      {"values", 50'000,
       [](int n) { return zipped("](" + repeat("K\1", static_cast<std::size_t>(n)) + "e"); }},
      {"appended one by one", 50'000,
       [](int n) { return zipped("]" + repeat("Na", static_cast<std::size_t>(n))); }},
      {"set one by one", 50'000,
       [](int n) { return zipped("}" + repeat("NNs", static_cast<std::size_t>(n))); }},
      {"marks", 100'000, [](int n) { return zipped(repeat("(", static_cast<std::size_t>(n))); }},
      {"tuples through a mark", 50'000,
       [](int n) { return zipped("](" + repeat("(NNt", static_cast<std::size_t>(n)) + "e"); }},
      {"memo", 20'000,
       [](int n) {
         Bytes out = "](";
         for (int i = 0; i < n; ++i)
           out += "Nr" + le32(static_cast<std::uint64_t>(i)) + "j" + le32(static_cast<std::uint64_t>(i));
         return zipped(out + "e");
       }},
      {"memoized, doubled in each list", 5'000,
       [](int n) {
         Bytes out = "]r" + le32(0);
         for (int i = 0; i < n; ++i) {
           const Bytes get = "j" + le32(static_cast<std::uint64_t>(i % 900));
           out += "](" + get + get + "er" + le32(static_cast<std::uint64_t>(i % 900 + 1));
         }
         return zipped("(" + out + "t");
       }},
      {"opaque values", 20'000,
       [](int n) {
         return zipped("](" + global("a", "B") + "q\1" + repeat("h\1)\x81}b", static_cast<std::size_t>(n)) +
                       "e");
       }},
      {"networks under many prefixes", 1'000,
       [&](int n) {
         Items items;
         for (int i = 0; i < n; ++i)
           items.emplace_back(std::to_string(i),
                              dict({{"backbone.conv1.weight", one}, {"classifier.0.weight", one}}));
         return zipped(dict(items));
       }},
      {"names of nothing but telling parts", 500,
       [&](int n) {
         Items items;
         for (int i = 0; i < n; ++i)
           items.emplace_back(repeat("classifier.", 90) + std::to_string(i) + ".backbone.conv1.weight", one);
         return zipped(dict(items));
       }},
      {"modules in a chain", 200,
       [](int n) {
         const Bytes before = global("a", "B") + ")\x81}(" + str("_parameters") + "}" + str("_buffers") +
                              "}" + str("_modules") + "}" + str("m");
         return zipped(repeat(before, static_cast<std::size_t>(n)) + "N" +
                       repeat("sub", static_cast<std::size_t>(n)));
       }},
      {"an index of shards", 5'000,
       [](int n) {
         Bytes map;
         for (int i = 0; i < n; ++i) map += str_cat(i ? "," : "", '"', i, R"(":"a.safetensors")");
         return R"({"weight_map":{)" + map + "}}";
       }},
      {"tensors", 2'000, [&](int n) { return zipped(tensors(n, one)); }},
      {"storages", 1'000,
       [](int n) {
         Items items, parts;
         for (int i = 0; i < n; ++i) {
           items.emplace_back(std::to_string(i), tensor(storage(std::to_string(i), 1), 0, {1}, {1}));
           parts.emplace_back(std::to_string(i), "abcd");
         }
         return pth_zip(pickled(dict(items)), parts);
       }},
      {"legacy storages", 1'000,
       [](int n) {
         Items items;
         std::vector<std::string> keys;
         Bytes data;
         for (int i = 0; i < n; ++i) {
           keys.push_back(std::to_string(i));
           items.emplace_back(keys.back(), tensor(storage(keys.back(), 1, "FloatStorage", "N"), 0, {1}, {1}));
           data += stored(1, "abcd");
         }
         return legacy_head() + pickled(dict(items)) + key_list(keys) + data;
       }},
      {"zip entries", 5'000,
       [](int n) {
         std::vector<ZipPart> parts;
         for (int i = 0; i < n; ++i) parts.push_back({std::to_string(i), ""});
         return zip(parts);
       }},
      {"safetensors entries", 2'000,
       [](int n) {
         Bytes json;
         for (int i = 0; i < n; ++i)
           json += str_cat(json.empty() ? "{\"" : ",\"", i, R"(":{"dtype":"U8","shape":[1],"data_offsets":[)",
                           i, ",", i + 1, "]}");
         return le64(json.size() + 1) + json + "}" + Bytes(static_cast<std::size_t>(n), 'x');
       }},
  };
  for (const Growing& row : rows) {
    const Bytes small = row.file(row.count), large = row.file(4 * row.count);
    CAPTURE(std::string(row.what));
    CHECK(takes_time_in_proportion([&] { read(small); }, [&] { read(large); }));
  }
}

// Building looks for modules by name, counts blocks by name and reports keys by name. What takes these
// seconds on a slow and busy machine takes a third of one on a quick one; what is quadratic in the names
// takes minutes.
TEST_CASE("a megabyte of names is read and its network built or refused within three seconds") {
  const std::vector<std::string> resnet{"backbone.conv1.weight", "backbone.layer1.0.conv3.weight",
                                        "classifier.0.weight"},
      basic{"backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "classifier.0.weight"},
      mobilenet{"backbone.0.0.weight", "backbone.1.block.0.0.weight", "classifier.cbr.0.weight"};
  struct Names {
    const char* what;
    std::vector<std::string> first;
    std::function<std::string(int)> name;
  };
  const Names rows[] = {
      {"blocks of a layer", resnet, [](int i) { return str_cat("backbone.layer1.", i + 1, ".a"); }},
      {"blocks of two convolutions", basic, [](int i) { return str_cat("backbone.layer4.", i, ".a"); }},
      {"blocks, each with a downsampling", resnet,
       [](int i) { return str_cat("backbone.layer3.", i, ".downsample"); }},
      {"modules of a block", mobilenet, [](int i) { return str_cat("backbone.2.block.", i + 2); }},
      {"features of a MobileNet", mobilenet,
       [](int i) { return str_cat("backbone.", i + 2, ".block.0.0.weight"); }},
      {"auxiliary heads", resnet, [](int i) { return str_cat("aux_classifier.", i); }},
      {"unexpected keys", resnet, [](int i) { return str_cat(i); }},
      {"one long prefix", resnet, [](int i) { return std::string(900, 'a') + str_cat(i); }},
      {"no network", {}, [](int i) { return str_cat(i); }},
  };
  for (const Names& row : rows) {
    CAPTURE(std::string(row.what));
    const Bytes file = megabyte_of_names(row.first, row.name);
    std::string said;
    const double time = quickest([&] {
      try {
        build_network(load_checkpoint(as_bytes(file), "a").state);
      } catch (const Error& error) {
        said = error.what();
      }
    });
    CAPTURE(said);
    CHECK(time <= 3);
    CHECK(said != "");
    CHECK(std::ranges::count(said, '\n') <= 21);
  }
}

TEST_CASE("four times the picture takes at most eight times as long") {
  using namespace atrous::testing;
  struct Picture {
    const char* what;
    int count;
    std::function<FileBytes(int)> file;
  };
  const auto many = [](const FileBytes& piece, int n) {
    FileBytes out;
    for (int i = 0; i < n; ++i) out.insert(out.end(), piece.begin(), piece.end());
    return out;
  };
  const FileBytes data = zlib(bytes({0, 10, 20}));
  const Picture rows[] = {
    {"PNG chunks", 5'000, [&](int n) { return grey_png(many(chunk("teXt", bytes("a")), n)); }},
    {"PNG data in chunks of a byte", 5'000,
     [&](int n) {
       const FileBytes row = zlib(FileBytes(60'001));
       const FileBytes header = png_header(60'000, 1, 8, 0);
       return png(header + chunk("IDAT", row) + many(chunk("IDAT", bytes({0})), n));
     }},
    {"PNG orientations", 2'000, [&](int n) { return grey_png(many(chunk("eXIf", exif(6)), n)); }},
    {"JPEG segments", 5'000, [&](int n) { return grey_jpeg(many(segment(0xfe, bytes("a")), n)); }},
    {"JPEG stray bytes", 50'000,
     [&](int n) {
       return grey_jpeg(many(bytes({0xff, 0xff, 0, 1}), n));
     }},
    {"JPEG tables", 2'000, [&](int n) { return grey_jpeg(many(huffman(0), n)); }},
    {"JPEG restarts", 20'000,
     [&](int n) {
       return soi + segment(0xdd, be16(1)) + tables + frame(0xc0, 8, 8) + scan + coded +
              many(bytes({0xff, 0xd0, 0x3f}), n) + eoi;
     }},
#if ATROUS_HAS_WEBP
    {"WebP chunks", 20'000,
     [&](int n) { return webp(many(webp_chunk("what", {}), n) + webp_picture(1, 1, 1, 2, 3)); }},
#endif
    {"PNM comments", 20'000,
     [&](int n) { return bytes("P5\n") + many(bytes("# a\n"), n) + bytes("1 1 255\nx"); }},
  };
  for (const Picture& row : rows) {
    const FileBytes small = row.file(row.count), large = row.file(4 * row.count);
    CAPTURE(std::string(row.what));
    const auto decode = [](const FileBytes& file) { sentence([&] { read_image(file, "a"); }); };
    CHECK(takes_time_in_proportion([&] { decode(small); }, [&] { decode(large); }));
  }
}

}  // namespace atrous::time_test
