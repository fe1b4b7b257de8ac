#include "layers/cpu/isa.h"

#include <algorithm>
#include <string>
#include <vector>

#include "layers/base/error.h"

namespace atrous {

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return "scalar";
    case Isa::sse4:
      return "sse4";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::neon:
      return "neon";
    case Isa::wasm:
      return "wasm";
  }
  return "?";
}

namespace {

// The compiler's own cpu detection, which also asks whether the operating system saves the wide registers.
// The features are those that Highway's targets of these names are compiled with.
std::vector<Isa> detect() {
  std::vector<Isa> isas;
#if defined(__x86_64__)
  const bool sse4 =
      __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (avx512) isas.push_back(Isa::avx512);
  if (avx2) isas.push_back(Isa::avx2);
  if (sse4) isas.push_back(Isa::sse4);
  isas.push_back(Isa::scalar);
#elif defined(__aarch64__)
  isas = {Isa::neon};
#elif defined(__wasm_simd128__)
  isas = {Isa::wasm};
#else
  isas = {Isa::scalar};
#endif
  return isas;
}

}  // namespace

std::span<const Isa> supported_isas() {
  static const std::vector<Isa> isas = detect();
  return isas;
}

Isa isa_from_name(std::string_view name) {
  std::string known;
  for (Isa isa : supported_isas()) {
    if (name_of(isa) == name) return isa;
    known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  fail(ErrorCode::invalid_argument, "instruction set ", name, ": this machine runs ", known);
}

}  // namespace atrous
