// Beside atrous.h: the single steps from a photo to a label map, input that is normalised already, logits,
// what ran inside a network, checkpoints as tensors.
#pragma once

#include "layers/base/tensor.h"
#include "runtime/engine/compare.h"
#include "runtime/engine/self_test.h"
#include "runtime/engine/session.h"
#include "runtime/image/npy.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"
