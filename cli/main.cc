#include <csignal>
#include <cstdio>
#include <exception>

#include "cli/cli.h"
#include "layers/error.h"

namespace {

int complain(const std::string& sentence, int status) {
  std::fprintf(stderr, "atrous: error: %s\n", sentence.c_str());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace atrous::cli;
  // A reader that goes away (| head) is an error on write, not a death.
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app(
      "Semantic segmentation without a framework: a photo and a torchvision checkpoint in, a mask out.",
      "atrous");
  app.set_version_flag("--version", "atrous " ATROUS_VERSION);
  app.require_subcommand(1);
  Action action;
  const auto add = [&](const char* name, const char* what, Action (*define)(CLI::App&)) {
    CLI::App* verb = app.add_subcommand(name, what);
    verb->parse_complete_callback([&action, run = define(*verb)] { action = run; });
  };
  add("segment", "Segment photos: masks, overlays, labels, JSON", add_segment);
  add("inspect", "Say what a checkpoint holds and what running it takes", add_inspect);
  add("convert", "Turn a .pth checkpoint into .safetensors with everything needed to use it", add_convert);
  add("bench", "Time a network", add_bench);
  add("profile", "Time each layer of a network", add_profile);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return complain(error.what(), 2);
  }
  try {
    return action();
  } catch (const UsageError& error) {
    return complain(error.sentence, 2);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
}
