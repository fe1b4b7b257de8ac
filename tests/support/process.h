// Running a program the way a shell does, without a shell: an argument vector, bytes in, bytes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace atrous::testing {

struct ProcessOptions {
  std::string input = {};        // standard input's bytes
  std::string folder = {};       // working folder; empty: this process's
  std::string output_file = {};  // standard output goes to this file instead
  bool close_output = false;     // no standard output at all
  std::vector<std::pair<std::string, std::string>> environment = {};  // added to this process's
  std::uint64_t file_size_limit = 0;     // bytes a file may grow to, as on a full disk; 0: any
  std::size_t close_after = 0;           // its output is read no further than about here; 0: to the end
  int signal_at_output = 0;              // sent once, as soon as something is on standard output; 0: none
  int signal_at_errors = 0;              // the same for standard error
  std::function<bool()> kill_when = {};  // asked again and again; with SIGKILL, once it says so
  int timeout_seconds = 120;
};

struct ProcessResult {
  int exit_code = -1;       // -1: it did not exit by itself
  int signal = 0;           // that ended it
  bool timed_out = false;   // and was killed for it
  long peak_kilobytes = 0;  // of resident memory
  std::string output, errors;
};

// arguments[0] is the program's path. Throws std::runtime_error when it cannot be started.
ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& = {});

}  // namespace atrous::testing
