#include "runtime/report/report_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/png.h"
#include "runtime/report/report_page.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

// Of a file that a browser shows as it is. It shows JPEG and PNG, and turns a JPEG upright by its EXIF; not
// every one heeds a PNG's.
std::string_view copied_extension(std::span<const std::byte> file) {
  constexpr std::string_view exif = "eXIf";
  if (formats::is_jpeg(file)) return ".jpg";
  const auto same = [](std::byte byte, char letter) { return byte == static_cast<std::byte>(letter); };
  if (formats::is_png(file) &&
      std::search(file.begin(), file.end(), exif.begin(), exif.end(), same) == file.end())
    return ".png";
  return {};
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

std::string script_escaped(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json)  // '<' occurs only within strings
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
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

void make_report_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder + "/images", error);
  if (error) fail(ErrorCode::io, folder, ": cannot make the report's folder: ", error.message());
}

void remove_report_file(const std::string& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) fail(ErrorCode::io, path, ": cannot remove: ", error.message());
}

std::string write_report_photo(const std::string& folder, const std::string& stem,
                               std::span<const std::byte> file, const Image& photo) {
  const std::string_view extension = copied_extension(file);
  const std::string base = str_cat("images/", stem, "-photo");
  remove_report_file(str_cat(folder, '/', base, extension == ".jpg" ? ".png" : ".jpg"));
  const std::string path = str_cat(base, extension.empty() ? ".png" : extension);
  if (extension.empty())
    write_file(folder + '/' + path, encode_png(photo));
  else
    write_file(folder + '/' + path, file);
  return path;
}

JsonText page_string(std::string_view s) { return json_string(visible(s), Utf8::ascii); }

JsonText page_number(double value, double scale) {
  return std::isfinite(value) ? JsonText(std::round(value * scale) / scale) : JsonText();
}

JsonText page_colour(const Colour& colour) {
  std::array<char, 8> out;
  std::snprintf(out.data(), out.size(), "#%02x%02x%02x", colour[0], colour[1], colour[2]);
  return out.data();
}

void write_report_page(const std::string& folder, std::string_view page, std::string_view title,
                       const JsonText& data, std::string_view script) {
  const std::string whole = filled(page, {{"{{title}}", html_escaped(visible(title))},
                                          {"{{style}}", report_page_css},
                                          {"{{data}}", script_escaped(data.text)},
                                          {"{{shared}}", report_shared_js},
                                          {"{{script}}", script}});
  write_file(folder + "/index.html", std::as_bytes(std::span(whole)));
}

}  // namespace atrous
