// Indices of checkpoints in several .safetensors files. What follows a NUL is the content of every shard. A
// shard is asked for by a plain name only.
#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/safetensors/safetensors_index.h"

namespace atrous::fuzz {

void safetensors_index(Bytes input) {
  const std::size_t end = std::min(as_text(input).find('\0'), input.size());
  const Bytes index = input.first(end), shard = end < input.size() ? input.subspan(end + 1) : Bytes();
  const OpenShard open = [&](const std::string& name) -> std::unique_ptr<InputFile> {
    promise(
        name.find_first_of("/\\") == name.npos && name.ends_with(".safetensors") && !name.starts_with('.'),
        "the shard ", name, " is asked for");
    return shard.empty() ? nullptr : std::make_unique<InputFile>(shard, name);
  };
  may_refuse([&] { parse_safetensors_index(as_text(input)); });
  may_refuse([&] { touch(read_safetensors_shards(InputFile(index, "fuzz.index.json"), open)); });
}

}  // namespace atrous::fuzz
