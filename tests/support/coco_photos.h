// Photos as COCO has them, and networks that find instances in them: five classes, one of them no category,
// and six photos, one broken.
#pragma once

#include <string>
#include <vector>

#include "runtime/evaluation/coco_detect.h"
#include "runtime/image/png.h"
#include "tests/support/journal_testing.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::coco_photos {

struct CocoPhotos {
  testing::TemporaryFolder folder;
  std::vector<CocoImage> images;
  const CocoClassMap classes{{std::nullopt, 11, 22, std::nullopt, 44}, false};

  static Model network(const char* name) {
    using namespace atrous::runtime_testing;
    StateDict weights = seeded_state(name, {.classes = 5, .width = 8});
    weights = scaled(weights, "roi_heads.box_predictor.cls_score.weight", 0.3F);
    return make_model(weights, std::nullopt, {.threads = 1});
  }

  CocoPhotos() {
    for (int i = 0; i < 6; ++i) {
      const int width = 40 + 5 * i, height = 60 - 4 * i;
      images.push_back({100 + 3 * i, "p" + std::to_string(i) + ".png", width, height});
      write_file(folder / images.back().file_name,
                 encode_png(runtime_testing::photo(width, height, static_cast<unsigned>(i + 1))));
    }
    journal_testing::write_text(folder / "p2.png", "no picture");
  }

  DetectCocoOptions options() const {
    DetectCocoOptions o;
    o.session.threads = 1;
    o.instances.sides = BoundedSides{48, 80};
    o.instances.score = 0.01F;
    return o;
  }
};

}  // namespace atrous::coco_photos
