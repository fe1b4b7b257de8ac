#include "cli/crf_options.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "layers/base/visible_text.h"

namespace atrous::cli {

namespace {

// "4,67,3": `count` numbers.
std::vector<float> numbers(const std::string& option, const std::string& given, std::size_t count,
                           const char* form) {
  std::vector<float> out;
  const char *at = given.data(), *const end = at + given.size();
  while (true) {
    float value = 0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || !std::isfinite(value) || value < 0) break;
    out.push_back(value);
    at = stop;
    if (at == end || *at != ',') break;
    ++at;
  }
  if (at != end || out.size() != count || given.ends_with(','))
    throw UsageError{str_cat(option, ' ', visible(given), ": expected ", form, ", numbers from 0")};
  return out;
}

}  // namespace

std::optional<CrfParameters> CrfArguments::parameters(std::optional<CrfParameters> published) const {
  const char* given = !gaussian.empty()     ? "--crf-gaussian"
                      : !bilateral.empty()  ? "--crf-bilateral"
                      : !iterations.empty() ? "--crf-iterations"
                                            : nullptr;
  if (use == Use::on_request && !wanted) {
    if (given) throw UsageError{str_cat(given, " is for --crf")};
    return std::nullopt;
  }
  if (use == Use::recorded && !given) return published;
  CrfParameters out = published.value_or(CrfParameters{});
  if (!gaussian.empty()) {
    const auto n = numbers("--crf-gaussian", gaussian, 2, "WEIGHT,XY");
    out.gaussian = {.weight = n[0], .xy = n[1]};
  }
  if (!bilateral.empty()) {
    const auto n = numbers("--crf-bilateral", bilateral, 3, "WEIGHT,XY,RGB");
    out.bilateral = {.weight = n[0], .xy = n[1], .rgb = n[2]};
  }
  if (!iterations.empty())
    std::from_chars(iterations.data(), iterations.data() + iterations.size(), out.iterations);
  try {
    check(out);
  } catch (const Error& error) {
    throw UsageError{error.what()};
  }
  return out;
}

void add_crf_options(Verb& verb, CrfArguments& arguments, const std::string& group) {
  if (arguments.use == CrfArguments::Use::on_request)
    verb.add_flag("--crf", arguments.wanted, "Labels follow the photo's edges, by a dense CRF").group(group);
  const char* otherwise =
      arguments.use == CrfArguments::Use::always ? "" : "the network's where published, otherwise ";
  verb.add_option("--crf-iterations", arguments.iterations,
                  str_cat("Of the CRF's inference (default: ", otherwise, "10)"))
      .whole_number(0, 1000)
      .group(group);
  verb.add_option("--crf-gaussian", arguments.gaussian,
                  str_cat("Near pixels agree (default: ", otherwise, "3,1)"))
      .type_name("WEIGHT,XY")
      .group(group);
  verb.add_option("--crf-bilateral", arguments.bilateral,
                  str_cat("So do pixels of like colour (default: ", otherwise, "4,67,3)"))
      .type_name("WEIGHT,XY,RGB")
      .group(group);
}

}  // namespace atrous::cli
