// Networks against the code of those who published them: ../shared/data/networks, which is not part of the
// project. Weights and inputs follow from a formula, expected logits come from the publishers' own code;
// README.md there.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "layers/networks/segmentation.h"
#include "runtime/image/npy.h"
#include "tests/support/conformance_testing.h"
#include "tests/support/runtime_testing.h"
#include "weights_tools/io/file.h"

namespace atrous::conformance_test {

using namespace atrous::runtime_testing;
using namespace atrous::conformance_testing;

namespace {

namespace fs = std::filesystem;

// Those that must be recognised, a test case each: FOLDER("fcn32s-wkentaro").

// DeepLabV3+ and DeepLabV3 (jfzhang, VainF).
#define DEEPLABV3PLUS_FOLDERS(FOLDER)                    \
  FOLDER("deeplabv3-vainf-mobilenet-os16")               \
  FOLDER("deeplabv3-vainf-resnet50-os16")                \
  FOLDER("deeplabv3plus-jfzhang-drn-d-54")               \
  FOLDER("deeplabv3plus-jfzhang-mobilenet-os16")         \
  FOLDER("deeplabv3plus-jfzhang-mobilenet-os8")          \
  FOLDER("deeplabv3plus-jfzhang-resnet101-os16")         \
  FOLDER("deeplabv3plus-jfzhang-resnet101-os8")          \
  FOLDER("deeplabv3plus-jfzhang-xception-os16")          \
  FOLDER("deeplabv3plus-jfzhang-xception-os8")           \
  FOLDER("deeplabv3plus-vainf-mobilenet-os16")           \
  FOLDER("deeplabv3plus-vainf-mobilenet-os16-separable") \
  FOLDER("deeplabv3plus-vainf-mobilenet-os8")            \
  FOLDER("deeplabv3plus-vainf-resnet101-os8")            \
  FOLDER("deeplabv3plus-vainf-resnet50-os16")

// DeepLabV2, PSPNet, FCN, EncNet.
// clang-format off
#define CONTEMPORARY_FOLDERS(FOLDER) \
  FOLDER("fcn32s-wkentaro") \
  FOLDER("fcn16s-wkentaro") \
  FOLDER("fcn8s-wkentaro") \
  FOLDER("fcn8s-atonce-wkentaro") \
  FOLDER("pspnet-semseg-resnet50") \
  FOLDER("pspnet-semseg-resnet101") \
  FOLDER("deeplabv2-kazuto-resnet101-msc") \
  FOLDER("deconvnet-jasonlee") \
  FOLDER("deconvnet-caffe-spec") \
  FOLDER("parsenet-spec") \
  FOLDER("encnet-resnet50s") \
  FOLDER("encnet-resnet101s-lateral")
// clang-format on

// segmentation_models.pytorch.
#define SMP_FOLDERS(FOLDER)                \
  FOLDER("smp_deeplabv3_r34")              \
  FOLDER("smp_deeplabv3plus_r101")         \
  FOLDER("smp_deeplabv3plus_r34")          \
  FOLDER("smp_deeplabv3plus_r34_os8")      \
  FOLDER("smp_fpn_r34")                    \
  FOLDER("smp_fpn_r34_cat")                \
  FOLDER("smp_linknet_r18")                \
  FOLDER("smp_manet_r34")                  \
  FOLDER("smp_pan_r34")                    \
  FOLDER("smp_pspnet_r34")                 \
  FOLDER("smp_unet_mobilenet_v2")          \
  FOLDER("smp_unet_r34")                   \
  FOLDER("smp_unet_r34_22classes_poutyne") \
  FOLDER("smp_unet_r34_nobn")              \
  FOLDER("smp_unet_r34_scse")              \
  FOLDER("smp_unet_r50")                   \
  FOLDER("smp_unetplusplus_r34")

#define FOLDERS(FOLDER)         \
  DEEPLABV3PLUS_FOLDERS(FOLDER) \
  CONTEMPORARY_FOLDERS(FOLDER)  \
  SMP_FOLDERS(FOLDER)

// Of an array of four dimensions, or of two, [n, channels].
Tensor expected_of(const fs::path& file, const std::vector<std::int64_t>& full_shape) {
  const std::vector<std::byte> bytes = read_file(file.string(), 1 << 30);
  if (full_shape.size() == 4) return read_npy(bytes, file.string(), 0);
  REQUIRE(full_shape.size() == 2);
  Tensor tensor({full_shape[0], 1, 1, full_shape[1]});
  const std::size_t size = tensor.values().size() * sizeof(float);
  REQUIRE(bytes.size() > size);
  std::memcpy(tensor.values().data(), bytes.data() + (bytes.size() - size), size);
  return tensor;
}

// How an output of a case is had: what the weights do not say, which part of the state dict, which output.
struct Way {
  std::string hyper, module, output = "out";
  auto operator<=>(const Way&) const = default;
};

Way way_to(const std::string& output) {
  if (output == "aux" || output == "se") return {.hyper = "", .module = "", .output = output};
  if (output == "base") return {.hyper = "", .module = "base."};
  if (output == "legacy") return {.hyper = "msc=legacy", .module = ""};
  if (output == "zoom1") return {.hyper = "zoom=1", .module = ""};
  return {.hyper = "", .module = ""};
}

StateDict part_of(const StateDict& state, const std::string& module) {
  StateDict part;
  for (const auto& [key, tensor] : state.entries())
    if (key.starts_with(module)) part.add(key.substr(module.size()), tensor);
  return part;
}

// Every `step`th row and column.
Tensor subsampled(ConstView map, std::int64_t step) {
  Tensor out({map.shape.n, (map.shape.h + step - 1) / step, (map.shape.w + step - 1) / step, map.shape.c});
  for (std::int64_t n = 0; n < out.shape().n; ++n)
    for (std::int64_t y = 0; y < out.shape().h; ++y)
      for (std::int64_t x = 0; x < out.shape().w; ++x)
        std::copy_n(map.pixel(n, y * step, x * step), map.shape.c, out.view().pixel(n, y, x));
  return out;
}

// Pixels whose largest logit is another, though the expected one leads by more than `margin`.
std::int64_t wrong_labels(const std::vector<float>& found, const std::vector<float>& expected,
                          std::int64_t classes, double margin) {
  std::int64_t wrong = 0;
  for (std::size_t at = 0; at < expected.size(); at += static_cast<std::size_t>(classes)) {
    const auto label = [&](const std::vector<float>& logits) {
      const auto first = logits.begin() + static_cast<std::ptrdiff_t>(at);
      return std::max_element(first, first + classes) - first;
    };
    const auto best = label(expected);
    float second = -INFINITY;
    for (std::int64_t c = 0; c < classes; ++c)
      if (c != best) second = std::max(second, expected[at + static_cast<std::size_t>(c)]);
    const double lead = static_cast<double>(expected[at + static_cast<std::size_t>(best)]) - second;
    wrong += lead > margin && label(found) != best;
  }
  return wrong;
}

void run_case(const Row& row, const fs::path& folder, const Model& model, Session& session,
              const std::string& output) {
  CAPTURE(row.at("output"));
  CAPTURE(row.at("expected"));
  const std::vector<std::int64_t> full = shape_of(row.at("full_shape"));
  const Tensor expected = expected_of(folder / row.at("expected"), full);
  const Tensor input = input_of(row);
  session.run(input.view());
  const ConstView low = session.output(output);
  const std::int64_t height = full.size() == 4 ? full[2] : 1, width = full.size() == 4 ? full[3] : 1;
  Tensor grown;
  const bool as_it_is = low.shape.h == height && low.shape.w == width;
  if (!as_it_is) {
    REQUIRE(full[0] == 1);
    grown = full_logits(session, model, 0, static_cast<int>(height), static_cast<int>(width),
                        Upsampling::bilinear, output);
  }
  const ConstView whole = as_it_is ? low : grown.view();
  const std::size_t step_at = row.at("note").find("::");  // "[:, :, ::3, ::3]"
  const std::int64_t step = step_at == std::string::npos ? 1 : std::stoll(row.at("note").substr(step_at + 2));
  const Tensor seen = subsampled(whole, step);
  REQUIRE(str_cat(seen.shape()) == str_cat(expected.shape()));

  const double noise = row.at("float_noise").empty() ? 0 : std::stod(row.at("float_noise"));
  const double tolerance = std::max(2e-5, 10 * noise);
  const std::vector<float> a = values(seen.view()), b = values(expected.view());
  const double difference = deviation(a, b);
  MESSAGE(folder.filename().string(), " ", row.at("expected"), ": ", difference);
  CHECK(difference <= tolerance);
  double largest = 0;
  for (const float v : b) largest = std::max(largest, static_cast<double>(std::abs(v)));
  CHECK(wrong_labels(a, b, expected.shape().c, tolerance * largest) == 0);
}

bool same_keys(const StateDict& a, const StateDict& b) {
  bool same = a.size() == b.size();
  for (const StateDict::Entry& entry : a.entries()) {
    const std::string& key = entry.first;
    const StateTensor& tensor = entry.second;
    const StateTensor* other = b.find(key);
    const bool equal = other && other->dtype == tensor.dtype && other->shape == tensor.shape;
    CHECK_MESSAGE(equal, key, ": ", shape_text(tensor.shape), " against ",
                  other ? shape_text(other->shape) : "none");
    same = same && equal;
  }
  return same;
}

void conforms(const std::string& name) {
  if (!data_is_there()) return;
  const fs::path folder = networks_folder / name;
  const std::vector<Row> cases = read_table(folder / "cases.tsv");
  REQUIRE(!cases.empty());

  const std::int64_t classes = shape_of(cases[0].at("full_shape"))[1];
  const StateDict keys = keys_of(folder);
  CHECK(same_keys(keys, published_network(name, {.classes = classes}).keys));
  const Recognised is = recognise_network(keys);
  const bool by_keys = is.variant == name;
  if (!by_keys) REQUIRE(std::ranges::find(is.same_keys, name) != is.same_keys.end());

  std::map<Way, std::vector<Row>> ways;  // one model for all outputs of the same network
  bool aux = false;
  for (const Row& row : cases) {
    const Way way = way_to(row.at("output"));
    aux = aux || way.output != "out";
    ways[{.hyper = way.hyper, .module = way.module}].push_back(row);
  }
  StateDict state = state_of(folder);
  std::size_t left = ways.size();
  for (const auto& way : ways) {
    const std::string& hyper = way.first.hyper;
    ModelOptions options{.aux = aux, .hyper = Hyper(hyper)};
    if (!by_keys) options.hyper = Hyper("variant=" + name + (hyper.empty() ? "" : "," + hyper));
    StateDict part = way.first.module.empty() ? state : part_of(state, way.first.module);
    if (--left == 0) state = {};  // packing releases the weights
    const Model model = make_model(std::move(part), std::nullopt, options);
    if (way.first.module.empty()) CHECK(model.architecture == name);
    Session session(model.program);
    for (const Row& row : way.second) run_case(row, folder, model, session, way_to(row.at("output")).output);
  }
}

}  // namespace

#define CONFORMS(folder) \
  TEST_CASE("conformance: " folder) { conforms(folder); }
FOLDERS(CONFORMS)

TEST_CASE("every network of the conformance data that is recognised is compared with it") {
  if (!data_is_there()) return;
#define NAME(folder) folder,
  const std::vector<std::string> compared{FOLDERS(NAME)};
  for (const auto& entry : fs::directory_iterator(networks_folder)) {
    if (!fs::exists(entry.path() / "keys.tsv") || !fs::exists(entry.path() / "cases.tsv")) continue;
    const std::string name = entry.path().filename().string();
    const bool is_compared = std::ranges::find(compared, name) != compared.end();
    CHECK_MESSAGE(is_known_network(keys_of(entry.path())) == is_compared, name);
  }
}

}  // namespace atrous::conformance_test
