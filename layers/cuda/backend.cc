#include "layers/cuda/backend.h"

#include <algorithm>

#include "layers/cuda/conv/conv2d_cudnn.h"
#include "layers/cuda/conv/convolutions.h"
#include "layers/cuda/conv/matmul_cublaslt.h"
#include "layers/cuda/kernels.h"

namespace atrous::cuda {

namespace {

// A layer without weights: what it does is a function of maps.
template <class Run>
class MapKernel final : public Kernel {
 public:
  MapKernel(std::shared_ptr<Context> context, Run run) : context_(std::move(context)), run_(std::move(run)) {}
  std::string_view name() const override { return "own"; }
  void run(const KernelCall& call) const override {
    std::vector<Map> in;
    for (const ConstView& view : call.inputs) in.push_back(map_of(view, *context_));
    run_(stream_of(call), in, map_of(call.output, *context_));
  }

 private:
  std::shared_ptr<Context> context_;
  Run run_;
};

using Context_ = const std::shared_ptr<Context>&;

template <class Run>
std::unique_ptr<Kernel> map_kernel(Context_ context, Run run) {
  return std::make_unique<MapKernel<Run>>(context, std::move(run));
}

class BatchNormKernel final : public Kernel {
 public:
  BatchNormKernel(const BatchNorm& norm, std::shared_ptr<Context> context)
      : context_(std::move(context)), scale_(in_float(norm.scale)), shift_(in_float(norm.shift)) {}
  std::string_view name() const override { return "own"; }
  std::size_t packed_bytes() const override { return scale_.size() + shift_.size(); }
  void run(const KernelCall& call) const override {
    batch_norm(stream_of(call), static_cast<const float*>(scale_.data()),
               static_cast<const float*>(shift_.data()), map_of(call.inputs[0], *context_),
               map_of(call.output, *context_));
  }

 private:
  static Memory in_float(const std::vector<double>& values) {
    const std::vector<float> rounded(values.begin(), values.end());
    return to_device(rounded, Precision::fp32);
  }
  std::shared_ptr<Context> context_;
  Memory scale_, shift_;
};

struct Implementation {
  std::string_view name;
  std::unique_ptr<Kernel> (*make)(const Layer&, Context_);  // null when it does not accept the layer
};

template <class L, auto make>
std::unique_ptr<Kernel> of_layer(const Layer& layer, Context_ context) {
  return make(std::get<L>(layer), context);
}

constexpr Implementation conv2d_list[] = {
    {"depthwise", of_layer<Conv2d, make_conv2d_depthwise>},
    {"cublaslt", of_layer<Conv2d, make_conv2d_cublaslt>},
    {"cudnn", of_layer<Conv2d, make_conv2d_cudnn>},
    {"cudnn_plain", of_layer<Conv2d, make_conv2d_cudnn_plain>},
    {"direct", of_layer<Conv2d, make_conv2d_direct>},
};
constexpr Implementation conv_transpose2d_list[] = {
    {"gather", of_layer<ConvTranspose2d, make_conv_transpose2d>},
};

constexpr Implementation batch_norm_list[] = {
    {"own", [](const Layer& layer, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<BatchNormKernel>(std::get<BatchNorm>(layer), context);
     }}};
constexpr Implementation activation_list[] = {
    {"own", [](const Layer& layer, Context_ context) {
       return map_kernel(context,
                         [kind = std::get<Activation>(layer).kind](cudaStream_t stream, auto& in, Map out) {
                           activation(stream, kind, in[0], out);
                         });
     }}};
constexpr Implementation max_pool2d_list[] = {
    {"own", [](const Layer& layer, Context_ context) {
       return map_kernel(context,
                         [pool = std::get<MaxPool2d>(layer)](cudaStream_t stream, auto& in, Map out) {
                           max_pool2d(stream, pool, in[0], out);
                         });
     }}};
constexpr Implementation adaptive_avg_pool2d_list[] = {
    {"own", [](const Layer&, Context_ context) {
       return map_kernel(
           context, [](cudaStream_t stream, auto& in, Map out) { adaptive_avg_pool2d(stream, in[0], out); });
     }}};
constexpr Implementation resize_list[] = {
    {"own", [](const Layer& layer, Context_ context) {
       return map_kernel(context, [how = std::get<Resize>(layer)](cudaStream_t stream, auto& in, Map out) {
         resize(stream, how, in[0], out);
       });
     }}};
constexpr Implementation concat_list[] = {{"own", [](const Layer&, Context_ context) {
                                             return map_kernel(context,
                                                               [](cudaStream_t stream, auto& in, Map out) {
                                                                 int channel = 0;
                                                                 for (const Map& map : in) {
                                                                   copy_channels(stream, map, out, channel);
                                                                   channel += map.c;
                                                                 }
                                                               });
                                           }}};
constexpr Implementation add_list[] = {
    {"own", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { add(stream, in[0], in[1], out); });
     }}};
constexpr Implementation mul_list[] = {
    {"own", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { mul(stream, in[0], in[1], out); });
     }}};
constexpr Implementation softmax_list[] = {
    {"own", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { softmax(stream, in[0], out); });
     }}};

std::span<const Implementation> implementations(const Layer& layer) {
  if (std::holds_alternative<Conv2d>(layer)) return conv2d_list;
  if (std::holds_alternative<ConvTranspose2d>(layer)) return conv_transpose2d_list;
  if (std::holds_alternative<BatchNorm>(layer)) return batch_norm_list;
  if (std::holds_alternative<Activation>(layer)) return activation_list;
  if (std::holds_alternative<MaxPool2d>(layer)) return max_pool2d_list;
  if (std::holds_alternative<AdaptiveAvgPool2d>(layer)) return adaptive_avg_pool2d_list;
  if (std::holds_alternative<Resize>(layer)) return resize_list;
  if (std::holds_alternative<Concat>(layer)) return concat_list;
  if (std::holds_alternative<Add>(layer)) return add_list;
  if (std::holds_alternative<Mul>(layer)) return mul_list;
  if (std::holds_alternative<Softmax>(layer)) return softmax_list;
  return {};
}

}  // namespace

std::vector<std::unique_ptr<Kernel>> make_kernels(const Node& node, Context_ context) {
  const auto list = implementations(node.layer);
  const std::string& force = context->options.force;
  std::vector<std::unique_ptr<Kernel>> kernels;
  const auto make = [&](const Implementation& i) {
    if (auto kernel = i.make(node.layer, context)) kernels.push_back(std::move(kernel));
  };
  for (const Implementation& i : list)
    if (i.name == force) make(i);
  if (kernels.empty())
    for (const Implementation& i : list) make(i);
  if (kernels.empty())
    fail(ErrorCode::unsupported, "cuda: ", node.name, ": no implementation of ", name_of(node.layer));
  return kernels;
}

}  // namespace atrous::cuda
