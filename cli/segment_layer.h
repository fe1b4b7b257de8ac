// atrous segment --layer: what a layer of the network computes of a photo, as a picture for people.
#pragma once

#include <string>

#include "cli/verb.h"

namespace atrous::cli {

struct SegmentArguments;

struct LayerArguments {
  std::string name;   // a layer's, as `inspect --explain` prints it, or a word below; empty: not given
  std::string pixel;  // "X,Y" of the photo
  int channels = 0, cells = 0;  // 0: not given

  static constexpr const char *classes = "classes",  // the classes' probabilities
      *aspp = "aspp";                                // the branches of the network's ASPP
};

void add_layer_options(Verb&, LayerArguments&);

// UsageError for options that need --layer where that is not given, and for those of `segment` that it has no
// use for.
void check_layer(const LayerArguments&, const Verb&);

// Writes NAME.layer.png for each photo and says what is to be seen there. Stops at the first photo that
// fails.
int segment_layer(const SegmentArguments&);

}  // namespace atrous::cli
