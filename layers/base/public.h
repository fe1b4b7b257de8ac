// What programs that link the library may use.
#pragma once

// Symbols are hidden but for those of a namespace that this marks: `namespace ATROUS_PUBLIC atrous {`. It is
// in every header that atrous.h, evaluation.h and tensors.h include, and in no other.
#define ATROUS_PUBLIC [[gnu::visibility("default")]]
