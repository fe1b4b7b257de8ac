// Checkpoints made up for tests, with torchvision's names and tiny widths, and a look at the graphs built
// from them.
#pragma once

#include <functional>
#include <map>
#include <sstream>

#include "layers/networks/segmentation.h"
#include "tests/support/layers_testing.h"

namespace atrous {

inline StateTensor float_tensor(std::vector<std::int64_t> shape, float value) {
  std::int64_t count = 1;
  for (std::int64_t d : shape) count *= d;
  const auto owner = std::make_shared<const std::vector<float>>(static_cast<std::size_t>(count), value);
  return {DType::f32, std::move(shape), {owner, reinterpret_cast<const std::byte*>(owner->data())}};
}

// A checkpoint before it is a StateDict, so that a test may spoil it.
struct RawCheckpoint {
  std::map<std::string, StateTensor> tensors;

  void conv(const std::string& name, std::int64_t out, std::int64_t in, std::int64_t kernel,
            bool bias = false) {
    tensors[name + ".weight"] = float_tensor({out, in, kernel, kernel}, 0.01f);
    if (bias) tensors[name + ".bias"] = float_tensor({out}, 0.5f);
  }
  void norm(const std::string& name, std::int64_t channels) {
    tensors[name + ".weight"] = float_tensor({channels}, 1);
    tensors[name + ".bias"] = float_tensor({channels}, 0);
    tensors[name + ".running_mean"] = float_tensor({channels}, 0);
    tensors[name + ".running_var"] = float_tensor({channels}, 1);
    const auto batches = std::make_shared<const std::int64_t>(7);
    tensors[name + ".num_batches_tracked"] = {
        DType::i64, {}, {batches, reinterpret_cast<const std::byte*>(batches.get())}};
  }
  StateDict state() const {
    StateDict s;
    for (const auto& [name, tensor] : tensors) s.add(name, tensor);
    return s;
  }
};

inline std::string refusal(const RawCheckpoint& c, const NetworkOptions& options = {}) {
  return error_of(ErrorCode::mismatch, [&] { build_network(c.state(), options); });
}

inline const Node& node(const Graph& graph, const std::string& name) {
  for (const Node& n : graph.nodes)
    if (n.name == name) return n;
  throw std::runtime_error("no node " + name);
}

inline const Conv2d& conv(const Graph& graph, const std::string& name) {
  return std::get<Conv2d>(node(graph, name).layer);
}

// "stride/dilation/padding" of a convolution.
inline std::string spacing(const Graph& graph, const std::string& name) {
  const Conv2d& c = conv(graph, name);
  return str_cat(c.stride, "/", c.dilation, "/", c.padding);
}

// Lines of a message that hold `part`.
inline int lines_with(const std::string& message, std::string_view part) {
  std::istringstream lines(message);
  int count = 0;
  for (std::string line; std::getline(lines, line);) count += contains(line, part) ? 1 : 0;
  return count;
}

inline Shape output_of(const Network& network, const Shape& input, std::size_t index = 0) {
  return infer_shapes(network.graph, input)[static_cast<std::size_t>(network.graph.outputs.at(index).second)];
}

}  // namespace atrous
