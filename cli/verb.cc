#include "cli/verb.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "layers/base/error.h"

namespace atrous::cli {

namespace {

CLI::Validator digits(int low, int high) {
  const auto check = [low, high](const std::string& given) -> std::string {
    int value = 0;
    const char* const end = given.data() + given.size();
    const auto parsed = std::from_chars(given.data(), end, value);
    const bool plain = given == "0" || !given.starts_with('0');
    if (parsed.ec == std::errc() && parsed.ptr == end && plain && value >= low && value <= high) return "";
    return str_cat("expected a whole number from ", low, " to ", high, ", found ", given);
  };
  return CLI::Validator(check, str_cat(low, "..", high));
}

// A shell's variable that is not set is no reason to go on as if the option were not there.
std::string not_empty(const std::string& given) {
  return given.empty() ? "expected a value, found none" : "";
}

}  // namespace

Option Option::type_name(const std::string& name) const { return Option(option_->type_name(name)); }
Option Option::group(const std::string& title) const { return Option(option_->group(title)); }
Option Option::show_default() const { return Option(option_->capture_default_str()); }
Option Option::required() const { return Option(option_->required()); }
Option Option::expected(int least, int most) const { return Option(option_->expected(least, most)); }
Option Option::excludes(Option other) const { return Option(option_->excludes(other.option_)); }
Option Option::excludes(const std::string& other) const { return Option(option_->excludes(other)); }
Option Option::check(const Check& check, const std::string& description) const {
  return Option(option_->check(CLI::Validator(check, description)));
}
Option Option::check_first(int low, int high) const {
  return Option(option_->check(digits(low, high).application_index(0)));
}
Option Option::one_of(std::vector<std::string> values) const {
  return Option(option_->check(CLI::IsMember(std::move(values))));
}
Option Option::one_of(std::vector<std::string> values, const Check& or_else) const {
  return Option(option_->check(CLI::IsMember(std::move(values)) | CLI::Validator(or_else, "")));
}
Option Option::one_of(std::initializer_list<int> values) const {
  return Option(option_->check(CLI::IsMember(std::vector<int>(values))));
}
Option Option::whole_number(int low, int high) const { return Option(option_->check(digits(low, high))); }
Option Option::range(double low, double high) const { return Option(option_->check(CLI::Range(low, high))); }

Option Verb::add_option(const std::string& names, std::string& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_option(const std::string& names, std::vector<std::string>& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_option(const std::string& names, int& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_option(const std::string& names, float& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_option(const std::string& names, double& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_option(const std::string& names, std::optional<double>& value, const std::string& help) {
  return Option(app_->add_option(names, value, help)).check(not_empty);
}
Option Verb::add_flag(const std::string& names, bool& value, const std::string& help) {
  return Option(app_->add_flag(names, value, help));
}
#if ATROUS_HAS_EVALUATION || ATROUS_HAS_EXPLAIN
std::vector<std::pair<std::string, std::string>> Verb::given(const std::vector<std::string>& but) const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const CLI::Option* option : app_->get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || std::ranges::find(but, name) != but.end()) continue;
    std::string values;
    for (const std::string& value : option->results()) values += (values.empty() ? "" : " ") + value;
    all.emplace_back(name, values);
  }
  return all;
}
#endif
void Verb::footer(const std::string& text) { app_->footer(text); }

}  // namespace atrous::cli
