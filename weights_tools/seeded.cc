#include "weights_tools/seeded.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include "layers/base/checked.h"

namespace atrous {

namespace {

// SplitMix64 (Steele, Lea & Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  float uniform(float low, float high) {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return low + (high - low) * (static_cast<float>(z >> 40) * 0x1p-24f);
  }

 private:
  std::uint64_t state_;
};

struct Range {
  float low, high;
};

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed) {}

  void uniform(std::string name, std::vector<std::int64_t> shape, Range range) {
    const std::int64_t count = checked_product(shape, name);
    std::shared_ptr<float[]> values(new float[static_cast<std::size_t>(count)]);
    for (std::int64_t i = 0; i < count; ++i) values[i] = random_.uniform(range.low, range.high);
    state_.add(std::move(name),
               {DType::f32, std::move(shape), {values, reinterpret_cast<const std::byte*>(values.get())}});
  }

  // Variance 2 / fan_in keeps the size of activations behind a relu (He et al. 2015); uniform, so the bound
  // is sqrt(3 * variance).
  void conv(const std::string& module, std::int64_t out, std::int64_t in, std::int64_t kernel,
            bool bias = false) {
    const float bound = std::sqrt(6.f / static_cast<float>(in * kernel * kernel));
    uniform(module + ".weight", {out, in, kernel, kernel}, {-bound, bound});
    if (bias) uniform(module + ".bias", {out}, {-0.1f, 0.1f});
  }

  void norm(const std::string& module, std::int64_t channels, Range gain = {0.8f, 1.2f}) {
    uniform(module + ".weight", {channels}, gain);
    uniform(module + ".bias", {channels}, {-0.1f, 0.1f});
    uniform(module + ".running_mean", {channels}, {-0.1f, 0.1f});
    uniform(module + ".running_var", {channels}, {0.8f, 1.25f});
    const std::shared_ptr<std::int64_t> batches(new std::int64_t{0});
    state_.add(module + ".num_batches_tracked",
               {DType::i64, {}, {batches, reinterpret_cast<const std::byte*>(batches.get())}});
  }

  void conv_norm(const std::string& conv_module, const std::string& norm_module, std::int64_t out,
                 std::int64_t in, std::int64_t kernel, Range gain = {0.8f, 1.2f}) {
    conv(conv_module, out, in, kernel);
    norm(norm_module, out, gain);
  }

  StateDict take() { return std::move(state_); }

 private:
  Random random_;
  StateDict state_;
};

// The columns of torchvision's _mobilenet_v3_conf that are sizes.
struct MobileBlock {
  std::int64_t kernel, expanded, out;
  bool excites;
};
constexpr MobileBlock mobilenet_v3_large[] = {
    {3, 16, 16, false},  {3, 64, 24, false},  {3, 72, 24, false},  {5, 72, 40, true},   {5, 120, 40, true},
    {5, 120, 40, true},  {3, 240, 80, false}, {3, 200, 80, false}, {3, 184, 80, false}, {3, 184, 80, false},
    {3, 480, 112, true}, {3, 672, 112, true}, {5, 672, 160, true}, {5, 960, 160, true}, {5, 960, 160, true}};
constexpr MobileBlock mobilenet_v3_small[] = {{3, 16, 16, true},  {3, 72, 24, false}, {3, 88, 24, false},
                                              {5, 96, 40, true},  {5, 240, 40, true}, {5, 240, 40, true},
                                              {5, 120, 48, true}, {5, 144, 48, true}, {5, 288, 96, true},
                                              {5, 576, 96, true}, {5, 576, 96, true}};

enum class Head { fcn, deeplabv3, lraspp };

struct Architecture {
  Head head{};
  std::span<const MobileBlock> mobile_blocks = {};  // of a MobileNetV3; empty for a ResNet
  bool bottlenecks = true;
  std::array<int, 4> blocks{};
};

[[noreturn]] void unknown(std::string_view name) {
  fail(ErrorCode::invalid_argument, "seeded network ", name,
       ": expected fcn_ or deeplabv3_ and resnet18, resnet34, resnet50, resnet101, resnet152 or ",
       "resnet(a,b,c,d), or fcn_, deeplabv3_ or lraspp_ and mobilenet_v3_large or mobilenet_v3_small");
}

// "(2,2,3,2)"
std::array<int, 4> parse_blocks(std::string_view text, std::string_view name) {
  std::array<int, 4> blocks{};
  for (std::size_t i = 0; i < 4; ++i) {
    if (text.empty() || text.front() != (i == 0 ? '(' : ',')) unknown(name);
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), blocks[i]);
    if (error != std::errc() || blocks[i] < 1 || blocks[i] > 100) unknown(name);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (text != ")") unknown(name);
  return blocks;
}

Architecture parse(std::string_view name) {
  Architecture a;
  std::string_view rest = name;
  const auto skip = [&](std::string_view prefix) {
    if (!rest.starts_with(prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  if (skip("deeplabv3_"))
    a.head = Head::deeplabv3;
  else if (skip("lraspp_"))
    a.head = Head::lraspp;
  else if (!skip("fcn_"))
    unknown(name);
  if (rest == "mobilenet_v3_large" || rest == "mobilenet_v3_small") {
    a.mobile_blocks = rest == "mobilenet_v3_large" ? std::span<const MobileBlock>(mobilenet_v3_large)
                                                   : std::span<const MobileBlock>(mobilenet_v3_small);
    return a;
  }
  if (a.head == Head::lraspp || !skip("resnet")) unknown(name);
  a.bottlenecks = rest != "18" && rest != "34";
  if (rest == "18")
    a.blocks = {2, 2, 2, 2};
  else if (rest == "34" || rest == "50")
    a.blocks = {3, 4, 6, 3};
  else if (rest == "101")
    a.blocks = {3, 4, 23, 3};
  else if (rest == "152")
    a.blocks = {3, 8, 36, 3};
  else
    a.blocks = parse_blocks(rest, name);
  return a;
}

// The last norm of a block is small, so that the sum over many blocks stays in range.
constexpr Range quiet{0.2f, 0.4f};

// Writes one block and returns its output channels.
std::int64_t write_block(Writer& w, const std::string& m, bool bottleneck, std::int64_t in,
                         std::int64_t planes, bool first, std::int64_t stride) {
  const std::int64_t out = bottleneck ? 4 * planes : planes;
  if (bottleneck) {
    w.conv_norm(m + ".conv1", m + ".bn1", planes, in, 1);
    w.conv_norm(m + ".conv2", m + ".bn2", planes, planes, 3);
    w.conv_norm(m + ".conv3", m + ".bn3", out, planes, 1, quiet);
  } else {
    w.conv_norm(m + ".conv1", m + ".bn1", planes, in, 3);
    w.conv_norm(m + ".conv2", m + ".bn2", planes, planes, 3, quiet);
  }
  if (first && (stride != 1 || in != out)) w.conv_norm(m + ".downsample.0", m + ".downsample.1", out, in, 1);
  return out;
}

// Channels of the maps that heads see: the auxiliary head and LR-ASPP the early one too.
struct Features {
  std::int64_t early, last;
};

Features write_resnet(Writer& w, const Architecture& a, std::int64_t width) {
  w.conv_norm("backbone.conv1", "backbone.bn1", width, 3, 7);
  Features features{};
  std::int64_t channels = width;
  for (int layer = 0; layer < 4; ++layer) {
    for (int block = 0; block < a.blocks[static_cast<std::size_t>(layer)]; ++block)
      channels = write_block(w, text("backbone.layer", layer + 1, '.', block), a.bottlenecks, channels,
                             width << layer, block == 0, layer == 0 ? 1 : 2);
    (layer == 2 ? features.early : features.last) = channels;
  }
  return features;
}

// torchvision's _make_divisible: a multiple of 8, and not less than nine tenths.
std::int64_t divisible_by_8(double channels) {
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

// Writes one inverted residual and returns its output channels.
std::int64_t write_mobile_block(Writer& w, const std::string& m, const MobileBlock& block, std::int64_t in,
                                double multiplier) {
  const std::int64_t expanded = divisible_by_8(static_cast<double>(block.expanded) * multiplier),
                     out = divisible_by_8(static_cast<double>(block.out) * multiplier);
  int index = 0;
  const auto next = [&] { return text(m, ".block.", index++); };
  const auto conv_norm = [&](std::int64_t outputs, std::int64_t inputs, std::int64_t kernel,
                             Range gain = {0.8f, 1.2f}) {
    const std::string module = next();
    w.conv_norm(module + ".0", module + ".1", outputs, inputs, kernel, gain);
  };
  if (expanded != in) conv_norm(expanded, in, 1);
  conv_norm(expanded, 1, block.kernel);
  if (block.excites) {
    const std::string module = next();
    const std::int64_t squeezed = divisible_by_8(static_cast<double>(expanded / 4));
    w.conv(module + ".fc1", squeezed, expanded, 1, true);
    w.conv(module + ".fc2", expanded, squeezed, 1, true);
  }
  const float ungated = block.excites ? 2 : 1;  // a gate lets about half pass
  const Range gain = out == in ? quiet : Range{0.8f, 1.2f};
  conv_norm(out, expanded, 1, {ungated * gain.low, ungated * gain.high});
  return out;
}

Features write_mobilenet(Writer& w, std::span<const MobileBlock> blocks, double multiplier) {
  std::int64_t channels = divisible_by_8(16 * multiplier);
  w.conv_norm("backbone.0.0", "backbone.0.1", channels, 3, 3);
  Features features{};
  int feature = 0;
  for (const MobileBlock& block : blocks) {
    channels = write_mobile_block(w, text("backbone.", ++feature), block, channels, multiplier);
    // Feature 4 of Large and 2 of Small: the first at an eighth of the picture.
    if (feature == (blocks.data() == mobilenet_v3_large ? 4 : 2)) features.early = channels;
  }
  const std::string last = text("backbone.", feature + 1);
  features.last = 6 * channels;
  w.conv_norm(last + ".0", last + ".1", features.last, channels, 1);
  return features;
}

void write_lraspp_head(Writer& w, const Features& features, std::int64_t width, std::int64_t classes) {
  w.conv_norm("classifier.cbr.0", "classifier.cbr.1", width, features.last, 1);
  w.conv("classifier.scale.1", width, features.last, 1);
  w.conv("classifier.low_classifier", classes, features.early, 1, true);
  w.conv("classifier.high_classifier", classes, width, 1, true);
}

void write_fcn_head(Writer& w, const std::string& m, std::int64_t in, std::int64_t classes) {
  w.conv_norm(m + ".0", m + ".1", in / 4, in, 3);
  w.conv(m + ".4", classes, in / 4, 1, true);
}

void write_deeplab_head(Writer& w, const std::string& m, std::int64_t in, std::int64_t width,
                        std::int64_t classes) {
  const std::string convs = m + ".0.convs.";
  w.conv_norm(convs + "0.0", convs + "0.1", width, in, 1);
  for (int branch = 1; branch <= 3; ++branch)
    w.conv_norm(text(convs, branch, ".0"), text(convs, branch, ".1"), width, in, 3);
  w.conv_norm(convs + "4.1", convs + "4.2", width, in, 1);
  w.conv_norm(m + ".0.project.0", m + ".0.project.1", width, 5 * width, 1);
  w.conv_norm(m + ".1", m + ".2", width, width, 3);
  w.conv(m + ".4", classes, width, 1, true);
}

}  // namespace

StateDict seeded_state(std::string_view architecture, const SeededOptions& options) try {
  const Architecture a = parse(architecture);
  if (options.width < 4 || options.width > 256 || options.classes < 1 || options.classes > 256)
    fail(ErrorCode::invalid_argument,
         "seeded network: expected a width of 4 to 256 and 1 to 256 classes, found ", options.width, " and ",
         options.classes);
  Writer w(options.seed);
  const bool mobile = !a.mobile_blocks.empty();
  const Features features = mobile
                                ? write_mobilenet(w, a.mobile_blocks, static_cast<double>(options.width) / 64)
                                : write_resnet(w, a, options.width);
  if (a.head == Head::lraspp)
    write_lraspp_head(w, features, 2 * options.width, options.classes);
  else if (a.head == Head::deeplabv3)
    write_deeplab_head(w, "classifier", features.last, 4 * options.width, options.classes);
  else
    write_fcn_head(w, "classifier", features.last, options.classes);
  if (options.aux && a.head != Head::lraspp)
    write_fcn_head(w, "aux_classifier", features.early, options.classes);
  return w.take();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
