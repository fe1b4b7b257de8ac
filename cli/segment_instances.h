// What `atrous segment` writes and says of instances: runtime/instances/detector.h.
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/detection_options.h"
#include "cli/inputs.h"
#include "runtime/instances/detector.h"
#include "weights_tools/io/json_output.h"

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

// In COCO's results format, with the class's name and the file beside each. `image`: the photo's number where
// its name is none.
std::vector<JsonText> instances_json(const Instances&, const Model&, const Input&, std::size_t image);

std::string instances_table(const Instances&, const Model&);

}  // namespace atrous::cli
