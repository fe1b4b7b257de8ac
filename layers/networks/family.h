// A family of networks: what is known of it beside the weights. README.md here says how to add one.
//
//   state dict -> recognise() of each family -> the one whose telling keys are all there
//              -> its build() -> Network: graph, classes, what was assumed
//
// Everything that lists networks reads families(): recognition, seeded weights, `atrous networks`, `atrous
// fetch`, `atrous bench`, completion and error messages.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/builder.h"
#include "layers/graph/graph.h"
#include "layers/networks/hyper.h"
#include "layers/networks/preparation.h"
#include "layers/networks/task.h"
#include "layers/networks/two_stage.h"

namespace atrous {

// How much of a family a checkpoint shows. Names decide, not values.
struct Evidence {
  std::vector<std::string> found, missing;  // of the keys or modules that tell the family apart
  std::string variant;                      // "deeplabv3_resnet50"; empty unless all are there
  std::vector<std::string> same_keys;       // other variants that have the same keys and another result

  bool complete() const { return missing.empty() && !found.empty(); }
};

// The output stride in a variant's name, 16 in "deeplabv3plus-vainf-resnet50-os16-separable"; 0 where none
// is.
std::int64_t output_stride_in(std::string_view variant);

// Which of `telling` are in the state dict, as keys or as modules.
Evidence look_for(const StateDict&, std::initializer_list<std::string_view> telling);

// Weights that the publisher offers.
struct PublishedCheckpoint {
  std::string_view name;    // of the variant: "deeplabv3_resnet101"
  std::string_view file;    // as published
  std::string_view folder;  // its url without the file, ending in a slash; or by_hand
  int mebibytes;            // about
  double score;             // percent, by the publisher: mean IoU; average precision of instances
  std::string_view data;    // what it was measured on: "COCO val2017, the classes of VOC"
};

// The folder of a file that its publisher offers on a page alone, which no program can ask.
constexpr std::string_view by_hand;

struct Network {
  Graph graph;               // input: as preparation says, [n, h, w, 3]; outputs: logits at 1 / output_stride
  std::string architecture;  // the variant: "deeplabv3_resnet101"
  std::vector<std::string> same_keys = {};  // other variants that have the same keys
  std::string choice = {};                  // why this one of them, in a sentence; empty where it was said
  std::int64_t classes =
      0;  // channels of the logits; one may stand for two classes (runtime/segment/model.h)
  std::int64_t output_stride = 8;
  Preparation preparation = {};  // as the publisher's code does it
  Padding padding = {};
  Answer answer = {};                  // the decision follows from the number of classes
  bool last_is_void = false;           // whether the last class stands for VOC's unlabelled pixels
  bool has_aux = false;                // whether the checkpoint carries an auxiliary head
  std::vector<Hyper::Choice> choices;  // what was assumed or given in place of it
  std::optional<TwoStage> two_stage =
      {};  // of a network whose task is instances; classes counts the background
};

struct ArchName {
  std::string_view arch, variant;  // "FCN8sAtOnce", "fcn8s-atonce-wkentaro"
};

struct ConfigKey {
  std::string_view config, hyper;  // "encoder_output_stride", "os"
};

struct Family {
  std::string_view name;    // what its variants' names begin with, "deeplabv3", and have, "fcn-wkentaro"
  std::string_view title;   // "DeepLabV3"
  std::string_view source;  // paper; the code whose keys these are
  Task task = Task::semantic;

  // The names that seeded weights and --arch variant= may have, those that are listed first.
  std::span<const std::string_view> variants = {};
  // Whether a name that is not listed is one of its variants all the same, as fcn_resnet(1,1,1,1); may be
  // null.
  bool (*is_variant)(std::string_view name) = nullptr;
  std::span<const PublishedCheckpoint> published = {};
  // What checkpoints of the publisher's training code call a variant, under "arch".
  std::span<const ArchName> arch_names = {};
  // The module of an auxiliary head, which is ignored unless it is asked for; empty for none.
  std::string_view auxiliary = {};

  // Under which prefix of a file's names the network stands: the one that a key in `stems` and a key that
  // begins with `head` ("classifier.") have in common; of a key in `stems` alone where there is no `head`.
  // Every checkpoint has one of `stems`. Of two that a name ends in, the longer is meant.
  std::span<const std::string_view> stems = {};
  std::string_view head = {};

  // What libraries write beside the weights in a config.json, and which of the family's hyper says the same.
  std::span<const ConfigKey> config = {};

  Evidence (*recognise)(const StateDict&) = nullptr;
  // Builds the variant: graph, classes, output_stride; and of preparation, padding, answer, last_is_void and
  // two_stage what is not as by default. The caller fills in the rest.
  Network (*build)(Module, std::string_view variant, Hyper&) = nullptr;
};

// Those that this library was built with (ATROUS_FAMILIES), in the order of families.cc.
std::span<const std::reference_wrapper<const Family>> families();

// The family that has a variant of that name; nullptr if none has.
const Family* family_of(std::string_view variant);

// Makes a value of the graph one of its outputs: "out", "aux".
void output(std::string name, Var);

}  // namespace atrous
