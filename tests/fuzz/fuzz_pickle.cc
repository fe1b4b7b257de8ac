// Pickles, and the state dict that a pickle describes. Beyond the common promises: storages are asked for
// once each and with the bytes that the pickle declares, however little of them is used.
#include <unordered_set>

#include "tests/fuzz/state.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/torch/torch_tensors.h"

namespace atrous::fuzz {

void pickle(Bytes input) {
  may_refuse([&] {
    const Pickle pickle = read_pickle(std::vector<std::byte>(input.begin(), input.end()));
    promise(pickle.size <= input.size(), "the pickle ends at ", pickle.size, " of ", input.size());
    const auto declared = storage_declarations(pickle);
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
    std::vector<std::string> notes;
    touch(state_dict_from_pickle(pickle, zeros, file_size, notes));
  });
}

}  // namespace atrous::fuzz
