// .npy tensors. One that is read and written has the same data behind its header, and is read the same again.
#include <cstring>

#include "runtime/image/npy.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

void npy(Bytes input) {
  Tensor tensor;
  may_refuse([&] { read_npy(input, "fuzz.npy"); });
  if (!may_refuse([&] { tensor = read_npy(input, "fuzz.npy", 0); })) return;
  const std::vector<std::byte> written = encode_npy(tensor.view());
  const std::size_t data = tensor.values().size_bytes();
  promise(data <= input.size() && data < written.size(), "a tensor of ", data, " bytes out of ",
          input.size());
  promise(std::ranges::equal(input.last(data), std::span(written).last(data)),
          "the data is written as it was not read");
  const Tensor again = read_npy(written, "fuzz.npy", 0);
  promise(again.shape() == tensor.shape() && std::memcmp(again.data(), tensor.data(), data) == 0,
          "a tensor of ", tensor.shape(), " comes back otherwise");
}

}  // namespace atrous::fuzz
