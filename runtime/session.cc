#include "runtime/session.h"

#include <algorithm>
#include <chrono>

#include "layers/error.h"
#include "runtime/threads.h"

namespace atrous {

namespace {

constexpr std::size_t most_plans = 16;  // a folder of photos may bring a new size with each

View view_in(const Buffer& arena, const Plan::Place& place) {
  return {reinterpret_cast<float*>(arena.data() + place.offset), place.shape, place.pitch};
}

}  // namespace

Session::Session(std::shared_ptr<const Program> program, const SessionOptions& options)
    : program_(std::move(program)),
      threads_(resolve_threads(options.threads)),
      memory_limit_(options.memory_limit) {}

const Plan& Session::plan(const Shape& input) {
  const auto found = std::ranges::find(plans_, input, &std::pair<Shape, Plan>::first);
  if (found != plans_.end()) {
    std::rotate(found, found + 1, plans_.end());
  } else {
    Plan made = make_plan(*program_, input, threads_, memory_limit_);
    if (plans_.size() == most_plans) plans_.erase(plans_.begin());
    plans_.emplace_back(input, std::move(made));
  }
  return plans_.back().second;
}

void Session::check_limit(std::size_t arena, std::size_t scratch) const {
  const std::size_t needed = program_->packed_bytes() + arena + scratch;
  if (memory_limit_ != 0 && needed > memory_limit_)
    fail(ErrorCode::limit, "memory: ", needed, " bytes needed (weights ", program_->packed_bytes(),
         ", activations and ", "workspace ", arena + scratch, "), the limit is ", memory_limit_);
}

std::span<std::byte> Session::scratch(std::size_t bytes) {
  if (bytes <= idle_workspace_.size()) return idle_workspace_.first(bytes);
  if (bytes > scratch_.size()) {
    check_limit(arena_.size(), bytes);
    scratch_ = Buffer();
    scratch_ = Buffer(bytes);
  }
  return {scratch_.data(), bytes};
}

const Plan& Session::reserve(const Shape& input) {
  const Plan& p = plan(input);
  if (p.arena_bytes() > arena_.size()) {
    check_limit(p.arena_bytes(), scratch_.size());
    last_outputs_.clear();
    idle_workspace_ = {};
    arena_ = Buffer();  // the old one first, so that both never exist together
    arena_ = Buffer(p.arena_bytes());
  }
  return p;
}

void Session::run(ConstView input, const NodeObserver& observer) {
  const Plan& p = reserve(input.shape);

  last_outputs_.clear();
  idle_workspace_ = {};
  const Graph& graph = program_->graph;
  const auto view_of = [&](ValueId v) { return view_in(arena_, p.places[static_cast<std::size_t>(v)]); };
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (p.in_place[i]) continue;
    const Node& node = graph.nodes[i];
    inputs_.clear();
    for (ValueId v : node.inputs) inputs_.push_back(v == graph.input ? input : ConstView(view_of(v)));
    const KernelCall call{
        inputs_, view_of(node.output), {arena_.data() + p.activation_bytes, p.workspace[i]}, threads_};
    const auto start = std::chrono::steady_clock::now();
    p.kernels[i]->run(call);
    if (observer)
      observer(i, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
               call.output);
  }
  std::vector<View> outputs;  // all of them or none
  for (const auto& [name, value] : graph.outputs) outputs.push_back(view_of(value));
  last_outputs_ = std::move(outputs);
  idle_workspace_ = {arena_.data() + p.activation_bytes, p.workspace_bytes};
}

ConstView Session::output(std::string_view name) const {
  const auto& outputs = program_->graph.outputs;
  const auto found =
      std::ranges::find(outputs, name, [](const auto& o) { return std::string_view(o.first); });
  if (found == outputs.end()) fail(ErrorCode::invalid_argument, "the network has no output named ", name);
  if (last_outputs_.empty()) fail(ErrorCode::invalid_argument, "no output yet: the network has not run");
  return last_outputs_[static_cast<std::size_t>(found - outputs.begin())];
}

}  // namespace atrous
