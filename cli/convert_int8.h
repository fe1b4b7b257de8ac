// atrous convert --int8 --calibrate PHOTOS: the network in 8 bits. Not in the minimal program.
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"
#include "weights_tools/checkpoint.h"

namespace atrous::cli {

struct Int8Options {
  bool wanted = false;
  std::vector<std::string> photos;
  double max_loss = 1.5;  // percent
  std::string report;
};

// --int8, --calibrate, --max-loss and --report; `half` is the flag that excludes them.
void add_int8_options(Verb&, Int8Options&, Option half);

// UsageError for options that need each other.
void check(const Int8Options&);

// The state dict quantised; the metadata gets its activations. Returns what is to be said of it, and writes
// the report where one is asked for. `classes`: their names.
std::string quantise(const Int8Options&, StateDict&, Metadata&);

}  // namespace atrous::cli
