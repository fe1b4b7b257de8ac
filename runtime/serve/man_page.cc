// usage: atrous_serve_man_page FOLDER: writes atrous-serve.1 into it, from the options that --help lists.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <span>

#include "cli/man/man_page.h"
#include "layers/base/error.h"
#include "runtime/engine/version.h"
#include "runtime/serve/options.h"
#include "weights_tools/io/file.h"

int main(int argc, char** argv) {
  using namespace atrous;
  try {
    if (argc != 2) fail(ErrorCode::invalid_argument, "usage: atrous_serve_man_page FOLDER");
    serve::Arguments arguments;
    CLI::App app(std::string(serve::program_summary), "atrous-serve");
    app.set_version_flag("--version", version());
    cli::Verb verb(app);
    serve::add_options(verb, arguments);
    const std::string page = man::command_page(
        app, {"atrous-serve", "atrous-serve", "segmentation behind HTTP", {"atrous", "atrous-segment"}});
    write_file(std::string(argv[1]) + "/atrous-serve.1", std::as_bytes(std::span(page)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "atrous_serve_man_page: %s\n", error.what());
    return 1;
  }
}
