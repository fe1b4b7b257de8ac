// The reports' pages: the files of runtime/report/page/ as text, put into the library by CMake.
#pragma once

#include <string_view>

namespace atrous {

// Pages have {{title}}, {{style}}, {{data}}, {{shared}} and {{script}}. Of label maps, and of detections.
extern const std::string_view report_page_html, report_page_js;
extern const std::string_view report_detections_html, report_detections_js;
// What both have.
extern const std::string_view report_page_css, report_shared_js;

}  // namespace atrous
