// Journals of runs (runtime/evaluation/journal.h) as files of lines, and lines that somebody made: their
// checksums fit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "weights_tools/io/file.h"

namespace atrous::journal_testing {

using Json = nlohmann::ordered_json;

inline std::string read_text(const std::string& path) {
  const auto bytes = read_file(path, 1 << 26);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void write_text(const std::string& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text)));
}

// Lines behind the head.
inline std::size_t records_in(const std::string& path) {
  return static_cast<std::size_t>(std::ranges::count(read_text(path), '\n')) - 1;
}

// CRC-32 as ITU-T V.42 defines it, bit by bit.
inline std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
  }
  return ~crc;
}

// An object without its checksum.
inline std::string signed_line(const std::string& object) {
  const std::string rest = object.substr(1);
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", crc32_of(rest));
  return "{\"crc32\":\"" + std::string(digits) + "\"," + rest + '\n';
}

// The same journal, one of its lines changed, from 0.
inline std::string changed_line(const std::string& journal, std::size_t line,
                                const std::function<void(Json&)>& change) {
  std::size_t begin = 0;
  for (; line > 0; --line) begin = journal.find('\n', begin) + 1;
  const std::size_t end = journal.find('\n', begin) + 1;
  Json json = Json::parse(journal.substr(begin, end - begin));
  json.erase("crc32");
  change(json);
  return journal.substr(0, begin) + signed_line(json.dump()) + journal.substr(end);
}

inline std::string last_line(const std::string& journal) {
  return journal.substr(journal.rfind('\n', journal.size() - 2) + 1);
}

}  // namespace atrous::journal_testing
