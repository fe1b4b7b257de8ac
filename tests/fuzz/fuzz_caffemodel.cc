// .caffemodel: the input as a whole file. Its tensors have no more than twice its bytes: a BatchNorm without
// a Scale gets ones and zeros as long as its mean and variance.
#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/caffe/caffemodel.h"

namespace atrous::fuzz {

void caffemodel(Bytes input) {
  const InputFile file(input, "fuzz.caffemodel");
  looks_like_caffemodel(file);
  StateDict state;
  if (!may_refuse([&] { state = read_caffemodel(file); })) return;
  touch(state);
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : state.entries()) bytes += tensor.bytes().size();
  promise(bytes <= 2 * input.size(), "tensors of ", bytes, " bytes out of ", input.size());
}

}  // namespace atrous::fuzz
