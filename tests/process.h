// Running a program the way a shell does, without a shell: an argument vector, bytes in, bytes out.
#pragma once

#include <cstddef>
#include <cstdint>
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
  std::uint64_t file_size_limit = 0;  // bytes a file may grow to, as on a full disk; 0: any
  int timeout_seconds = 120;
  std::size_t close_after =
      0;           // bytes of its output that are read, at least, before the pipe is closed; 0: all
  int signal = 0;  // sent once the program has printed something; 0: none
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
