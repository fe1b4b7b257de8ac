// What `atrous segment` is asked for: its options, and what they come to with a model.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/crf_options.h"
#include "cli/protocol_options.h"
#include "cli/segment_instances.h"
#if ATROUS_HAS_EXPLAIN
#include "cli/segment_layer.h"
#endif
#include "cli/truth.h"
#include "runtime/drawing/pictures.h"
#include "runtime/segment/segmenter.h"

namespace atrous::cli {

struct SegmentArguments {
  RunOptions run;
  std::vector<std::string> inputs;
  std::string output, at = "photo", palette, classes, upsample = "bilinear", cutout, cutout_on, logits, json,
                      probabilities,
                      format,  // empty: PNG, of a stream its own
      shard, resume, pack;     // empty: not given, as always in the minimal program
  TruthOptions truth;
  int center_crop = 0, quality = 0;  // 0: not given
  SizeOptions size;
  NormaliseOptions normalise;
  CrfArguments crf;
  ProtocolArguments protocol;
  InstanceArguments instances;
#if ATROUS_HAS_EXPLAIN
  LayerArguments layer;
#endif
  std::optional<double> threshold;
  bool no_exif = false, aux = false, quiet = false;
  bool mask = false, overlay = false, labels = false, confidence = false, no_mask = false, no_overlay = false;
  bool sheet = false, legend = false, indexed = false;
  bool skip_broken = false, recursive = false;
  bool stream = false;
  OverlayOptions style;
  bool no_contours = false, tint_background = false;
  bool has_masks = true;  // whether the model has: set once it is open

  bool to_stdout() const { return output == "-"; }
  bool prints_table() const {
    return !quiet && !to_stdout() && json != "-" && logits != "-" && probabilities != "-";
  }
  bool wants_mask() const {
    return stream ? mask : to_stdout() ? mask || (!any_picture() && !no_mask) : has_masks && !no_mask;
  }
  bool wants_overlay() const { return stream ? !mask && !labels : to_stdout() ? overlay : !no_overlay; }
  bool writes_jpeg() const { return format == "jpg"; }
  bool any_picture() const {
    return mask || overlay || labels || indexed || sheet || confidence || !cutout.empty();
  }
};

void add_segment_options(Verb&, SegmentArguments&);

// For a model that gives each pixel a class. UsageError for options that contradict each other.
SegmentOptions segment_options(const SegmentArguments&, const Model&);

// UsageError for options that contradict each other, for so many inputs; and, once the model is open, for
// those that a model of the other task has nothing for.
void check(const SegmentArguments&, std::size_t inputs);
void check_task(const SegmentArguments&, const Model&);

// "#ff8000" or "255 128 0". UsageError.
Colour parse_colour(const std::string& option, const std::string& words);

}  // namespace atrous::cli
