# make deb: Debian's packages, by CPack, each a component of the installation. What they hold beside it, copyright,
# changelog and lintian's overrides, lies in runtime/install/debian, named after the package.

set(debian ${PROJECT_SOURCE_DIR}/runtime/install/debian)
set(revision 1)
set(version ${PROJECT_VERSION}-${revision})
set(components program library development)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME atrous)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libatrous${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libatrous-dev)

set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "semantic segmentation from checkpoints, without a framework
atrous segments photos and videos: torchvision's checkpoints and those of
other publishers in, masks, overlays and label maps out. It also measures
networks on data sets, converts and quantises them. A small network for
streets is built in.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "curl, ca-certificates")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS ffmpeg)

set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "semantic segmentation, the shared library
libatrous runs networks for semantic segmentation on the processor: a
checkpoint and a photo in, a label map out.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SUGGESTS "curl, ca-certificates")
math(EXPR next_minor "${PROJECT_VERSION_MINOR} + 1")
set(next_minor ${PROJECT_VERSION_MAJOR}.${next_minor})
configure_file(${debian}/libatrous0.shlibs debian/shlibs @ONLY)
configure_file(${debian}/libatrous0.triggers debian/triggers COPYONLY)
# Programs in C depend on the version that brought the functions which they call; those in C++ on this minor version. A
# function that libatrous0.symbols does not list, and one that is gone, end the build.
configure_file(${debian}/libatrous0.symbols debian/libatrous0.symbols @ONLY)
set_property(TARGET atrous_shared APPEND PROPERTY LINK_DEPENDS ${debian}/libatrous0.symbols)
add_custom_command(TARGET atrous_shared POST_BUILD VERBATIM WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/debian
  COMMAND dpkg-gensymbols -q -c4 -plibatrous0 -v${version} -Ilibatrous0.symbols -Osymbols -e$<TARGET_FILE:atrous_shared>)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
  "${PROJECT_BINARY_DIR}/debian/shlibs;${PROJECT_BINARY_DIR}/debian/symbols;${PROJECT_BINARY_DIR}/debian/triggers")

set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "semantic segmentation, what building against the library takes
Headers, the static library, and files for CMake's find_package(atrous) and
for pkg-config.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
# The static library's own libraries; find_package and pkg-config --static name them.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libatrous0 (= ${version}), libdeflate-dev, zlib1g-dev")
if(ATROUS_WEBP)
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ", libwebp-dev")
endif()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)

if(EXISTS ${PROJECT_SOURCE_DIR}/runtime/python/atrous)
  list(APPEND components python)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/python/atrous DESTINATION lib/python3/dist-packages
    COMPONENT python FILES_MATCHING PATTERN "*.py" PATTERN py.typed PATTERN __pycache__ EXCLUDE)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-atrous)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3, python3-numpy, libatrous0 (>= ${PROJECT_VERSION})")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS OFF)
  set(CPACK_DEBIAN_PYTHON_DESCRIPTION "semantic segmentation, the Python package
The library's C interface for Python: arrays of photos in, label maps as
arrays out.")
  foreach(script postinst prerm) # what they write beside the sources goes with the package
    configure_file(${debian}/python3-atrous.${script} debian/python/${script} COPYONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/debian/python/${script})
  endforeach()
endif()

if(TARGET atrous_serve)
  list(APPEND components serve)
  set(CPACK_DEBIAN_SERVE_PACKAGE_NAME atrous-serve)
  set(CPACK_DEBIAN_SERVE_PACKAGE_SECTION httpd)
  set(CPACK_DEBIAN_SERVE_PACKAGE_RECOMMENDS "curl, ca-certificates")
  set(CPACK_DEBIAN_SERVE_PACKAGE_SUGGESTS atrous)
  set(CPACK_DEBIAN_SERVE_DESCRIPTION "semantic segmentation behind HTTP
atrous-serve answers photos with label maps, overlays and numbers, on
loopback unless told otherwise, and serves a page that does so in a browser.
Its systemd unit is neither enabled nor started by installing it.")
  foreach(script postinst prerm postrm)
    configure_file(${debian}/atrous-serve.${script} debian/serve/${script} COPYONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND CPACK_DEBIAN_SERVE_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/debian/serve/${script})
  endforeach()
endif()

# package_of(library result): the package that the file comes from, or nothing.
function(package_of library result)
  file(REAL_PATH ${library} file)
  execute_process(COMMAND dpkg-query -S ${file} OUTPUT_VARIABLE found ERROR_QUIET)
  string(REGEX REPLACE "^([^:]+):.*" "\\1" found "${found}")
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

# NVIDIA's packages say nothing that dpkg-shlibdeps reads, so what the module needs is named here: the packages that its
# libraries come from, or where these came from an archive NVIDIA's of their versions, cuDNN no older than the one that the
# module was tested with; and Debian's as old as this machine's.
if(ATROUS_BUILD_CUDA)
  find_package(CUDAToolkit 12 REQUIRED QUIET)
  package_of(${CUDA_cublasLt_LIBRARY} cublas)
  package_of(${ATROUS_CUDNN_LIBRARY} cudnn)
  if(NOT cublas)
    set(cublas libcublas-${CUDAToolkit_VERSION_MAJOR}-${CUDAToolkit_VERSION_MINOR})
  endif()
  file(STRINGS ${ATROUS_CUDNN_INCLUDE_DIR}/cudnn_version.h cudnn_version REGEX "define CUDNN_(MAJOR|MINOR) +[0-9]+")
  list(TRANSFORM cudnn_version REPLACE ".*define CUDNN_M[A-Z]+ +([0-9]+).*" "\\1")
  list(GET cudnn_version 0 cudnn_major)
  list(JOIN cudnn_version . cudnn_version)
  if(NOT cudnn)
    set(cudnn libcudnn${cudnn_major}-cuda-${CUDAToolkit_VERSION_MAJOR})
  endif()
  list(APPEND components cuda)
  set(depends "atrous (= ${version}) | libatrous0 (= ${version}) | atrous-serve (= ${version}), ${cublas}, ${cudnn} (>= ${cudnn_version})")
  foreach(package libc6 libstdc++6 libgcc-s1)
    execute_process(COMMAND dpkg-query -W -f "\${Version}" ${package} OUTPUT_VARIABLE here)
    string(REGEX REPLACE "[-+].*" "" here "${here}")
    string(APPEND depends ", ${package} (>= ${here})")
  endforeach()
  set_target_properties(atrous_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH OFF) # NVIDIA's packages tell the loader
  # "7.5, 8.0"; 75-real is code for a device, 75-virtual what the driver compiles for any later one, 75 both.
  get_target_property(architectures atrous_cuda_objects CUDA_ARCHITECTURES)
  set(compiled ${architectures})
  list(FILTER compiled EXCLUDE REGEX "virtual")
  list(TRANSFORM compiled REPLACE "([0-9]+)([0-9]).*" "\\1.\\2")
  list(JOIN compiled ", " compiled)
  set(portable ${architectures})
  list(FILTER portable EXCLUDE REGEX "real")
  list(TRANSFORM portable REPLACE "([0-9]+)([0-9]).*" "\\1.\\2")
  set(code "")
  if(compiled)
    string(APPEND code "It has code for devices of compute capability ${compiled}.\n")
  endif()
  if(portable)
    list(GET portable 0 portable)
    string(APPEND code "For others from ${portable} on the driver compiles it when it is first run.\n")
  endif()
  string(STRIP "${code}" code)
  set(CPACK_DEBIAN_CUDA_PACKAGE_NAME atrous-cuda)
  set(CPACK_DEBIAN_CUDA_PACKAGE_SECTION contrib/graphics)
  set(CPACK_DEBIAN_CUDA_PACKAGE_DEPENDS "${depends}")
  set(CPACK_DEBIAN_CUDA_PACKAGE_SUGGESTS nvidia-driver)
  set(CPACK_DEBIAN_CUDA_PACKAGE_SHLIBDEPS OFF)
  set(CPACK_DEBIAN_CUDA_DESCRIPTION "semantic segmentation, the module for NVIDIA GPUs
What atrous and libatrous load when --device cuda is asked for.
${code}")
endif()

# ---- what Debian wants in each

file(STRINGS ${debian}/changelog newest LIMIT_COUNT 1)
if(NOT newest MATCHES "^atrous \\(${version}\\) ")
  message(FATAL_ERROR "runtime/install/debian/changelog: expected version ${version} first, found ${newest}")
endif()
file(STRINGS ${debian}/changelog signed REGEX "^ -- " LIMIT_COUNT 1)
string(REGEX REPLACE "^ -- (.*>).*" "\\1" CPACK_DEBIAN_PACKAGE_MAINTAINER "${signed}")
configure_file(${debian}/changelog debian/changelog COPYONLY)
execute_process(COMMAND gzip -9n -c debian/changelog WORKING_DIRECTORY ${PROJECT_BINARY_DIR}
  OUTPUT_FILE debian/changelog.Debian.gz COMMAND_ERROR_IS_FATAL ANY)
foreach(component IN LISTS components)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  install(FILES ${debian}/copyright ${PROJECT_BINARY_DIR}/debian/changelog.Debian.gz
    DESTINATION share/doc/${package} COMPONENT ${component})
  if(EXISTS ${debian}/${package}.lintian-overrides)
    install(FILES ${debian}/${package}.lintian-overrides RENAME ${package}
      DESTINATION share/lintian/overrides COMPONENT ${component})
  endif()
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_STRICT_PERMISSION ON)
endforeach()
foreach(component program serve)
  install(CODE [[
    file(GLOB pages "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/man/man1/*.1")
    if(pages)
      execute_process(COMMAND gzip -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
    endif()]] COMPONENT ${component})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PACKAGE_NAME atrous)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # CPack would put the project's before each package's own
set(CPACK_PACKAGE_CONTACT "${CPACK_DEBIAN_PACKAGE_MAINTAINER}")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${revision})
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
include(CPack)
