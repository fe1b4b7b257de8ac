// COCO's instances in VOC's classes.
#include <filesystem>
#include <memory>

#include "layers/base/error.h"
#include "runtime/evaluation/coco_instances.h"
#include "runtime/evaluation/dataset_layouts.h"
#include "runtime/image/palette.h"

namespace atrous {

namespace {

std::string full_set(const DatasetRequest& request) {
  const std::string set = request.set();
  return set == "val" || set == "train" ? set + "2017" : set;
}

// What truth() draws from.
struct Annotations {
  CocoInstances instances;
  std::map<std::string, std::size_t> by_name;  // sample -> image
};

std::vector<DatasetSample> list_samples(const DatasetRequest& request, const std::string& folder,
                                        Annotations& annotations) {
  const Files photos = files_in(request, folder, photo_extensions());
  std::vector<std::string> names;
  Files labels;
  for (std::size_t i = 0; i < annotations.instances.images.size(); ++i) {
    const std::string& file = annotations.instances.images[i].file_name;
    if (!is_plain_name(file))
      fail(ErrorCode::malformed, annotations.instances.path, ": image ", annotations.instances.images[i].id,
           " has a file name that leads elsewhere");
    names.push_back(std::filesystem::path(file).stem().string());
    labels.emplace(names.back(), annotations.instances.path);
    if (!annotations.by_name.emplace(names.back(), i).second)
      fail(ErrorCode::malformed, annotations.instances.path, ": two images are named ", names.back());
  }
  return pair_up(request, names, photos, folder, labels, annotations.instances.path);
}

}  // namespace

Dataset open_coco_voc(const DatasetRequest& request) {
  const std::vector<std::string> classes = voc_classes();
  const int count = static_cast<int>(classes.size());
  Dataset dataset = make_dataset(request, classes, voc_palette(count));
  dataset.set = full_set(request);
  map_range(dataset, 0, count, 0);
  map_void(dataset, 255);

  const std::string list = join(join(request.root, "annotations"), "instances_" + dataset.set + ".json");
  if (!is_file(list)) fail_missing(request, list, "file");
  const std::string beside = join(request.root, dataset.set);
  const std::string photos = is_folder(beside) ? beside : join(join(request.root, "images"), dataset.set);
  if (!is_folder(photos)) fail_missing(request, photos, "folder");
  const auto annotations = std::make_shared<Annotations>();
  annotations->instances = read_coco_instances(list);
  dataset.samples = list_samples(request, photos, *annotations);
  dataset.truth = [annotations](const DatasetSample& sample) {
    const auto found = annotations->by_name.find(sample.name);
    if (found == annotations->by_name.end())
      fail(ErrorCode::invalid_argument, annotations->instances.path, ": has no image ", sample.name);
    return draw_coco_truth(annotations->instances, found->second);
  };
  return dataset;
}

}  // namespace atrous
