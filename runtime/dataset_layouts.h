// One function for each layout; runtime/dataset.h says what each is. They leave the checks that all share
// (no samples, names that occur twice) to open_dataset().
#pragma once

#include "runtime/dataset_files.h"

namespace atrous {

Dataset open_voc(const DatasetRequest&);
Dataset open_camvid(const DatasetRequest&);
Dataset open_pairs(const DatasetRequest&);

}  // namespace atrous
