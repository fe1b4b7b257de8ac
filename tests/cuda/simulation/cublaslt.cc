#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <utility>

#include "tests/cuda/simulation/libraries.h"
#include "tests/cuda/simulation/number.h"
#include "tests/cuda/simulation/simulation.h"

struct cublasLtContext {};

namespace {

// What is kept in the library's opaque values.
struct Layout {
  std::uint64_t made = 0;
  cudaDataType_t type{};
  std::uint64_t rows = 0, columns = 0;
  std::int64_t leading = 0;
};
struct Description {
  std::uint64_t made = 0;
  cublasComputeType_t compute{};
  cudaDataType_t scale{};
  std::int32_t transposed = 0;
  std::int32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct Preference {
  std::uint64_t made = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::array<std::uint32_t, 4> alignments{256, 256, 256, 256};
};
struct Chosen {
  std::uint64_t made = 0, index = 0, alignment = 0;
};
constexpr std::uint64_t made = 0x61a7f05;

template <class T, class Opaque>
T load(const Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  T value;
  std::memcpy(static_cast<void*>(&value), opaque, sizeof(value));
  return value;
}
template <class T, class Opaque>
void store(Opaque* opaque, const T& value) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  std::memcpy(static_cast<void*>(opaque), &value, sizeof(value));
}

struct State {
  std::mutex mutex;
  std::vector<simulated::Algorithm> algorithms = simulated::default_algorithms();
  std::vector<std::uint64_t> run;
  cublasStatus_t failure = CUBLAS_STATUS_SUCCESS;  // of the call after `calls_to_failure` others
  std::size_t calls_to_failure = 0;
  bool failed = false;
};

State& state() {
  static State s;
  return s;
}

bool fails() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.failure == CUBLAS_STATUS_SUCCESS) return false;
  s.failed = s.calls_to_failure == 0;
  if (!s.failed) --s.calls_to_failure;
  return s.failed;
}
cublasStatus_t failure() { return std::exchange(state().failure, CUBLAS_STATUS_SUCCESS); }

// The value of an attribute, if that is its size.
template <class T>
bool take(T& to, const void* from, std::size_t bytes) {
  if (bytes != sizeof(T)) return false;
  std::memcpy(&to, from, bytes);
  return true;
}

struct Product {
  Description how;
  Layout a, b, c, d;
};

Product product_of(cublasLtMatmulDesc_t how, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {load<Description>(how), load<Layout>(a), load<Layout>(b), load<Layout>(c), load<Layout>(d)};
}

// D = A^T B, of one type; a type of computing for it; a bias where the epilogue has one.
cublasStatus_t check(const Product& p) {
  for (const Layout& l : {p.a, p.b, p.c, p.d})
    if (l.made != made || l.type != p.d.type || l.leading < static_cast<std::int64_t>(l.rows) ||
        l.columns == 0 || l.rows == 0)
      return CUBLAS_STATUS_INVALID_VALUE;
  if (p.how.made != made || p.how.transposed != CUBLAS_OP_T || p.how.scale != CUDA_R_32F)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (p.a.rows != p.b.rows || p.a.columns != p.d.rows || p.b.columns != p.d.columns || p.c.rows != p.d.rows ||
      p.c.columns != p.d.columns)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (p.how.epilogue != CUBLASLT_EPILOGUE_BIAS && p.how.epilogue != CUBLASLT_EPILOGUE_RELU_BIAS)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool half = p.d.type == CUDA_R_16F;
  if (half ? p.how.compute != CUBLAS_COMPUTE_32F
           : p.how.compute != CUBLAS_COMPUTE_32F_PEDANTIC && p.how.compute != CUBLAS_COMPUTE_32F_FAST_TF32)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return p.how.bias ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

const simulated::Algorithm* algorithm_at(std::uint64_t index) {
  const auto it = std::ranges::find(state().algorithms, index, &simulated::Algorithm::index);
  return it == state().algorithms.end() ? nullptr : &*it;
}

void multiply(const Product& p, bool reads_c, const void* a, const void* b, const void* c, void* d) {
  const bool half = p.d.type == CUDA_R_16F, rounds = p.how.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const auto number = [&](const void* data, std::int64_t i) { return simulated::get_number(data, half, i); };
  const auto factor = [&](const void* data, std::int64_t i) {
    return rounds ? simulated::to_10_bits(number(data, i)) : number(data, i);
  };
  const auto rows = static_cast<std::int64_t>(p.d.rows), columns = static_cast<std::int64_t>(p.d.columns);
  for (std::int64_t column = 0; column < columns; ++column)
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = number(p.how.bias, row);
      for (std::int64_t k = 0; k < static_cast<std::int64_t>(p.a.rows); ++k)
        sum += factor(a, row * p.a.leading + k) * factor(b, column * p.b.leading + k);
      if (reads_c) sum += number(c, column * p.c.leading + row);
      if (p.how.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS) sum = std::max(sum, 0.0);
      simulated::set_number(d, half, column * p.d.leading + row, sum);
    }
}

bool is_usable(const void* data, const Layout& l, std::uint64_t alignment) {
  const std::size_t elements = static_cast<std::size_t>(l.leading) * (l.columns - 1) + l.rows;
  return reinterpret_cast<std::uintptr_t>(data) % alignment == 0 &&
         simulated::on_device(data, elements * (l.type == CUDA_R_16F ? 2 : 4));
}

}  // namespace

namespace simulated {

std::vector<Algorithm> default_algorithms() {
  return {{5, CUBLASLT_REDUCTION_SCHEME_INPLACE, 0},
          {1, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 3000},
          {2, CUBLASLT_REDUCTION_SCHEME_NONE, 0}};
}

void set_algorithms(std::vector<Algorithm> algorithms) {
  const std::lock_guard lock(state().mutex);
  state().algorithms = std::move(algorithms);
}

std::vector<std::uint64_t> algorithms_run() {
  const std::lock_guard lock(state().mutex);
  return std::exchange(state().run, {});
}

void fail_after(std::size_t calls, cublasStatus_t status) {
  const std::lock_guard lock(state().mutex);
  state().failure = status;
  state().calls_to_failure = calls;
  state().failed = false;
}

bool cublaslt_has_failed() {
  const std::lock_guard lock(state().mutex);
  return state().failed;
}

}  // namespace simulated

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    default:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (fails()) return failure();
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t,
                                                 cudaDataType type, std::uint64_t rows, std::uint64_t columns,
                                                 std::int64_t leading) {
  if (fails()) return failure();
  store(layout, Layout{made, type, rows, columns, leading});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t description, std::size_t,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  if (fails()) return failure();
  store(description, Description{made, compute, scale});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t name, const void* value,
                                              std::size_t bytes) {
  if (fails()) return failure();
  auto d = load<Description>(description);
  bool taken = false;
  if (name == CUBLASLT_MATMUL_DESC_TRANSA) taken = take(d.transposed, value, bytes);
  if (name == CUBLASLT_MATMUL_DESC_EPILOGUE) taken = take(d.epilogue, value, bytes);
  if (name == CUBLASLT_MATMUL_DESC_BIAS_POINTER) taken = take(d.bias, value, bytes);
  store(description, d);
  return taken && d.made == made ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, std::size_t) {
  if (fails()) return failure();
  store(preference, Preference{made});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, std::size_t bytes) {
  if (fails()) return failure();
  auto p = load<Preference>(preference);
  bool taken = false;
  if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) taken = take(p.workspace_bytes, value, bytes);
  if (name == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) taken = take(p.reduction_schemes, value, bytes);
  if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) taken = take(p.alignments[0], value, bytes);
  if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) taken = take(p.alignments[1], value, bytes);
  if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) taken = take(p.alignments[2], value, bytes);
  if (name == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) taken = take(p.alignments[3], value, bytes);
  store(preference, p);
  return taken && p.made == made ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t how,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (fails()) return failure();
  const std::lock_guard lock(state().mutex);
  const auto wanted = load<Preference>(preference);
  if (const cublasStatus_t status = check(product_of(how, a, b, c, d)); status != CUBLAS_STATUS_SUCCESS)
    return status;
  *count = 0;
  for (const simulated::Algorithm& algorithm : state().algorithms) {
    if ((algorithm.reduction_scheme & ~wanted.reduction_schemes) != 0 ||
        algorithm.workspace_bytes > wanted.workspace_bytes || *count == requested)
      continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    store(&result.algo, Chosen{made, algorithm.index, std::ranges::max(wanted.alignments)});
    result.workspaceSize = algorithm.workspace_bytes;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t how, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (fails()) return failure();
  const std::lock_guard lock(state().mutex);
  const auto chosen = load<Chosen>(algorithm);
  const simulated::Algorithm* found = chosen.made == made ? algorithm_at(chosen.index) : nullptr;
  if (!found) return CUBLAS_STATUS_INVALID_VALUE;
  result->workspaceSize = found->workspace_bytes;
  return check(product_of(how, a, b, c, d));
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t how, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  if (fails()) return failure();
  const Product p = product_of(how, a_layout, b_layout, c_layout, d_layout);
  if (const cublasStatus_t status = check(p); status != CUBLAS_STATUS_SUCCESS) return status;
  const auto chosen = load<Chosen>(algorithm);
  simulated::Algorithm found;
  {
    const std::lock_guard lock(state().mutex);
    const simulated::Algorithm* known = chosen.made == made ? algorithm_at(chosen.index) : nullptr;
    if (!known) return CUBLAS_STATUS_INVALID_VALUE;
    found = *known;
  }
  const bool reads_c = *static_cast<const float*>(beta) != 0;
  if (*static_cast<const float*>(alpha) != 1 || (reads_c && *static_cast<const float*>(beta) != 1) ||
      !is_usable(a, p.a, chosen.alignment) || !is_usable(b, p.b, chosen.alignment) ||
      !is_usable(c, p.c, chosen.alignment) || !is_usable(d, p.d, chosen.alignment) ||
      workspace_bytes < found.workspace_bytes ||
      (found.workspace_bytes > 0 && !simulated::on_device(workspace, found.workspace_bytes)))
    return CUBLAS_STATUS_INVALID_VALUE;
  simulated::enqueue(stream, [=] {
    if (found.workspace_bytes > 0) std::memset(workspace, 0xff, found.workspace_bytes);
    simulated::pass(found.milliseconds);
    multiply(p, reads_c, a, b, c, d);
    const std::lock_guard lock(state().mutex);
    state().run.push_back(found.index);
  });
  return CUBLAS_STATUS_SUCCESS;
}
