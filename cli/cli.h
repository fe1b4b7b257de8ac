// What the verbs share. One file per verb: it declares its options, calls the library and prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/verb.h"
#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "layers/base/visible_text.h"
#include "runtime/engine/session.h"
#include "runtime/segment/model.h"

namespace atrous::cli {

// A mistake in the command line, found after parsing: exit 2 instead of 1.
struct UsageError {
  std::string sentence;
};

// What a verb does once its options are parsed; returns the exit status.
using Action = std::function<int()>;

// Each adds its verb to the application and returns what it does.
Action add_segment(Verb&);
Action add_eval(Verb&);   // not in the minimal program
Action add_merge(Verb&);  // nor this
Action add_convert(Verb&);
Action add_crf(Verb&);
Action add_inspect(Verb&);
Action add_bench(Verb&);
Action add_profile(Verb&);
#if ATROUS_HAS_FETCH
Action add_fetch(Verb&);
#endif
Action add_networks(Verb&);
Action add_verify(Verb&);
#if ATROUS_HAS_CUDA
Action add_devices(Verb&);
#endif
Action add_completion(Verb&);

// Options of every verb that runs a network.
struct RunOptions {
  std::string model = "default";  // as open_model (cli/model_argument.h) takes it
  int threads = 0;
  std::string isa, force, precision;
  std::string weights;       // a prefix, where the model's file holds several networks
  std::string arch;          // as parse_arch takes it
  std::string memory_limit;  // as parse_bytes takes it; empty: the memory there is
  std::string device = "cpu";
  bool fp16 = false, tf32 = false, search = false;

  bool on_cpu() const { return device == "cpu"; }

  // Opens the device. UsageError for options that do not go together.
  ModelOptions model_options(bool aux = false) const;
  SessionOptions session_options() const;
};
void add_run_options(Verb&, RunOptions&);

// --device, and those that say how it computes: --fp16, --tf32, --search. None in the minimal program.
void add_device_options(Verb&, RunOptions&);
void add_precision_options(Verb&, RunOptions&, const std::string& group);
std::string device_name(const std::string&);  // an option's check: "" or what is wrong with it

// How photos become the network's input, in place of the model's own way.
struct SizeOptions {
  int resize = 0, longer_side = 0;
  std::string size;
  bool no_resize = false;

  std::optional<ResizeRule> rule() const;  // UsageError where they contradict each other
};
void add_size_options(Verb&, SizeOptions&, const std::string& group);

// What becomes of its samples, in place of the model's own way.
struct NormaliseOptions {
  std::string mean, std, order;
  int range = 0;  // 0: the model's

  // UsageError for a mean or std that is not three numbers, or one for all.
  void apply(Preparation&) const;
};
void add_normalise_options(Verb&, NormaliseOptions&, const std::string& group);

// --threshold, of binary networks. Checking throws UsageError where the model has no use for one.
void add_threshold_option(Verb&, std::optional<double>&, const std::string& group);
void check_threshold(const std::optional<double>&, const Model&, const std::string& name);

void add_model_option(Verb&, RunOptions&);  // -m, the default model unless given

void add_weights_option(Verb&, std::string& weights);  // --weights, beside every model

// "520x480": width and height, each 1 to 16384. Throws UsageError.
std::pair<int, int> parse_size(const std::string& text);

// "os=16,rates=6,12,18" (layers/networks/hyper.h). Throws UsageError.
Hyper parse_arch(const std::string& text);
void add_arch_option(Verb&, std::string&);  // --arch

// "500MB", "1.5 GiB", "4096": bytes; KB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024. Throws UsageError.
std::uint64_t parse_bytes(const std::string& text);

// The memory of the machine or of the container in bytes, the smaller one; 0 where neither is known.
std::uint64_t physical_memory();

// The largest resident set this process has had, in bytes.
std::uint64_t peak_resident_bytes();

// "12.3 MB"
std::string megabytes(std::uint64_t bytes);

// Columns padded to their widest cell; numbers to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string plain() const;     // columns apart by two spaces
  std::string markdown() const;  // | a | b |
  std::string csv() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};
std::string fixed(double value, int decimals);

// 0.8423 as "84.2%".
std::string percent(double share, int decimals);

// What follows the last '/'.
std::string file_name(const std::string& path);

// "atrous: error: ..." on stderr. Whatever names of files the sentence holds, they cannot steer the terminal,
// nor begin a line that looks like a message of its own.
void complain(std::string_view sentence);

// "atrous: ..." on stderr: nothing failed, but somebody may want to know.
void note(std::string_view sentence);

// Writes to stdout; Error(io) when it is closed or full.
void print(std::string_view text);

// To a file, which appears whole or not at all, or for "-" to stdout; for an empty path nothing. Errors as
// print() and write_file().
void write_to(const std::string& path, std::span<const std::byte>);
void write_to(const std::string& path, std::string_view);

// Error(io) for a path that write_to() could not write, a folder or in none that exists: before the hours
// that it takes to make what goes there.
void check_output(const std::string& path);

}  // namespace atrous::cli
