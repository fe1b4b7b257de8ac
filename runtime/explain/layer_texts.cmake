# layer_texts(FILE): writes FILE, a source, with the comment that each layer's header begins with.
function(layer_texts output)
  set(rows "")
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/layers/ops/*.h)
  foreach(header ${headers})
    get_filename_component(name ${header} NAME)
    if(name MATCHES "^(argmax|filter|layer|quantised_conv2d|roi_align)\\.h$") # no layers of a graph
      continue()
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
    file(READ ${header} text)
    string(REGEX REPLACE "\n?#pragma once.*" "" text "${text}")
    string(REGEX REPLACE "(^|\n)// ?" "\\1" text "${text}")
    string(APPEND rows "    {\"layers/ops/${name}\", R\"text(${text})text\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT "// Written by CMake from layers/ops.
#include \"runtime/explain/layer_texts.h\"

namespace atrous {

std::span<const LayerText> layer_texts() {
  static constexpr LayerText table[] = {
@rows@  };
  return table;
}

}  // namespace atrous
" @ONLY)
endfunction()
