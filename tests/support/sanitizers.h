// What tests leave out under sanitizers.
#pragma once

#include <cstdio>

#include "layers/base/sanitizers.h"

// For a test case of much arithmetic, or of text, where other tests run the same code on less.
#define SKIP_UNDER_ADDRESS_SANITIZER()                                                    \
  do {                                                                                    \
    if (ATROUS_ADDRESS_SANITIZER) {                                                       \
      std::puts("skipped: minutes under AddressSanitizer, and others run the same code"); \
      return;                                                                             \
    }                                                                                     \
  } while (false)
