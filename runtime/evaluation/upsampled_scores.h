// What a network says of every class at every pixel, without ever having all of it in memory.
#pragma once

#include "layers/ops/resize.h"
#include "runtime/metrics/metrics.h"

namespace atrous {

// Adds to the histogram the scores at the truth's size: softmax over the classes of bilinear(logits), grown
// as Session::growth() says. logits: one low-resolution map, [1, h, w, classes], or for two classes [1, h, w,
// 1]: one channel z is that of the logits 0 and z (layers/ops/argmax.h), so that class 1 scores sigmoid(z)
// and the cross-entropy is the binary one. Works in bands of rows, so that a photo of any size takes no more
// than a band of logits. Pixels left out: as ScoreHistogram::add. Bitwise the same every time.
// Error(invalid_argument) for another number of classes or images.
void add_upsampled_scores(ScoreHistogram&, ConstView logits, const Growth&, const LabelMap& truth,
                          int ignore = 255);

// The same of logits that have the truth's size already, by so many threads.
void add_scores(ScoreHistogram&, ConstView logits, const LabelMap& truth, int ignore, int threads);

}  // namespace atrous
