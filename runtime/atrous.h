// atrous: semantic segmentation from published checkpoints, without a framework.
//
// Basic use:
//
//   atrous::Model model = atrous::load_model("deeplabv3_resnet101_coco-586e9e4e.pth");
//   atrous::Session session(model.program);
//   atrous::Image photo = atrous::read_image_file("dog.jpg");
//   atrous::Segmentation s = atrous::segment(session, model, photo);
//   atrous::write_file("dog.mask.png", atrous::encode_png(atrous::colourise(s.labels, model.palette)));
//   atrous::Image tinted =
//       atrous::overlay(photo, s.labels, model.palette, {.background = model.background});
//
// A Model is immutable and may be shared among threads; each concurrent caller has a Session of its own,
// which owns the memory of a run. The number of threads and a memory limit are options of the Session, and no
// number of threads changes a bit of the result. Where the system refuses threads fewer run, and a forked
// child may go on with its parent's models. A batch that is already normalised, or the single steps (prepare,
// run, label), are in tensors.h; measuring on datasets is in evaluation.h.
//
// Every failure is an atrous::Error with a code and a sentence. The library never prints, exits or aborts.
#pragma once

#include "layers/base/error.h"
#include "runtime/drawing/boxes.h"
#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/engine/open_device.h"
#include "runtime/engine/session.h"
#include "runtime/engine/version.h"
#include "runtime/image/frame_stream.h"
#include "runtime/image/image.h"
#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "runtime/image/y4m.h"
#include "runtime/image/yuv.h"
#include "runtime/instances/detector.h"
#include "runtime/instances/instance_overlay.h"
#include "runtime/segment/model.h"
#include "runtime/segment/named_model.h"
#include "runtime/segment/segmenter.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/png_writer.h"
#include "runtime/tiles/tiled.h"
#include "weights_tools/io/file.h"
