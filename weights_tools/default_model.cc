#include "weights_tools/default_model.h"

#ifndef ATROUS_EMBED_MODEL
#define ATROUS_EMBED_MODEL 0
#endif

#if ATROUS_EMBED_MODEL

// The assembler copies the file into the object, which costs no compile time; ATROUS_DEFAULT_MODEL is its
// path. Aligned as the tensors in it are.
__asm__(
    ".pushsection .rodata\n"
    ".balign 64\n"
    "atrous_default_model_begin:\n"
    ".incbin \"" ATROUS_DEFAULT_MODEL
    "\"\n"
    "atrous_default_model_end:\n"
    ".popsection\n");

extern "C" {
extern const std::byte atrous_default_model_begin[] __attribute__((visibility("hidden")));
extern const std::byte atrous_default_model_end[] __attribute__((visibility("hidden")));
}

namespace atrous {

bool has_default_model() { return true; }

std::span<const std::byte> default_model_file() {
  return {atrous_default_model_begin, atrous_default_model_end};
}

}  // namespace atrous

#else

#include "layers/base/error.h"

namespace atrous {

bool has_default_model() { return false; }

std::span<const std::byte> default_model_file() {
  fail(ErrorCode::unsupported, "this atrous was built without its default model: give a checkpoint");
}

}  // namespace atrous

#endif
