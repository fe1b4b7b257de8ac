#include "runtime/engine/session.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/maps/finite.h"
#include "layers/cpu/maps/upsample_argmax.h"
#include "layers/cpu/parallel.h"
#include "runtime/image/preprocess.h"

namespace atrous {

namespace {

constexpr std::size_t most_plans = 16;  // a folder of photos may bring a new size with each

std::vector<std::uint8_t> in_order(const std::vector<std::uint8_t>& rgb, ChannelOrder order) {
  const auto source = source_channels(order);
  std::vector<std::uint8_t> out(rgb.size());
  for (std::size_t p = 0; p < rgb.size(); p += 3)
    for (std::size_t c = 0; c < 3; ++c) out[p + c] = rgb[p + source[c]];
  return out;
}

[[noreturn]] void fail_not_finite(const Program& program) {
  fail(ErrorCode::not_finite, "the logits of ", program.name.empty() ? "the network" : program.name,
       " are not finite");
}

}  // namespace

Session::Session(std::shared_ptr<const Program> program, const SessionOptions& options)
    : program_(std::move(program)),
      threads_(resolve_threads(options.threads)),
      memory_limit_(options.memory_limit) {
  if (program_->device) queue_ = program_->device->make_queue();
}

const Plan& Session::plan(const Shape& input) {
  const std::size_t aside = memory_limit_ == 0 ? 0 : aside_;
  const auto found = std::ranges::find_if(
      plans_, [&](const KeptPlan& kept) { return kept.input == input && kept.aside == aside; });
  if (found != plans_.end()) {
    std::rotate(found, found + 1, plans_.end());
  } else {
    Plan made = make_plan(*program_, input, threads_, memory_limit_, aside);
    if (plans_.size() == most_plans) {
      if (queue_) queue_->forget(plans_.front().key);
      plans_.erase(plans_.begin());
    }
    plans_.push_back({input, aside, std::move(made), next_key_++});
  }
  return plans_.back().plan;
}

bool Session::within_limit(std::size_t arena, std::size_t scratch) const {
  if (memory_limit_ == 0) return true;
  std::size_t room = memory_limit_;
  for (const std::size_t bytes : {program_->packed_bytes(), arena, scratch, aside_}) {
    if (bytes > room) return false;
    room -= bytes;
  }
  return true;
}

void Session::check_limit(std::size_t arena, std::size_t scratch) const {
  if (within_limit(arena, scratch)) return;
  const std::size_t mine = checked_add(arena, scratch, "memory");
  const std::size_t needed =
      checked_add(checked_add(program_->packed_bytes(), mine, "memory"), aside_, "memory");
  fail(ErrorCode::limit, "memory: ", needed, " bytes needed (weights ", program_->packed_bytes(),
       ", activations and workspace ", mine, aside_ > 0 ? text(", picture ", aside_) : "", "), the limit is ",
       memory_limit_);
}

void Session::set_aside(std::size_t bytes) {
  const std::size_t before = std::exchange(aside_, bytes);
  if (bytes <= before || within_limit(0, 0)) return;
  const std::size_t needed = checked_add(program_->packed_bytes(), bytes, "memory");
  aside_ = before;
  fail(ErrorCode::limit, "memory: ", needed, " bytes needed (weights ", program_->packed_bytes(),
       ", picture ", bytes, "), the limit is ", memory_limit_);
}

// The most that scratch() can give.
std::size_t Session::scratch_room() const {
  if (memory_limit_ == 0) return std::numeric_limits<std::size_t>::max();
  const std::size_t taken = program_->packed_bytes() + arena_bytes_ + aside_;
  return std::max(idle_workspace_.size(), memory_limit_ - std::min(memory_limit_, taken));
}

std::span<std::byte> Session::scratch(std::size_t bytes) {
  if (bytes <= idle_workspace_.size()) return idle_workspace_.first(bytes);
  if (bytes > scratch_.size()) {
    check_limit(arena_bytes_, bytes);
    scratch_ = Buffer();
    scratch_ = Buffer(bytes);
  }
  return {scratch_.data(), bytes};
}

void Session::take_arena(std::size_t bytes) {
  last_outputs_.clear();
  idle_workspace_ = {};
  arena_bytes_ = 0;
  if (queue_) {
    arena_ = queue_->reserve(bytes);
  } else {
    memory_ = Buffer();  // the old one first, so that both never exist together
    memory_ = Buffer(bytes);
    arena_ = memory_.data();
  }
  arena_bytes_ = bytes;
}

const Plan& Session::reserve(const Shape& input) {
  const Plan& p = plan(input);
  const bool over = !within_limit(std::max(p.arena_bytes(), arena_bytes_), scratch_.size());
  if (p.arena_bytes() > arena_bytes_ || over) {
    check_limit(p.arena_bytes(), 0);
    if (over) scratch_ = Buffer();
    take_arena(p.arena_bytes());
  }
  return p;
}

View Session::view_of(const Plan& p, ValueId value) const {
  const Plan::Place& place = p.places[static_cast<std::size_t>(value)];
  return {reinterpret_cast<float*>(arena_ + place.offset), place.shape, place.pitch};
}

// input: where it does not lie in the arena.
KernelCall Session::call_of(const Plan& p, std::size_t i, const ConstView* input) {
  const Graph& graph = program_->graph;
  const Node& node = graph.nodes[i];
  inputs_.clear();
  for (ValueId v : node.inputs)
    inputs_.push_back(v == graph.input && input ? *input : ConstView(view_of(p, v)));
  return {inputs_,
          view_of(p, node.output),
          {arena_ + p.activation_bytes, p.workspace[i]},
          p.threads[i],
          queue_.get()};
}

void Session::run_nodes(const Plan& p, const ConstView* input, const NodeObserver& observer) {
  for (std::size_t i = 0; i < program_->graph.nodes.size(); ++i) {
    if (p.in_place[i]) continue;
    const KernelCall call = call_of(p, i, input);
    const auto start = std::chrono::steady_clock::now();
    p.kernels[i]->run(call);
    if (observer)
      observer(i, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
               call.output);
  }
}

void Session::run_on_device(const Plan& p, const NodeObserver& observer) {
  if (!observer) {
    queue_->run(plans_.back().key, [&] { run_nodes(p, nullptr, {}); });
    return;
  }
  for (std::size_t i = 0; i < program_->graph.nodes.size(); ++i) {
    const KernelCall call = call_of(p, i, nullptr);
    const double seconds = queue_->time([&] { p.kernels[i]->run(call); });
    Tensor output(call.output.shape);
    queue_->download(call.output, output.view());
    observer(i, seconds, output.view());
  }
}

void Session::keep_outputs(const Plan& p) {
  std::vector<View> outputs;  // all of them or none
  for (const auto& [name, value] : program_->graph.outputs) outputs.push_back(view_of(p, value));
  fetched_.clear();
  fetched_.resize(outputs.size());
  last_outputs_ = std::move(outputs);
  if (!queue_) idle_workspace_ = {arena_ + p.activation_bytes, p.workspace_bytes};
}

void Session::run(ConstView input, const NodeObserver& observer) {
  const Plan& p = reserve(input.shape);
  last_outputs_.clear();
  idle_workspace_ = {};
  if (queue_) {
    queue_->upload(input, view_of(p, program_->graph.input));
    run_on_device(p, observer);
  } else {
    run_nodes(p, &input, observer);
  }
  keep_outputs(p);
}

void Session::run(const Image& picture, const Preprocessing& preprocessing) {
  check(picture, "picture");
  if (picture.channels != 3)
    fail(ErrorCode::invalid_argument, "picture: expected 3 channels, found ", picture.channels);
  const Plan& p = reserve({1, picture.height, picture.width, 3});
  last_outputs_.clear();
  idle_workspace_ = {};
  const View input = view_of(p, program_->graph.input);
  if (queue_) {
    std::vector<std::uint8_t> swapped;  // a device takes the channels as they come
    if (preprocessing.order != ChannelOrder::rgb) swapped = in_order(picture.pixels, preprocessing.order);
    queue_->upload_picture(swapped.empty() ? picture.pixels : swapped, normalisation(preprocessing), 0,
                           input);
    run_on_device(p, {});
  } else {
    normalise(picture, preprocessing, input);
    run_nodes(p, nullptr, {});
  }
  keep_outputs(p);
}

double Session::repeat() {
  if (!queue_) fail(ErrorCode::invalid_argument, "the network does not run on a device");
  if (last_outputs_.empty()) fail(ErrorCode::invalid_argument, "no input yet: the network has not run");
  const Plan& p = plans_.back().plan;
  return queue_->time([&] { run_on_device(p, {}); });
}

std::size_t Session::output_index(std::string_view name) const {
  const auto& outputs = program_->graph.outputs;
  const auto found =
      std::ranges::find(outputs, name, [](const auto& o) { return std::string_view(o.first); });
  if (found == outputs.end()) fail(ErrorCode::invalid_argument, "the network has no output named ", name);
  if (last_outputs_.empty()) fail(ErrorCode::invalid_argument, "no output yet: the network has not run");
  return static_cast<std::size_t>(found - outputs.begin());
}

ConstView Session::output(std::string_view name) {
  const std::size_t i = output_index(name);
  if (!queue_) return last_outputs_[i];
  if (!fetched_[i]) {
    Tensor fetched(last_outputs_[i].shape);
    queue_->download(last_outputs_[i], fetched.view());
    fetched_[i] = std::move(fetched);
  }
  return fetched_[i]->view();
}

void Session::label(std::int64_t n, std::int64_t height, std::int64_t width, std::span<std::uint8_t> labels,
                    std::span<float> confidence, std::string_view output, float threshold) {
  const ConstView logits = last_outputs_[output_index(output)];
  const ConstView image = image_of(logits, n);  // or an error
  if (!queue_)
    label(image, height, width, labels, confidence, threshold);
  else if (!queue_->label(logits, n, height, width, labels, confidence, threshold))
    fail_not_finite(*program_);
}

void Session::check_finite(std::int64_t n, std::string_view name) {
  if (!all_finite(program_->isa, image_of(output(name), n))) fail_not_finite(*program_);
}

void Session::label(ConstView logits, std::int64_t height, std::int64_t width, std::span<std::uint8_t> labels,
                    std::span<float> confidence, float threshold) {
  if (!all_finite(program_->isa, logits)) fail_not_finite(*program_);
  const std::size_t room = scratch_room();
  const auto bytes = [&](int threads) {
    return upsample_argmax_workspace(logits.shape.c, height, width, threads);
  };
  int threads = threads_;
  while (threads > 1 && bytes(threads) > room) --threads;
  upsample_argmax(program_->isa, {.logits = logits,
                                  .height = height,
                                  .width = width,
                                  .labels = labels,
                                  .confidence = confidence,
                                  .workspace = scratch(bytes(threads)),
                                  .threads = threads,
                                  .threshold = threshold});
}

}  // namespace atrous
