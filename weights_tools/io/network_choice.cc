#include "weights_tools/io/network_choice.h"

#include <algorithm>
#include <unordered_set>

#include "layers/base/error.h"
#include "layers/networks/segmentation.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

constexpr std::size_t most_listed = 20;

// A prefix as people write it: without its dot, and "." for none.
std::string shown(std::string_view prefix) {
  return prefix.empty() ? "." : printable(prefix.substr(0, prefix.size() - 1));
}

template <class Range>
std::string list_some(const Range& names, std::size_t count) {
  std::string out;
  std::size_t listed = 0;
  for (const auto& name : names) {
    if (listed == most_listed) break;
    out += (listed++ ? ", " : "") + std::string(name);
  }
  return count > listed ? str_cat(out, " and ", count - listed, " more") : out;
}

std::string list_prefixes(const std::vector<std::string>& prefixes) {
  std::vector<std::string> names;
  for (const std::string& prefix : std::span(prefixes).first(std::min(prefixes.size(), most_listed)))
    names.push_back(shown(prefix));
  return list_some(names, prefixes.size());
}

// A prefix without what wrappers add, and whether it is that of an average (EMA) of the network that has the
// same prefix but for an _ema.
struct Bare {
  std::string prefix;
  bool average = false;
};

Bare bare(std::string_view prefix) {
  Bare out;
  while (!prefix.empty()) {
    const std::size_t end = prefix.find('.');
    const std::string_view part = prefix.substr(0, end);
    prefix.remove_prefix(end + 1);
    if (part == "module" || part == "_orig_mod") continue;
    const bool average = part == "model_ema" || part == "state_dict_ema";
    out.average |= average;
    out.prefix += part.substr(0, average ? part.find("_ema") : part.npos);
    out.prefix += '.';
  }
  return out;
}

NetworkChoice decide(std::vector<std::string> found) {
  if (found.size() == 1) return {std::move(found[0]), {}};
  std::unordered_set<std::string> plain;
  for (const std::string& prefix : found)
    if (const Bare b = bare(prefix); !b.average) plain.insert(b.prefix);
  std::vector<std::string> kept, others;
  for (const std::string& prefix : found) {
    const Bare b = bare(prefix);
    (b.average && plain.contains(b.prefix) ? others : kept).push_back(prefix);
  }
  if (kept.size() > 1)
    fail(ErrorCode::unsupported, "holds ", found.size(), " networks, under ", list_prefixes(found),
         ": choose one by its prefix (--weights PREFIX)");
  return {kept[0], str_cat("holds ", found.size(), " networks: ", shown(kept[0]), " was taken, not ",
                           list_prefixes(others), " (--weights PREFIX takes another)")};
}

NetworkChoice find_asked(std::span<const std::string_view> names, const std::vector<std::string>& found,
                         std::string_view asked) {
  std::string prefix(asked);
  if (prefix == ".") prefix.clear();
  if (!prefix.empty() && !prefix.ends_with('.')) prefix += '.';
  if (std::ranges::find(found, prefix) != found.end()) return {prefix, {}};
  std::vector<std::string> below;
  for (const std::string& p : found)
    if (p.starts_with(prefix)) below.push_back(p);
  if (!below.empty()) return decide(std::move(below));
  if (std::ranges::any_of(names, [&](std::string_view name) { return name.starts_with(prefix); }))
    return {prefix, {}};
  fail(ErrorCode::invalid_argument, "holds nothing under ", shown(prefix),
       found.empty() ? std::string(", and no network that atrous knows")
                     : ", but " + std::string(found.size() == 1 ? "a network" : "networks") + " under " +
                           list_prefixes(found));
}

// `name` up to the first dot behind what it shares with `prefix`.
std::string_view beyond(std::string_view name, std::string_view prefix) {
  const auto differs = std::ranges::mismatch(name, prefix).in1 - name.begin();
  return name.substr(0, name.find('.', static_cast<std::size_t>(differs)));
}

}  // namespace

std::optional<NetworkChoice> choose_network(std::span<const std::string_view> names, std::string_view asked) {
  std::vector<std::string> found = network_prefixes(names);
  if (!asked.empty()) return find_asked(names, found, asked);
  if (found.empty()) return std::nullopt;
  return decide(std::move(found));
}

std::string list_left_out(std::span<const std::string_view> names, std::string_view prefix) {
  std::vector<std::string> first;
  std::unordered_set<std::string_view> known;
  for (const std::string_view name : names)
    if (const auto shortened = beyond(name, prefix);
        known.insert(shortened).second && first.size() < most_listed)
      first.push_back(printable(shortened));
  return list_some(first, known.size());
}

void add_notes(const NetworkChoice& choice, std::span<const std::string_view> left_out, NetworkWeights& out) {
  if (!choice.sentence.empty())
    out.notes.push_back(choice.sentence);
  else if (!choice.prefix.empty())
    out.notes.push_back("took the weights under " + shown(choice.prefix));
  if (const std::string names = list_left_out(left_out, choice.prefix); !names.empty())
    out.notes.push_back("left out " + names);
  out.choice = choice.sentence;
}

std::string_view name_beside(std::string_view name, std::string_view prefix) {
  if (prefix.empty()) return {};
  prefix.remove_suffix(1);
  prefix = prefix.substr(0, prefix.rfind('.') + 1);  // of the module around; npos + 1 is 0
  if (!name.starts_with(prefix)) return {};
  name.remove_prefix(prefix.size());
  return name == "mean" || name == "std" ? name : std::string_view();
}

NetworkWeights take_network(const StateDict& state, std::string_view asked) {
  std::vector<std::string_view> names;
  for (const auto& [name, tensor] : state.entries()) names.push_back(name);
  const auto choice = choose_network(names, asked);
  if (!choice) return {state, {}, {}};
  NetworkWeights out;
  std::vector<std::string_view> left_out;
  for (const auto& [name, tensor] : state.entries()) {
    if (name.size() > choice->prefix.size() && name.starts_with(choice->prefix))
      out.state.add(name.substr(choice->prefix.size()), tensor);
    else if (const std::string_view beside = name_beside(name, choice->prefix); !beside.empty())
      out.beside.add(std::string(beside), tensor);
    else
      left_out.push_back(name);
  }
  add_notes(*choice, left_out, out);
  return out;
}

}  // namespace atrous
