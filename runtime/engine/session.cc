#include "runtime/engine/session.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/maps/convert.h"
#include "layers/cpu/maps/finite.h"
#include "layers/cpu/maps/upsample_argmax.h"
#include "layers/cpu/parallel.h"
#include "layers/graph/device.h"
#include "runtime/engine/plan.h"
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

// in, and zeros to its right and below.
void pad(ConstView in, View out) {
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x)
        if (y < in.shape.h && x < in.shape.w)
          std::copy_n(in.pixel(n, y, x), out.shape.c, out.pixel(n, y, x));
        else
          std::fill_n(out.pixel(n, y, x), out.shape.c, 0.f);
}

[[noreturn]] void fail_not_finite(const Program& program) {
  fail(ErrorCode::not_finite, "the logits of ", program.name.empty() ? "the network" : program.name,
       " are not finite");
}

void check_label_sizes(std::int64_t height, std::int64_t width, std::span<const std::uint8_t> labels,
                       std::span<const float> confidence) {
  if (height < 1 || width < 1)
    fail(ErrorCode::invalid_argument, "label map: ", width, "x", height, " has no pixels");
  const auto pixels = static_cast<std::size_t>(checked_product({height, width}, "label map"));
  if (labels.size() != pixels)
    fail(ErrorCode::invalid_argument, "label map: ", width, "x", height, " needs ", pixels,
         " labels, there is room for ", labels.size());
  if (!confidence.empty() && confidence.size() != pixels)
    fail(ErrorCode::invalid_argument, "label map: ", width, "x", height, " needs ", pixels,
         " confidences, there is room for ", confidence.size());
}

}  // namespace

struct Session::KeptPlan {
  Shape input;
  std::size_t aside;  // that it left room for
  Plan plan;
  std::uint64_t key;  // of what a device recorded for it
};

Session::Session(std::shared_ptr<const Program> program, const SessionOptions& options) try
    : program_(std::move(program)),
      threads_(resolve_threads(options.threads)),
      memory_limit_(options.memory_limit) {
  if (!program_) fail(ErrorCode::invalid_argument, "session: no program");
  if (program_->device) queue_ = program_->device->make_queue();
} catch (...) {
  rethrow_as_error();
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

std::int64_t Session::macs() const { return last_run_ ? last_run_->plan.macs : 0; }

const Session::KeptPlan& Session::kept_plan(const Shape& seen) {
  const Shape input = padded_shape(program_->padding, seen);
  const std::size_t aside = memory_limit_ == 0 ? 0 : aside_;
  const auto found = std::ranges::find_if(
      plans_, [&](const auto& kept) { return kept->input == input && kept->aside == aside; });
  if (found != plans_.end()) {
    std::rotate(found, found + 1, plans_.end());
    return *plans_.back();
  }
  auto made = std::make_unique<const KeptPlan>(
      KeptPlan{input, aside, make_plan(*program_, input, threads_, memory_limit_, aside), next_key_++});
  if (plans_.size() == most_plans) {
    const auto oldest = plans_.begin() + (plans_.front().get() == last_run_ ? 1 : 0);
    if (queue_) queue_->forget((*oldest)->key);
    plans_.erase(oldest);
  }
  return *plans_.emplace_back(std::move(made));
}

Plan Session::plan(const Shape& input) try { return kept_plan(input).plan; } catch (...) {
  rethrow_as_error();
}

Growth Session::growth(std::int64_t height, std::int64_t width) const try {
  return growth_of(program_->answer, seen_, padded_shape(program_->padding, seen_), height, width);
} catch (...) {
  rethrow_as_error();
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
       ", activations and workspace ", mine, aside_ > 0 ? str_cat(", picture ", aside_) : "",
       "), the limit is ", memory_limit_);
}

void Session::set_aside(std::size_t bytes) try {
  const std::size_t before = std::exchange(aside_, bytes);
  if (bytes <= before || within_limit(0, 0)) return;
  const std::size_t needed = checked_add(program_->packed_bytes(), bytes, "memory");
  aside_ = before;
  fail(ErrorCode::limit, "memory: ", needed, " bytes needed (weights ", program_->packed_bytes(),
       ", picture ", bytes, "), the limit is ", memory_limit_);
} catch (...) {
  rethrow_as_error();
}

std::size_t Session::room() const try {
  if (memory_limit_ == 0) return std::numeric_limits<std::size_t>::max();
  const std::size_t taken = program_->packed_bytes() + arena_bytes_ + scratch_.size() + aside_;
  return memory_limit_ - std::min(memory_limit_, taken);
} catch (...) {
  rethrow_as_error();
}

// The most that scratch() can give.
std::size_t Session::scratch_room() const {
  if (memory_limit_ == 0) return std::numeric_limits<std::size_t>::max();
  const std::size_t taken = program_->packed_bytes() + arena_bytes_ + aside_;
  return std::max(idle_workspace_.size(), memory_limit_ - std::min(memory_limit_, taken));
}

std::span<std::byte> Session::scratch(std::size_t bytes) try {
  if (bytes <= idle_workspace_.size()) return idle_workspace_.first(bytes);
  if (bytes > scratch_.size()) {
    check_limit(arena_bytes_, bytes);
    scratch_ = Buffer();
    scratch_ = Buffer(bytes);
  }
  return {scratch_.data(), bytes};
} catch (...) {
  rethrow_as_error();
}

void Session::take_arena(std::size_t bytes) {
  last_outputs_.clear();
  idle_workspace_ = {};
  arena_bytes_ = 0;
  if (queue_) {
    arena_ = queue_->reserve(bytes);
  } else {
    memory_ = {};  // the old one first, so that both never exist together
    memory_ = LargeVector<std::byte>(bytes);
    arena_ = memory_.data();
  }
  arena_bytes_ = bytes;
}

const Session::KeptPlan& Session::reserved_plan(const Shape& input) {
  const KeptPlan& kept = kept_plan(input);
  const Plan& p = kept.plan;
  const bool over = !within_limit(std::max(p.arena_bytes(), arena_bytes_), scratch_.size());
  if (p.arena_bytes() > arena_bytes_ || over) {
    check_limit(p.arena_bytes(), 0);
    if (over) scratch_ = Buffer();
    take_arena(p.arena_bytes());
  }
  return kept;
}

Plan Session::reserve(const Shape& input) try { return reserved_plan(input).plan; } catch (...) {
  rethrow_as_error();
}

AnyView Session::view_of(const Plan& p, ValueId value) const {
  const Plan::Place& place = p.places[static_cast<std::size_t>(value)];
  return {arena_ + place.offset, place.shape, place.pitch, place.dtype, place.quantisation};
}

// input: where it does not lie in the arena.
KernelCall Session::call_of(const Plan& p, std::size_t i, const ConstView* input) {
  const Graph& graph = program_->graph;
  const Node& node = graph.nodes[i];
  inputs_.clear();
  for (ValueId v : node.inputs)
    inputs_.push_back(v == graph.input && input ? any_view(*input) : ConstAnyView(view_of(p, v)));
  return {inputs_,
          view_of(p, node.output),
          {arena_ + p.activation_bytes, p.steps[i].workspace},
          p.steps[i].threads,
          queue_.get()};
}

void Session::run_nodes(const Plan& p, const ConstView* input, const NodeObserver& observer) {
  for (std::size_t i = 0; i < program_->graph.nodes.size(); ++i) {
    if (p.steps[i].in_place) continue;
    const KernelCall call = call_of(p, i, input);
    const auto start = std::chrono::steady_clock::now();
    p.steps[i].kernel->run(call);
    if (!observer) continue;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (call.output.dtype == DType::f32) {
      call_host(observer, i, seconds, ConstView(call.output));
      continue;
    }
    Tensor output(call.output.shape);
    convert_map(program_->isa, call.output, any_view(output.view()), call.threads);
    call_host(observer, i, seconds, ConstView(output.view()));
  }
}

void Session::run_on_device(const KeptPlan& kept, const NodeObserver& observer) {
  const Plan& p = kept.plan;
  if (!observer) {
    queue_->run(kept.key, [&] { run_nodes(p, nullptr, {}); });
    return;
  }
  for (std::size_t i = 0; i < program_->graph.nodes.size(); ++i) {
    const KernelCall call = call_of(p, i, nullptr);
    const double seconds = queue_->time([&] { p.steps[i].kernel->run(call); });
    Tensor output(call.output.shape);
    queue_->download(call.output, output.view());
    call_host(observer, i, seconds, ConstView(output.view()));
  }
}

void Session::keep_outputs(const Plan& p) {
  std::vector<Output> outputs;  // all of them or none
  for (const auto& [name, value] : program_->graph.outputs) outputs.push_back({view_of(p, value)});
  last_outputs_ = std::move(outputs);
  if (!queue_) idle_workspace_ = {arena_ + p.activation_bytes, p.workspace_bytes};
}

void Session::begin_run(const KeptPlan& kept) {
  last_outputs_.clear();
  idle_workspace_ = {};
  last_run_ = &kept;
}

void Session::run(ConstView input, const NodeObserver& observer) try {
  check(input, "input");
  const KeptPlan& kept = reserved_plan(input.shape);
  const Plan& p = kept.plan;
  begin_run(kept);
  seen_ = input.shape;
  const AnyView place = view_of(p, program_->graph.input);
  const bool fits = kept.input == input.shape;
  if (queue_ && fits) {
    queue_->upload(input, place);
    run_on_device(kept, observer);
  } else if (queue_) {
    Tensor padded(kept.input);
    pad(input, padded.view());
    queue_->upload(padded.view(), place);
    run_on_device(kept, observer);
  } else if (fits) {
    run_nodes(p, &input, observer);
  } else {  // in the arena, which the memory limit counts
    pad(input, place);
    run_nodes(p, nullptr, observer);
  }
  keep_outputs(p);
} catch (...) {
  rethrow_as_error();
}

void Session::run(const Image& picture, const Preparation& preparation) try {
  check(picture, "picture");
  if (picture.channels != 3)
    fail(ErrorCode::invalid_argument, "picture: expected 3 channels, found ", picture.channels);
  const KeptPlan& kept = reserved_plan({1, picture.height, picture.width, 3});
  const Plan& p = kept.plan;
  begin_run(kept);
  seen_ = {1, picture.height, picture.width, 3};
  const AnyView input = view_of(p, program_->graph.input);
  if (queue_ && kept.input != seen_) {  // zeros behind normalisation are no colour
    Tensor padded(kept.input);
    normalise(picture, preparation, padded.view());
    queue_->upload(padded.view(), input);
    run_on_device(kept, {});
  } else if (queue_) {
    std::vector<std::uint8_t> swapped;  // a device takes the channels as they come
    if (preparation.order != ChannelOrder::rgb) swapped = in_order(picture.pixels, preparation.order);
    queue_->upload_picture(swapped.empty() ? picture.pixels : swapped, normalisation(preparation), 0, input);
    run_on_device(kept, {});
  } else {
    normalise(picture, preparation, input);
    run_nodes(p, nullptr, {});
  }
  keep_outputs(p);
} catch (...) {
  rethrow_as_error();
}

void Session::run(const Shape& input, const HostInput& fill) try {
  const KeptPlan& kept = reserved_plan(input);
  if (queue_ || kept.input != input) {
    Tensor filled(input);
    call_host(fill, filled.view());
    return run(filled.view());
  }
  begin_run(kept);
  seen_ = input;
  call_host(fill, View(view_of(kept.plan, program_->graph.input)));
  run_nodes(kept.plan, nullptr, {});
  keep_outputs(kept.plan);
} catch (...) {
  rethrow_as_error();
}

void Session::run(const Shape& input, const DeviceInput& put) try {
  check_on_device();
  const KeptPlan& kept = reserved_plan(input);
  if (kept.input != input)
    fail(ErrorCode::invalid_argument, "input: ", input, " on the device, the network takes ", kept.input);
  begin_run(kept);
  seen_ = input;
  call_host(put, *queue_, view_of(kept.plan, program_->graph.input));
  run_on_device(kept, {});
  keep_outputs(kept.plan);
} catch (...) {
  rethrow_as_error();
}

void Session::check_on_device() const {
  if (!queue_) fail(ErrorCode::invalid_argument, "the network does not run on a device");
}

double Session::repeat() try {
  check_on_device();
  if (last_outputs_.empty()) fail(ErrorCode::invalid_argument, "no input yet: the network has not run");
  return queue_->time([&] { run_on_device(*last_run_, {}); });
} catch (...) {
  rethrow_as_error();
}

std::size_t Session::output_index(std::string_view name) const {
  const auto& outputs = program_->graph.outputs;
  const auto found = name.empty() ? outputs.begin() : std::ranges::find(outputs, name, [](const auto& o) {
    return std::string_view(o.first);
  });
  if (found == outputs.end()) fail(ErrorCode::invalid_argument, "the network has no output named ", name);
  if (last_outputs_.empty()) fail(ErrorCode::invalid_argument, "no output yet: the network has not run");
  return static_cast<std::size_t>(found - outputs.begin());
}

ConstView Session::output(std::string_view name) try {
  Output& output = last_outputs_[output_index(name)];
  if (!queue_) return output.map;
  if (!output.fetched) {
    Tensor fetched(output.map.shape);
    queue_->download(output.map, fetched.view());
    output.fetched = std::move(fetched);
  }
  return output.fetched->view();
} catch (...) {
  rethrow_as_error();
}

ConstAnyView Session::output_on_device(std::string_view name) try {
  check_on_device();
  const ConstAnyView output = last_outputs_[output_index(name)].map;
  queue_->wait();
  return output;
} catch (...) {
  rethrow_as_error();
}

void Session::label(std::int64_t n, std::int64_t height, std::int64_t width, std::span<std::uint8_t> labels,
                    std::span<float> confidence, std::string_view output, float threshold) try {
  const AnyView logits = last_outputs_[output_index(output)].map;
  if (n < 0 || n >= logits.shape.n)
    fail(ErrorCode::invalid_argument, "image ", n, " of a batch of ", logits.shape.n);
  check_label_sizes(height, width, labels, confidence);
  const Growth grown = growth(height, width);
  if (!queue_)
    label(image_of(logits, n), grown, height, width, labels, confidence, threshold);
  else if (!queue_->label(logits, n, grown, height, width, labels, confidence, threshold))
    fail_not_finite(*program_);
} catch (...) {
  rethrow_as_error();
}

void Session::check_finite(std::int64_t n, std::string_view name) try {
  if (!all_finite(program_->isa, image_of(output(name), n))) fail_not_finite(*program_);
} catch (...) {
  rethrow_as_error();
}

void Session::label(ConstView logits, const Growth& growth, std::int64_t height, std::int64_t width,
                    std::span<std::uint8_t> labels, std::span<float> confidence, float threshold) try {
  check(logits, "logits");
  if (logits.shape.n != 1)
    fail(ErrorCode::invalid_argument, "logits: expected 1 image, found ", logits.shape.n);
  check_label_sizes(height, width, labels, confidence);
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
                                  .threshold = threshold,
                                  .growth = growth});
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
