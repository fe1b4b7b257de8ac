// config.json, which libraries that share models lay beside the weights: how the network was made.
// segmentation_models.pytorch writes (base/hub_mixin.py):
//
//   {"_model_class": "Unet", "encoder_name": "resnet34", "decoder_channels": [256, 128, 64, 32, 16],
//    "classes": 1, "activation": null, ...}
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// Strings as they are; numbers and truth values as JSON writes them; lists of these joined by commas,
// "256,128,64,32,16", as a Hyper has them. Of objects KEY.INNER; nulls and what is deeper are left out.
using Config = std::map<std::string, std::string, std::less<>>;

constexpr std::uint64_t config_limit = std::uint64_t{1} << 20;

// Error(malformed), after `name`: not UTF-8 JSON, no object, over 16 values deep, a key twice or over 1000 of
// them; Error(limit) for more than config_limit bytes.
Config read_config(std::string_view json, std::string_view name);

// The config.json in the folder of a checkpoint; empty where there is none. It is taken for the checkpoint's
// own where that is called as libraries call it, model.safetensors (or its index) or pytorch_model.bin:
// then Errors as read_config(), and Error(io). Beside a file of another name, what cannot be read is not.
Config config_beside(const std::string& checkpoint_path);

}  // namespace atrous
