#include "layers/cuda/search.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "layers/cuda/queue.h"

namespace atrous::cuda {

namespace {

constexpr std::uintmax_t largest_file = 16 << 20;

// FNV-1a.
std::string checksum(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return std::to_string(hash);
}

std::string line_of(const std::string& key, const Found& found) {
  const std::string line = str_cat(key, '\t', found.choice, '\t', found.milliseconds, '\t');
  return line + checksum(line);
}

// Key and what was found, or nothing for a damaged line.
std::optional<std::pair<std::string, Found>> parse_line(const std::string& line) {
  std::array<std::size_t, 3> tab{};
  std::size_t from = 0;
  for (std::size_t& t : tab) {
    t = line.find('\t', from);
    if (t == std::string::npos) return std::nullopt;
    from = t + 1;
  }
  if (line.substr(from) != checksum(std::string_view(line).substr(0, from))) return std::nullopt;
  Found found{line.substr(tab[0] + 1, tab[1] - tab[0] - 1)};
  const auto [end, error] =
      std::from_chars(line.data() + tab[1] + 1, line.data() + tab[2], found.milliseconds);
  if (error != std::errc() || end != line.data() + tab[2] || !std::isfinite(found.milliseconds))
    return std::nullopt;
  return std::pair(line.substr(0, tab[0]), std::move(found));
}

std::map<std::string, Found> read_searches(const std::string& file) {
  std::map<std::string, Found> searches;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error || bytes > largest_file) return searches;
  std::ifstream in;
  in.imbue(std::locale::classic());
  in.open(file);
  for (std::string line; std::getline(in, line);)
    if (auto parsed = parse_line(line)) searches.insert_or_assign(parsed->first, parsed->second);
  return searches;
}

}  // namespace

std::optional<Found> find_search(const std::string& file, const std::string& key) {
  if (file.empty()) return std::nullopt;
  const auto searches = read_searches(file);
  const auto it = searches.find(key);
  if (it == searches.end()) return std::nullopt;
  return it->second;
}

void keep_search(const std::string& file, const std::string& key, const Found& found) {
  if (file.empty()) return;
  auto searches = read_searches(file);
  searches.insert_or_assign(key, found);
  const std::string beside = str_cat(file, ".", getpid(), ".new");
  std::error_code error;
  {
    std::ofstream out;
    out.imbue(std::locale::classic());
    out.open(beside);
    for (const auto& [k, f] : searches) out << line_of(k, f) << '\n';
    out.close();
    if (!out) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(beside, file, error);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  fail(ErrorCode::io, file, ": cannot keep what was searched: ", error.message());
}

double time_milliseconds(const std::function<void(cudaStream_t)>& enqueue) {
  cudaStream_t created = nullptr;
  check(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  const Stream stream(created);
  const Event start = make_event(), end = make_event();
  const auto timed = [&](const auto& work) {
    check(cudaEventRecord(start.get(), stream.get()), "cudaEventRecord");
    work();
    check(cudaEventRecord(end.get(), stream.get()), "cudaEventRecord");
    return milliseconds_between(start, end);
  };
  const auto once = [&] { enqueue(stream.get()); };
  once();
  // Quick work takes less time than the calls that ask for it: it is recorded, many times in a row.
  const int repeats = timed(once) < 1 ? 16 : 1;
  const auto often = [&] {
    for (int i = 0; i < repeats; ++i) once();
  };
  const GraphExec graph = record(stream.get(), often);
  std::array<double, 3> times{};
  for (double& t : times)
    t = timed([&] {
          if (graph)
            check(cudaGraphLaunch(graph.get(), stream.get()), "cudaGraphLaunch");
          else
            often();
        }) /
        repeats;
  std::ranges::sort(times);
  return times[1];
}

}  // namespace atrous::cuda
