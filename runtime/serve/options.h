// The command line's options, for the program and for its manual page.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/cli.h"

namespace atrous::serve {

constexpr std::string_view program_summary =
    "Segmentation behind HTTP: photos in, label maps, overlays and numbers out.";

struct Arguments {
  cli::RunOptions run;
  cli::SizeOptions size;
  cli::NormaliseOptions normalise;
  std::string classes, palette, listen = "127.0.0.1:8080", token_file, max_body = "32MB";
  std::vector<std::string> hosts, origins;
  bool no_token = false, quiet = false;
  std::string log;
  int sessions = 0, queue = 32, max_megapixels = 50, timeout = 30, connections = 512, max_runs = 20,
      max_crf_megapixels = 2;
};

void add_options(cli::Verb&, Arguments&);

}  // namespace atrous::serve
