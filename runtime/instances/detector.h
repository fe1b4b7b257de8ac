// A photo in, instances out: a network of two stages from its first to its last step (Faster R-CNN, Mask
// R-CNN).
//
//   prepare_bounded()   normalise, then resize                      photo -> [1, h, w, 3]
//   Detector            trunk -> proposals.h -> RoIAlign -> box head -> detections.h -> RoIAlign -> mask head
//   Instances           boxes in the photo, scores, classes, small masks
//   pasted_mask()       a small mask laid into the photo
//
// As torchvision 0.14 has them: GeneralizedRCNN in models/detection/generalized_rcnn.py, transform.py,
// roi_heads.py.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/engine/session.h"
#include "runtime/image/image.h"
#include "runtime/instances/boxes.h"
#include "runtime/segment/model.h"

namespace ATROUS_PUBLIC atrous {

struct Detection;
struct DetectorTrace;  // runtime/instances/detector_trace.h
struct Proposal;

// What a caller may ask for in place of what the model says (TwoStage, layers/networks/two_stage.h).
struct InstanceOptions {
  std::optional<float> score = {};              // a detection's is above; 0 to below 1
  std::optional<float> threshold = {};          // of the suppression within a class: IoU 0 to 1
  std::optional<std::int64_t> detections = {};  // of a picture, at most
  std::optional<BoundedSides> sides = {};
};

struct Instance {
  Box box;  // in the photo's pixels
  float score = 0;
  int label = 0;  // index in Model::classes, never 0
  std::vector<float> mask =
      {};  // probabilities, mask_side a row, over the box; empty where the network has none
};

// By falling score.
struct Instances {
  int width = 0, height = 0;  // of the photo
  std::int64_t mask_side = 0;
  std::vector<Instance> found = {};
  int input_height = 0, input_width = 0;  // what the network saw, without padding
  std::int64_t macs = 0;                  // of the direct algorithm, in all graphs
  double prepare_seconds = 0, trunk_seconds = 0, head_seconds = 0;
};

// A model's graphs, one by one, with an input as each takes it where the photo is height x width: a model of
// one stage has one, [1, height, width, 3]. For comparing and timing them.
struct Stage {
  std::shared_ptr<const Program> program;
  Shape input;
};
std::vector<Stage> stages_of(const Model&, std::int64_t height, std::int64_t width);

// The size in the network: layers/networks/two_stage.h. At least one pixel a side. Error(invalid_argument)
// for a picture without pixels or sides below 1.
Extent bounded_extent(const BoundedSides&, Extent picture);

// What a rule for label maps means here: the picture's own sides, or another shorter side and the longer
// one's bound in proportion. Error(invalid_argument) for an exact size, which would bend the picture.
BoundedSides bounded_sides(const ResizeRule&, const BoundedSides& usual, int width, int height);

// "shorter side 800, longer side at most 1333"
std::string in_words(const BoundedSides&);

// The photo normalised, then resized bilinearly without antialiasing (half-pixel centres, held at the
// border), [1, h, w, 3]: torchvision's GeneralizedRCNNTransform. A row at a time, on `threads` threads.
Tensor prepare_bounded(const Image& photo, const Preparation&, Extent size, int threads);

// The sessions of a model's graphs. Not for two threads at once; the model may be shared by many.
class Detector {
 public:
  // Error(invalid_argument) for a model whose task is not instances. The memory limit is for all graphs and
  // what lies between them together.
  explicit Detector(const Model&, const SessionOptions& = {});

  // Errors as Session::run(); Error(invalid_argument) for options outside their ranges, Error(not_finite)
  // where a network's values are no numbers.
  Instances detect(const Image& photo, const InstanceOptions& = {}, DetectorTrace* trace = nullptr);

  const Session& trunk() const { return trunk_; }
  std::size_t memory_bytes() const;  // weights and what all sessions hold

 private:
  std::size_t heads_bytes();
  void run_on_regions(Session& head, const Shape& input, std::span<const Box> regions, std::int64_t cells,
                      bool keep_pooled);
  void run_box_head(std::span<const Proposal>, Tensor& classes, Tensor& deltas, DetectorTrace*);
  void run_mask_head(std::span<const Detection>, Instances&);

  const Model* model_;
  Session trunk_;
  std::optional<Session> box_maps_, box_head_, mask_head_;
  std::int64_t macs_ = 0;
  Tensor pooled_;  // the regions of a share, kept for the next; on a device only where they are asked for
};

// The part of the photo that an instance's mask touches, [top, top + size.h) x [left, left + size.w), and its
// probabilities there, row by row; elsewhere they are 0. Error(invalid_argument) for an instance without a
// mask.
struct PastedPart {
  std::int64_t left = 0, top = 0;
  Extent size;
  std::vector<float> probability;
};
PastedPart pasted_part(const Instances&, std::size_t index);

// Where the instance's probability is at least `threshold`, which is above 0, `value` is written into the map
// of the photo's size. torchvision's documentation takes 0.5. Error(invalid_argument) as pasted_part() and
// for a map of another size.
void paint_instance(const Instances&, std::size_t index, std::uint8_t value, LabelMap&,
                    float threshold = 0.5F);

// The same of an empty map, 1 where the instance is: width * height, row by row.
std::vector<std::uint8_t> pasted_mask(const Instances&, std::size_t index, float threshold = 0.5F);

// The same as COCO's run lengths (coco_mask.h).
std::vector<std::uint32_t> pasted_runs(const Instances&, std::size_t index, float threshold = 0.5F);

// The classes of the instances, painted from the lowest score to the highest; 0 elsewhere.
LabelMap painted_labels(const Instances&, float threshold = 0.5F);

}  // namespace atrous
