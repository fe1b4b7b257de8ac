// Beside atrous.h: models measured on datasets, reports of that, calibration for 8 bits.
//
//   atrous::Dataset set = atrous::open_dataset("voc", "VOC2012");
//   atrous::Evaluation e = atrous::evaluate(model, set);
//   double mean_iou = e.metrics().mean_iou.value_or(0);
//
// On several machines, EvaluateOptions::shard and state, and merge_evaluations() of the states.
#pragma once

#include "runtime/evaluation/coco_detect.h"
#include "runtime/evaluation/coco_detection.h"
#include "runtime/evaluation/coco_evaluation.h"
#include "runtime/evaluation/dataset.h"
#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/evaluation_json.h"
#include "runtime/evaluation/merge.h"
#include "runtime/image/label_read.h"
#include "runtime/metrics/metrics.h"
#include "runtime/quantisation/calibrate.h"
#include "runtime/report/detection_report.h"
#include "runtime/report/report.h"
