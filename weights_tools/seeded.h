// Checkpoints out of thin air: a network's state dict with weights that follow from the names of its keys,
// for benchmarks, tests and a first run without a download. The values are in the range of trained ones and
// mean nothing.
//
// The recipe, which any language can repeat: numbers of numpy.random.RandomState(crc32(key)), MT19937 and the
// polar method, drawn in C order in double and rounded to fp32:
//
//   integers                                    0
//   running_var; weight with one dimension      uniform(0.5, 1)
//   scale with one dimension                    uniform(-0.02, 0)
//   anything else with one dimension            normal * 0.1
//   two or more dimensions                      normal * sqrt(2 / (product of all but the first))
//
// Of two keys that stand for one tensor, as in jfzhang95's MobileNetV2, the first gives the numbers of both.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "layers/graph/state_dict.h"

namespace atrous {

struct SeededOptions {
  std::int64_t classes = 0;  // 0: as published
  std::int64_t width = 64;   // of 64: at 32 every layer has half the published channels, 4 to 256
  bool aux = true;           // with the auxiliary head, where the published checkpoints have it
};

// architecture: a variant's name (layers/networks/family.h). The same arguments give the same bytes on every
// machine. Error(invalid_argument) for other names and sizes.
StateDict seeded_state(std::string_view architecture, const SeededOptions& = {});

// The recipe for one key.
StateTensor seeded_tensor(std::string_view key, DType, const std::vector<std::int64_t>& shape);

}  // namespace atrous
