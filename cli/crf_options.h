// --crf and what belongs to it, in every verb that sharpens labels.
#pragma once

#include <optional>
#include <string>

#include "cli/cli.h"
#include "runtime/segment/dense_crf.h"
#include "weights_tools/io/json.h"

namespace atrous::cli {

struct CrfArguments {
  bool wanted = false;
  std::string gaussian, bilateral, iterations;  // as given; empty for the published values

  // None unless asked for. UsageError for numbers that are none, and for options without --crf.
  std::optional<CrfOptions> options() const;
};

// always: the verb is a CRF itself and has no --crf.
void add_crf_options(Verb&, CrfArguments&, const std::string& group, bool always = false);

// What ran, for JSON.
JsonText crf_json(const CrfOptions&);

}  // namespace atrous::cli
