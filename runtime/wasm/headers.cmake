# Headers without a library of their own are the same for every processor. They lie among the system's others, which are
# not, so each gets a folder of its own here.
foreach(headers hwy stb nlohmann)
  find_path(ATROUS_SYSTEM_${headers} ${headers} PATHS /usr/include /usr/local/include NO_CMAKE_FIND_ROOT_PATH REQUIRED)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/headers)
  file(CREATE_LINK ${ATROUS_SYSTEM_${headers}}/${headers} ${PROJECT_BINARY_DIR}/headers/${headers} SYMBOLIC)
endforeach()
set(ATROUS_STB_INCLUDE_DIR ${PROJECT_BINARY_DIR}/headers)
set(ATROUS_HIGHWAY_INCLUDE_DIR ${PROJECT_BINARY_DIR}/headers)
add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
target_include_directories(nlohmann_json::nlohmann_json SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/headers)
add_compile_options($<$<BOOL:${ATROUS_WASM_THREADS}>:-pthread> -Os -msimd128 -fexceptions -Wno-shorten-64-to-32 "SHELL:-include ${PROJECT_SOURCE_DIR}/runtime/wasm/libcxx.h")
