// Simulated cuDNN and cuBLASLt: what layers/cuda/ calls of them, linked in their place. Descriptors are
// checked as the real ones are (types, counts, what is missing, what is not finalised, shapes that do not
// fit); engines and algorithms are those that a test sets, and all compute by plain loops in double.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simulated {

struct Engine {
  std::int64_t index = 0;
  std::vector<cudnnBackendNumericalNote_t> notes;
  bool advised = true;  // by the heuristics; otherwise only a fallback
  bool takes_pointwise = true;
  std::size_t workspace_bytes = 0;
  double milliseconds = 0;  // that it takes at least
};

// At first engine 1, with tensor cores, 2, without, and as a fallback 0. An engine with tensor cores rounds
// the factors to 10 bits of mantissa.
void set_engines(std::vector<Engine>);
std::vector<Engine> default_engines();
std::vector<std::int64_t> engines_run();  // since this was asked last
std::size_t plans_made();                 // since this was asked last
std::size_t descriptors();                // not destroyed yet

// Of the library's calls that make, ask or run something, the next one after so many does nothing but return
// this. Success takes that back.
void fail_after(std::size_t calls, cudnnStatus_t);
void fail_after(std::size_t calls, cublasStatus_t);
bool cudnn_has_failed();  // since then
bool cublaslt_has_failed();

struct Algorithm {
  std::uint64_t index = 0;
  std::uint32_t reduction_scheme = 0;  // cublasLtReductionScheme_t
  std::size_t workspace_bytes = 0;
  double milliseconds = 0;
};

// At first 5, which adds up in place, 1 and 2.
void set_algorithms(std::vector<Algorithm>);
std::vector<Algorithm> default_algorithms();
std::vector<std::uint64_t> algorithms_run();

}  // namespace simulated
