// --shard I/N of `atrous eval` and `atrous segment`: which part of a list one of several processes works on.
#pragma once

#include <optional>
#include <string>

#include "cli/cli.h"
#include "runtime/evaluation/shard.h"

namespace atrous::cli {

void add_shard_option(Verb&, std::string&, const std::string& group);

// "2/7"; or for "auto" what the scheduler that started this process says in the environment, which is noted
// on stderr. Nothing for an empty text. UsageError for any other text, and for an environment that says
// nothing or what no split of a list is: a step other than 1, a number beyond the count.
std::optional<Shard> parse_shard(const std::string&);

}  // namespace atrous::cli
