// atrous segment - --stream: a video on standard input, and as many frames out.
#pragma once

#include "cli/segment_options.h"

namespace atrous::cli {

// Fills in what is not given: frames go to standard output, and to a file in the format that its name ends
// in. UsageError for options that a stream has no use for.
void settle_stream(SegmentArguments&);

// Reads frames (runtime/image/frame_stream.h), segments and writes them, each step in a thread of its own and
// in the frames' order: to standard output, or to a file that appears whole or not at all. Says how many
// there were and how fast, unless quiet. Returns the exit status: 0, or that of a signal. Error for a broken
// frame, which --skip-broken only names, for a stream that cannot be followed, and where nothing can be
// written.
int segment_stream(const SegmentArguments&, const Model&, const SessionOptions&, const OverlayOptions&);

}  // namespace atrous::cli
