# CMake's toolchain file for AArch64: Debian's cross compiler, and the libraries that runtime/install/aarch64_sysroot has
# unpacked into ATROUS_SYSROOT. Nothing of the building machine's own headers and libraries is looked at.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_STRIP aarch64-linux-gnu-strip)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ATROUS_SYSROOT)
if(NOT EXISTS "${ATROUS_SYSROOT}/usr/include")
  message(FATAL_ERROR "ATROUS_SYSROOT: expected a folder with the target's libraries, found \"${ATROUS_SYSROOT}\"; "
    "runtime/install/aarch64_sysroot makes one")
endif()
set(CMAKE_FIND_ROOT_PATH ${ATROUS_SYSROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
