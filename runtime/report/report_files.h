// What the reports share: their folder, the photos in it, the page itself.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "runtime/image/image.h"
#include "weights_tools/io/json.h"
#include "weights_tools/metadata.h"

namespace atrous {

// Makes the folder, its parents and images/ in it. Error(io).
void make_report_folder(const std::string& folder);

// Removes a file that may be there. Error(io).
void remove_report_file(const std::string& path);

// Writes images/STEM-photo.jpg or .png, in place of one of the other format, and returns that path: JPEG and
// PNG files are copied, others and PNG with EXIF, which not every browser turns upright, written anew.
// Error(io).
std::string write_report_photo(const std::string& folder, const std::string& stem,
                               std::span<const std::byte> file, const Image& photo);

// A name in the page's data: ASCII, whatever is beyond becomes \u.
JsonText page_string(std::string_view);
// Rounded to multiples of 1 / scale: six digits behind the point are more than a page shows. Null for what is
// not finite.
JsonText page_number(double value, double scale = 1e6);
JsonText page_colour(const Colour&);  // "#804080"

// Writes FOLDER/index.html from a page with {{title}}, {{style}}, {{data}}, {{shared}} and {{script}}, in
// this order. Nothing in title or data ends an element: '<' becomes an entity and \u003c. Error(io).
void write_report_page(const std::string& folder, std::string_view page, std::string_view title,
                       const JsonText& data, std::string_view script);

}  // namespace atrous
