#include "layers/cuda/conv/conv2d_graph.h"

#include <algorithm>
#include <vector>

namespace atrous::cuda {

namespace {

bool has_operation(ActivationKind kind) {
  return kind == ActivationKind::relu || kind == ActivationKind::relu6 || kind == ActivationKind::sigmoid;
}

GraphPointwise operation_of(ActivationKind kind) {
  if (kind == ActivationKind::sigmoid) return {CUDNN_POINTWISE_SIGMOID_FWD};
  return {CUDNN_POINTWISE_RELU_FWD, kind == ActivationKind::relu6 ? 6.0 : 0.0};
}

}  // namespace

Fusion full_fusion(const Conv2d& conv, const Conv2dProblem& p) {
  const bool activate = has_operation(conv.activation) && p.residual != Conv2dProblem::Residual::pixel;
  return {p.residual == Conv2dProblem::Residual::map, true,
          activate ? conv.activation : ActivationKind::none};
}

Descriptor make_graph(const Planner& planner, const Conv2d& conv, const Conv2dProblem& p,
                      const Fusion& fusion, Precision precision) {
  const cudnnDataType_t type = precision == Precision::fp16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
  const std::int64_t in_channels = device_pitch(p.in.c, precision);
  const std::int64_t out_channels = device_pitch(p.out.c, precision);
  const std::int64_t group = in_channels / conv.groups;  // cuDNN tells the groups by this
  const Filter& w = conv.weight;

  const auto output = [&](std::int64_t uid) {
    return make_tensor({uid, type, p.out.n, out_channels, p.out.h, p.out.w});
  };
  std::int64_t virtual_uid = first_virtual_uid;
  const auto result = [&](bool is_last) {
    return is_last ? output(y_uid)
                   : make_tensor(
                         {virtual_uid++, CUDNN_DATA_FLOAT, p.out.n, out_channels, p.out.h, p.out.w, true});
  };
  const bool activated = fusion.activation != ActivationKind::none;

  std::vector<Descriptor> operations;
  const Descriptor x = make_tensor({x_uid, type, p.in.n, in_channels, p.in.h, p.in.w});
  const Descriptor weight = make_tensor({weight_uid, type, out_channels, group, w.kernel_h, w.kernel_w});
  Descriptor y = result(!fusion.residual && !fusion.bias && !activated);
  operations.push_back(make_convolution({conv.stride, conv.padding, conv.dilation}, x, weight, y));
  if (fusion.residual) {
    Descriptor sum = result(!fusion.bias && !activated);
    operations.push_back(make_add(y, output(residual_uid), sum));
    y = std::move(sum);
  }
  if (fusion.bias) {
    Descriptor sum = result(!activated);
    operations.push_back(make_add(y, make_tensor({bias_uid, type, 1, out_channels, 1, 1}), sum));
    y = std::move(sum);
  }
  if (activated) operations.push_back(make_activation(operation_of(fusion.activation), y, result(true)));
  return make_operation_graph(planner, operations);
}

bool is_allowed(const EngineConfig& config, Precision precision) {
  return std::ranges::none_of(config.notes, [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return true;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return precision == Precision::fp32;
      default:
        return false;
    }
  });
}

}  // namespace atrous::cuda
