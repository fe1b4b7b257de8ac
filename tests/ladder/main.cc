// atrous_ladder [check | rows] [THREADS] [NAME]...: whether every rung computes what the layer's reference
// does, at odd shapes; then, without `check`, the ladder's table in Markdown, on one thread and on all (or
// THREADS) of them. With names, of these rungs and kernels alone: atrous_ladder 1 Winograd. `rows`: the
// table's rows without their times, at once.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/cpu/cpu_backend.h"
#include "layers/cpu/parallel.h"
#include "tests/ladder/ladder.h"

namespace atrous::ladder {

namespace {

// Whole numbers from -4 to 4, weights quarters of such: every sum is exact, in whatever order it is made.
std::vector<float> drawn(std::int64_t count, float unit, std::uint32_t state) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(static_cast<int>(state >> 24) % 9 - 4) * unit;
  }
  return values;
}

// [pixel][channel] to [channel][pixel].
std::vector<float> planes(const std::vector<float>& pixels, std::int64_t channels) {
  std::vector<float> result(pixels.size());
  const std::size_t c = static_cast<std::size_t>(channels), count = pixels.size() / c;
  for (std::size_t i = 0; i < pixels.size(); ++i) result[i % c * count + i / c] = pixels[i];
  return result;
}

// A layer with all that its rungs read, and what they must compute.
struct Climb {
  Layer layer;
  std::vector<float> pixels, planes_in;
  Weights weights;
  Conv2d conv;
  Tensor expected;

  explicit Climb(const Layer& l)
      : layer(l),
        pixels(drawn(l.pixels() * l.inputs, 1, 1)),
        planes_in(planes(pixels, l.inputs)),
        weights(weights_of(l, drawn(l.outputs * l.inputs * 9, .25f, 2))),
        conv{.weight = {l.outputs, l.inputs, 3, 3, {std::shared_ptr<void>(), weights.torch.data()}},
             .bias = nullptr,
             .padding = l.dilation,
             .dilation = l.dilation},
        expected({1, l.height, l.width, l.outputs}) {}

  ConstView in() const { return {pixels.data(), {1, layer.height, layer.width, layer.inputs}, layer.inputs}; }
};

// Something that computes the layer: a rung, or a kernel of atrous on so many threads.
struct Step {
  int place;  // of a rung, from 1; 0 of a kernel
  std::string name, text;
  int threads;
  bool planes;       // the order of its output
  double tolerance;  // of the largest output
  std::function<void(std::vector<float>&)> run;
};

Step step_of(const Climb& climb, int place, const Rung& rung, int threads) {
  const int used = rung.threads ? threads : 1;
  return {place,
          std::string(rung.name),
          std::string(rung.step),
          used,
          rung.planes,
          rung.tolerance,
          [&climb, &rung, used](std::vector<float>& out) {
            rung.run({climb.layer, climb.weights, rung.planes ? climb.planes_in.data() : climb.pixels.data(),
                      out.data(), used});
          }};
}

Step step_of(const Climb& climb, const std::string& kernel, const std::string& text, int threads) {
  std::shared_ptr<Kernel> made = std::move(
      make_cpu_kernels({"layer", climb.conv, {}, -1}, {.force = kernel, .threads = threads}).front());
  const Shape in = climb.in().shape, out = climb.expected.shape();
  auto workspace = std::make_shared<Buffer>(made->workspace_bytes({&in, 1}, out, threads));
  return {0,
          kernel,
          text,
          threads,
          false,
          kernel.starts_with("winograd") ? 1e-4 : 0,
          [&climb, made, workspace, out, threads](std::vector<float>& result) {
            const ConstAnyView input = any_view(climb.in());
            made->run({{&input, 1},
                       any_view(View{result.data(), out, out.c}),
                       {workspace->data(), workspace->size()},
                       threads});
          }};
}

// The kernels of atrous that run beside the rungs, where a build has them.
constexpr std::pair<std::string_view, std::string_view> kernels[] = {
    {"eigen", "atrous's own, for the baseline"},
    {"implicit_gemm", "atrous's own, skips padding"},
    {"winograd_2x2", "atrous's own, tiles of 4x4 products"},
    {"winograd_4x4", "6x6 products for 4x4 outputs"},
    {"winograd_6x6", "8x8 products for 6x6 outputs"}};

// All, or those of the names in `only`.
std::vector<Step> steps_of(const Climb& climb, int threads, std::span<const std::string_view> only) {
  std::vector<Step> steps;
  const auto asked = [&](std::string_view name) {
    return only.empty() || std::ranges::find(only, name) != only.end();
  };
  int place = 0;
  for (const Rung& rung : rungs())
    if (++place; asked(rung.name)) steps.push_back(step_of(climb, place, rung, threads));
  std::vector<int> counts{1};
  if (threads > 1) counts.push_back(threads);
  const auto names = cpu_implementations(Conv2d{});
  for (const auto& [name, text] : kernels)
    if (asked(name) && std::ranges::find(names, name) != names.end())
      for (int count : counts) steps.push_back(step_of(climb, std::string(name), std::string(text), count));
  return steps;
}

std::vector<float> unwritten(const Climb& climb) {
  return std::vector<float>(static_cast<std::size_t>(climb.layer.pixels() * climb.layer.outputs), NAN);
}

// The largest difference from what was expected, as a share of the largest value; infinite where a value is
// no number.
double deviation(const Climb& climb, std::vector<float> found, bool of_planes) {
  if (of_planes) found = planes(found, climb.layer.pixels());
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double value = static_cast<double>(climb.expected.data()[i]);
    largest = std::max(largest, std::abs(value));
    const double difference = std::abs(value - static_cast<double>(found[i]));
    if (std::isnan(difference)) return INFINITY;
    worst = std::max(worst, difference);
  }
  return worst / largest;
}

bool computes_the_layer(const Climb& climb, const Step& step) {
  std::vector<float> out = unwritten(climb);
  step.run(out);
  const double found = deviation(climb, std::move(out), step.planes);
  if (found <= step.tolerance) return true;
  std::fprintf(stderr,
               "ladder: %s, %lld x %lld, %lld -> %lld channels, dilation %lld: deviation %g, at most %g\n",
               step.name.c_str(), static_cast<long long>(climb.layer.height),
               static_cast<long long>(climb.layer.width), static_cast<long long>(climb.layer.inputs),
               static_cast<long long>(climb.layer.outputs), static_cast<long long>(climb.layer.dilation),
               found, step.tolerance);
  return false;
}

// Against the reference, at shapes where tiles, blocks and sub-grids have remainders.
bool check(std::span<const std::string_view> only) {
  bool good = true;
  const Climb one(Layer{1, 1, 1, 16, 32});
  if (deviation(one, unwritten(one), false) <= 1) {
    std::fputs("ladder: values that no rung has written are taken for right\n", stderr);
    good = false;
  }
  for (const Layer& layer : {Layer{1, 1, 1, 16, 32}, Layer{7, 13, 1, 16, 64}, Layer{13, 11, 2, 48, 32},
                             Layer{17, 19, 4, 272, 64}, Layer{9, 9, 36, 32, 32}, Layer{16, 15, 3, 32, 96}}) {
    Climb climb(layer);
    conv2d_reference(climb.conv, climb.in(), nullptr, climb.expected.view());
    for (const Step& step : steps_of(climb, 3, only)) good = computes_the_layer(climb, step) && good;
  }
  return good;
}

double best_seconds(const Step& step, std::size_t floats) {
  std::vector<float> out(floats);
  double best = 1e9, spent = 0;
  for (int run = 0; run == 0 || (spent < 2 && run < 50); ++run) {
    const auto start = std::chrono::steady_clock::now();
    step.run(out);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    spent += seconds;
  }
  return best;
}

// "| 1 | plain loops | the formula, in torch's order of channels | 1 |"
void print_row_begin(const Step& step) {
  const std::string place = step.place ? std::to_string(step.place) : "";
  std::printf("| %s | %s | %s | %d |", place.c_str(), step.name.c_str(), step.text.c_str(), step.threads);
}

void print_rows(int threads) {
  const Climb climb(Layer{1, 1, 1, 16, 32});
  for (const Step& step : steps_of(climb, threads, {})) {
    print_row_begin(step);
    std::puts("");
  }
}

bool climb_and_print(int threads, std::span<const std::string_view> only) {
  Climb climb(Layer{});
  const auto floats = static_cast<std::size_t>(climb.layer.pixels() * climb.layer.outputs);
  std::vector<float> expected(
      floats);  // by the first that is exact and quick: check() holds it to the reference
  step_of(climb, "implicit_gemm", "", threads).run(expected);
  std::copy(expected.begin(), expected.end(), climb.expected.data());
  double peak[2] = {};
  for (int i = 0; i < 5; ++i) {
    peak[0] = std::max(peak[0], peak_gflops(1));
    peak[1] = std::max(peak[1], peak_gflops(threads));
  }
  std::printf("Peak: %.0f GFLOP/s with one thread, %.0f with %d (%s).\n\n", peak[0], peak[1], threads,
              std::string(name_of(supported_isas().front())).c_str());
  std::printf(
      "| | rung | what is new | threads | ms | GFLOP/s | of the peak |\n|--:|---|---|--:|--:|--:|--:|\n");
  bool good = true;
  for (const Step& step : steps_of(climb, threads, only)) {
    good = computes_the_layer(climb, step) && good;
    const double seconds = best_seconds(step, floats),
                 gflops = 2e-9 * static_cast<double>(climb.layer.macs()) / seconds;
    print_row_begin(step);
    std::printf(" %.0f | %.1f | %.0f%% |\n", 1e3 * seconds, gflops, 100 * gflops / peak[step.threads > 1]);
    std::fflush(stdout);
  }
  return good;
}

// The names that a table may have: a rung's or a kernel's.
bool is_name(std::string_view word) {
  return std::ranges::any_of(rungs(), [&](const Rung& rung) { return rung.name == word; }) ||
         std::ranges::any_of(kernels, [&](const auto& kernel) { return kernel.first == word; });
}

int run(std::span<char* const> arguments) {
  bool only_check = false, only_rows = false;
  int threads = available_threads();
  std::vector<std::string_view> only;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (i == 1 && word == "check")
      only_check = true;
    else if (i == 1 && word == "rows")
      only_rows = true;
    else if (is_name(word))
      only.push_back(word);
    else if (std::from_chars(word.data(), word.data() + word.size(), threads).ptr !=
             word.data() + word.size()) {
      std::fprintf(stderr, "usage: %s [check | rows] [THREADS] [NAME]...\n%s is no rung:", arguments[0],
                   arguments[i]);
      for (const Rung& rung : rungs()) std::fprintf(stderr, " '%s'", std::string(rung.name).c_str());
      std::fputs("\n", stderr);
      return 2;
    }
  }
  if (only_rows) return print_rows(resolve_threads(threads)), 0;
  const bool good = check(only);
  std::fputs(good ? "every rung computes the layer\n" : "rungs fail\n", only_check ? stdout : stderr);
  if (only_check || !good) return good ? 0 : 1;
  return climb_and_print(resolve_threads(threads), only) ? 0 : 1;
}

}  // namespace

}  // namespace atrous::ladder

int main(int argc, char** argv) {
  try {
    return atrous::ladder::run({argv, static_cast<std::size_t>(argc)});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "atrous_ladder: %s\n", e.what());
    return 1;
  }
}
