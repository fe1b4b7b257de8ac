// Where everything lies in memory while a program runs on one input shape.
//
// All activations share one arena. A value occupies its bytes from the node that writes it to the last node
// that reads it; after that others may have them. Branches of a concatenation that nobody else reads are laid
// into its output, and a convolution writes over its residual where nobody reads that afterwards. Workspace,
// as large as the greediest kernel needs, lies behind the activations.
//
// The input has its place in the arena too, for a picture to be normalised into; on a device to the end of
// the run. There pixels are padded (layers/graph/device.h), and nothing is laid into or over anything else,
// since libraries want dense maps that do not overlap.
//
// Of every node's kernels the cheapest one for its shapes is taken. A memory limit bounds the workspace: then
// the cheapest that runs within it on one thread, or if none does the most modest; and as many threads run
// the kernel as there is workspace for. So which kernels run, and what they compute, depends on no number of
// threads.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/engine/program.h"

namespace atrous {

struct Plan {
  struct Place {
    Shape shape;
    std::size_t offset = 0;  // bytes from the arena's beginning
    std::int64_t pitch = 0;  // elements from pixel to pixel
    DType dtype = DType::f32;
    Quantisation quantisation = {};  // of u8
  };
  // How a node runs.
  struct Step {
    const Kernel* kernel = nullptr;  // the node's one that runs
    std::size_t workspace = 0;       // bytes
    int threads = 1;                 // at most those asked for
    bool in_place = false;           // nothing to run: its inputs already lie in its output
    bool operator==(const Step&) const = default;
  };
  std::vector<Place> places;  // by ValueId
  std::vector<Step> steps;    // by node
  std::size_t activation_bytes = 0, workspace_bytes = 0;
  std::int64_t macs = 0;  // of the direct algorithm

  std::size_t arena_bytes() const { return activation_bytes + workspace_bytes; }
};

// Error(invalid_argument) when the network cannot take the shape, Error(limit) when sizes overflow.
// memory_limit: bytes for weights, activations, workspace and the `aside` bytes that something else takes,
// together, or 0 for none. Where it cannot be kept, the plan is the one that needs least, for the caller to
// refuse.
Plan make_plan(const Program&, const Shape& input, int threads, std::size_t memory_limit = 0,
               std::size_t aside = 0);

}  // namespace atrous
