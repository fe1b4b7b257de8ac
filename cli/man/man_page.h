// A program's options as a manual page, in roff.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace atrous::man {

struct Command {
  std::string page, words, summary;  // "atrous-eval", "atrous eval", what it does in a line
  std::vector<std::string> see_also;
};

// Of a verb, or of a program without verbs. Error(unsupported) for text that is not ASCII.
std::string command_page(const CLI::App&, const Command&);

// Of a program, with its verbs.
std::string main_page(const CLI::App&, const std::vector<const CLI::App*>& verbs);

}  // namespace atrous::man
