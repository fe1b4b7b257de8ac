// What an evaluation found: everything its outputs (table, JSON, CSV, report) show.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "layers/networks/preparation.h"
#include "runtime/metrics/metrics.h"
#include "runtime/segment/test_protocol.h"
#include "runtime/tiles/tiled.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// How many label maps were read otherwise than as indices: runtime/image/label_read.h.
struct LabelForms {
  std::int64_t colours = 0, renumbered = 0, other_order = 0;
  bool operator==(const LabelForms&) const = default;
};

// Of two classes, 255 may be void or the foreground: masks are drawn as 0 and 255. While a run counts labels,
// both readings are kept; which one holds is known when all labels have been seen.
struct BinaryReading {
  bool zeros = false, foreground = false;  // the labels 0 and 255 have been seen; no other has
  ConfusionMatrix confusion{2};            // with 255 as class 1
  ScoreHistogram scores;
  std::vector<ImageScore> images;
  ConfusionMatrix sharpened{2};  // as Sharpened's
};

// The same labels behind a dense CRF.
struct Sharpened {
  CrfParameters crf;
  ConfusionMatrix confusion;
  Metrics metrics() const;
};

struct Evaluation {
  std::string model, architecture;  // the file's name or the model's; "deeplabv3_resnet101"
  std::string dataset;              // "voc, val: 1449 images"
  std::string size;                 // "shorter side 520, labels by nearest", "the photos' own size"
  std::string input;                // what photos become: "RGB of 0 to 1, mean 0.485, ..., std 0.229, ..."
  std::string colours;              // where colours of labels were looked up: "class_dict.csv"
  std::vector<std::string> classes;
  Palette palette;
  ConfusionMatrix confusion;
  ScoreHistogram scores;  // classes = 0 where none were asked for
  std::vector<ImageScore> images;
  std::vector<std::pair<std::string, std::string>> failed;  // name and what was wrong with it
  LabelForms forms;
  std::optional<TestProtocol> protocol;  // where it was asked for
  std::optional<Tiling> tiling;          // likewise
  std::optional<Sharpened> sharpened;    // where it was asked for; all else here is without
  // While the run goes on and 255 may still be the foreground; afterwards `binary_masks` says whether it was.
  std::optional<BinaryReading> binary;
  bool binary_masks = false;
  std::size_t missing = 0;  // images that no state has which was merged
  double seconds = 0;       // of the whole run, wall clock

  // Pixels that were compared, with those left out as void, and the latter.
  std::int64_t all_pixels() const;
  std::int64_t void_pixels() const;
  // No ratios where there is one class alone: every pixel would be right.
  Metrics metrics() const;
};

// What a reader of the numbers must know beside them, a sentence each: how labels were read, classes without
// truth (20 and a count), and that nothing could be wrong, where all pixels are void or there is one class.
std::vector<std::string> notes(const Evaluation&);

}  // namespace atrous
