// Pictures of an evaluation that are seen in tiles: rows are counted as they are made, and neither their
// logits nor, where nobody looks at them, the picture and its labels are in memory at once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/engine/session.h"
#include "runtime/evaluation/evaluate_job.h"
#include "runtime/evaluation/evaluate_setting.h"

namespace atrous {

// Whether a picture of this size is seen in several tiles, and nobody will look at all of its pixels.
bool goes_by_rows(const EvaluateSetting&, PixelSize);

// Where the photo is a large PNG whose rows come as they are, from the top; null for others.
std::unique_ptr<PngFile> png_by_rows(const EvaluateSetting&, const std::string& path);

// The decode thread's, of a picture that goes by rows, once it and its truth are read or opened.
void prepare_rows(const EvaluateSetting&, EvaluateJob&, PixelSize);

// The caller's thread's, of a picture of several tiles: fills EvaluateJob::counted and alone. is_stopped() is
// asked between rows: true abandons the job.
void segment_by_tiles(const EvaluateSetting&, Session&, EvaluateJob&,
                      const std::function<bool()>& is_stopped);

}  // namespace atrous
