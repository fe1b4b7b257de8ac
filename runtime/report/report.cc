#include "runtime/report/report.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image_read.h"
#include "runtime/image/png.h"
#include "runtime/report/report_data.h"
#include "runtime/report/report_files.h"
#include "runtime/report/report_page.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

// Right, wrong and void pixels of the error map. They differ in lightness, not only in hue: told apart
// whatever one's colour vision, and on grey paper. The page's legend (page.css) has the same colours.
const Palette error_palette{{236, 240, 243}, {204, 51, 17}, {170, 175, 180}};
constexpr Colour void_colour{232, 232, 232}, nameless_colour{128, 128, 128};

// The palette with a colour for every label there can be, and one for void.
Palette whole_palette(Palette palette, int ignore) {
  palette.resize(256, nameless_colour);
  if (ignore >= 0 && ignore < 256) palette[static_cast<std::size_t>(ignore)] = void_colour;
  return palette;
}

LabelMap error_map(const LabelMap& truth, const LabelMap& prediction, int ignore) {
  LabelMap errors{truth.width, truth.height, {}};
  errors.labels.resize(truth.labels.size());
  for (std::size_t i = 0; i < truth.labels.size(); ++i)
    errors.labels[i] = truth.labels[i] == ignore ? 2 : truth.labels[i] != prediction.labels[i];
  return errors;
}

ReportPictures picture_paths(const std::string& image_name, std::string_view photo_extension) {
  const std::string stem = "images/" + picture_stem(image_name);
  return {.photo = str_cat(stem, "-photo", photo_extension),
          .truth = stem + "-truth.png",
          .prediction = stem + "-prediction.png",
          .errors = stem + "-errors.png"};
}

// Of a picture that write_file() has written.
std::pair<int, int> size_in_head(const std::string& path) {
  constexpr std::uint64_t most = 64;
  const InputFile file(path);
  std::vector<std::byte> head(static_cast<std::size_t>(std::min(file.size(), most)));
  file.read(0, head);
  return picture_size(head, path);
}

// The pictures of an image that are there already; the error map is the last to be written.
ReportPictures find_pictures(const std::string& folder, const std::string& image_name) {
  for (const std::string_view extension : {".jpg", ".png"}) {
    ReportPictures paths = picture_paths(image_name, extension);
    const auto exists = [&](const std::string& path) {
      std::error_code ignored;
      return std::filesystem::is_regular_file(folder + '/' + path, ignored);
    };
    if (!exists(paths.photo) || !exists(paths.truth) || !exists(paths.prediction) || !exists(paths.errors))
      continue;
    try {
      std::tie(paths.width, paths.height) = size_in_head(folder + '/' + paths.truth);
    } catch (const Error& error) {  // somebody else's file: no picture of ours
      if (error.code() != ErrorCode::malformed && error.code() != ErrorCode::unsupported) throw;
      continue;
    }
    return paths;
  }
  return {};
}

}  // namespace

Report::Report(std::string folder, Palette palette) try
    : folder_(std::move(folder)), palette_(std::move(palette)) {
  make_report_folder(folder_);
} catch (...) {
  rethrow_as_error();
}

void Report::add(const ScoredImage& image) try {
  check(image.photo, image.name);
  check(image.truth, image.name);
  check(image.prediction, image.name);
  if (image.truth.width != image.prediction.width || image.truth.height != image.prediction.height)
    fail(ErrorCode::invalid_argument, image.name, ": the truth is ", image.truth.width, "x",
         image.truth.height, ", the prediction ", image.prediction.width, "x", image.prediction.height);
  const ReportPictures paths = picture_paths(image.name, {});
  const auto path = [&](const std::string& relative) { return folder_ + '/' + relative; };
  // Pictures of an earlier run are never mixed with new ones: without an error map there are none.
  remove_report_file(path(paths.errors));
  write_report_photo(folder_, picture_stem(image.name), image.photo_file, image.photo);
  write_file(path(paths.truth), encode_png(image.truth, whole_palette(palette_, image.ignore)));
  write_file(path(paths.prediction), encode_png(image.prediction, whole_palette(palette_, no_label)));
  write_file(path(paths.errors),
             encode_png(error_map(image.truth, image.prediction, image.ignore), error_palette));
} catch (...) {
  rethrow_as_error();
}

void Report::finish(const Evaluation& evaluation) try {
  std::vector<ReportPictures> pictures;
  for (const ImageScore& image : evaluation.images) pictures.push_back(find_pictures(folder_, image.name));
  write_report_page(folder_, report_page_html, evaluation.model + " on " + evaluation.dataset,
                    report_data(evaluation, pictures), report_page_js);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
