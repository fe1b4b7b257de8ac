// --crf and what belongs to it, in every verb that sharpens labels or records how.
#pragma once

#include <optional>
#include <string>

#include "cli/cli.h"
#include "layers/networks/preparation.h"

namespace atrous::cli {

struct CrfArguments {
  enum class Use {
    on_request,  // with --crf
    always,      // the verb is a CRF itself and has no --crf
    recorded,    // options given are kept for later runs; there is no --crf
  };
  Use use = Use::on_request;
  bool wanted = false;
  std::string gaussian = {}, bilateral = {}, iterations = {};  // as given; empty for the published values

  // None where none is asked for. published: the network's own, the defaults where it has none. UsageError
  // for numbers that are none, and for options without --crf.
  std::optional<CrfParameters> parameters(std::optional<CrfParameters> published = {}) const;
};

void add_crf_options(Verb&, CrfArguments&, const std::string& group);

// The parameters that ran, for JSON.

}  // namespace atrous::cli
