#include "layers/cpu/cgroup.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <locale>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace atrous {

namespace {

std::vector<std::string_view> split(std::string_view line, char at) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(at, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::vector<std::string> lines(const std::string& path) {
  std::vector<std::string> all;
  std::ifstream file;
  file.imbue(std::locale::classic());
  file.open(path);
  for (std::string line; std::getline(file, line);) all.push_back(line);
  return all;
}

// The numbers that a file's first line begins with: none of "max".
std::vector<std::int64_t> numbers(const std::string& path) {
  std::vector<std::int64_t> all;
  const auto text = lines(path);
  if (text.empty()) return all;
  for (const std::string_view word : split(text.front(), ' ')) {
    std::int64_t value = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), value).ec != std::errc()) break;
    all.push_back(value);
  }
  return all;
}

void limit_processors(CgroupLimits& limits, std::int64_t quota, std::int64_t period) {
  if (quota > 0 && period > 0)
    limits.processors = std::min(limits.processors, static_cast<double>(quota) / static_cast<double>(period));
}

void limit_memory(CgroupLimits& limits, const std::vector<std::int64_t>& bytes) {
  if (!bytes.empty() && bytes[0] >= 0)
    limits.memory = std::min(limits.memory, static_cast<std::uint64_t>(bytes[0]));
}

// Of one group; a folder has the files of its hierarchy's version and controllers.
void read_group(CgroupLimits& limits, const std::string& folder) {
  if (const auto v2 = numbers(folder + "/cpu.max"); v2.size() == 2) limit_processors(limits, v2[0], v2[1]);
  const auto quota = numbers(folder + "/cpu.cfs_quota_us"), period = numbers(folder + "/cpu.cfs_period_us");
  if (!quota.empty() && !period.empty()) limit_processors(limits, quota[0], period[0]);
  limit_memory(limits, numbers(folder + "/memory.max"));
  limit_memory(limits, numbers(folder + "/memory.limit_in_bytes"));
}

// The process's group in the hierarchy of some controllers (v2: of none), by cgroups(7): lines of
// "number:controllers:path".
std::optional<std::string> group_of(const std::vector<std::string>& groups,
                                    std::span<const std::string_view> options, bool v2) {
  for (const std::string& line : groups) {
    const auto parts = split(line, ':');
    if (parts.size() < 3) continue;
    const auto controllers = split(parts[1], ',');
    const bool is_it = v2 ? parts[1].empty() : std::ranges::any_of(controllers, [&](std::string_view c) {
      return !c.empty() && std::ranges::find(options, c) != options.end();
    });
    if (is_it) return line.substr(parts[0].size() + parts[1].size() + 2);
  }
  return std::nullopt;
}

}  // namespace

// Mounts by proc(5): "36 35 98:0 /what/of/it /where options ... - type source super,options". A container
// sees the part that begins at its own group, under the host's name of that group or under none.
CgroupLimits cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const auto groups = lines(root + "/proc/self/cgroup");
  for (const std::string& line : lines(root + "/proc/self/mountinfo")) {
    const auto words = split(line, ' ');
    const auto dash = std::ranges::find(words, std::string_view("-"));
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const std::string_view type = dash[1];
    if (type != "cgroup" && type != "cgroup2") continue;
    const auto options = split(dash[3], ',');
    const auto group = group_of(groups, options, type == "cgroup2");
    if (!group) continue;

    const std::string_view part = words[3] == "/" ? "" : words[3];
    const std::string mounted = root + std::string(words[4]);
    std::string below = group->starts_with(part) ? group->substr(part.size()) : "";
    while (below.ends_with('/')) below.pop_back();
    for (;;) {
      read_group(limits, mounted + below);
      if (below.empty()) break;
      below.erase(below.rfind('/') == below.npos ? 0 : below.rfind('/'));
    }
  }
  return limits;
}

}  // namespace atrous
