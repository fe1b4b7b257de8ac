// Running a program: one Session per concurrent caller, any number of Sessions on one program.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "runtime/plan.h"

namespace atrous {

struct SessionOptions {
  int threads = 0;               // 0: as many as the process may use
  std::size_t memory_limit = 0;  // bytes for weights and arena together; 0: none
};

// What ran, for profiles and comparisons: called after each node, with its output, which later nodes may
// overwrite.
using NodeObserver = std::function<void(std::size_t node, double seconds, ConstView output)>;

// Not for two threads at once; the program it runs is const and may be shared by many.
class Session {
 public:
  explicit Session(std::shared_ptr<const Program>, const SessionOptions& = {});

  // input: [n, h, w, 3], normalised. Afterwards output() gives the logits. The plan is made at the first run
  // of a shape and kept; later runs of it allocate no more than small tables. Near the memory limit it takes
  // kernels that need less workspace; Error(limit) when weights and arena would exceed it even so.
  void run(ConstView input, const NodeObserver& = {});

  // Makes the plan for an input shape and takes its memory, before there is an input. Errors as run().
  const Plan& reserve(const Shape& input);

  // The low-resolution map that the last run made, valid until the next run. Names: "out", and "aux" where
  // the program has it; Error(invalid_argument) for others.
  ConstView output(std::string_view name = "out") const;

  // The plan for an input shape, made if need be.
  const Plan& plan(const Shape& input);

  // Memory for steps around the network (upsampling), until the next run or scratch: the kernels' workspace
  // where that is large enough, otherwise a buffer that is kept and counts against the limit.
  std::span<std::byte> scratch(std::size_t bytes);

  const Program& program() const { return *program_; }
  int threads() const { return threads_; }
  std::size_t arena_bytes() const { return arena_.size(); }

 private:
  void check_limit(std::size_t arena, std::size_t scratch) const;

  std::shared_ptr<const Program> program_;
  int threads_;
  std::size_t memory_limit_;
  std::vector<std::pair<Shape, Plan>> plans_;  // most recently used last
  Buffer arena_, scratch_;
  std::span<std::byte> idle_workspace_;  // in the arena, behind the outputs of the last run
  std::vector<ConstView> inputs_;        // of the node that runs
  std::vector<View> last_outputs_;       // of the last run, in the order of graph.outputs; empty before
};

}  // namespace atrous
