#include "weights_tools/default_model.h"

#include "layers/base/error.h"

#ifndef ATROUS_EMBED_MODEL
#define ATROUS_EMBED_MODEL 0
#endif
#ifndef ATROUS_EMBED_VOC
#define ATROUS_EMBED_VOC 0
#endif

// The assembler copies the file into the object, which costs no compile time. Aligned as the tensors in it
// are.
#define ATROUS_EMBED(name, path) \
  __asm__(                       \
      ".pushsection .rodata\n"   \
      ".balign 64\n"             \
      "atrous_" name             \
      "_model_begin:\n"          \
      ".incbin \"" path          \
      "\"\n"                     \
      "atrous_" name             \
      "_model_end:\n"            \
      ".popsection\n")

#if ATROUS_EMBED_MODEL
ATROUS_EMBED("default", ATROUS_DEFAULT_MODEL);
extern "C" {
extern const std::byte atrous_default_model_begin[] __attribute__((visibility("hidden")));
extern const std::byte atrous_default_model_end[] __attribute__((visibility("hidden")));
}
#endif

#if ATROUS_EMBED_VOC
ATROUS_EMBED("voc", ATROUS_VOC_MODEL);
extern "C" {
extern const std::byte atrous_voc_model_begin[] __attribute__((visibility("hidden")));
extern const std::byte atrous_voc_model_end[] __attribute__((visibility("hidden")));
}
#endif

namespace atrous {

#if ATROUS_EMBED_MODEL
bool has_default_model() { return true; }

std::span<const std::byte> default_model_file() {
  return {atrous_default_model_begin, atrous_default_model_end};
}
#else
bool has_default_model() { return false; }

std::span<const std::byte> default_model_file() {
  fail(ErrorCode::unsupported, "this atrous was built without its default model: give a checkpoint");
}
#endif

#if ATROUS_EMBED_VOC
std::span<const std::byte> voc_model_file() { return {atrous_voc_model_begin, atrous_voc_model_end}; }
#else
std::span<const std::byte> voc_model_file() { return {}; }
#endif

}  // namespace atrous
