#include "weights_tools/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/base/stored_weights.h"
#include "layers/base/tensor.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/safetensors/safetensors_header.h"

namespace atrous {

namespace {

constexpr std::uint64_t length_size = 8;

std::uint64_t read_header_length(const InputFile& file) {
  if (file.size() < length_size)
    fail(ErrorCode::malformed, "a .safetensors file has at least ", length_size, " bytes, this one has ",
         file.size());
  std::array<std::byte, length_size> bytes;
  file.read(0, bytes);
  const auto length = load_little_endian<std::uint64_t>(bytes.data());
  if (length > safetensors_header_limit)
    fail(ErrorCode::limit, "the header has ", length, " bytes, the limit is ", safetensors_header_limit);
  if (length > file.size() - length_size)
    fail(ErrorCode::malformed, "the header has ", length, " bytes, but the file ends after ",
         file.size() - length_size);
  return length;
}

void check_size(const SafetensorsEntry& e) {
  const auto expected = checked_multiply<std::uint64_t>(
      static_cast<std::uint64_t>(checked_product(e.shape, e.name)), size_of(e.dtype), e.name);
  if (e.end < e.begin || e.end - e.begin != expected)
    fail(ErrorCode::malformed, e.name, ": shape ", shape_text(e.shape), " of ", name_of(e.dtype), " needs ",
         expected, " bytes, the offsets ", e.begin, " and ", e.end, " give ",
         static_cast<std::int64_t>(e.end - e.begin));
}

// Every byte of the data belongs to exactly one tensor.
void check_tiling(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size) {
  std::vector<const SafetensorsEntry*> by_offset;
  for (const auto& e : entries) by_offset.push_back(&e);
  std::ranges::sort(by_offset, [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t reached = 0;
  for (const SafetensorsEntry* e : by_offset) {
    if (e->begin != reached)
      fail(ErrorCode::malformed, e->name, ": begins at ", e->begin,
           e->begin < reached ? ", within" : ", leaving a hole after", " the tensor that ends at ", reached);
    reached = e->end;
  }
  if (reached > data_size)
    fail(ErrorCode::malformed, "the tensors have ", reached, " bytes, but the file holds ", data_size,
         " of them");
  if (reached < data_size)
    fail(ErrorCode::malformed, "the file has ", data_size - reached, " bytes after its last tensor");
}

// Of fp32.
class WeightsInFile final : public StoredWeights {
 public:
  WeightsInFile(std::shared_ptr<const InputFile> file, std::uint64_t offset)
      : file_(std::move(file)), offset_(offset) {}
  void read(std::int64_t first, std::span<float> out) const override {
    file_->read(offset_ + static_cast<std::uint64_t>(first) * sizeof(float), std::as_writable_bytes(out));
  }

 private:
  std::shared_ptr<const InputFile> file_;
  std::uint64_t offset_;
};

using Entries = std::span<const SafetensorsEntry>;

// How many of the entries, at least the first, are read at once: small tensors, each behind the one before,
// of which none stays in the file.
template <class Stays>
std::size_t count_together(Entries entries, Stays&& stays) {
  constexpr std::uint64_t most_bytes = 65536;
  const std::uint64_t begin = entries[0].begin;
  std::size_t count = 1;
  for (; count < entries.size(); ++count) {
    const SafetensorsEntry& e = entries[count];
    const bool fits = e.begin == entries[count - 1].end && e.begin < e.end && e.end - begin <= most_bytes &&
                      (e.begin - begin) % size_of(e.dtype) == 0;
    if (!fits || stays(e)) break;
  }
  return count;
}

// Into memory that they share.
void read_together(const InputFile& file, Entries entries, std::uint64_t data_offset, StateDict& state) {
  const SafetensorsEntry &first = entries.front(), &last = entries.back();
  const auto buffer = std::make_shared<Buffer>(checked_cast<std::size_t>(last.end - first.begin, first.name));
  file.read(data_offset + first.begin, {buffer->data(), buffer->size()});
  for (const SafetensorsEntry& e : entries)
    state.add(e.name, {e.dtype, e.shape,
                       std::shared_ptr<const std::byte>(buffer, buffer->data() + (e.begin - first.begin))});
}

// The header's entries and, in the same order, the tensors they describe.
SafetensorsHeader lay_out(const StateDict& state, std::vector<const StateTensor*>& tensors) {
  std::vector<const StateDict::Entry*> order;
  for (const auto& entry : state.entries()) order.push_back(&entry);
  std::ranges::stable_sort(order, std::greater<>{}, [](const auto* e) { return size_of(e->second.dtype); });
  SafetensorsHeader header;
  std::uint64_t offset = 0;
  for (const StateDict::Entry* entry : order) {
    const auto& [name, tensor] = *entry;
    if (name == "__metadata__")
      fail(ErrorCode::invalid_argument, "a tensor named ", name,
           " cannot be written into a .safetensors file");
    const std::uint64_t end = checked_add<std::uint64_t>(offset, tensor.bytes().size(), name);
    header.entries.push_back({name, tensor.dtype, tensor.shape, offset, end});
    tensors.push_back(&tensor);
    offset = end;
  }
  return header;
}

}  // namespace

Safetensors read_safetensors(const InputFile& file, const std::shared_ptr<const InputFile>& kept) try {
  const std::uint64_t header_length = read_header_length(file);
  std::vector<std::byte> json(static_cast<std::size_t>(header_length));
  file.read(length_size, json);
  SafetensorsHeader header = parse_safetensors_header(json);
  json = {};
  for (const auto& e : header.entries) check_size(e);
  const std::uint64_t data_offset = length_size + header_length;
  check_tiling(header.entries, file.size() - data_offset);
  Safetensors out{.state = {}, .metadata = std::move(header.metadata)};
  constexpr std::size_t convolution_rank = 4;
  const auto stays = [&](const SafetensorsEntry& e) {
    return kept && e.dtype == DType::f32 && e.shape.size() == convolution_rank && e.end > e.begin;
  };
  for (Entries left = header.entries; !left.empty();) {
    const SafetensorsEntry& e = left.front();
    std::size_t count = 1;
    if (stays(e)) {
      out.state.add(e.name, {e.dtype, e.shape, nullptr,
                             std::make_shared<const WeightsInFile>(kept, data_offset + e.begin)});
    } else {
      count = count_together(left, stays);
      read_together(file, left.first(count), data_offset, out.state);
    }
    left = left.subspan(count);
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

void write_safetensors(const std::string& path, const StateDict& state,
                       const std::map<std::string, std::string>& metadata) try {
  std::vector<const StateTensor*> tensors;
  SafetensorsHeader header = lay_out(state, tensors);
  header.metadata = metadata;
  std::string json = format_safetensors_header(header);
  json.resize((json.size() + 7) / 8 * 8, ' ');  // so that the data is aligned in the file
  if (json.size() > safetensors_header_limit)
    fail(ErrorCode::limit, path, ": the header has ", json.size(), " bytes, the limit is ",
         safetensors_header_limit);
  const std::uint64_t length = json.size();
  OutputFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(as_bytes(json));
  for (const StateTensor* tensor : tensors) file.write(tensor->bytes());
  file.commit();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
