// Torch checkpoints since 1.6: a zip archive around a pickle and its storages. Read as they are, and with
// their checksums put right, since no mutation gets past a CRC-32 by itself.
#include <libdeflate.h>

#include <cstring>
#include <vector>

#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/torch/pth.h"

namespace atrous::fuzz {

namespace {

constexpr std::string_view central_signature = "PK\1\2";
constexpr std::size_t central_size = 46, local_size = 30;

// The number of sizeof(T) bytes at `at`, or 0 beyond the end.
template <class T>
std::uint64_t number(const std::vector<std::byte>& file, std::uint64_t at) {
  return at + sizeof(T) <= file.size() ? load_little_endian<T>(file.data() + at) : 0;
}

void put(std::vector<std::byte>& file, std::uint64_t at, std::uint32_t value) {
  if (at + sizeof value <= file.size()) std::memcpy(file.data() + at, &value, sizeof value);
}

// For every header of the central directory, wherever it stands: the CRC of what it points to. Few of them,
// so that a file of nothing but headers does not cost its square.
std::vector<std::byte> with_right_entry_checksums(Bytes input) {
  std::vector<std::byte> file(input.begin(), input.end());
  const std::string_view text = as_text(file);
  int left = 32;
  for (std::size_t at = text.find(central_signature); at != text.npos && left-- > 0;
       at = text.find(central_signature, at + central_size)) {
    const std::uint64_t size = number<std::uint32_t>(file, at + 24),
                        local = number<std::uint32_t>(file, at + 42);
    const std::uint64_t data = local + local_size + number<std::uint16_t>(file, local + 26) +
                               number<std::uint16_t>(file, local + 28);
    if (data > file.size() || size > file.size() - data) continue;
    const std::uint32_t crc = libdeflate_crc32(0, file.data() + data, static_cast<std::size_t>(size));
    put(file, at + 16, crc);
    const bool descriptor = number<std::uint16_t>(file, local + 6) & 8;
    if (!descriptor) put(file, local + 14, crc);
  }
  return file;
}

void read_archive(Bytes file) {
  may_refuse([&] { touch(read_pth_zip(InputFile(file, "fuzz.pth")).state); });
}

}  // namespace

void pth_zip(Bytes input) {
  read_archive(input);
  read_archive(with_right_entry_checksums(input));
}

}  // namespace atrous::fuzz
