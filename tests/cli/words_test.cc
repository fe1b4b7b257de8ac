// What the command line guesses, completes and explains.
#include <sstream>

#include "tests/support/cli_testing.h"

namespace atrous::words_test {

using namespace atrous::cli_testing;

namespace {

const Arguments verbs{"segment", "inspect", "convert",  "verify",
                      "bench",   "profile", "networks", "completion"};

bool has_program(const std::string& path) { return std::filesystem::exists(path); }

// What bash offers for a command line whose last word is being typed.
std::vector<std::string> completed(const TemporaryFolder& folder, const Arguments& words) {
  write_text(folder / "complete.bash", succeed({"completion", "bash"}) +
                                           "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _atrous\n"
                                           "printf '%s\\n' \"${COMPREPLY[@]}\"\n");
  const auto result = testing::run_process(Arguments{"/bin/bash", folder / "complete.bash", "atrous"} + words,
                                           {.folder = folder.path()});
  CHECK(result.errors == "");
  std::vector<std::string> lines;
  std::istringstream text(result.output);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE_FIXTURE(Bench, "a mistyped verb, option, class or model name suggests the nearest") {
  refuse(2, {"segmnet", dog}, {"segmnet: no such verb (did you mean segment?)"});
  refuse(2, {"Inspekt", dog}, {"did you mean inspect?"});
  refuse(2, segment({dog, "--lables"}), {"--lables (did you mean --labels?)"});
  refuse(2, segment({dog, "--cutuot=class"}), {"did you mean --cutout?"});
  refuse(2, segment({dog, "--cutout", "clas 3"}), {"clas 3", "(did you mean class 3?)"});
  CHECK(!mentions(refuse(2, {"frobnicate", dog}, {"frobnicate"}), "did you mean"));
  CHECK(!mentions(refuse(2, segment({dog, "--frobnicate"}), {"--frobnicate"}), "did you mean"));
  CHECK(!mentions(refuse(1, {"inspect", folder / "defualt"}, {"defualt", "No such file"}), "did you mean"));
  if (mentions(succeed({"completion", "bash"}), "default"))
    refuse(1, {"inspect", "defualt"}, {"defualt: neither a file nor a model's name (did you mean default?)"});
}

TEST_CASE("the help fits a screen and lists every verb; each verb's ends with two examples or more") {
  const std::string help = succeed({"--help"});
  CHECK(std::ranges::count(help, '\n') <= 30);
  for (const std::string& verb : verbs) {
    CAPTURE(verb);
    CHECK(mentions(help, "\n  " + verb + " "));
    const std::string said = succeed({verb, "--help"});
    const auto at = said.find("Examples:\n");
    REQUIRE(at != said.npos);
    const std::string examples = said.substr(at);
    int count = 0;
    for (std::size_t i = 0; (i = examples.find("\n  atrous " + verb + ' ', i)) != examples.npos; ++i) ++count;
    CHECK(count >= 2);
  }
}

TEST_CASE(
    "an option whose value is empty is refused by its name, whichever it is: a variable may not be set") {
  std::size_t tried = 0;
  for (const std::string& verb : verbs) {
    std::istringstream help(succeed({verb, "--help"}));
    for (std::string line; std::getline(help, line);) {
      // "  -o,--output FOLDER  ..."; what takes no value goes on with spaces or "Excludes: ".
      const auto at = line.find("--");
      if (!line.starts_with("  -") || at > 5) continue;
      const auto end = line.find(' ', at);
      if (end == line.npos || end + 1 >= line.size() || line[end + 1] == ' ') continue;
      const std::string_view value = std::string_view(line).substr(end + 1);
      if (value.starts_with("Excludes: ") || value.starts_with("[")) continue;
      const std::string option = line.substr(at, end - at);
      refuse(2, {verb, option, ""}, {option + ": "});
      ++tried;
    }
  }
  CHECK(tried > 50);
}

TEST_CASE("bash completes verbs, options, choices, models and files") {
  if (!has_program("/bin/bash")) {
    MESSAGE("skipped: no bash");
    return;
  }
  const TemporaryFolder folder;
  write_text(folder / "dog one.jpg", "");
  CHECK(completed(folder, {"seg"}) == std::vector<std::string>{"segment"});
  CHECK(completed(folder, {"segment", "--no-c"}) == std::vector<std::string>{"--no-contours"});
  CHECK(completed(folder, {"segment", "x.png", "--at", ""}) == std::vector<std::string>{"photo", "input"});
  CHECK(completed(folder, {"segment", "do"}) == std::vector<std::string>{"dog one.jpg"});
  CHECK(completed(folder, {"segment", "--size", "d"}) == std::vector<std::string>{""});
  const auto models = completed(folder, {"segment", "-m", "d"});
  CHECK(std::ranges::count(models, "dog one.jpg") == 1);
  CHECK(completed(folder, {"bench", "x", "--format", "j"}) == std::vector<std::string>{"json"});
}

TEST_CASE("zsh accepts its script, which knows every verb and option") {
  const std::string script = succeed({"completion", "zsh"});
  CHECK(script.starts_with("#compdef atrous\n"));
  for (const std::string& verb : verbs) CHECK(mentions(script, "\n    " + verb + ")\n"));
  CHECK(mentions(
      script,
      "'--at[Label map at the photo'\\''s size or the network'\\''s input size]:value:(photo input)'"));
  if (!has_program("/bin/zsh") && !has_program("/usr/bin/zsh")) {
    MESSAGE("skipped: no zsh to check it with");
    return;
  }
  const TemporaryFolder folder;
  write_text(folder / "_atrous", script);
  const auto checked = testing::run_process({"/usr/bin/env", "zsh", "-n", folder / "_atrous"});
  CHECK(checked.errors == "");
  CHECK(checked.exit_code == 0);
}

TEST_CASE("a shell that is not known is refused by name") {
  refuse(2, {"completion", "fish"}, {"fish"});
  refuse(2, {"completion"}, {"shell"});
}

}  // namespace atrous::words_test
