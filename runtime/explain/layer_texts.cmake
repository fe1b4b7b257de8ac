# layer_texts(FILE): writes FILE, a source, with the comment that each layer's header begins with, deflated: half as many
# bytes. Each is "layers/ops/NAME.h", a line's end, the comment without slashes, a zero.
function(layer_texts output)
  set(all "")
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
    string(APPEND all "layers/ops/${name}\n${text}@")
  endforeach()
  string(LENGTH "${all}" length)
  file(WRITE ${output}.txt "${all}")
  file(ARCHIVE_CREATE OUTPUT ${output}.gz PATHS ${output}.txt FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  file(READ ${output}.gz bytes HEX)
  string(REGEX REPLACE "^....................(.*)................$" "\\1" bytes "${bytes}") # without gzip's head and tail
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(....................................................................................................)" "\\1\n" bytes "${bytes}")
  file(CONFIGURE OUTPUT ${output} CONTENT "// Written by CMake from layers/ops.
#include \"runtime/explain/layer_texts.h\"

namespace atrous {

constexpr unsigned char deflated[] = {
@bytes@};

DeflatedTexts deflated_layer_texts() { return {deflated, @length@}; }

}  // namespace atrous
" @ONLY)
endfunction()
