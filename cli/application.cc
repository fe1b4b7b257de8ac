#include "cli/application.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "cli/suggest.h"
#include "layers/base/error.h"

namespace atrous::cli {

namespace {

struct Entry {
  std::string_view name;
  const char* what;
  Action (*define)(Verb&);
};

constexpr Entry verbs[] = {
    {"segment", "Segment photos: masks, overlays, labels, JSON", add_segment},
#if ATROUS_HAS_EVALUATION
    {"eval", "Measure a model on a dataset: IoU and its kin, by class and over all", add_eval},
    {"merge", "Put together what several processes measured, each its part of a dataset", add_merge},
#endif
    {"inspect", "Say what a checkpoint holds and what running it takes", add_inspect},
    {"convert", "Turn a .pth checkpoint into .safetensors with everything needed to use it", add_convert},
    {"crf", "Sharpen any network's label map along the photo's edges", add_crf},
    {"verify", "Check a model against its self-test, another model, logits or other kernels", add_verify},
    {"bench", "Time a network", add_bench},
    {"profile", "Time each layer of a network", add_profile},
    {"networks", "List the networks that atrous runs and their published checkpoints", add_networks},
#if ATROUS_HAS_FETCH
    {"fetch", "Download torchvision's checkpoints, or find those downloaded before", add_fetch},
#endif
#if ATROUS_HAS_CUDA
    {"devices", "List what networks can run on", add_devices},
#endif
    {"completion", "Print a script that completes atrous's command lines in bash or zsh", add_completion},
};

// CLI11 would only say that a subcommand is required. word: the mistaken verb, or empty for none at all.
[[noreturn]] void complain_of_verb(const std::string& word) {
  std::string all;
  std::vector<std::string> known;
  for (const Entry& v : verbs) {
    known.emplace_back(v.name);
    all += (all.empty() ? "" : ", ") + known.back();
  }
  const std::string what =
      word.empty() ? "expected a verb" : word + ": no such verb" + suggestion(word, known);
  throw UsageError{str_cat(what, "; there are ", all, " (atrous --help)")};
}

// CLI11's sentence about what it did not expect, and the option that may have been meant.
std::string unexpected(const CLI::App& app, const CLI::ParseError& error) {
  std::string sentence = error.what();
  for (const CLI::App* verb : app.get_subcommands()) {
    std::vector<std::string> known;
    for (const CLI::Option* option : verb->get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    for (const std::string& word : verb->remaining())
      if (word.starts_with("--")) return sentence + suggestion(word.substr(0, word.find('=')), known);
  }
  return sentence;
}

}  // namespace

std::shared_ptr<CLI::App> make_application(Action& asked, std::string_view alone) {
  const auto app = std::make_shared<CLI::App>(
      "Semantic segmentation without a framework: a photo and a torchvision checkpoint in, a mask out.",
      "atrous");
  app->set_version_flag("--version", "atrous " ATROUS_VERSION);
  app->require_subcommand(1);
  app->get_formatter()->label("SUBCOMMAND", "VERB ...");
  app->footer(
      "atrous VERB --help lists a verb's options.\n\n"
      "Examples:\n"
      "  atrous segment street.jpg                        the network for streets that is built in\n"
      "  atrous segment dog.jpg -m deeplabv3_resnet101    torchvision's, downloaded at its first use");
  for (const Entry& v : verbs) {
    CLI::App* verb = app->add_subcommand(std::string(v.name), v.what)->group("Verbs");
    if (!alone.empty() && v.name != alone) continue;
    Verb options(*verb);
    verb->parse_complete_callback([&asked, run = v.define(options)] { asked = run; });
  }
  return app;
}

Action parse(int argc, const char* const* argv) {
  Action action;
  if (argc < 2) complain_of_verb("");
  const std::string_view first = argv[1];
  const bool names_verb = std::ranges::find(verbs, first, &Entry::name) != std::end(verbs);
  if (!first.starts_with('-') && !names_verb) complain_of_verb(argv[1]);
  // The options of one verb take a millisecond less to define than those of all.
  const auto app = make_application(action, names_verb && first != "completion" ? first : "");
  try {
    app->parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream said;
    said.imbue(std::locale::classic());
    app->exit(success, said, said);
    return [text = said.str()] {
      print(text);
      return 0;
    };
  } catch (const CLI::ParseError& error) {
    throw UsageError{unexpected(*app, error)};
  }
  // A verb may look at the application when it runs, as completion does.
  return [app, action] { return action(); };
}

}  // namespace atrous::cli
