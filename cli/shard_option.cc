#include "cli/shard_option.h"

#include <cstdlib>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"

namespace atrous::cli {

namespace {

const std::string shard_forms = "expected I/N, such as 2/7, or auto";

// What a scheduler calls a process's number, where its numbers begin and end, how many there are, and the
// step.
struct Scheduler {
  const char *name, *number, *first, *last, *count, *step;
};
constexpr Scheduler schedulers[] = {
    {"Slurm's job array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
     "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP"},
    {"Kubernetes' indexed job", "JOB_COMPLETION_INDEX", nullptr, nullptr, "JOB_COMPLETIONS", nullptr},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", nullptr, nullptr, "OMPI_COMM_WORLD_SIZE", nullptr},
    {"PMI", "PMI_RANK", nullptr, nullptr, "PMI_SIZE", nullptr}};

std::optional<std::size_t> whole_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  const int value = number_in(text);
  if (value == 0 && text.find_first_not_of('0') != text.npos) return std::nullopt;  // too long
  return static_cast<std::size_t>(value);
}

std::size_t variable(const Scheduler& scheduler, const char* name) {
  const char* text = std::getenv(name);
  if (!text) throw UsageError{str_cat("--shard auto: ", scheduler.name, " has no ", name, " here")};
  const auto value = whole_number(text);
  if (!value)
    throw UsageError{str_cat("--shard auto: ", name, " is ", visible(text), ", expected a whole number")};
  return *value;
}

Shard checked(const std::string& whence, std::size_t number, std::size_t count) {
  constexpr std::size_t most = 1'000'000;
  if (number < 1 || number > count || count > most)
    throw UsageError{
        str_cat(whence, ": shard ", number, " of ", count, ", expected 1 to a count of at most ", most)};
  return {number, count};
}

Shard shard_of_environment() {
  std::string all;
  for (const Scheduler& s : schedulers) {
    all += (all.empty() ? "" : ", ") + std::string(s.number);
    if (!std::getenv(s.number)) continue;
    if (s.step && std::getenv(s.step) && variable(s, s.step) != 1 && variable(s, s.count) > 1)
      throw UsageError{str_cat("--shard auto: ", s.step, " is ", variable(s, s.step),
                               ", expected an array of step 1, such as 1-", variable(s, s.count))};
    const std::size_t number = variable(s, s.number), first = s.first ? variable(s, s.first) : 0,
                      count = variable(s, s.count);
    if (s.last && variable(s, s.last) + 1 != first + count)
      throw UsageError{str_cat("--shard auto: ", s.first, " to ", s.last, " is ", first, " to ",
                               variable(s, s.last), " and ", s.count, " ", count,
                               ", expected an array without gaps")};
    if (number < first || number - first >= count)
      throw UsageError{str_cat("--shard auto: ", s.number, " is ", number, ", expected ", first, " to ",
                               first + count - 1, ", as ", s.count, " is ", count)};
    const Shard shard = checked("--shard auto", number - first + 1, count);
    note(str_cat("shard ", shard.number, " of ", shard.count, ", by ", s.name, " (", s.number, ")"));
    return shard;
  }
  throw UsageError{str_cat("--shard auto: the environment has none of ", all, "; --shard I/N says it")};
}

}  // namespace

void add_shard_option(Verb& verb, std::string& shard, const std::string& group) {
  verb.add_option("--shard", shard,
                  "Only part I of N, from 1/N to N/N: every N-th of the list; auto: as Slurm's array, "
                  "Kubernetes' indexed job or MPI numbers this process")
      .type_name("I/N|auto")
      .check([](const std::string& given) { return given.empty() ? shard_forms : std::string(); })
      .group(group);
}

std::optional<Shard> parse_shard(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "auto") return shard_of_environment();
  const std::size_t slash = text.find('/');
  const auto number = whole_number(std::string_view(text).substr(0, slash)),
             count =
                 slash == text.npos ? std::nullopt : whole_number(std::string_view(text).substr(slash + 1));
  if (!number || !count) throw UsageError{str_cat("--shard ", visible(text), ": ", shard_forms)};
  return checked("--shard " + text, *number, *count);
}

}  // namespace atrous::cli
