// atrous: semantic segmentation from torchvision checkpoints, without a framework.
//
// Basic use:
//
//   atrous::Model model = atrous::load_model("deeplabv3_resnet101_coco-586e9e4e.pth");
//   atrous::Session session(model.program);
//   atrous::Segmentation s = atrous::segment(session, model, atrous::read_image_file("dog.jpg"));
//   atrous::write_file("dog.mask.png", atrous::encode_png(atrous::colourise(s.labels, model.palette)));
//
// A Model is immutable and may be shared among threads; each concurrent caller has a Session of its own,
// which owns the memory of a run. The number of threads and a memory limit are options of the Session. A
// batch that is already normalised, or the single steps (prepare, run, label), are in runtime/segmenter.h.
//
// Every failure is an atrous::Error with a code and a sentence. The library never prints, exits or aborts.
#pragma once

#include "layers/error.h"
#include "runtime/compare.h"
#include "runtime/dataset.h"
#include "runtime/devices.h"
#include "runtime/evaluate.h"
#include "runtime/image.h"
#include "runtime/image_read.h"
#include "runtime/label_read.h"
#include "runtime/lettering.h"
#include "runtime/metrics.h"
#include "runtime/model.h"
#include "runtime/npy.h"
#include "runtime/palette.h"
#include "runtime/pictures.h"
#include "runtime/png.h"
#include "runtime/report.h"
#include "runtime/segmenter.h"
#include "runtime/self_test.h"
#include "runtime/session.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/file.h"
#include "weights_tools/safetensors.h"
