// What the readers of dataset layouts share: listing folders, reading lists of names, and going through a
// table from raw labels to classes. Names in lists come from strangers: they are only ever looked up among
// the files that a folder lists, so that none leads out of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/evaluation/dataset.h"
#include "runtime/evaluation/label_step.h"

namespace atrous {

constexpr int void_label = 255;  // in the truth of every kind

// Where errors say what was looked for.
struct DatasetRequest {
  const DatasetKind& kind;
  const std::string& root;
  const DatasetOptions& options;

  // The set asked for, or `otherwise`. Error(invalid_argument) for one that is no plain name.
  std::string set(std::string_view otherwise = "val") const;
};

// "PATH: no such WHAT (voc: the layout)" as Error(io).
[[noreturn]] void fail_missing(const DatasetRequest&, const std::string& path, std::string_view what);

// One component of a path, of 1 to 255 bytes: no folders, no "..", no control characters.
bool is_plain_name(std::string_view);

bool is_file(const std::string& path);
bool is_folder(const std::string& path);
std::string join(const std::string& folder, std::string_view name);

using Extensions = std::vector<std::string_view>;  // lower case, with the dot
const Extensions& photo_extensions();

// The files of a folder that end in one of `extensions`, by what comes before `suffix` and the extension;
// files without the suffix and ._NAME, which macOS leaves beside NAME, are left out. Case matters in all but
// the extension. Error(io) for a folder that cannot be listed, Error(malformed) for two files of one stem and
// for a name that is not plain.
using Files = std::map<std::string, std::string>;  // stem -> path
Files files_in(const DatasetRequest&, const std::string& folder, const Extensions&,
               std::string_view suffix = {});
// The label maps among them: NAME.png, otherwise NAME.npy, .bmp, .pgm, .ppm or .pnm, of which one may be
// there.
Files labels_in(const DatasetRequest&, const std::string& folder, std::string_view suffix = {});
std::vector<std::string> folders_in(const DatasetRequest&, const std::string& folder);  // sorted names

// The names of a set's list, one a line; empty lines are skipped. Error(malformed) with the line's number
// for one that is not a plain name and for a name listed twice.
std::vector<std::string> read_set(const DatasetRequest&, const std::string& path);

// One sample for each name. `photos` and `labels` were listed in the folders of those names. Error(io) naming
// the first photo or label map that is missing, and how many are.
std::vector<DatasetSample> pair_up(const DatasetRequest&, const std::vector<std::string>& names,
                                   const Files& photos, const std::string& photo_folder, const Files& labels,
                                   const std::string& label_folder);
std::vector<std::string> stems(const Files&);

// The class names that a dataset ships: runtime/evaluation/dataset_classes.h.
std::vector<std::string> read_names_file(const std::string& path, std::size_t classes, int first);

// A dataset without samples, whose table from raw labels to classes is still empty.
Dataset make_dataset(const DatasetRequest&, std::vector<std::string> classes, Palette = {});
void map_range(Dataset&, int first_raw, int count, int first_class);
void map_void(Dataset&, int raw);

// Of read_truth(): the colours that label files are read by, and what raw labels become.
const LabelColours& truth_colours(const Dataset&, const LabelColours& otherwise);
LabelStep lookup_step(const Dataset&);

}  // namespace atrous
