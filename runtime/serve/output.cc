#include "runtime/serve/output.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/serve/problem.h"
#include "runtime/serve/request_head.h"

namespace atrous::serve {

namespace {

constexpr std::array<std::pair<std::string_view, Output>, 7> outputs{{{"json", Output::json},
                                                                      {"labels", Output::labels},
                                                                      {"indexed", Output::indexed},
                                                                      {"mask", Output::mask},
                                                                      {"overlay", Output::overlay},
                                                                      {"confidence", Output::confidence},
                                                                      {"instances", Output::instances}}};
constexpr std::array<std::string_view, 3> includable{"labels", "confidence", "instance_map"};

// Takes what stands before the separator off the text.
std::string_view next_part(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = without_blanks(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

// "0.25" of q=0.25; what is no number counts as 1.
double weight(std::string_view digits) {
  double value = 1;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && value >= 0 && value <= 1 ? value : 1;
}

}  // namespace

double weight_of(std::string_view accept, std::string_view type) {
  if (without_blanks(accept).empty()) return 1;
  const std::string_view kind = type.substr(0, type.find('/'));
  double best = 0;
  int closeness = 0;  // 3 for the type itself, 2 for image/*, 1 for */*
  while (!accept.empty()) {
    std::string_view range = next_part(accept, ',');
    const std::string name = lower(next_part(range, ';'));
    double q = 1;
    while (!range.empty()) {
      const std::string_view parameter = next_part(range, ';');
      if (lower(parameter.substr(0, 2)) == "q=") q = weight(parameter.substr(2));
    }
    const int close = name == type ? 3 : name == str_cat(kind, "/*") ? 2 : name == "*/*" ? 1 : 0;
    if (close > closeness) {
      closeness = close;
      best = q;
    }
  }
  return best;
}

Wanted wanted_output(std::string_view output, std::string_view accept) {
  const double json = weight_of(accept, "application/json"), png = weight_of(accept, "image/png"),
               jpeg = weight_of(accept, "image/jpeg");
  if (output.empty()) {
    if (json > 0 && json >= std::max(png, jpeg)) return {Output::json, "application/json"};
    if (png > 0 && png >= jpeg) return {Output::labels, "image/png"};
    if (jpeg > 0) return {Output::overlay, "image/jpeg"};
    throw Problem{406, "none of application/json, image/png and image/jpeg is accepted"};
  }
  const auto found = std::ranges::find(outputs, output, &std::pair<std::string_view, Output>::first);
  if (found == outputs.end())
    throw Problem{
        400, str_cat("output: expected json, labels, indexed, mask, overlay, confidence or instances, found ",
                     output)};
  switch (found->second) {
    case Output::json:
    case Output::instances:
      return {found->second, "application/json"};
    case Output::overlay:
      return {found->second, jpeg > png ? "image/jpeg" : "image/png"};
    default:
      return {found->second, "image/png"};
  }
}

std::vector<std::string> parts_of_include(std::string_view include) {
  std::vector<std::string> parts;
  while (!include.empty()) {
    const std::string_view part = next_part(include, ',');
    if (std::ranges::find(includable, part) == includable.end())
      throw Problem{400, str_cat("include: expected labels, confidence or instance_map, found ", part)};
    if (std::ranges::find(parts, part) == parts.end()) parts.emplace_back(part);
  }
  return parts;
}

}  // namespace atrous::serve
