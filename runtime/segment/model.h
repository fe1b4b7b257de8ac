// A network with all that is needed to use it: the program, the classes and their colours, the way photos go
// in.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "layers/cpu/isa.h"
#include "layers/graph/precision.h"
#include "layers/networks/hyper.h"
#include "layers/networks/preparation.h"
#include "layers/networks/task.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/config.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

class Device;
struct Program;      // runtime/engine/program.h
struct SecondStage;  // runtime/segment/second_stage.h

struct ModelOptions {
  // The network's in errors about what it computes; load_model() takes the file's. Of variants with the same
  // keys, the one is taken that this names (NetworkOptions::named).
  std::string name = {};
  bool aux = false;  // build the auxiliary head too
  Hyper hyper = {};  // what the weights do not say, in place of the metadata's and the family's
  Isa isa = supported_isas().front();
  std::string force = {};  // an implementation's name, preferred over the usual choice
  // On the processor: fp32, bf16, or int8 for what `atrous convert --int8` calibrated. Empty: int8 of such a
  // checkpoint, otherwise fp32.
  std::optional<Precision> precision = {};
  int threads = 0;  // for packing weights; 0: as many as the process may use
  bool device_layers =
      false;                 // leave out what only the processor's kernels fuse: for comparing with a device
  std::string weights = {};  // the prefix of the network to take from a file of several (LoadOptions)
  std::shared_ptr<Device> device =
      nullptr;         // open_device() (open_device.h); null: the processor. A device has its own force
  Config config = {};  // what the config.json beside the weights says; load_model() reads it itself
  // What the file calls its network (Checkpoint::arch), which decides before the name; load_model() reads it
  // too.
  std::string arch = {};
  // What the module around the network normalises by (Checkpoint::normalisation), in place of the family's;
  // load_model() reads it itself.
  std::optional<Normalisation> normalisation = {};
};

// Immutable once loaded; share it among any number of threads, with one Session each.
struct Model {
  std::string architecture;            // "deeplabv3_resnet101"
  Hyper hyper;                         // as given, by the metadata or the options
  std::vector<Hyper::Choice> choices;  // all that the weights do not say: given or assumed
  std::vector<std::string> classes;    // by index; "class 7" where nothing names it
  Palette palette;                     // as many as classes
  std::optional<int> background;       // the class that overlays leave as the photo is, where there is one
  Preparation preparation;
  std::int64_t output_stride = 8;
  // Of a file that holds several networks, or weights that several networks have: which one this is, in a
  // sentence; empty where it was said.
  std::string choice;
  bool has_aux = false;                    // whether the checkpoint carries an auxiliary head
  std::shared_ptr<const Program> program;  // of two stages the first: layers/networks/two_stage.h
  std::shared_ptr<const SecondStage> second_stage = {};  // null of one stage

  // instances: for Detector (runtime/instances/detector.h). semantic: for segment().
  Task task() const { return second_stage ? Task::instances : Task::semantic; }
  bool has_masks() const;  // false of boxes alone

  // Of all graphs.
  std::size_t packed_bytes() const;

  // How logits become labels. Decision::sigmoid: two classes of one logit.
  const Answer& answer() const;

  // Channels of the logits: one for each class, but for a binary network one for both.
  std::int64_t logits() const;
};

// A network whose head has one channel z is binary: class 1 where sigmoid(z) = 1 / (1 + exp(-z)) is above a
// threshold, by default 0.5, class 0 elsewhere. Returns the logit that the threshold stands for,
// ln(threshold / (1 - threshold)); 0 for none. Error(invalid_argument) for a threshold outside 0..1, both
// left out, or for a model of more logits.
float threshold_logit(const Model&, std::optional<double> threshold);

// The first class whose name holds "background", as VOC's "__background__" does.
std::optional<int> background_by_name(const std::vector<std::string>& classes);

// From a .pth (zip or legacy) or .safetensors file, or a folder with one. What the file's metadata does not
// say is the family's; and the names and colours are those of the dataset that the file's name or the number
// of classes points to (likely_class_table() in runtime/image/class_table.h), of 21 classes VOC's, or "class
// 0", "class 1" and so on in VOC's colours. A head of one channel has the classes background and foreground;
// otherwise the background is the class of that name. Error(io, malformed, unsupported, mismatch) as
// load_checkpoint and build_network.
Model load_model(const std::string& path, const ModelOptions& = {});

// The network compiled into the library (weights_tools/default_model.h): 11 classes of street scenes.
// Error(unsupported) in a build without it.
Model load_default_model(const ModelOptions& = {});

// From a checkpoint in memory. `name` stands for the path in errors.
Model load_model(std::span<const std::byte> file, const std::string& name, const ModelOptions& = {});

// From a state dict already in memory. Moved in, so that its tensors can be released as they are packed.
// Error(mismatch) when the metadata names another network, or another number of classes than the head has;
// Error(unsupported) when the metadata or, without an answer there, the config's "activation" says that each
// of several channels has a sigmoid of its own, or the config another norm than batch norm of eps 1e-5.
// An activation is no part of the weights: the network's output is the logits before it.
Model make_model(StateDict, const std::optional<Metadata>&, const ModelOptions& = {});

}  // namespace atrous
