#include "layers/cuda/conv/conv2d_cudnn.h"

#include <limits>

#include "layers/base/checked.h"
#include "layers/cuda/conv/conv2d_graph.h"
#include "layers/cuda/conv/padded_conv2d.h"
#include "layers/cuda/cuda_kernels.h"
#include "layers/cuda/outcomes.h"
#include "layers/cuda/search.h"

namespace atrous::cuda {

// What came of a problem: a plan, or why there is none.
struct CudnnOutcome {
  struct Planned {
    ExecutionPlan plan;
    EngineChoice choice;
    double cost = 0;
  };
  std::optional<Planned> planned;
  std::string why = "no engine takes it";
};

namespace {

using Outcome = CudnnOutcome;
using Planned = Outcome::Planned;

constexpr std::size_t most_workspace = std::size_t{256} << 20;
constexpr double infinity = std::numeric_limits<double>::infinity();

class CudnnConv2d final : public Kernel {
 public:
  CudnnConv2d(const Conv2d& conv, std::shared_ptr<Context> context, bool plain)
      : conv_(without_data(conv)),
        context_(std::move(context)),
        packed_(pack(conv, *context_)),
        precision_(context_->precision()),
        plain_(plain) {}

  std::string_view name() const override { return plain_ ? "cudnn_plain" : "cudnn"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }

  double cost(std::span<const Shape> inputs, const Shape& out) const override {
    const Outcome& outcome = plan(problem_of(inputs, out));
    return outcome.planned ? outcome.planned->cost : infinity;
  }

  std::size_t workspace_bytes(std::span<const Shape> inputs, const Shape& out, int) const override {
    const Conv2dProblem p = problem_of(inputs, out);
    const Outcome& outcome = plan(p);
    if (!outcome.planned) return 0;
    return checked_add(outcome.planned->plan.workspace_bytes, set_aside(p), "cudnn: workspace");
  }

  void run(const KernelCall& call) const override {
    const Conv2dOperands operands = operands_of(call, *context_);
    const Conv2dProblem p = problem_of(call);
    const Outcome& outcome = plan(p);
    if (!outcome.planned)
      fail(ErrorCode::unsupported, name(), ": ", describe(conv_, p, precision_), ": ", outcome.why);
    put(*outcome.planned, p, operands, cudnn_of(call), stream_of(call));
  }

 private:
  Fusion fusion_of(const Conv2dProblem& p) const { return plain_ ? Fusion{} : full_fusion(conv_, p); }

  // Of the workspace, for a plain convolution's own output where the call's may still hold the residual.
  std::size_t set_aside(const Conv2dProblem& p) const {
    if (!plain_ || p.residual != Conv2dProblem::Residual::map) return 0;
    return checked_add<std::size_t>(device_bytes(p.out, precision_), 255, "cudnn: workspace") / 256 * 256;
  }

  void put(const Planned&, const Conv2dProblem&, const Conv2dOperands&, cudnnHandle_t, cudaStream_t) const;

  const Outcome& plan(const Conv2dProblem& p) const {  // made when first asked for
    return outcomes_.of(p, [&] { return shared(p); });
  }
  std::shared_ptr<const Outcome> shared(const Conv2dProblem&) const;
  Outcome make(const Conv2dProblem&) const;
  Outcome make_first(const Planner&, const Descriptor& graph) const;
  Outcome search(const Planner&, const Descriptor& graph, const Conv2dProblem&) const;
  std::optional<Planned> kept(const Planner&, const Descriptor& graph, const std::string& key) const;
  std::optional<Planned> try_plan(const Planner&, const EngineConfig&, std::string& why) const;
  double time(const Planned&, const Conv2dProblem&) const;

  const Conv2d conv_;
  const std::shared_ptr<Context> context_;
  const std::shared_ptr<const PaddedConv2d> packed_;
  const Precision precision_;
  const bool plain_;
  const Outcomes<Outcome> outcomes_;
};

void CudnnConv2d::put(const Planned& planned, const Conv2dProblem& p, const Conv2dOperands& operands,
                      cudnnHandle_t handle, cudaStream_t stream) const {
  const Fusion fusion = fusion_of(p);
  Map y = operands.out;
  if (set_aside(p) > 0) y.data = operands.workspace;
  std::byte* const workspace = operands.workspace + set_aside(p);
  std::vector<std::int64_t> uids{x_uid, weight_uid, y_uid};
  std::vector<void*> addresses{operands.in.data, packed_->weight.data(), y.data};
  if (fusion.residual) {
    uids.push_back(residual_uid);
    addresses.push_back(operands.residual->data);
  }
  if (fusion.bias) {
    uids.push_back(bias_uid);
    addresses.push_back(packed_->bias.data());
  }
  execute(handle, planned.plan, uids, addresses, workspace);

  const Map* residual = operands.residual && !fusion.residual ? &*operands.residual : nullptr;
  const bool activate = conv_.activation != fusion.activation;
  if (fusion.bias && !residual && !activate) return;
  epilogue(stream, fusion.bias ? nullptr : static_cast<const float*>(packed_->bias_fp32.data()), residual,
           activate ? conv_.activation : ActivationKind::none, y, operands.out);
}

// Layers that are alike but for their weights, as those of a ResNet's stage, have one plan.
std::shared_ptr<const Outcome> CudnnConv2d::shared(const Conv2dProblem& p) const {
  context_->make_current();
  const std::lock_guard lock(context_->planning);
  std::weak_ptr<const Outcome>& known =
      context_->cudnn_outcomes[str_cat(name(), ", ", describe(conv_, p, precision_))];
  std::shared_ptr<const Outcome> outcome = known.lock();
  if (!outcome) known = outcome = std::make_shared<const Outcome>(make(p));
  return outcome;
}

Outcome CudnnConv2d::make(const Conv2dProblem& p) const {
  const Planner planner{context_->planner, nullptr};
  try {
    const Descriptor graph = make_graph(planner, conv_, p, fusion_of(p), precision_);
    if (context_->options.search)
      if (Outcome found = search(planner, graph, p); found.planned) return found;
    return make_first(planner, graph);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    return {std::nullopt, error.what()};
  }
}

std::optional<Planned> CudnnConv2d::try_plan(const Planner& planner, const EngineConfig& config,
                                             std::string& why) const {
  if (!is_allowed(config, precision_)) return std::nullopt;
  auto plan = make_plan(planner, config, why);
  if (!plan || plan->workspace_bytes > most_workspace) return std::nullopt;
  return Planned{std::move(*plan), choice_of(config)};
}

// The first that can be had.
Outcome CudnnConv2d::make_first(const Planner& planner, const Descriptor& graph) const {
  Outcome outcome;
  double cost = plain_ ? 1 : 0;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const EngineConfig& config : advise(planner, graph, mode)) {
      outcome.planned = try_plan(planner, config, outcome.why);
      if (!outcome.planned) continue;
      outcome.planned->cost = cost;
      return outcome;
    }
    cost += 2;
  }
  return outcome;
}

// What an earlier search found, as far as it still can be had.
std::optional<Planned> CudnnConv2d::kept(const Planner& planner, const Descriptor& graph,
                                         const std::string& key) const {
  const auto found = find_search(context_->options.search_file, key);
  const auto choice = found ? parse_engine_choice(found->choice) : std::nullopt;
  const auto config = choice ? configure(planner, graph, *choice) : std::nullopt;
  std::string why;
  auto planned = config ? try_plan(planner, *config, why) : std::nullopt;
  if (planned) planned->cost = found->milliseconds;
  return planned;
}

// The quickest.
Outcome CudnnConv2d::search(const Planner& planner, const Descriptor& graph, const Conv2dProblem& p) const {
  const std::string key = str_cat(context_->properties.name, ", cuDNN ", cudnnGetVersion(), ", ", name(),
                                  ", ", describe(conv_, p, precision_));
  Outcome best{kept(planner, graph, key)};
  if (best.planned) return best;
  double least = infinity;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const EngineConfig& config : advise(planner, graph, mode)) {
      auto planned = try_plan(planner, config, best.why);
      if (planned) planned->cost = time(*planned, p);
      if (!planned || planned->cost >= least) continue;
      least = planned->cost;
      best.planned = std::move(planned);
    }
  if (best.planned) keep_search(context_->options.search_file, key, {to_text(best.planned->choice), least});
  return best;
}

// Milliseconds, with what follows the plan. Infinity where cuDNN refuses after all or memory does not
// suffice.
double CudnnConv2d::time(const Planned& planned, const Conv2dProblem& p) const {
  try {
    const ScratchOperands scratch(p, planned.plan.workspace_bytes + set_aside(p), *context_);
    return time_milliseconds([&](cudaStream_t stream) {
      check(cudnnSetStream(context_->planner, stream), "cudnnSetStream");
      put(planned, p, scratch.get(), context_->planner, stream);
      check(cudnnSetStream(context_->planner, nullptr), "cudnnSetStream");
    });
  } catch (const Error& error) {
    cudnnSetStream(context_->planner, nullptr);
    if (!is_unfit(error)) throw;
    return infinity;
  }
}

std::unique_ptr<Kernel> make(const Conv2d& conv, const std::shared_ptr<Context>& context, bool plain) {
  if (!can_pack(conv, context->precision())) return nullptr;
  return std::make_unique<CudnnConv2d>(conv, context, plain);
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_cudnn(const Conv2d& conv, const std::shared_ptr<Context>& context) {
  return make(conv, context, false);
}

std::unique_ptr<Kernel> make_conv2d_cudnn_plain(const Conv2d& conv, const std::shared_ptr<Context>& context) {
  return make(conv, context, true);
}

}  // namespace atrous::cuda
