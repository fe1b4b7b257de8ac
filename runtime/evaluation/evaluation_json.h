// What an evaluation found, for programs.
//
// JSON, with every number to the last digit and null where a ratio does not exist:
//
//   model, architecture, dataset, size,
//   input                                strings
//   seconds                              of the whole run
//   images                               how many were evaluated
//   failed                               [{name, error}]
//   notes                                [sentence]: how labels were read, classes without truth
//   summary                              {pixels, void_pixels, pixel_accuracy, mean_accuracy, mean_iou,
//   mean_dice,
//                                        mean_precision, mean_average_precision, frequency_weighted_iou,
//                                        micro_iou, micro_dice, image_mean_iou, image_mean_dice,
//                                        image_pixel_accuracy, cross_entropy}
//   classes                              [{index, name, iou, dice, precision, recall, average_precision,
//                                        iou_per_image, truth_pixels, predicted_pixels, correct_pixels}]
//   confusion_matrix                     [truth][prediction], pixels
//   per_image                            [{name, width, height, pixels, pixel_accuracy, mean_iou, mean_dice,
//                                        cross_entropy, iou: [{class, iou}], seconds}]
//   protocol                             {style, scales, flip}, with tiles also {base_size, tile_width,
//                                        tile_height, overlap}: where one was asked for
//   tiles                                {tile, overlap}: likewise
#pragma once

#include <string>

#include "layers/base/public.h"
#include "runtime/evaluation/evaluation.h"

namespace ATROUS_PUBLIC atrous {

std::string evaluation_json(const Evaluation&);

}  // namespace atrous
