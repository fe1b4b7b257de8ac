// Which sanitizers this is built with: 1 or 0. g++ says so by macros, clang++ by features.
#pragma once

#if defined(__has_feature)
#define ATROUS_HAS_FEATURE(feature) __has_feature(feature)
#else
#define ATROUS_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || ATROUS_HAS_FEATURE(address_sanitizer)
#define ATROUS_ADDRESS_SANITIZER 1
#else
#define ATROUS_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__) || ATROUS_HAS_FEATURE(thread_sanitizer)
#define ATROUS_THREAD_SANITIZER 1
#else
#define ATROUS_THREAD_SANITIZER 0
#endif
