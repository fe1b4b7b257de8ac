// Which sanitizers the tests are built with: 1 or 0. g++ says so by macros, clang++ by features.
#pragma once

#include <cstdio>

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

// For a test case of much arithmetic, or of text, where other tests run the same code on less.
#define SKIP_UNDER_ADDRESS_SANITIZER()                                                    \
  do {                                                                                    \
    if (ATROUS_ADDRESS_SANITIZER) {                                                       \
      std::puts("skipped: minutes under AddressSanitizer, and others run the same code"); \
      return;                                                                             \
    }                                                                                     \
  } while (false)
