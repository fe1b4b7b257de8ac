// A photo in, a label map out: the whole way, and its steps one by one.
//
//   apply()        resize, crop (pillow_resize.h)               photo -> picture of the network's size
//   Session::run   normalise, the network                       picture -> low-resolution logits
//   label()        upsample, argmax or threshold, confidence    logits -> label map of any size
//   full_logits()  upsample alone, as torchvision does          logits -> [n, h, w, Model::logits()]
//
// segment() is the first three in order; a CRF sharpens what labels are taken from, a protocol runs the
// network more than once. prepare() makes the network's input, [1, h, w, 3], which Session::run takes too.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/engine/session.h"
#include "runtime/image/class_share.h"
#include "runtime/image/image.h"
#include "runtime/segment/dense_crf.h"
#include "runtime/segment/model.h"
#include "runtime/segment/test_protocol.h"

namespace ATROUS_PUBLIC atrous {

// How low-resolution logits grow.
enum class Upsampling {
  bilinear,    // align_corners = false: torchvision's
  transposed,  // a transposed convolution with the bilinear kernel (FCN's), by the output stride, cropped at
               // the top left
};

struct SegmentOptions {
  std::optional<ResizeRule> resize = {};  // instead of the model's own
  bool at_input = false;                  // label map at the network's input size, not the photo's
  bool confidence = true;
  bool logits = false;         // keep the logits at the network's input size
  bool probabilities = false;  // keep those of the label map's pixels
  Upsampling upsampling = Upsampling::bilinear;
  std::string output = "out";            // or "aux"
  std::optional<double> threshold = {};  // of a binary network: see threshold_logit() (model.h); none: 0.5
  // Labels and confidence are those of a dense CRF on the network's probabilities and the photo, both at the
  // size of the label map. Its threads are the session's.
  std::optional<CrfParameters> crf = {};
  // The photo at several scales, in tiles, mirrored: labels, confidence and a CRF are of the averaged
  // probabilities.
  std::optional<TestProtocol> protocol = {};
};

struct Segmentation {
  LabelMap labels;
  // 0..1, the label's softmax, of a binary network max(p, 1 - p) of the sigmoid p whatever the threshold;
  // empty unless asked for.
  std::vector<float> confidence;
  Tensor logits;                 // [1, h, w, Model::logits()]; empty unless asked for
  Tensor probabilities;          // [1, height, width, classes] of the label map; empty unless asked for
  std::optional<Image> resized;  // what the label map lies on where that is not the photo as it was given
  int input_height = 0, input_width = 0;  // what the network saw
  double prepare_seconds = 0, network_seconds = 0, label_seconds = 0;
};

// What the segmentation's label map lies on.
inline const Image& picture_under(const Segmentation& s, const Image& photo) {
  return s.resized ? *s.resized : photo;
}

// Error(unsupported) for a model that finds instances, Error(invalid_argument) for a session that runs
// another model's program: its labels would be named and coloured by this model's classes.
void check_runs(const Session&, const Model&);

// The photo at the network's input size, and the same picture normalised.
struct Prepared {
  Image picture;
  Tensor input;
};
Prepared prepare(const Image& photo, const Preparation&, int threads);

// Labels for image n of the session's last run, at height x width. `confidence` may be null. `threshold` as
// threshold_logit() (model.h) gives it. Error(not_finite) as Session::check_finite().
LabelMap label(Session&, std::int64_t n, int height, int width, std::vector<float>* confidence,
               const std::string& output = "out", float threshold = 0);

// The same labels sharpened by a dense CRF on the network's probabilities and `under`, the picture that they
// lie on; `confidence` is then the CRF's. `threshold` is a binary network's as in SegmentOptions. The CRF's
// memory counts against the session's limit. Errors as label() and dense_crf().
LabelMap sharp_label(Session&, const Model&, std::int64_t n, const Image& under, const CrfParameters&,
                     std::vector<float>* confidence, const std::string& output = "out",
                     std::optional<double> threshold = {}, Upsampling = Upsampling::bilinear);

// Labels and confidences of probabilities, 1 x height x width x classes. `threshold` is a binary network's as
// in SegmentOptions, `confidence` may be null.
LabelMap label(const Model&, ConstView probabilities, std::optional<double> threshold,
               std::vector<float>* confidence);

// A dense CRF on probabilities of any source, or logits; Q takes their place. Errors as sharp_label().
void sharpen(Session&, const Image& under, View probabilities, bool logits, const CrfParameters&);

// What sharp_label() takes at that size where a lattice has as many vertices as pixels: to be set aside
// (Session::set_aside) before the run, so that the run leaves room for it.
std::size_t sharp_label_bytes(const Model&, std::int64_t height, std::int64_t width);

// The most probable class of each pixel of 1 x H x W x C, or with a threshold class 1 of two where its
// probability is above that; its probability too unless `confidence` is empty. Error(invalid_argument) unless
// both hold H * W, for a threshold without two classes, and for more classes than a label holds.
void labels_of(ConstView probabilities, std::optional<double> threshold, std::span<std::uint8_t> labels,
               std::span<float> confidence);

// The logits of image n of the session's last run at height x width. Error(not_finite) as label().
Tensor full_logits(Session&, const Model&, std::int64_t n, int height, int width, Upsampling,
                   const std::string& output = "out");

// Error(invalid_argument) for a session that runs another model's program, for an output that the model does
// not have, for a protocol together with logits or transposed upsampling, and as threshold_logit() and
// check(TestProtocol); Error(limit) for sizes and memory: the session's limit counts the copies
// of the photo that are made on the way. Error(not_finite) for logits that are infinite or no numbers. With a
// centre crop, or with at_input, the label map has the network's input size.
Segmentation segment(Session&, const Model&, const Image& photo, const SegmentOptions& = {});

// The same for input that is already normalised, [n, h, w, 3]; one result per image, at the input size,
// without a picture. Error(invalid_argument) for values that are not finite, and for a protocol.
std::vector<Segmentation> segment(Session&, const Model&, ConstView input, const SegmentOptions& = {});

// The same for input that is written where the network reads it (Session::run()).
std::vector<Segmentation> segment(Session&, const Model&, const Shape& input, const HostInput& fill,
                                  const SegmentOptions& = {});

// The classes that occur, the most frequent first.
std::vector<ClassShare> class_shares(const Segmentation&);

// The same of a label map that comes piece by piece.
class ClassShares {
 public:
  // Error(invalid_argument) for another number of confidences than labels, unless there are none.
  void add(std::span<const std::uint8_t> labels, std::span<const float> confidence);
  std::vector<ClassShare> sorted() const;

 private:
  std::array<ClassShare, 256> by_class_{};  // sums, not means
  std::int64_t pixels_ = 0;
};

}  // namespace atrous
