// A verb's options. CLI11 parses them and stays behind these two classes: its header takes seconds to
// compile.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace atrous::cli {

// What is wrong with an option's value, or "".
using Check = std::function<std::string(const std::string&)>;

// An option of a verb, as long as there is the verb. Each function says one thing more about it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option type_name(const std::string& name) const;  // in the help: FILE, WIDTHxHEIGHT
  Option group(const std::string& title) const;     // below which heading of the help
  Option show_default() const;                      // the value it has now
  Option required() const;
  Option expected(int least, int most) const;  // values
  Option excludes(Option other) const;
  Option excludes(const std::string& other) const;
  Option check(const Check& check, const std::string& description = "") const;
  Option check_first(int low, int high) const;  // whole_number of the first value only
  Option one_of(std::vector<std::string> values) const;
  Option one_of(std::vector<std::string> values, const Check& or_else) const;
  Option one_of(std::initializer_list<int> values) const;
  Option whole_number(int low, int high) const;  // digits: CLI11 alone takes 010 for eight
  Option range(double low, double high) const;

 private:
  CLI::Option* option_;
};

class Verb {
 public:
  explicit Verb(CLI::App& app) : app_(&app) {}

  // names: "-o,--output", or "photos" where no dash precedes the value. What is given lands in value, which
  // must outlive the parsing.
  Option add_option(const std::string& names, std::string& value, const std::string& help);
  Option add_option(const std::string& names, std::vector<std::string>& value, const std::string& help);
  Option add_option(const std::string& names, int& value, const std::string& help);
  Option add_option(const std::string& names, float& value, const std::string& help);
  Option add_option(const std::string& names, double& value, const std::string& help);
  Option add_option(const std::string& names, std::optional<double>& value, const std::string& help);
  Option add_flag(const std::string& names, bool& value, const std::string& help);
  void footer(const std::string& text);
  // The options of this command line by name, with their values, but for those named.
  std::vector<std::pair<std::string, std::string>> given(const std::vector<std::string>& but) const;

  CLI::App& app() const { return *app_; }

 private:
  CLI::App* app_;
};

}  // namespace atrous::cli
