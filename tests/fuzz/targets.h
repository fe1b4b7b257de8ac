// All fuzz targets. Each is a function of the same name in fuzz_NAME.cc, which says what it promises.
#pragma once

#include <string_view>

#include "tests/fuzz/fuzz.h"

namespace atrous::fuzz {

void caffemodel(Bytes);
void checkpoint(Bytes);
void cli_arguments(Bytes);
void coco_annotations(Bytes);
void coco_results(Bytes);
void coco_state(Bytes);
void convolution(Bytes);
void dataset_lists(Bytes);
void evaluation_state(Bytes);
void frame_stream(Bytes);
void image(Bytes);
void labels(Bytes);
void metadata(Bytes);
void npy(Bytes);
void palette_and_names(Bytes);
void pickle(Bytes);
void png_round_trip(Bytes);
void pth_legacy(Bytes);
void pth_zip(Bytes);
void safetensors(Bytes);
void safetensors_index(Bytes);
void y4m(Bytes);

struct Target {
  std::string_view name;
  void (*run)(Bytes);
};
constexpr Target targets[] = {
    {"caffemodel", caffemodel},
    {"checkpoint", checkpoint},
    {"cli_arguments", cli_arguments},
    {"coco_annotations", coco_annotations},
    {"coco_results", coco_results},
    {"coco_state", coco_state},
    {"convolution", convolution},
    {"dataset_lists", dataset_lists},
    {"evaluation_state", evaluation_state},
    {"frame_stream", frame_stream},
    {"image", image},
    {"labels", labels},
    {"metadata", metadata},
    {"npy", npy},
    {"palette_and_names", palette_and_names},
    {"pickle", pickle},
    {"png_round_trip", png_round_trip},
    {"pth_legacy", pth_legacy},
    {"pth_zip", pth_zip},
    {"safetensors", safetensors},
    {"safetensors_index", safetensors_index},
    {"y4m", y4m},
};

}  // namespace atrous::fuzz
