// What `atrous segment` writes and says of instances: runtime/instances/detector.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/detection_options.h"
#include "cli/inputs.h"
#include "runtime/instances/detector.h"

namespace atrous::cli {

struct InstanceArguments {
  std::string folder;  // for a PNG a mask
  DetectionArguments which;
};
void add_instance_options(Verb&, InstanceArguments&, const std::string& group);

// `size` says the shorter side, or that photos keep theirs. UsageError for an exact one.
InstanceOptions instance_options(const InstanceArguments&, const SizeOptions& size, const Model&,
                                 const Image& photo);

// FOLDER/NAME.01.person.png and so on, white where the instance is; returns the files. Error(io).
std::vector<std::string> write_instances(const std::string& folder, const Input&, const Instances&,
                                         const Model&);

// The photo's number in COCO's results format: its name's, or where that is none, `image`.
std::int64_t image_number(const std::string& path, std::size_t image);

std::string instances_table(const Instances&, const Model&);

}  // namespace atrous::cli
