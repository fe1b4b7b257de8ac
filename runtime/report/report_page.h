// The report's page: the files of runtime/report_page/ as text, put into the library by CMake.
#pragma once

#include <string_view>

namespace atrous {

extern const std::string_view report_page_html;  // with {{title}}, {{style}}, {{data}} and {{script}}
extern const std::string_view report_page_css, report_page_js;

}  // namespace atrous
