// The command line as a whole: which verbs there are, and what a line of words asks for.
#pragma once

#include <memory>
#include <string_view>

#include "cli/cli.h"

namespace atrous::cli {

// Every verb with its options, or of a verb alone, which the line names, and the others' names. asked: what a
// parsed line asks for, as long as the application parses.
std::shared_ptr<CLI::App> make_application(Action& asked, std::string_view alone = {});

// What the command line asks for, not yet done: a verb with its options, or the text of --help and --version.
// Reads no more of the machine than whether named files exist. Throws UsageError.
Action parse(int argc, const char* const* argv);

}  // namespace atrous::cli
