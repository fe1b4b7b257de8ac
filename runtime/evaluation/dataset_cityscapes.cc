// Cityscapes: a folder for each city, label maps of ids.
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_layouts.h"
#include "runtime/image/class_table.h"

namespace atrous {

namespace {

constexpr int ids = 34;  // 0..33; -1, the licence plate, is 255 where it is stored at all
constexpr std::string_view photo_suffix = "_leftImg8bit", label_suffix = "_gtFine_labelIds";

void map_ids(Dataset& dataset) {
  for (int id = 0; id < ids; ++id) map_void(dataset, id);
  map_void(dataset, 255);
  int train_id = 0;
  for (const CityscapesClass& c : cityscapes_classes()) map_range(dataset, c.id, 1, train_id++);
}

// All cities in one list, so that what is missing is counted over all of them.
void add(Files& all, Files city, const std::string& folder) {
  all.merge(city);
  if (!city.empty())
    fail(ErrorCode::malformed, folder, ": ", city.begin()->first, " is in another city's folder too");
}

}  // namespace

Dataset open_cityscapes(const DatasetRequest& request) {
  std::vector<std::string> classes;
  Palette palette;
  for (const CityscapesClass& c : cityscapes_classes()) {
    classes.emplace_back(c.name);
    palette.push_back(c.colour);
  }
  Dataset dataset = make_dataset(request, classes, palette);
  dataset.set = request.set();
  map_ids(dataset);
  const std::string photos = join(join(request.root, "leftImg8bit"), dataset.set);
  const std::string labels = join(join(request.root, "gtFine"), dataset.set);
  Files photo_files, label_files;
  for (const std::string& city : folders_in(request, photos)) {
    const std::string from = join(photos, city), truth = join(labels, city);
    add(photo_files, files_in(request, from, {".png"}, photo_suffix), from);
    if (is_folder(truth)) add(label_files, files_in(request, truth, {".png"}, label_suffix), truth);
  }
  dataset.samples = pair_up(request, stems(photo_files), photo_files, photos, label_files, labels);
  return dataset;
}

}  // namespace atrous
