#include "cli/cli.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/cgroup.h"
#include "layers/cpu/cpu_backend.h"
#include "runtime/engine/open_device.h"
#include "weights_tools/io/cache_folder.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace {

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.,%+-x ") == std::string::npos;
}

std::vector<std::size_t> widths(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widest(rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widest[i] = std::max(widest[i], row[i].size());
  return widest;
}

std::string pad(const std::string& cell, std::size_t width, bool right) {
  const std::string space(width - cell.size(), ' ');
  return right ? space + cell : cell + space;
}

// A class's name cannot begin a line of its own.
std::vector<std::vector<std::string>> visible_cells(std::vector<std::vector<std::string>> rows) {
  for (auto& row : rows)
    for (std::string& cell : row) cell = visible(cell);
  return rows;
}

// A column is aligned by its last row.
bool right_aligned(const std::vector<std::vector<std::string>>& rows, std::size_t column) {
  return is_number(rows.back()[column]);
}

}  // namespace

std::uint64_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const std::uint64_t granted = cgroup_limits().memory;
  if (pages <= 0 || page <= 0) return granted == CgroupLimits().memory ? 0 : granted;
  return std::min(static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page), granted);
}

ModelOptions RunOptions::model_options(bool aux) const {
  ModelOptions options{
      .aux = aux, .hyper = parse_arch(arch), .force = force, .threads = threads, .weights = weights};
  if (!isa.empty()) options.isa = isa_from_name(isa);
  if (fp16 && tf32) throw UsageError{"--fp16 and --tf32 exclude each other"};
  if (!precision.empty() && (fp16 || tf32))
    throw UsageError{str_cat("--precision and ", fp16 ? "--fp16" : "--tf32", " exclude each other")};
  if (on_cpu()) {
    if (precision == "tf32" || precision == "fp16")
      throw UsageError{str_cat("the processor computes in fp32, bf16 or int8, not in ", precision)};
    for (const Precision p : {Precision::fp32, Precision::bf16, Precision::int8})
      if (precision == name_of(p)) options.precision = p;
    const char* unfit = fp16 ? "--fp16" : tf32 ? "--tf32" : search ? "--search" : nullptr;
    if (unfit)
      throw UsageError{str_cat(unfit, " is for devices other than the processor: give --device cuda")};
    return options;
  }
#if ATROUS_HAS_CUDA
  if (!isa.empty()) throw UsageError{str_cat("--isa is for the processor, not for ", device)};
  std::string search_file;
  if (search) {
    search_file = cache_folder() + "/cuda-plans.txt";
    std::error_code error;
    std::filesystem::create_directories(cache_folder(), error);
    if (error) fail(ErrorCode::io, cache_folder(), ": ", error.message());
  }
  if (precision == "bf16" || precision == "int8")
    throw UsageError{str_cat(precision, " is for the processor, not for ", device)};
  const Precision numbers = fp16 || precision == "fp16"   ? Precision::fp16
                            : tf32 || precision == "tf32" ? Precision::tf32
                                                          : Precision::fp32;
  options.device = open_device(
      device, {.precision = numbers, .force = force, .search = search, .search_file = search_file});
#endif
  return options;
}

SessionOptions RunOptions::session_options() const {
  return {.threads = threads,
          // Without a limit the machine's memory is one: a mistaken size does not take the machine down.
          .memory_limit = !memory_limit.empty() ? parse_bytes(memory_limit)
                          : on_cpu()            ? physical_memory()
                                                : 0};  // a device refuses by itself
}

std::optional<ResizeRule> SizeOptions::rule() const {
  if (no_resize + (resize > 0) + (longer_side > 0) + !size.empty() > 1)
    throw UsageError{longer_side > 0 ? "--longer-side, --resize, --size and --no-resize exclude each other"
                                     : "--resize, --size and --no-resize exclude each other"};
  if (no_resize) return ResizeRule{.kind = ResizeRule::Kind::none, .width = 0};
  if (resize > 0) return ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = resize};
  if (longer_side > 0) return ResizeRule{.kind = ResizeRule::Kind::longer_side, .width = longer_side};
  if (size.empty()) return std::nullopt;
  const auto [width, height] = parse_size(size);
  return ResizeRule{.kind = ResizeRule::Kind::exact, .width = width, .height = height};
}

void add_size_options(Verb& verb, SizeOptions& options, const std::string& group) {
  verb.add_option("--resize", options.resize,
                  "Shorter side (default: the model's: 520, the default model's 360)")
      .whole_number(1, 16384)
      .group(group);
  verb.add_option("--longer-side", options.longer_side, "Longer side in place of the shorter one")
      .whole_number(1, 16384)
      .group(group);
  verb.add_option("--size", options.size, "Exactly WIDTHxHEIGHT").type_name("WIDTHxHEIGHT").group(group);
  verb.add_flag("--no-resize", options.no_resize, "As it is").group(group);
}

namespace {

// "0.485,0.456,0.406", or one number for all three.
std::array<float, 3> three_numbers(const std::string& option, const std::string& given) {
  std::array<float, 3> numbers{};
  std::size_t count = 0;
  const char *at = given.data(), *const end = at + given.size();
  for (; count < numbers.size(); ++count) {
    const auto [stop, error] = std::from_chars(at, end, numbers[count]);
    if (error != std::errc() || !std::isfinite(numbers[count])) break;
    at = stop;
    if (at == end || *at != ',') {
      ++count;
      break;
    }
    ++at;
  }
  if (at != end || given.ends_with(',') || (count != 1 && count != 3))
    throw UsageError{
        str_cat(option, ' ', given, ": expected three numbers, such as 0.485,0.456,0.406, or one")};
  if (count == 1) numbers.fill(numbers[0]);
  return numbers;
}

}  // namespace

void NormaliseOptions::apply(Preparation& p) const {
  if (!order.empty() && order != name_of(p.order)) {
    p.order = order == name_of(ChannelOrder::bgr) ? ChannelOrder::bgr : ChannelOrder::rgb;
    std::ranges::reverse(p.mean);
    std::ranges::reverse(p.std);
  }
  if (range != 0 && range != p.range) {
    p.range = range;
    p.mean = {0, 0, 0};
    p.std = {1, 1, 1};
  }
  if (!mean.empty()) p.mean = three_numbers("--mean", mean);
  if (!std.empty()) p.std = three_numbers("--std", std);
  if (std::ranges::any_of(p.std, [](float s) { return s <= 0; }))
    throw UsageError{str_cat("--std ", std, ": expected numbers above 0")};
}

void add_normalise_options(Verb& verb, NormaliseOptions& options, const std::string& group) {
  verb.add_option(
          "--mean", options.mean,
          "What is subtracted from each channel, in the range's scale and the order's channels: three "
          "numbers, or one for all (default: the model's)")
      .type_name("A,B,C")
      .group(group);
  verb.add_option("--std", options.std, "What each channel is divided by then, likewise")
      .type_name("A,B,C")
      .group(group);
  verb.add_option(
          "--range", options.range,
          "What white is before mean and std, 1 or 255; another than the model's makes mean 0 and std 1 "
          "where they are not given")
      .one_of({1, 255})
      .group(group);
  verb.add_option(
          "--order", options.order,
          "Channels as the network takes them, rgb or bgr; mean and std not given stay with their colours")
      .one_of({"rgb", "bgr"})
      .group(group);
}

void add_threshold_option(Verb& verb, std::optional<double>& threshold, const std::string& group) {
  const auto check = [](const std::string& given) -> std::string {
    double value = 0;
    const char* const end = given.data() + given.size();
    const auto parsed = std::from_chars(given.data(), end, value, std::chars_format::fixed);
    if (parsed.ec == std::errc() && parsed.ptr == end && value > 0 && value < 1) return "";
    return str_cat("expected a probability between 0 and 1, found ", given);
  };
  verb.add_option("--threshold", threshold,
                  "Of a binary network (one logit): the probability above which a pixel is foreground "
                  "(default: 0.5)")
      .check(check)
      .type_name("P")
      .group(group);
}

void check_threshold(const std::optional<double>& threshold, const Model& model, const std::string& name) {
  if (threshold && model.answer().decision != Decision::sigmoid)
    throw UsageError{str_cat("--threshold is for binary networks of one logit, ", name, " has ",
                             model.logits(), ", of which the largest decides")};
}

void add_model_option(Verb& verb, RunOptions& options) {
  verb.add_option("-m,--model", options.model,
                  "default (streets), a name that atrous fetch --list knows, a .pth or .safetensors file, or "
                  "seeded:NETWORK for random weights")
      .type_name("MODEL")
      .show_default();
  add_weights_option(verb, options.weights);
}

void add_weights_option(Verb& verb, std::string& weights) {
  verb.add_option("--weights", weights,
                  "Of a file with several networks the one under this prefix, such as model_ema")
      .type_name("PREFIX");
}

void add_arch_option(Verb& verb, std::string& arch) {
  verb.add_option("--arch", arch,
                  "What the weights do not say, such as os=16,rates=6,12,18 (atrous inspect prints what is "
                  "assumed)")
      .type_name("KEY=VALUE[,KEY=VALUE]");
}

void add_run_options(Verb& verb, RunOptions& options) {
  add_arch_option(verb, options.arch);
  verb.add_option("--threads", options.threads,
                  "Threads, at most those this process may use; 0 for all, or OMP_NUM_THREADS")
      .whole_number(0, 1024)
      .show_default();
  std::vector<std::string> isas, implementations;
  for (Isa isa : supported_isas()) isas.emplace_back(name_of(isa));
  for (std::string_view name : cpu_implementations()) implementations.emplace_back(name);
  for (std::string_view name : device_implementations())
    if (std::ranges::find(implementations, name) == implementations.end()) implementations.emplace_back(name);
  verb.add_option("--isa", options.isa, "Instruction set, instead of the best this machine has").one_of(isas);
  verb.add_option(
          "--precision", options.precision,
          "fp32, or bf16: weights and activations in bfloat16, less exact, quicker where the processor "
          "multiplies them; int8 is what a checkpoint of convert --int8 runs in unless told otherwise"
#if ATROUS_HAS_CUDA
          "; on cuda fp32, tf32 or fp16"
#endif
          )
      .one_of({
        "fp32", "bf16", "int8"
#if ATROUS_HAS_CUDA
            ,
            "tf32", "fp16"
#endif
      });
  verb.add_option("--force", options.force, "Prefer one implementation of the layers")
      .one_of(implementations);
  verb.add_option("--memory-limit", options.memory_limit,
                  "Most memory for weights and activations, such as 500MB")
      .type_name("BYTES");
}

std::string device_name(const std::string& name) {
  return is_device_name(name) ? "" : str_cat("expected cpu, cuda or cuda:NUMBER, found ", name);
}

#if ATROUS_HAS_CUDA

void add_device_options(Verb& verb, RunOptions& options) {
  const auto group = "Where it runs";
  verb.add_option("--device", options.device, "cpu, cuda or cuda:NUMBER (atrous devices lists them)")
      .check(device_name)
      .type_name("DEVICE")
      .show_default()
      .group(group);
  add_precision_options(verb, options, group);
}

void add_precision_options(Verb& verb, RunOptions& options, const std::string& group) {
  verb.add_flag("--fp16", options.fp16, "On cuda: weights and activations in half precision").group(group);
  verb.add_flag("--tf32", options.tf32, "On cuda: convolutions multiply with 10 bits of mantissa")
      .group(group);
  verb.add_flag("--search", options.search,
                "On cuda: time the ways to run each layer, once, and keep the best")
      .group(group);
}

#else

void add_device_options(Verb&, RunOptions&) {}
void add_precision_options(Verb&, RunOptions&, const std::string&) {}

#endif

std::pair<int, int> parse_size(const std::string& text) {
  int width = 0, height = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, width);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == 'x') {
    const auto second = std::from_chars(first.ptr + 1, end, height);
    const bool in_range = width >= 1 && width <= 16384 && height >= 1 && height <= 16384;
    if (second.ec == std::errc() && second.ptr == end && in_range) return {width, height};
  }
  throw UsageError{atrous::str_cat("size ", text, ": expected WIDTHxHEIGHT, each 1 to 16384")};
}

Hyper parse_arch(const std::string& text) {
  try {
    return Hyper(text);
  } catch (const Error& error) {
    throw UsageError{atrous::str_cat("--arch ", text, ": ", error.what())};
  }
}

std::uint64_t parse_bytes(const std::string& text) {
  constexpr std::pair<std::string_view, double> units[] = {{"", 1},         {"B", 1},       {"KB", 1e3},
                                                           {"MB", 1e6},     {"GB", 1e9},    {"KiB", 0x1p10},
                                                           {"MiB", 0x1p20}, {"GiB", 0x1p30}};
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  const auto known = std::ranges::find(units, unit, &std::pair<std::string_view, double>::first);
  const double bytes = error == std::errc() && known != std::end(units) ? number * known->second : -1;
  if (!(bytes >= 1 && bytes < 0x1p63))
    throw UsageError{
        atrous::str_cat("memory-limit ", text, ": expected bytes such as 500MB or 2GiB, at most 8 EiB")};
  return static_cast<std::uint64_t>(bytes);
}

// VmHWM and not getrusage: the latter still counts what the process was before exec.
std::uint64_t peak_resident_bytes() {
  std::ifstream status;
  status.imbue(std::locale::classic());
  status.open("/proc/self/status");
  std::string key;
  for (std::uint64_t kilobytes = 0; status >> key;
       status.ignore(std::numeric_limits<std::streamsize>::max(), '\n'))
    if (key == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  return 0;
}

std::string megabytes(std::uint64_t bytes) { return fixed(static_cast<double>(bytes) / 1e6, 1) + " MB"; }

std::string fixed(double value, int decimals) {
  return str_cat(std::fixed, std::setprecision(decimals), value);
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals) + '%'; }

std::string file_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string Table::plain() const {
  const auto rows = visible_cells(rows_);
  const auto widest = widths(rows);
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += (i ? "  " : "") + pad(row[i], widest[i], right_aligned(rows_, i));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string Table::markdown() const {
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (const std::string& cell : rows_[r]) out += "| " + visible(cell) + ' ';
    out += "|\n";
    if (r > 0) continue;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) out += right_aligned(rows_, i) ? "|---:" : "|---";
    out += "|\n";
  }
  return out;
}

std::string Table::csv() const {
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool quote = row[i].find_first_of(",\"\n") != std::string::npos;
      std::string cell = row[i];
      for (std::size_t at = 0; quote && (at = cell.find('"', at)) != std::string::npos; at += 2)
        cell.insert(at, 1, '"');
      out += (i ? "," : "") + (quote ? '"' + cell + '"' : cell);
    }
    out += '\n';
  }
  return out;
}

// Further lines of a sentence are indented (a list of keys); any other break comes from a name in it.
void complain(std::string_view sentence) {
  std::string shown;
  for (std::size_t at = 0; (at = sentence.find("\n  ")) != sentence.npos; sentence.remove_prefix(at + 1))
    shown += visible(sentence.substr(0, at)) + '\n';
  std::fprintf(stderr, "atrous: error: %s\n", (shown + visible(sentence)).c_str());
}

void note(std::string_view sentence) { std::fprintf(stderr, "atrous: %s\n", visible(sentence).c_str()); }

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail(ErrorCode::io, "standard output: ", std::strerror(errno));
}

void write_to(const std::string& path, std::span<const std::byte> bytes) {
  if (path == "-")
    print({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  else if (!path.empty())
    write_file(path, bytes);
}

void write_to(const std::string& path, std::string_view text) {
  write_to(path, std::as_bytes(std::span(text)));
}

void check_output(const std::string& path) {
  if (path.empty() || path == "-") return;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail(ErrorCode::io, path, ": is a directory");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    fail(ErrorCode::io, path, ": there is no folder ", printable(folder.string()));
}

}  // namespace atrous::cli
