// Built against an installed atrous, by find_package and pkg-config, static and shared: a photo segmented,
// and a data set measured in two shards that are merged.
#include <atrous/atrous.h>
#include <atrous/evaluation.h>
#include <atrous/tensors.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace {

atrous::Image drawn(int number) {
  atrous::Image image = atrous::make_image(64, 48, 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(i * static_cast<std::size_t>(number + 3) / 7);
  return image;
}

bool same(const atrous::Evaluation& a, const atrous::Evaluation& b) {
  const atrous::Metrics first = a.metrics(), second = b.metrics();
  return a.images.size() == b.images.size() && first.mean_iou == second.mean_iou &&
         first.pixel_accuracy == second.pixel_accuracy;
}

// Whether the shards' states give the numbers of the whole.
bool merges(const atrous::Model& model, const std::string& folder) {
  for (const char* part : {"/photos", "/labels"}) std::filesystem::create_directories(folder + part);
  for (int i = 0; i < 5; ++i) {
    const std::string name = "/" + std::to_string(i) + ".png";
    atrous::LabelMap labels{64, 48, std::vector<std::uint8_t>(64 * 48, static_cast<std::uint8_t>(i))};
    atrous::write_file(folder + "/photos" + name, atrous::encode_png(drawn(i)));
    atrous::write_file(folder + "/labels" + name,
                       atrous::encode_png(atrous::Image{64, 48, 1, labels.labels}));
  }
  const atrous::Dataset set =
      atrous::open_dataset("pairs", folder + "/photos", {.labels = folder + "/labels"});
  std::vector<std::string> states;
  for (const std::size_t number : {1, 2}) {
    states.push_back(folder + "/" + std::to_string(number) + ".state");
    atrous::EvaluateOptions options;
    options.shard = {number, 2};
    options.state = states.back();
    atrous::evaluate(model, set, options);
  }
  if (atrous::kind_of_state(states[0]) != "evaluation") return false;
  try {
    atrous::merge_evaluations(std::vector{states[0]}, false);
    return false;  // a shard is missing
  } catch (const atrous::Error&) {
  }
  return same(atrous::merge_evaluations(states, false), atrous::evaluate(model, set));
}

}  // namespace

int main() {
  const atrous::Model model = atrous::load_named_model("seeded:lraspp_mobilenet_v3_large", {},
                                                       [](const std::string& path) { return path; });
  atrous::Session session(model.program);
  const atrous::Segmentation s =
      atrous::segment(session, model, atrous::make_image(64, 48, 3), {.confidence = false});
  std::cout << model.architecture << ' ' << s.labels.width << 'x' << s.labels.height << '\n';
  if (s.labels.width != 64 || s.labels.height != 48) return 1;
  std::string folder = (std::filesystem::temp_directory_path() / "atrous.XXXXXX").string();
  if (!mkdtemp(folder.data())) return 1;
  const bool merged = merges(model, folder);
  std::filesystem::remove_all(folder);
  std::cout << (merged ? "two shards merge to the whole\n" : "two shards are not the whole\n");
  return merged ? 0 : 1;
}
