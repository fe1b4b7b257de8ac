#include "weights_tools/download/download.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "layers/base/error.h"
#include "weights_tools/download/curl.h"
#include "weights_tools/download/part_file.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

struct Job {
  const std::string& url;
  const std::string& destination;
  std::string_view prefix;
  const DownloadOptions& options;

  std::string file() const { return printable(std::filesystem::path(destination).filename().string()); }
  std::string by_hand() const { return str_cat("download ", url, " elsewhere and put it at ", destination); }
};

std::string_view authority_of(std::string_view url) {
  const auto begin = url.find("://") + 3;
  return url.substr(begin, url.find_first_of("/?#", begin) - begin);
}

void check_prefix(std::string_view prefix) {
  if (prefix.empty()) return;
  if (prefix.size() < 8 || prefix.size() > 64 ||
      prefix.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    fail(ErrorCode::invalid_argument, "sha256 ", printable(prefix),
         ": expected 8 to 64 lower-case hex digits");
}

// The sha256 of the file if it is there and right.
std::optional<std::string> finished(const Job& job) {
  std::error_code ignored;
  if (!std::filesystem::exists(job.destination, ignored)) return std::nullopt;
  const std::string sha256 = sha256_of_file(job.destination);
  if (!sha256.starts_with(job.prefix)) return std::nullopt;
  return sha256;
}

// Fills the part file from wherever it ends.
class Transfer {
 public:
  Transfer(const Job& job, PartFile& part) : job_(job), part_(part) {}

  // Whether all bytes of the file are of this transfer.
  bool run() {
    if (!attempt()) {
      part_.clear();
      attempt();
    }
    return whole_;
  }

 private:
  // False when the server cannot go on from where the part ends.
  bool attempt() {
    from_ = part_.size();
    whole_ = from_ == 0;
    total_ = 0;
    started_ = false;
    const CurlRequest request{job_.url, from_, job_.options.curl, job_.options.connect_seconds,
                              job_.options.stall_seconds};
    CurlOutcome outcome;
    try {
      outcome = run_curl(request, {[this](const HttpHead& head) { return begin(head); },
                                   [this](auto bytes) { take(bytes); }, [this] { report(); }});
    } catch (const Error& error) {
      if (started_) throw;
      const bool not_run = error.code() == ErrorCode::io;
      fail(error.code(), job_.file(), ": ", error.what(), not_run ? "; is it installed? If not, " : "; ",
           job_.by_hand());
    }
    if (outcome.stopped) return refused(outcome.head);
    if (outcome.exit_code != 0 || !started_ || (total_ > 0 && part_.size() != total_)) broken(outcome);
    report();
    return true;
  }

  // Whether the answer is the file, or the rest of it.
  bool begin(const HttpHead& head) {
    started_ = true;
    const bool is_rest = head.status == 206 && from_ > 0 && head.range_first == from_;
    if (head.status != 200 && !is_rest) return false;
    if (head.status == 200 && from_ > 0) {  // the server gives all of it or nothing
      part_.clear();
      from_ = 0;
      whole_ = true;
    }
    total_ = head.status == 200 ? head.length.value_or(0) : head.range_total.value_or(0);
    if (total_ > job_.options.most_bytes) too_large(total_);
    report();
    return true;
  }

  void take(std::span<const std::byte> bytes) {
    if (bytes.size() > job_.options.most_bytes - std::min(part_.size(), job_.options.most_bytes))
      too_large(part_.size() + bytes.size());
    part_.append(bytes);
  }

  void report() const {
    if (job_.options.progress && started_) job_.options.progress(part_.size(), total_);
  }

  [[noreturn]] void too_large(std::uint64_t bytes) {
    part_.clear();
    fail(ErrorCode::limit, job_.url, ": has ", bytes, " bytes or more, and the limit is ",
         job_.options.most_bytes);
  }

  // An answer that holds nothing for us: false where asking for the whole file may help.
  bool refused(const HttpHead& head) {
    if (from_ > 0 && head.status == 416 && head.range_total == from_) {
      total_ = from_;
      return true;  // all of it had arrived before
    }
    if (from_ > 0 && (head.status == 416 || head.status == 206)) return false;
    if (head.status == 404 || head.status == 410)
      fail(ErrorCode::io, job_.url, ": the server has no such file (it answered ", head.status, ")");
    fail(ErrorCode::io, job_.url, ": the server answered ", head.status, " where 200 was expected");
  }

  [[noreturn]] void broken(const CurlOutcome& outcome) {
    constexpr int unsupported_protocol = 1;
    const std::string words = !outcome.said.empty() ? outcome.said
                              : outcome.exit_code == 0
                                  ? "it ended too early"
                                  : str_cat("curl ended with status ", outcome.exit_code);
    if (outcome.head.redirects && outcome.exit_code == unsupported_protocol)
      fail(ErrorCode::io, job_.url, ": the server redirects to an address that is not ",
           job_.url.starts_with("https://") ? "https" : "http or https", " (", words, ")");
    if (!started_)
      fail(ErrorCode::io, job_.file(), ": cannot fetch it from ", authority_of(job_.url), " (", words, "); ",
           "if there is no connection, ", job_.by_hand());
    const std::string all = total_ > 0 ? str_cat(total_) : "an unknown number of";
    const std::string next = job_.prefix.empty() ? "without a sha256 to check, it has to start over"
                                                 : "what arrived is kept, and fetching it again resumes";
    fail(ErrorCode::io, job_.file(), ": the download from ", authority_of(job_.url), " broke off after ",
         part_.size(), " of ", all, " bytes (", words, "); ", next);
  }

  const Job& job_;
  PartFile& part_;
  std::uint64_t from_ = 0, total_ = 0;
  bool whole_ = true;
  bool started_ = false;  // an answer has come
};

// Until the sha256 is right: a part of a former download may belong to another file, so it has a second try.
std::string download(const Job& job, PartFile& part) {
  for (;;) {
    const bool whole = Transfer(job, part).run();
    std::string sha256 = part.sha256();
    if (sha256.starts_with(job.prefix)) return sha256;
    part.clear();
    if (whole)
      fail(ErrorCode::malformed, job.file(), ": its sha256 should begin with ", job.prefix, ", but what ",
           job.url, " gave has ", sha256);
  }
}

}  // namespace

void check_url(const std::string& url) {
  constexpr std::size_t longest = 2000;
  const auto refuse = [&](std::string_view why) {
    fail(ErrorCode::invalid_argument, "url ", printable(url), ": ", why);
  };
  if (!url.starts_with("https://") && !url.starts_with("http://"))
    refuse("expected one that begins with https:// or http://");
  if (!std::ranges::all_of(url, [](char c) { return c > 0x20 && c < 0x7f; }))
    refuse("expected printable ASCII without spaces");
  if (url.size() > longest) refuse(str_cat("has ", url.size(), " characters, more than ", longest));
  const auto authority = authority_of(url);
  if (authority.empty()) refuse("names no host");
  if (authority.find('@') != std::string_view::npos) refuse("user names and passwords are not taken");
}

std::string file_name_in_url(std::string_view url) {
  constexpr std::size_t longest = 200;
  const auto scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("?#"));
  const auto slash = url.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view name = url.substr(slash + 1);
  const bool usable = std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f && c != '\\'; });
  if (name.empty() || name.size() > longest || name[0] == '.' || name[0] == '-' || !usable) return {};
  return std::string(name);
}

Fetched fetch(const std::string& url, const std::string& destination, std::string_view sha256_prefix,
              const DownloadOptions& options) {
  check_url(url);
  check_prefix(sha256_prefix);
  const Job job{url, destination, sha256_prefix, options};
  // Before the part file, so that a folder that cannot be written to serves what it has.
  if (!options.force)
    if (auto sha256 = finished(job)) return {std::move(*sha256), false};
  bool waited = false;
  PartFile part(destination + ".part", [&] {
    waited = true;
    if (options.waiting) options.waiting();
  });
  // Once more: another process may have finished in the meantime.
  if (!options.force || waited)
    if (auto sha256 = finished(job)) return {std::move(*sha256), false};
  // Nothing would tell whether a former part belongs to this file.
  if (sha256_prefix.empty() || part.size() > options.most_bytes) part.clear();
  std::string sha256;
  try {
    sha256 = download(job, part);
  } catch (...) {
    if (sha256_prefix.empty()) part.clear();
    throw;
  }
  part.commit(destination);
  return {std::move(sha256), true};
}

}  // namespace atrous
