// Command lines, a word a line: parsed, not run. UsageError is the only exception.
#include "cli/application.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

template <class Action>
void may_misuse(Action&& action) {
  try {
    action();
  } catch (const cli::UsageError& error) {
    promise(!error.sentence.empty(), "a UsageError without a sentence");
  }
}

}  // namespace

void cli_arguments(Bytes input) {
  constexpr std::size_t most_words = 64;
  std::vector<std::string> words{"atrous"};
  std::string_view rest = as_text(input);
  while (!rest.empty() && words.size() < most_words) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    words.emplace_back(line.substr(0, line.find('\0')));  // as the system would hand it over
  }
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  may_misuse([&] { promise(!!cli::parse(static_cast<int>(words.size()), argv.data()), "nothing to do"); });
  may_misuse([&] {
    const auto [width, height] = cli::parse_size(words.back());
    promise(width >= 1 && width <= 16384 && height >= 1 && height <= 16384, "the size ", words.back());
  });
  may_misuse([&] { promise(cli::parse_bytes(words.back()) > 0, "no bytes: ", words.back()); });
}

}  // namespace atrous::fuzz
