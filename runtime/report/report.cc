#include "runtime/report/report.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/png.h"
#include "runtime/report/report_data.h"
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

// A browser shows JPEG and PNG, and turns a JPEG upright by its EXIF; not every one heeds a PNG's.
std::string_view copied_extension(std::span<const std::byte> file) {
  constexpr std::string_view exif = "eXIf";
  if (formats::is_jpeg(file)) return ".jpg";
  const auto same = [](std::byte byte, char letter) { return byte == static_cast<std::byte>(letter); };
  if (formats::is_png(file) &&
      std::search(file.begin(), file.end(), exif.begin(), exif.end(), same) == file.end())
    return ".png";
  return {};
}

ReportPictures picture_paths(const std::string& image_name, std::string_view photo_extension) {
  const std::string stem = "images/" + picture_stem(image_name);
  return {.photo = str_cat(stem, "-photo", photo_extension),
          .truth = stem + "-truth.png",
          .prediction = stem + "-prediction.png",
          .errors = stem + "-errors.png"};
}

// The pictures of an image that are there already; the error map is the last to be written.
ReportPictures find_pictures(const std::string& folder, const std::string& image_name) {
  for (const std::string_view extension : {".jpg", ".png"}) {
    ReportPictures paths = picture_paths(image_name, extension);
    const auto exists = [&](const std::string& path) {
      std::error_code ignored;
      return std::filesystem::is_regular_file(folder + '/' + path, ignored);
    };
    if (exists(paths.photo) && exists(paths.truth) && exists(paths.prediction) && exists(paths.errors))
      return paths;
  }
  return {};
}

void remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) fail(ErrorCode::io, path, ": cannot remove: ", error.message());
}

std::string html_escaped(std::string_view plain) {
  std::string out;
  for (const char c : plain) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  return out;
}

// The text with each {{name}} of its own replaced; what is put in is not looked at.
std::string filled(std::string_view page,
                   std::initializer_list<std::pair<std::string_view, std::string_view>> parts) {
  std::string out;
  for (const auto& [name, value] : parts) {
    const std::size_t at = page.find(name);
    out.append(page.substr(0, at)).append(value);
    page.remove_prefix(at + name.size());
  }
  return out.append(page);
}

}  // namespace

Report::Report(std::string folder, Palette palette) try
    : folder_(std::move(folder)), palette_(std::move(palette)) {
  std::error_code error;
  std::filesystem::create_directories(folder_ + "/images", error);
  if (error) fail(ErrorCode::io, folder_, ": cannot make the report's folder: ", error.message());
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
  const std::string_view extension = copied_extension(image.photo_file);
  const ReportPictures paths = picture_paths(image.name, extension.empty() ? ".png" : extension);
  const auto path = [&](const std::string& relative) { return folder_ + '/' + relative; };
  // Pictures of an earlier run are never mixed with new ones: without an error map there are none.
  remove(path(paths.errors));
  remove(path(picture_paths(image.name, extension == ".jpg" ? ".png" : ".jpg").photo));
  if (extension.empty())
    write_file(path(paths.photo), encode_png(image.photo));
  else
    write_file(path(paths.photo), image.photo_file);
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
  const std::string page = filled(
      report_page_html, {{"{{title}}", html_escaped(visible(evaluation.model + " on " + evaluation.dataset))},
                         {"{{style}}", report_page_css},
                         {"{{data}}", report_data(evaluation, pictures)},
                         {"{{script}}", report_page_js}});
  write_file(folder_ + "/index.html", std::as_bytes(std::span(page)));
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
