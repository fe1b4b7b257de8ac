// A network in 8 bits, from photos that are like those it is for.
//
// The photos run through the network in fp32 once, and a histogram of every map is kept. Then
//   ranges    of each map the one whose quantisation errs least, of several estimates (histogram.h)
//   weights   rounded per output channel, with a correction of what that changes in the mean
//             (quantised_weights.h)
//   channels  of maps between two convolutions are divided, so that small ones are not lost beside large ones
//             (equalise() in runtime/engine/passes.h), where the logits then differ less
//   the rest  where labels then differ from those in fp32 by more than is allowed, the layers that change the
//             logits most, each quantised alone, stay in fp32: as few as suffice
//
// Weights are quantised as the checkpoint has them, batch normalisation beside them as before:
//   KEY              I8 [out, in / groups, kh, kw]   weight[o, ...] = scale[o] * q
//   KEY.scale        F32 [out]
//   KEY.correction   F32 [out], added to the convolution's sums before the batch normalisation
//   KEY.equalisation F32 [in], where channels are divided: weight[o, i, ...] = scale[o] * q / equalisation[i]
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/graph/state_dict.h"
#include "runtime/image/image.h"
#include "runtime/metrics/metrics.h"
#include "runtime/quantisation/histogram.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

struct CalibrationPhotos {
  std::size_t count = 0;
  std::function<Image(std::size_t)> read = {};
};

struct CalibrationOptions {
  double max_loss = 0.015;  // share of the photos' pixels whose label may differ from that in fp32
  int threads = 0;          // as SessionOptions::threads
};

struct CalibrationProgress {
  // "ranges", "equalised ranges", "equalised one by one", "labels", "layers one by one"
  std::string_view doing;
  std::size_t done = 0, all = 0;
  double seconds = 0;  // since this began
};

struct CalibratedLayer {
  std::string name, kind;      // as WeightedLayer
  std::string in_fp32;         // why; empty where the layer is quantised
  std::string input;           // the value that it reads, one of CalibratedValue's
  bool reads_fp32 = true;      // whether its map stays in fp32, and with it the work, if not the weights
  bool equalised = false;      // whether the channels that it reads are divided
  double weight_error = 0;     // QuantisedWeights::relative_error; 0 in fp32
  std::optional<double> loss;  // of the logits with this layer alone quantised, where that was measured: root
                               // of sum (z - z32)^2 / sum z32^2
};

// Maps between which layers only move values have one range, that of all their values together.
struct CalibratedValue {
  std::string name;
  ValueRange seen, range;  // seen: from the lowest to the highest value, zero between them
  Estimator estimator = Estimator::extremes;
  double saturated = 0;                        // share of the map's values beyond the range
  std::array<double, estimators> errors = {};  // quantisation_error of each estimate
};

struct Calibration {
  StateDict state;
  std::map<std::string, ValueRange> activations;  // Metadata::activations
  std::vector<CalibratedLayer> layers;            // all that multiply by weights
  std::vector<CalibratedValue> values;
  std::size_t photos = 0, compared = 0;  // compared: those whose labels were
  ConfusionMatrix agreement;             // truth: labels in fp32
  // How far the photos are from the training's: the difference between the means of what convolutions make
  // and those that batch normalisation kept, in its standard deviations, the median over all channels.
  // 0 without batch normalisation.
  double distance = 0;
  std::vector<std::string> warnings;  // what speaks against the photos, one sentence each
  double loss() const;                // share of the compared pixels with another label
  std::size_t quantised() const;      // layers
};

// The metadata's activations are not read. Error(invalid_argument) without photos; Error(unsupported) for
// networks of instances, and a state dict that is quantised already; those of make_model(), and what reading
// a photo throws.
Calibration calibrate(const StateDict&, const Metadata&, const CalibrationPhotos&,
                      const CalibrationOptions& = {},
                      const std::function<void(const CalibrationProgress&)>& progress = {});

// The smallest number of layers, the worst first, that have to stay in fp32 for loss(number) to be at most
// `allowed`, as far as doubling and then halving finds it where more layers lose less; `layers` where nothing
// less suffices.
std::size_t layers_to_keep(std::size_t layers, double allowed,
                           const std::function<double(std::size_t)>& loss);

}  // namespace atrous
