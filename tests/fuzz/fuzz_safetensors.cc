// .safetensors: the input as a whole file, and as the header of a file whose data is as long as the header
// says. A header that is read comes back the same when it is written and read again.
#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/safetensors/safetensors.h"
#include "weights_tools/safetensors/safetensors_header.h"

namespace atrous::fuzz {

namespace {

void read_tensors(Bytes file) {
  may_refuse([&] { touch(read_safetensors(InputFile(file, "fuzz.safetensors")).state); });
}

bool same(const SafetensorsHeader& a, const SafetensorsHeader& b) {
  return a.metadata == b.metadata &&
         std::ranges::equal(a.entries, b.entries, [](const SafetensorsEntry& x, const SafetensorsEntry& y) {
           return x.name == y.name && x.dtype == y.dtype && x.shape == y.shape && x.begin == y.begin &&
                  x.end == y.end;
         });
}

void read_behind(const SafetensorsHeader& header, Bytes json) {
  constexpr std::uint64_t longest = 1 << 16;
  std::uint64_t data = 0;
  for (const SafetensorsEntry& e : header.entries) data = std::max(data, e.end);
  const std::uint64_t length = json.size();
  const Bytes length_bytes = std::as_bytes(std::span(&length, 1));
  std::vector<std::byte> file(length_bytes.begin(), length_bytes.end());
  file.insert(file.end(), json.begin(), json.end());
  file.resize(file.size() + static_cast<std::size_t>(std::min(data, longest)));
  read_tensors(file);
}

}  // namespace

void safetensors(Bytes input) {
  read_tensors(input);
  SafetensorsHeader header;
  if (!may_refuse([&] { header = parse_safetensors_header(input); })) return;
  const std::string written = format_safetensors_header(header);
  promise(same(parse_safetensors_header(as_bytes(written)), header),
          "the header comes back otherwise: ", written);
  read_behind(header, input);
}

}  // namespace atrous::fuzz
