// usage: atrous_man_pages FOLDER
// Writes atrous.1 and atrous-VERB.1 of every verb into the folder, from the options that --help lists. Not in
// the program: run when that is built.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <span>

#include "cli/application.h"
#include "cli/man/man_page.h"
#include "layers/base/error.h"
#include "weights_tools/io/file.h"

int main(int argc, char** argv) {
  using namespace atrous;
  try {
    if (argc != 2) fail(ErrorCode::invalid_argument, "usage: atrous_man_pages FOLDER");
    cli::Action asked;
    const auto app = cli::make_application(asked);
    const std::vector<const CLI::App*> verbs =
        std::as_const(*app).get_subcommands([](const CLI::App*) { return true; });
    const std::string folder = std::string(argv[1]) + "/";
    const auto write = [&](const std::string& name, const std::string& page) {
      write_file(folder + name + ".1", std::as_bytes(std::span(page)));
    };
    write("atrous", man::main_page(*app, verbs));
    for (const CLI::App* verb : verbs) {
      const std::string name = verb->get_name();
      std::vector<std::string> others{"atrous"};
      for (const CLI::App* other : verbs)
        if (other != verb) others.push_back("atrous-" + other->get_name());
      write("atrous-" + name,
            man::command_page(*verb, {"atrous-" + name, "atrous " + name, verb->get_description(), others}));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "atrous_man_pages: %s\n", error.what());
    return 1;
  }
}
