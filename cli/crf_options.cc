#include "cli/crf_options.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "cli/json_output.h"

namespace atrous::cli {

namespace {

// "4,67,3": `count` numbers.
std::vector<float> numbers(const std::string& option, const std::string& given, std::size_t count,
                           const char* form) {
  std::vector<float> out;
  const char *at = given.data(), *const end = at + given.size();
  for (;;) {
    float value = 0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || !std::isfinite(value) || value < 0) break;
    out.push_back(value);
    at = stop;
    if (at == end) break;
    if (*at != ',') break;
    ++at;
  }
  if (at != end || out.size() != count || given.ends_with(','))
    throw UsageError{str_cat(option, ' ', given, ": expected ", form, ", numbers from 0")};
  for (std::size_t i = 1; i < count; ++i)
    if (out[i] < 0.01f || out[i] > 1e6f)
      throw UsageError{
          str_cat(option, ' ', given, ": a standard deviation of ", out[i], ", expected 0.01 to 1000000")};
  return out;
}

}  // namespace

std::optional<CrfOptions> CrfArguments::options() const {
  if (!wanted) {
    const char* lone = !gaussian.empty()     ? "--crf-gaussian"
                       : !bilateral.empty()  ? "--crf-bilateral"
                       : !iterations.empty() ? "--crf-iterations"
                                             : nullptr;
    if (lone) throw UsageError{str_cat(lone, " is for --crf")};
    return std::nullopt;
  }
  CrfOptions out;
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
  return out;
}

void add_crf_options(Verb& verb, CrfArguments& arguments, const std::string& group, bool always) {
  arguments.wanted = always;
  if (!always)
    verb.add_flag("--crf", arguments.wanted, "Labels follow the photo's edges, by a dense CRF").group(group);
  verb.add_option("--crf-iterations", arguments.iterations, "Of the CRF's inference (default: 10)")
      .whole_number(0, 1000)
      .group(group);
  verb.add_option("--crf-gaussian", arguments.gaussian, "Near pixels agree (default: 3,1)")
      .type_name("WEIGHT,XY")
      .group(group);
  verb.add_option("--crf-bilateral", arguments.bilateral, "So do pixels of like colour (default: 4,67,3)")
      .type_name("WEIGHT,XY,RGB")
      .group(group);
}

JsonText crf_json(const CrfOptions& o) {
  return json_object(
      {{"iterations", o.iterations},
       {"gaussian", json_object({{"weight", o.gaussian.weight}, {"xy", o.gaussian.xy}})},
       {"bilateral",
        json_object({{"weight", o.bilateral.weight}, {"xy", o.bilateral.xy}, {"rgb", o.bilateral.rgb}})}});
}

}  // namespace atrous::cli
