#include "cli/man/man_page.h"

#include <CLI/CLI.hpp>

#include "layers/base/error.h"

namespace atrous::man {

namespace {

// Text as roff shows it: as it stands. A line that begins with a dot or a quote would be a request, a bare
// hyphen a typographic one, and ' ^ ` ~ others' characters.
std::string escaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80)
      fail(ErrorCode::unsupported, "a man page's text has to be ASCII: ", std::string(text));
    const bool begins = i == 0 || text[i - 1] == '\n';
    if (begins && (c == '.' || c == '\'')) out += "\\&";
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }

// As a macro's one argument.
std::string as_argument(std::string_view text) {
  std::string out = "\"";
  for (const char c : escaped(text)) out += c == '"' ? std::string("\\(dq") : std::string{c};
  return out + "\"";
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// CLI11's "TEXT:{photo,input}", "INT:0..1024", "FLOAT:FLOAT in [0 - 1]" or what type_name() set, in two: what
// stands behind the option, and what is said of it.
struct Value {
  std::string name, choices;
};

Value value_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t colon = type.find(':');
  if (colon == type.npos) return {type, ""};
  const std::string name = type.substr(0, colon), check = type.substr(colon + 1);
  if (!check.starts_with('{')) return {check.find(' ') == check.npos ? check : name, ""};
  const std::size_t close = check.find('}');
  std::string choices;
  for (std::size_t from = 1; from < close;) {
    const std::size_t end = std::min(check.find(',', from), close);
    choices += (choices.empty() ? "" : ", ") + check.substr(from, end - from);
    from = end + 1;
  }
  return {name, choices};
}

bool repeats(const CLI::Option& option) {
  return option.get_expected_max() == CLI::detail::expected_max_vector_size;
}

// .TP: "-m, --model MODEL", and below it what --help says.
std::string entry(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + bold(name); };
  for (const std::string& name : option.get_snames()) add("-" + name);
  for (const std::string& name : option.get_lnames()) add("--" + name);
  const Value value = value_of(option);
  if (names.empty())
    names = italic(option.get_name());
  else if (!is_flag(option))
    names += " " + italic(value.name) + (repeats(option) ? " ..." : "");
  std::string text = option.get_description();
  const auto sentence = [&](const std::string& more) {
    if (!text.empty() && text.back() != '.' && text.back() != '!') text += '.';
    text += (text.empty() ? "" : " ") + more;
  };
  if (!value.choices.empty()) sentence("One of " + value.choices + ".");
  if (!is_flag(option) && !option.get_default_str().empty())
    sentence("Default: " + option.get_default_str() + ".");
  if (option.get_required() && !option.get_positional()) sentence("Required.");
  std::vector<std::string> others;
  for (const CLI::Option* other : option.get_excludes()) others.push_back(other->get_name());
  std::ranges::sort(others);  // CLI11 keeps them by address
  for (const std::string& other : others) sentence("Not with " + other + ".");
  sentence("");
  while (text.ends_with(' ')) text.pop_back();
  return ".TP\n" + names + "\n" + escaped(text) + "\n";
}

// A footer's paragraphs, and its examples apart.
struct Footer {
  std::string text, examples;
};

Footer footer_of(const CLI::App& app) {
  const std::string all = app.get_footer(), title = "Examples:\n";
  const std::size_t at = all.find(title);
  if (at == all.npos) return {all, ""};
  return {all.substr(0, at), all.substr(at + title.size())};
}

std::string paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    const std::string_view paragraph = text.substr(0, end);
    if (!paragraph.empty()) out += ".PP\n" + escaped(paragraph) + "\n";
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return out;
}

std::string examples(const std::string& lines) {
  if (lines.empty()) return "";
  return ".SH EXAMPLES\n.nf\n" + escaped(lines) + "\n.fi\n";
}

std::string heading(const std::string& page, const std::string& what) {
  return ".\\\" Made from the program's own options.\n.TH " + as_argument(upper(page)) + " 1 \"\" " +
         as_argument("atrous " ATROUS_VERSION) + " \"User Commands\"\n.SH NAME\n" + escaped(page) + " \\- " +
         escaped(what) + "\n";
}

std::string options_by_group(const CLI::App& app) {
  std::string out = ".SH OPTIONS\n";
  for (const std::string& group : app.get_groups()) {
    std::string entries;
    for (const CLI::Option* option :
         app.get_options([&](const CLI::Option* o) { return o->get_group() == group && o->nonpositional(); }))
      entries += entry(*option);
    if (entries.empty() || group.empty()) continue;
    out += (group == "Options" ? "" : ".SS " + as_argument(group) + "\n") + entries;
  }
  return out;
}

std::string exit_status(const std::string& words) {
  std::string out =
      ".SH EXIT STATUS\n"
      ".TP\n0\nDone.\n"
      ".TP\n1\nA failure, said in one line on standard error. Output files appear whole or not at all.\n"
      ".TP\n2\nA mistake on the command line.\n";
  if (words == "atrous eval") out += ".TP\n130\nInterrupted, after the images under way.\n";
  return out;
}

const char* const environment =
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBATROUS_CACHE\\fR\nThe folder for downloads and for what a search has found; otherwise "
    "$XDG_CACHE_HOME/atrous, or \\(ti/.cache/atrous.\n"
    ".TP\n\\fBTORCH_HOME\\fR\nWhere torch.hub has put its downloads, which are used where they lie.\n"
    ".TP\n\\fBOMP_NUM_THREADS\\fR\nThe number of threads where \\fB\\-\\-threads\\fR does not say it.\n";

}  // namespace

std::string command_page(const CLI::App& app, const Command& command) {
  std::string out = heading(command.page, command.summary);
  out += ".SH SYNOPSIS\n" + bold(command.words) + " [" + italic("OPTIONS") + "]";
  std::string arguments;
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option* o) { return o->get_positional(); })) {
    const std::string shown = italic(option->get_name()) + (repeats(*option) ? " ..." : "");
    out += option->get_required() ? " " + shown : " [" + shown + "]";
    arguments += entry(*option);
  }
  const Footer footer = footer_of(app);
  const std::string said = app.get_description();
  out +=
      "\n.SH DESCRIPTION\n" + escaped(said) + (said.ends_with('.') ? "\n" : ".\n") + paragraphs(footer.text);
  if (!arguments.empty()) out += ".SH ARGUMENTS\n" + arguments;
  out += options_by_group(app) + examples(footer.examples) + exit_status(command.words) + environment +
         ".SH SEE ALSO\n";
  std::string others;
  for (const std::string& other : command.see_also)
    others += (others.empty() ? "" : ",\n") + bold(other) + "(1)";
  return out + others + "\n";
}

std::string main_page(const CLI::App& app, const std::vector<const CLI::App*>& verbs) {
  const Footer footer = footer_of(app);
  std::string out = heading("atrous", "semantic segmentation without a framework") + ".SH SYNOPSIS\n" +
                    bold("atrous") + " " + italic("VERB") + " [" + italic("OPTIONS") +
                    "]\n.SH DESCRIPTION\n" + escaped(app.get_description()) + "\n" + paragraphs(footer.text) +
                    ".SH VERBS\n";
  for (const CLI::App* verb : verbs)
    out += ".TP\n" + bold(verb->get_name()) + "\n" + escaped(verb->get_description()) + ".\nSee " +
           bold("atrous-" + verb->get_name()) + "(1).\n";
  out += options_by_group(app) + examples(footer.examples) + exit_status("") + environment + ".SH SEE ALSO\n";
  std::string pages;
  for (const CLI::App* verb : verbs)
    pages += (pages.empty() ? "" : ",\n") + bold("atrous-" + verb->get_name()) + "(1)";
  return out + pages + "\n";
}

}  // namespace atrous::man
