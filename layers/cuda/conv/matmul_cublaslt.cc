#include "layers/cuda/conv/matmul_cublaslt.h"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cuda/conv/conv2d_call.h"
#include "layers/cuda/conv/padded_conv2d.h"
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/outcomes.h"
#include "layers/cuda/search.h"

namespace atrous::cuda {

namespace {

constexpr std::size_t most_workspace = std::size_t{32} << 20;
constexpr double infinity = std::numeric_limits<double>::infinity();

cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return CUBLAS_COMPUTE_32F_PEDANTIC;
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::fp16:
    case Precision::bf16:
    case Precision::int8:
      break;
  }
  return CUBLAS_COMPUTE_32F;
}

// A matrix, column by column.
cublasLtMatrixLayoutOpaque_t layout_of(cudaDataType_t type, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayoutOpaque_t layout;
  check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows),
                                 static_cast<std::uint64_t>(columns), rows),
        "cublasLtMatrixLayoutInit");
  return layout;
}

// Described to cuBLASLt. Its descriptors are plain values, whose addresses are their handles.
struct Product {
  mutable cublasLtMatmulDescOpaque_t description;
  mutable cublasLtMatrixLayoutOpaque_t weight, in, out;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t name, const T& value) {
    check(cublasLtMatmulDescSetAttribute(&description, name, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }
};

struct Planned {
  Product product;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace_bytes = 0;
  double cost = 0;
};

struct Outcome {
  std::optional<Planned> planned;
  std::string why = "no algorithm takes it";
};

// An algorithm is eight opaque words, which stay good for the same version of cuBLASLt.
std::string to_text(const cublasLtMatmulAlgo_t& algorithm) {
  std::string words;
  for (std::uint64_t word : algorithm.data) words += (words.empty() ? "" : " ") + std::to_string(word);
  return words;
}

std::optional<cublasLtMatmulAlgo_t> parse_algorithm(std::string_view words) {
  cublasLtMatmulAlgo_t algorithm;
  const char* at = words.data();
  const char* const end = at + words.size();
  for (std::uint64_t& word : algorithm.data) {
    if (at != words.data() && (at == end || *at++ != ' ')) return std::nullopt;
    const auto [next, error] = std::from_chars(at, end, word);
    if (error != std::errc()) return std::nullopt;
    at = next;
  }
  if (at != end) return std::nullopt;
  return algorithm;
}

class CublasConv2d final : public Kernel {
 public:
  CublasConv2d(const Conv2d& conv, std::shared_ptr<Context> context)
      : conv_(without_data(conv)),
        context_(std::move(context)),
        packed_(pack(conv, *context_)),
        precision_(context_->precision()) {}

  std::string_view name() const override { return "cublaslt"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }

  double cost(std::span<const Shape> inputs, const Shape& out) const override {
    const Outcome& outcome = plan(problem_of(inputs, out));
    return outcome.planned ? outcome.planned->cost : infinity;
  }

  std::size_t workspace_bytes(std::span<const Shape> inputs, const Shape& out, int) const override {
    const Outcome& outcome = plan(problem_of(inputs, out));
    return outcome.planned ? outcome.planned->workspace_bytes : 0;
  }

  void run(const KernelCall& call) const override {
    const Conv2dOperands operands = operands_of(call, *context_);
    const Conv2dProblem p = problem_of(call);
    const Outcome& outcome = plan(p);
    if (!outcome.planned)
      fail(ErrorCode::unsupported, name(), ": ", describe(conv_, p, precision_), ": ", outcome.why);
    put(*outcome.planned, p, operands, stream_of(call));
  }

 private:
  bool does_relu(const Conv2dProblem& p) const {
    return conv_.activation == ActivationKind::relu && p.residual != Conv2dProblem::Residual::pixel;
  }
  void put(const Planned&, const Conv2dProblem&, const Conv2dOperands&, cudaStream_t) const;

  const Outcome& plan(const Conv2dProblem& p) const {  // made when first asked for
    return outcomes_.of(p, [&] { return std::make_shared<const Outcome>(make(p)); });
  }
  Outcome make(const Conv2dProblem&) const;
  Outcome search(const Product&, std::vector<Planned>&, const Conv2dProblem&) const;
  Product product_of(const Conv2dProblem&) const;
  std::vector<Planned> advise(const Product&) const;
  std::optional<Planned> kept(const Product&, const std::string& key) const;
  double time(const Planned&, const Conv2dProblem&) const;

  const Conv2d conv_;
  const std::shared_ptr<Context> context_;
  const std::shared_ptr<const PaddedConv2d> packed_;
  const Precision precision_;
  const Outcomes<Outcome> outcomes_;
};

void CublasConv2d::put(const Planned& planned, const Conv2dProblem& p, const Conv2dOperands& operands,
                       cudaStream_t stream) const {
  const Product& product = planned.product;
  const float alpha = 1, beta = p.residual == Conv2dProblem::Residual::map ? 1 : 0;
  const void* residual = beta != 0 ? operands.residual->data : operands.out.data;
  check(
      cublasLtMatmul(context_->cublas, &product.description, &alpha, packed_->weight.data(), &product.weight,
                     operands.in.data, &product.in, &beta, residual, &product.out, operands.out.data,
                     &product.out, &planned.algorithm, operands.workspace, planned.workspace_bytes, stream),
      "cublasLtMatmul");
  const bool activate = conv_.activation != ActivationKind::none && !does_relu(p);
  if (p.residual != Conv2dProblem::Residual::pixel && !activate) return;
  epilogue(stream, nullptr, p.residual == Conv2dProblem::Residual::pixel ? &*operands.residual : nullptr,
           conv_.activation, operands.out, operands.out);
}

// m x n x k = output channels x pixels x input channels.
Product CublasConv2d::product_of(const Conv2dProblem& p) const {
  const cudaDataType_t type = precision_ == Precision::fp16 ? CUDA_R_16F : CUDA_R_32F;
  const std::int64_t in = packed_->in_channels, out = packed_->out_channels;
  Product product;
  check(cublasLtMatmulDescInit(&product.description, compute_type(precision_), CUDA_R_32F),
        "cublasLtMatmulDescInit");
  product.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  product.set(CUBLASLT_MATMUL_DESC_EPILOGUE,
              does_relu(p) ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
  product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(packed_->bias.data()));
  product.weight = layout_of(type, in, out);
  product.in = layout_of(type, in, p.in.pixels());
  product.out = layout_of(type, out, p.in.pixels());
  return product;
}

// What cuBLASLt's heuristics advise, best first.
std::vector<Planned> CublasConv2d::advise(const Product& product) const {
  cublasLtMatmulPreferenceOpaque_t preference;
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, name, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{most_workspace});
  // Where the sum over i is split, parts are added in fp32 and one after the other.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});

  std::array<cublasLtMatmulHeuristicResult_t, 16> results{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      context_->cublas, &product.description, &product.weight, &product.in, &product.out, &product.out,
      &preference, static_cast<int>(results.size()), results.data(), &count);
  if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED)
    check(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<Planned> advised;
  for (const auto& result : std::span(results).first(static_cast<std::size_t>(count)))
    if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= most_workspace)
      advised.push_back({product, result.algo, result.workspaceSize});
  return advised;
}

Outcome CublasConv2d::make(const Conv2dProblem& p) const {
  context_->make_current();
  try {
    const Product product = product_of(p);
    std::vector<Planned> advised = advise(product);
    if (context_->options.search)
      if (Outcome found = search(product, advised, p); found.planned) return found;
    if (advised.empty()) return {};
    return {std::move(advised.front())};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    return {std::nullopt, error.what()};
  }
}

// What an earlier search found, if cuBLASLt takes it still.
std::optional<Planned> CublasConv2d::kept(const Product& product, const std::string& key) const {
  const auto found = find_search(context_->options.search_file, key);
  const auto algorithm = found ? parse_algorithm(found->choice) : std::nullopt;
  if (!algorithm) return std::nullopt;
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      cublasLtMatmulAlgoCheck(context_->cublas, &product.description, &product.weight, &product.in,
                              &product.out, &product.out, &*algorithm, &result);
  if (is_refusal(status)) return std::nullopt;
  check(status, "cublasLtMatmulAlgoCheck");
  if (result.workspaceSize > most_workspace) return std::nullopt;
  return Planned{product, *algorithm, result.workspaceSize, found->milliseconds};
}

// The quickest.
Outcome CublasConv2d::search(const Product& product, std::vector<Planned>& advised,
                             const Conv2dProblem& p) const {
  const std::lock_guard lock(context_->planning);  // one is timed at a time
  const std::string key = str_cat(context_->properties.name, ", cuBLASLt ", cublasLtGetVersion(), ", ",
                                  describe(conv_, p, precision_));
  Outcome best{kept(product, key)};
  if (best.planned) return best;
  double least = infinity;
  for (Planned& planned : advised) {
    planned.cost = time(planned, p);
    if (planned.cost >= least) continue;
    least = planned.cost;
    best.planned = planned;
  }
  if (best.planned)
    keep_search(context_->options.search_file, key, {to_text(best.planned->algorithm), least});
  return best;
}

// Milliseconds, with what follows the product. Infinity where cuBLASLt refuses after all or memory does not
// suffice.
double CublasConv2d::time(const Planned& planned, const Conv2dProblem& p) const {
  try {
    const ScratchOperands scratch(p, planned.workspace_bytes, *context_);
    return time_milliseconds([&](cudaStream_t stream) { put(planned, p, scratch.get(), stream); });
  } catch (const Error& error) {
    if (!is_unfit(error)) throw;
    return infinity;
  }
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_cublaslt(const Conv2d& conv, const std::shared_ptr<Context>& context) {
  if (conv.weight.kernel_h != 1 || conv.weight.kernel_w != 1 || conv.stride != 1 || conv.padding != 0 ||
      conv.groups != 1)
    return nullptr;
  return std::make_unique<CublasConv2d>(conv, context);
}

}  // namespace atrous::cuda
