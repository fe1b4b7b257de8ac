// Running a program: one Session per concurrent caller, any number of Sessions on one program.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "layers/base/large_pages.h"
#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "layers/networks/preparation.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

class DeviceQueue;
struct KernelCall;
struct Plan;     // runtime/engine/plan.h
struct Program;  // runtime/engine/program.h

struct SessionOptions {
  // At most; no more run than the process may run on. 0: as many as that, or as OMP_NUM_THREADS says.
  int threads = 0;
  // Bytes for weights, arena (activations, the prepared input, workspace), scratch and the copies of a
  // picture that preparing takes, together; 0: no limit. Photos and results are the caller's and do not
  // count.
  std::size_t memory_limit = 0;
};

// What ran, for profiles and comparisons: called after each node, with its output, which later nodes may
// overwrite. On a device seconds are the device's own.
using NodeObserver = std::function<void(std::size_t node, double seconds, ConstView output)>;

// Puts a run's input where it belongs on the device, by the session's own queue.
using DeviceInput = std::function<void(DeviceQueue&, AnyView input)>;

// Writes a run's input where the network reads it.
using HostInput = std::function<void(View input)>;

// Not for two threads at once; the program it runs is const and may be shared by many.
class Session {
 public:
  explicit Session(std::shared_ptr<const Program>, const SessionOptions& = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // input: [n, h, w, 3], normalised, padded here where the program says so. Afterwards output() gives the
  // logits of the padded input. The plan is made at the first run
  // of a shape and kept; later runs of it allocate no more than small tables. Near the memory limit it takes
  // kernels that need less workspace and fewer threads; Error(limit) when weights and arena would exceed it
  // even so. The logits are bitwise the same for any number of threads, under any limit.
  void run(ConstView input, const NodeObserver& = {});

  // The same for a picture at the network's input size, RGB, normalised on the way: to a device it travels as
  // bytes. Error(invalid_argument) for a picture of other channels.
  void run(const Image& picture, const Preparation&);

  // The same for input that is written where the network reads it, without a copy of the caller's: fill is
  // called once, what it throws ends the run. On a device, and where the program pads, the copy is ours.
  void run(const Shape& input, const HostInput& fill);

  // The same on a device, of an input that is made there: maps need not leave it between two graphs. The
  // shape is not padded. Error(invalid_argument) on the processor.
  void run(const Shape& input, const DeviceInput& put);

  // The last run once more, on a device and on the input that is there, whatever was planned since: seconds
  // that it takes without any copies to or from it. Error(invalid_argument) on the processor, before the
  // first run, and where reserve() has taken the run's memory since.
  double repeat();

  // Makes the plan for an input shape and takes its memory, before there is an input. More memory than there
  // was takes the place of the last run's, whose outputs are gone then. Errors as run().
  Plan reserve(const Shape& input);

  // What the caller holds beside the session's memory, from now on, counts against the limit too: so many
  // bytes. Error(limit), and as before, where weights alone leave no room for them.
  void set_aside(std::size_t bytes);

  // Into what an output of the last run grows, so that height x width pixels lie on its input.
  Growth growth(std::int64_t height, std::int64_t width) const;

  // The low-resolution map that the last run made, valid until the next run or reserve(). Names are the
  // graph's: "out", "aux" where the program has it; the first of them without a name. Error(invalid_argument)
  // for others. From a device it is fetched when asked for.
  ConstView output(std::string_view name = {});

  // The same where it lies on the device, once the run is done. Error(invalid_argument) on the processor.
  ConstAnyView output_on_device(std::string_view name = {});

  // Multiply-accumulates of the direct algorithm in the last run; 0 before it.
  std::int64_t macs() const;

  // Labels and, unless empty, confidences of image n of the last run at height x width: see
  // layers/cpu/maps/upsample_argmax.h, also for the threshold of one channel. On a device computed there, so
  // that only they travel. height * width of each: Error(invalid_argument) for other sizes and for an image
  // that the run did not have. Error(not_finite) as check_finite().
  void label(std::int64_t n, std::int64_t height, std::int64_t width, std::span<std::uint8_t> labels,
             std::span<float> confidence, std::string_view output = "out", float threshold = 0);

  // Error(not_finite), with the program's name, where a logit of image n of the last run is infinite or no
  // number: then no class is a pixel's, though argmax would name one.
  void check_finite(std::int64_t n, std::string_view output = {});

  // The same labels of other logits, [1, h, w, channels] in this process's memory: Error(invalid_argument)
  // for a view that is none of one image.
  void label(ConstView logits, const Growth&, std::int64_t height, std::int64_t width,
             std::span<std::uint8_t> labels, std::span<float> confidence, float threshold = 0);

  // The plan for an input shape, made if need be. Its kernels are the program's.
  Plan plan(const Shape& input);

  // Memory for steps around the network (upsampling), until the next run, reserve or scratch: the kernels'
  // workspace where that is large enough, otherwise a buffer that is kept and counts against the limit.
  std::span<std::byte> scratch(std::size_t bytes);

  // Bytes that the limit leaves beside the session's memory and what is set aside; without a limit the
  // largest number.
  std::size_t room() const;

  const Program& program() const { return *program_; }
  int threads() const { return threads_; }
  std::size_t arena_bytes() const { return arena_bytes_; }

 private:
  struct KeptPlan;
  struct Output {
    AnyView map;
    std::optional<Tensor> fetched = {};  // from a device
  };
  const KeptPlan& kept_plan(const Shape& input);
  const KeptPlan& reserved_plan(const Shape& input);
  void begin_run(const KeptPlan&);
  bool within_limit(std::size_t arena, std::size_t scratch) const;
  void check_limit(std::size_t arena, std::size_t scratch) const;
  std::size_t scratch_room() const;
  void take_arena(std::size_t bytes);
  AnyView view_of(const Plan&, int value) const;
  KernelCall call_of(const Plan&, std::size_t node, const ConstView* input);
  void run_nodes(const Plan&, const ConstView* input, const NodeObserver&);
  void run_on_device(const KeptPlan&, const NodeObserver&);
  void keep_outputs(const Plan&);
  void check_on_device() const;
  std::size_t output_index(std::string_view name) const;

  std::shared_ptr<const Program> program_;
  int threads_;
  std::size_t memory_limit_, aside_ = 0;
  std::vector<std::unique_ptr<const KeptPlan>> plans_;  // most recently used last
  Shape seen_;                                          // the last run's input, without padding
  const KeptPlan* last_run_ = nullptr;                  // one of them: what runs, or ran last
  std::uint64_t next_key_ = 0;
  std::unique_ptr<DeviceQueue> queue_;  // null on the processor
  LargeVector<std::byte> memory_;       // the processor's arena
  Buffer scratch_;
  std::byte* arena_ = nullptr;  // wherever it is
  std::size_t arena_bytes_ = 0;
  std::span<std::byte> idle_workspace_;  // in the processor's arena, behind the outputs of the last run
  std::vector<ConstAnyView> inputs_;     // of the node that runs
  std::vector<Output> last_outputs_;     // of the last run, in the order of graph.outputs; empty before
};

}  // namespace atrous
