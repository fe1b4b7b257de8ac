// Pickles, and the state dict that a pickle describes. Beyond the common promises: storages are asked for
// once each and with the bytes that the pickle declares, however little of them is used.
#include <unordered_set>

#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/torch/torch_tensors.h"

namespace atrous::fuzz {

namespace {

void read_network(const Pickle& pickle, const std::unordered_map<std::string, StorageDeclaration>& declared,
                  std::string_view asked) {
  constexpr std::uint64_t file_size = 1 << 20;
  std::unordered_set<std::string> read;
  const ReadStorage zeros = [&](const std::string& key, std::uint64_t bytes) {
    promise(read.insert(key).second, "the storage ", key, " is read twice");
    promise(declared.at(key).bytes() == bytes, "the storage ", key, " is read with ", bytes, " bytes");
    if (bytes > file_size) fail(ErrorCode::limit, "a storage of ", bytes, " bytes");
    Buffer buffer(static_cast<std::size_t>(bytes));
    std::fill_n(buffer.data(), buffer.size(), std::byte{});
    return buffer;
  };
  touch(network_from_pickle(pickle, zeros, file_size, asked).state);
}

}  // namespace

void pickle(Bytes input) {
  may_refuse([&] {
    const Pickle pickle = read_pickle(std::vector<std::byte>(input.begin(), input.end()));
    promise(pickle.size <= input.size(), "the pickle ends at ", pickle.size, " of ", input.size());
    const auto declared = storage_declarations(pickle);
    for (const char* asked : {"", "model"}) may_refuse([&] { read_network(pickle, declared, asked); });
  });
}

}  // namespace atrous::fuzz
