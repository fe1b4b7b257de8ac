// atrous completion SHELL: a script for the shell, made from the verbs' own options, so that it knows them
// all.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/cli.h"
#include "cli/model_argument.h"
#include "layers/networks/family.h"
#if ATROUS_HAS_EVALUATION
#include "runtime/evaluation/dataset.h"
#endif

namespace atrous::cli {

namespace {

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
#if ATROUS_HAS_EVALUATION
  for (const DatasetKind& kind : dataset_kinds()) names.emplace_back(kind.name);
#endif
  return names;
}

// The values an option takes, as far as they can be listed.
struct Values {
  bool none = false;                 // a flag
  bool files = false;                // any path
  std::vector<std::string> choices;  // and these
};

// An option's type as CLI11 describes it: "TEXT:{photo,input}", "INT:0..1024", or what type_name()
// set.
Values values_of(const CLI::App& verb, const CLI::Option& option) {
  Values values;
  values.none = option.get_items_expected_max() == 0;
  const std::string type = option.get_type_name();
  if (type == "MODEL" || option.get_name() == "names") {
    values.choices = model_names();
    values.files = type == "MODEL";
    if (verb.get_name() == "bench" || verb.get_name() == "profile") {  // their names mean random weights
      for (const Family& family : families())
        for (const std::string_view variant : family.variants)
          if (std::ranges::find(values.choices, variant) == values.choices.end())
            values.choices.emplace_back(variant);
    }
    return values;
  }
  if (type.starts_with("KIND FOLDER")) {
    values.choices = dataset_names();
    values.files = true;
    return values;
  }
  const std::size_t open = type.find('{'), close = type.find('}');
  if (open != type.npos && close != type.npos) {
    for (std::size_t from = open + 1; from < close;) {
      const std::size_t end = std::min(type.find(',', from), close);
      values.choices.push_back(type.substr(from, end - from));
      from = end + 1;
    }
    return values;
  }
  values.files = type == "FILE" || type == "FOLDER" || type == "PHOTO";
  return values;
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : std::string(between)) + word;
  return out;
}

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string bash_script(const CLI::App& app) {
  std::string verbs, cases;
  for (const CLI::App* verb : verbs_of(app)) {
    verbs += (verbs.empty() ? "" : " ") + verb->get_name();
    std::vector<std::string> options, positional;
    for (const CLI::Option* option : verb->get_options()) {
      const Values values = values_of(*verb, *option);
      const auto names = names_of(*option);
      if (names.empty()) positional.insert(positional.end(), values.choices.begin(), values.choices.end());
      options.insert(options.end(), names.begin(), names.end());
      if (names.empty() || values.none) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : names) patterns.push_back("\"" + verb->get_name() + " " + name + "\"");
      cases += str_cat("    ", joined(patterns, " | "), ") words=\"", joined(values.choices, " "),
                       "\" files=", values.files ? "yes" : "", " ;;\n");
    }
    cases +=
        str_cat("    \"", verb->get_name(), " \"*)\n      if [[ $word == -* ]]; then words=\"",
                joined(options, " "), "\"; else words=\"", joined(positional, " "), "\" files=yes; fi ;;\n");
  }
  return str_cat(
      "# Completion of atrous in bash. Put it where bash looks:\n"
      "#   atrous completion bash > ~/.local/share/bash-completion/completions/atrous\n"
      "_atrous() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\"\" files=\"\"\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    words=\"",
      verbs,
      " --help --version\"\n"
      "  else case \"${COMP_WORDS[1]} $before\" in\n",
      cases,
      "  esac; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  if [[ $files ]]; then\n"
      "    compopt -o filenames 2>/dev/null\n"
      "    local file\n"
      "    while IFS= read -r file; do COMPREPLY+=(\"$file\"); done < <(compgen -f -- \"$word\")\n"
      "  fi\n"
      "}\n"
      "complete -F _atrous atrous\n");
}

// A word between single quotes, and within a specification of _arguments: brackets and colons mean something
// there.
std::string for_zsh(std::string_view words) {
  std::string out;
  for (const char c : words) {
    if (c == '\'')
      out += "'\\''";
    else
      out += (c == '[' || c == ']' || c == ':' || c == '\\') ? std::string{'\\', c} : std::string{c};
  }
  return out;
}

std::string zsh_action(const Values& values) {
  const std::string choices = joined(values.choices, " ");
  if (!values.files) return "(" + choices + ")";
  return choices.empty() ? "_files" : "{compadd " + choices + "; _files}";
}

std::string zsh_script(const CLI::App& app) {
  std::string verbs, cases;
  for (const CLI::App* verb : verbs_of(app)) {
    verbs += str_cat("    '", verb->get_name(), ":", for_zsh(verb->get_description()), "'\n");
    cases += str_cat("    ", verb->get_name(), ")\n      _arguments");
    for (const CLI::Option* option : verb->get_options()) {
      const Values values = values_of(*verb, *option);
      const auto names = names_of(*option);
      if (names.empty()) {
        cases += str_cat(" \\\n        '*:", for_zsh(option->get_name()), ":", zsh_action(values), "'");
        continue;
      }
      for (const std::string& name : names)
        cases += str_cat(" \\\n        '", name, "[", for_zsh(option->get_description()), "]",
                         values.none ? "" : ":value:" + zsh_action(values), "'");
    }
    cases += " ;;\n";
  }
  return str_cat(
      "#compdef atrous\n"
      "# Completion of atrous in zsh. Put it into a folder of $fpath:\n"
      "#   atrous completion zsh > ~/.zsh/completions/_atrous\n"
      "local -a verbs=(\n",
      verbs,
      "  )\n"
      "if ((CURRENT == 2)); then\n"
      "  _describe 'verb' verbs\n"
      "  _arguments '--help[Say what there is]' '--version[Say which version]'\n"
      "  return\n"
      "fi\n"
      "local verb=$words[2]\n"
      "shift words\n"
      "((CURRENT--))\n"
      "case $verb in\n",
      cases, "esac\n");
}

}  // namespace

Action add_completion(Verb& verb) {
  auto shell = std::make_shared<std::string>();
  verb.add_option("shell", *shell, "bash or zsh").one_of({"bash", "zsh"}).required();
  verb.footer(
      "Examples:\n"
      "  atrous completion bash > ~/.local/share/bash-completion/completions/atrous\n"
      "  atrous completion zsh > ~/.zsh/completions/_atrous");
  return [shell, app = verb.app().get_parent()] {
    print(*shell == "bash" ? bash_script(*app) : zsh_script(*app));
    return 0;
  };
}

}  // namespace atrous::cli
