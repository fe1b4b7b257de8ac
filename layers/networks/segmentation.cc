#include "layers/networks/segmentation.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/networks/foreign_networks.h"

namespace atrous {

namespace {

struct Candidate {
  const Family* family;
  Evidence evidence;
};

// The family with most telling keys comes first, one whose keys are all there before others.
std::vector<Candidate> candidates(const StateDict& state) {
  std::vector<Candidate> all;
  for (const Family& family : families()) all.push_back({&family, family.recognise(state)});
  std::ranges::stable_sort(all, [](const Candidate& a, const Candidate& b) {
    return std::pair(a.evidence.complete(), a.evidence.found.size()) >
           std::pair(b.evidence.complete(), b.evidence.found.size());
  });
  return all;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

[[noreturn]] void fail_unknown(const StateDict& state, const std::vector<Candidate>& all) {
  // A family most of whose telling keys are there says more than the signatures, some of which are wide.
  const bool near =
      !all.empty() && all.front().evidence.found.size() >= 3 * all.front().evidence.missing.size();
  const std::string foreign = near ? "" : describe_foreign_network(state);
  if (!foreign.empty()) fail(ErrorCode::unsupported, "looks like ", foreign, ", which atrous does not run");
  const std::size_t most = all.empty() ? 0 : all.front().evidence.found.size();
  std::string nearest;
  for (const Candidate& c : all)
    if (most > 0 && c.evidence.found.size() == most)
      nearest +=
          str_cat(nearest.empty() ? "" : "; ", c.family->title, ", but without ", joined(c.evidence.missing));
  if (most > 0)
    fail(ErrorCode::unsupported, "not a network that atrous knows: with ", joined(all.front().evidence.found),
         " it looks like ", nearest);
  std::string titles;
  for (const Family& family : families()) titles += (titles.empty() ? "" : ", ") + std::string(family.title);
  fail(ErrorCode::unsupported, "not a network that atrous knows: nothing of ", titles, " among ",
       state.size(), " tensors", state.size() == 0 ? "" : ", the first being ",
       state.size() == 0 ? "" : state.entries().front().first);
}

bool is_under(std::string_view key, std::string_view module) {
  return !module.empty() && key.size() > module.size() && key.starts_with(module) &&
         key[module.size()] == '.';
}

// All disagreements in one message, the most telling kind first.
void check(const StateDict& state, const KeyReport& report, const Recognised& is, bool aux_was_read) {
  KeyList wrong;
  for (const KeyList* kind : {&report.misshaped, &report.missing, &report.unusable}) wrong.add_all(*kind);
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state.entries()[i];
    if (!report.read[i] && (aux_was_read || !is_under(name, is.family->auxiliary)))
      wrong.add(name, ": unexpected, ", shape_text(tensor.shape));
  }
  if (!wrong.empty())
    fail(ErrorCode::mismatch, "the checkpoint looks like ", is.variant, " (", is.family->title, ", ",
         report.wanted - report.missing.count(), " of its ", report.wanted,
         " keys are there), but does not fit in ", wrong.count(),
         wrong.count() == 1 ? " key:" : " keys:", wrong.in_lines().c_str());
}

// "fcn8s-atonce_from_caffe.pth" is fcn8s, atonce, from, caffe, pth; in small letters.
std::set<std::string> words_of(std::string_view name) {
  std::set<std::string> words;
  std::string word;
  for (const char c : name) {
    if (is_letter(c) || is_digit(c)) {
      word += lower(c);
      continue;
    }
    words.insert(std::exchange(word, {}));
  }
  words.insert(word);
  words.erase("");
  return words;
}

// The words of a variant that not all of them have.
std::set<std::string> telling_words(std::string_view variant, const std::vector<std::string>& all) {
  std::set<std::string> telling = words_of(variant);
  for (const std::string& word : words_of(variant))
    if (std::ranges::all_of(all, [&](const std::string& v) { return words_of(v).contains(word); }))
      telling.erase(word);
  return telling;
}

// The only one of the variants all of whose telling words are in the name; empty where none or several are.
std::string variant_in(std::string_view name, const std::vector<std::string>& all) {
  const std::set<std::string> words = words_of(name);
  std::string found;
  for (const std::string& variant : all) {
    const std::set<std::string> telling = telling_words(variant, all);
    if (telling.empty() || !std::ranges::includes(words, telling)) continue;
    if (!found.empty()) return "";
    found = variant;
  }
  return found;
}

struct Meant {
  std::string variant, choice;  // as Network's
};

// Which of the variants with these keys is meant. By the hyper variant: its name, or the beginning of that up
// to a hyphen, "fcn8s-atonce" for "fcn8s-atonce-wkentaro"; by os where the variants differ in their output
// strides; else by what a file says of itself, by a name, or the one that is assumed.
Meant variant_of(const Recognised& is, Hyper& hyper, const std::string& named, const std::string& arch) {
  std::vector<std::string> may_be{is.variant};
  may_be.insert(may_be.end(), is.same_keys.begin(), is.same_keys.end());
  const bool by_output_stride = may_be.size() > 1 && std::ranges::any_of(may_be, output_stride_in);
  const std::string* const os = by_output_stride ? hyper.find("os") : nullptr;
  // A name without an output stride is that of the assumed one.
  const auto has_os = [&](const std::string& variant) {
    return !os || output_stride_in(variant) == 0 || str_cat(output_stride_in(variant)) == *os;
  };
  if (hyper.find("variant")) {
    const std::string given = hyper.any("variant", is.variant);
    for (const bool whole : {true, false})
      for (const std::string& variant : may_be)
        if ((whole ? variant == given : variant.starts_with(given + "-")) && has_os(variant))
          return {variant, ""};
    fail(ErrorCode::invalid_argument, "variant: the weights are those of ", joined(may_be), ", not of ",
         given, os ? " with os=" + *os : "");
  }
  if (may_be.size() == 1) return {is.variant, ""};
  const auto choose = [&](const std::string& variant, std::string_view reason) {
    std::string others;
    for (const std::string& other : may_be)
      if (other != variant) others += (others.empty() ? "" : ", ") + other;
    if (!by_output_stride) hyper.any("variant", variant);
    return Meant{variant, str_cat(reason, "taken for ", variant, ", not ", others,
                                  ", which has the same keys (--arch ",
                                  by_output_stride ? "os=" : "variant=", "... takes another)")};
  };
  if (os) {
    const auto found = std::ranges::find_if(
        may_be, [&](const std::string& variant) { return str_cat(output_stride_in(variant)) == *os; });
    return {found == may_be.end() ? is.variant : *found, ""};
  }
  if (std::ranges::find(may_be, named) != may_be.end()) {
    if (!by_output_stride) hyper.any("variant", named);
    return {named, ""};
  }
  for (const ArchName& name : is.family->arch_names)
    if (name.arch == arch && std::ranges::find(may_be, name.variant) != may_be.end())
      return choose(std::string(name.variant), "by the file's arch, " + arch + ", ");
  const std::string found = variant_in(named, may_be);
  return found.empty() ? choose(is.variant, "") : choose(found, "by the file's name ");
}

// The prefixes of names that end in a stem, where a name under `head` has the prefix too, unless `head` is
// empty.
std::vector<std::string> prefixes_of(std::span<const std::string_view> names,
                                     std::span<const std::string_view> stems, std::string_view head) {
  const auto at_component = [](std::string_view name, std::size_t at) {
    return at == 0 || name[at - 1] == '.';
  };
  std::vector<std::string> prefixes;  // of stems, in the order of the names
  for (const std::string_view name : names) {
    std::size_t longest = 0;
    for (const std::string_view stem : stems)
      if (name.ends_with(stem) && at_component(name, name.size() - stem.size()))
        longest = std::max(longest, stem.size());
    if (longest > 0) prefixes.emplace_back(name.substr(0, name.size() - longest));
  }
  std::unordered_map<std::string_view, bool> has_head;
  for (const std::string& prefix : prefixes) has_head.emplace(prefix, head.empty());
  const bool look = !has_head.empty() && !head.empty();
  for (const std::string_view name : look ? names : std::span<const std::string_view>())
    for (std::size_t at = name.find(head); at != name.npos; at = name.find(head, at + head.size()))
      if (const auto found = has_head.find(name.substr(0, at));
          at_component(name, at) && found != has_head.end())
        found->second = true;
  std::vector<std::string> out;
  for (const std::string& prefix : prefixes)
    if (std::exchange(has_head[prefix], false)) out.push_back(prefix);
  return out;
}

Network build(const Family& family, std::string variant, Builder& builder, Hyper& hyper) {
  Network network = family.build(Module(builder), variant, hyper);
  network.architecture = std::move(variant);
  network.graph = std::move(builder.graph);
  network.choices = hyper.choices();
  return network;
}

}  // namespace

Recognised recognise_network(const StateDict& state) try {
  auto all = candidates(state);
  if (all.empty() || !all.front().evidence.complete()) fail_unknown(state, all);
  Evidence& evidence = all.front().evidence;
  return {all.front().family, std::move(evidence.variant), std::move(evidence.same_keys)};
} catch (...) {
  rethrow_as_error();
}

Hyper hyper_of(const StateDict& state, const std::map<std::string, std::string, std::less<>>& config) try {
  if (config.empty()) return {};
  const auto all = candidates(state);
  if (all.empty() || !all.front().evidence.complete()) return {};
  std::string written;
  for (const ConfigKey& key : all.front().family->config)
    if (const auto found = config.find(key.config); found != config.end() && !found->second.empty())
      written += str_cat(written.empty() ? "" : ",", key.hyper, '=', found->second);
  return Hyper(written);
} catch (...) {
  rethrow_as_error();
}

bool is_known_network(const StateDict& state) try {
  return std::ranges::any_of(families(),
                             [&](const Family& family) { return family.recognise(state).complete(); });
} catch (...) {
  rethrow_as_error();
}

std::vector<std::string> network_prefixes(std::span<const std::string_view> names) try {
  struct Telling {
    std::span<const std::string_view> stems;
    std::string_view head;
  };
  std::vector<Telling> all;  // torchvision's families have the same
  for (const Family& family : families())
    if (std::ranges::none_of(all, [&](const Telling& t) {
          return t.head == family.head && std::ranges::equal(t.stems, family.stems);
        }))
      all.push_back({family.stems, family.head});

  std::vector<std::string> found;
  std::set<std::string> seen;  // a file may have a network under thousands of prefixes
  for (const Telling& telling : all)
    for (std::string& prefix : prefixes_of(names, telling.stems, telling.head))
      if (seen.insert(prefix).second) found.push_back(std::move(prefix));
  return found;
} catch (...) {
  rethrow_as_error();
}

Network build_network(const StateDict& state, const NetworkOptions& options) try {
  Recognised is = recognise_network(state);
  Hyper hyper = options.hyper;
  const Meant meant = variant_of(is, hyper, options.named, options.arch);
  std::vector<std::string> same_keys = std::exchange(is.same_keys, {});
  if (meant.variant != is.variant) {
    std::erase(same_keys, meant.variant);
    same_keys.insert(same_keys.begin(), std::exchange(is.variant, meant.variant));
  }
  const bool has_aux = !is.family->auxiliary.empty() && state.has(is.family->auxiliary);
  if (options.aux && !has_aux)
    fail(ErrorCode::unsupported, is.variant, ": this checkpoint has no auxiliary head",
         is.family->auxiliary.empty() ? "" : " (no keys under ", is.family->auxiliary,
         is.family->auxiliary.empty() ? "" : ")");

  Builder builder(state);
  builder.aux = options.aux;
  Network network = build(*is.family, is.variant, builder, hyper);
  hyper.check_all_asked_for(is.variant);
  check(state, builder.report, is, options.aux);
  for (const auto& [name, value] : network.graph.outputs)
    if (const std::int64_t channels = network.graph.values[static_cast<std::size_t>(value)].channels;
        name == "aux" && channels != network.classes)
      fail(ErrorCode::mismatch, "the auxiliary head has ", channels, " classes, the head ", network.classes);
  network.has_aux = has_aux;
  network.same_keys = std::move(same_keys);
  network.choice = meant.choice;
  return network;
} catch (...) {
  rethrow_as_error();
}

PublishedNetwork published_network(std::string_view variant, PublishedShapes shapes, bool aux) {
  const Family* family = family_of(variant);
  if (!family) {
    std::vector<std::string> names;
    for (const Family& f : families()) names.insert(names.end(), f.variants.begin(), f.variants.end());
    fail(ErrorCode::invalid_argument, "no network is called ", variant, ": expected one of ", joined(names));
  }
  return published_network(*family, variant, std::move(shapes), aux);
}

PublishedNetwork published_network(const Family& family, std::string_view variant, PublishedShapes shapes,
                                   bool aux) {
  Builder builder(std::move(shapes));
  builder.aux = aux && !family.auxiliary.empty();
  Hyper hyper;
  Network network = build(family, std::string(variant), builder, hyper);
  if (!builder.report.misshaped.empty())
    fail(ErrorCode::invalid_argument, variant,
         ": the published shapes do not fit each other:", builder.report.misshaped.in_lines().c_str());
  network.has_aux =
      std::ranges::any_of(network.graph.outputs, [](const auto& output) { return output.first == "aux"; });
  return {std::move(network), std::move(builder.published->keys), std::move(builder.published->same_as)};
}

}  // namespace atrous
