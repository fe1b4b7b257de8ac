// One function for each layout; runtime/evaluation/dataset.h says what each is. They leave to open_dataset()
// what all share: refusing no samples and names that occur twice, label palettes and the truth by way of
// label files.
#pragma once

#include "runtime/evaluation/dataset_files.h"

namespace atrous {

Dataset open_voc(const DatasetRequest&);
Dataset open_pascal_context(const DatasetRequest&);
Dataset open_pascal_context_60(const DatasetRequest&);
Dataset open_camvid(const DatasetRequest&);
Dataset open_cityscapes(const DatasetRequest&);
Dataset open_ade20k(const DatasetRequest&);
Dataset open_coco_stuff(const DatasetRequest&);
Dataset open_coco_voc(const DatasetRequest&);
Dataset open_pairs(const DatasetRequest&);

}  // namespace atrous
