// Torch checkpoints from before 1.6: five pickles and the storages behind them.
#include "tests/fuzz/read_tensors.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/torch/pth.h"

namespace atrous::fuzz {

void pth_legacy(Bytes input) {
  may_refuse([&] { touch(read_pth_legacy(InputFile(input, "fuzz.pth")).state); });
}

}  // namespace atrous::fuzz
