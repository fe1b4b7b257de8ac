#include "layers/cuda/cuda_backend.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cuda/conv/conv2d_cudnn.h"
#include "layers/cuda/conv/convolutions.h"
#include "layers/cuda/conv/matmul_cublaslt.h"
#include "layers/cuda/cuda_kernels.h"
#include "layers/graph/implementation.h"

namespace atrous::cuda {

namespace {

// A layer without weights: what it does is a function of maps.
template <class Run>
class MapKernel final : public Kernel {
 public:
  MapKernel(std::shared_ptr<Context> context, Run run) : context_(std::move(context)), run_(std::move(run)) {}
  std::string_view name() const override { return "cuda"; }
  void run(const KernelCall& call) const override {
    std::vector<Map> in;
    for (const ConstAnyView& view : call.inputs) in.push_back(map_of(view));
    run_(stream_of(call), in, map_of(call.output));
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
  std::string_view name() const override { return "cuda"; }
  std::size_t packed_bytes() const override { return scale_.size() + shift_.size(); }
  void run(const KernelCall& call) const override {
    batch_norm(stream_of(call), static_cast<const float*>(scale_.data()),
               static_cast<const float*>(shift_.data()), map_of(call.inputs[0]), map_of(call.output));
  }

 private:
  static Memory in_float(const std::vector<double>& values) {
    const std::vector<float> rounded(values.begin(), values.end());
    return to_device(rounded, Precision::fp32);
  }
  std::shared_ptr<Context> context_;
  Memory scale_, shift_;
};

class EncodingKernel final : public Kernel {
 public:
  EncodingKernel(const Encoding& e, std::shared_ptr<Context> context)
      : context_(std::move(context)),
        codewords_(e.codewords),
        codeword_(transposed(e)),
        smoothing_(in_float(e.smoothing, e.codewords)),
        scale_(in_float(e.scale, e.codewords)),
        shift_(in_float(e.shift, e.codewords)) {}
  std::string_view name() const override { return "cuda"; }
  std::size_t packed_bytes() const override {
    return codeword_.size() + smoothing_.size() + scale_.size() + shift_.size();
  }
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int) const override {
    return checked_multiply(
        static_cast<std::size_t>(checked_add(shares(in[0]), sums(in[0]), "encoding: workspace")),
        sizeof(float), "encoding: workspace");
  }
  void run(const KernelCall& call) const override {
    const auto at = [](const Memory& m) { return static_cast<const float*>(m.data()); };
    const EncodingWeights weights{at(codeword_), at(smoothing_), at(scale_), at(shift_),
                                  static_cast<int>(codewords_)};
    auto* room = reinterpret_cast<float*>(call.workspace.data());
    encoding(stream_of(call), weights, map_of(call.inputs[0]), room, room + shares(call.inputs[0].shape),
             map_of(call.output));
  }

 private:
  std::int64_t shares(const Shape& in) const {
    return checked_product({in.n, in.h, in.w, codewords_}, "encoding: workspace");
  }
  std::int64_t sums(const Shape& in) const {
    return checked_product({in.n, in.c, codewords_}, "encoding: workspace");
  }
  static Memory in_float(const Weights& values, std::int64_t count) {
    return to_device(std::vector<float>(values.get(), values.get() + count), Precision::fp32);
  }
  static Memory transposed(const Encoding& e) {
    std::vector<float> values(static_cast<std::size_t>(e.codewords * e.channels));
    for (std::int64_t k = 0; k < e.codewords; ++k)
      for (std::int64_t c = 0; c < e.channels; ++c)
        values[static_cast<std::size_t>(c * e.codewords + k)] = e.codeword.get()[k * e.channels + c];
    return to_device(values, Precision::fp32);
  }
  std::shared_ptr<Context> context_;
  std::int64_t codewords_;
  Memory codeword_, smoothing_, scale_, shift_;
};

class GroupNormKernel final : public Kernel {
 public:
  GroupNormKernel(const GroupNorm& norm, std::shared_ptr<Context> context)
      : context_(std::move(context)),
        groups_(static_cast<int>(norm.groups)),
        eps_(norm.eps),
        weight_(to_device(std::span(norm.weight.get(), static_cast<std::size_t>(norm.channels)),
                          Precision::fp32)),
        bias_(to_device(std::span(norm.bias.get(), static_cast<std::size_t>(norm.channels)),
                        Precision::fp32)) {}
  std::string_view name() const override { return "cuda"; }
  std::size_t packed_bytes() const override { return weight_.size() + bias_.size(); }
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int) const override {
    const std::int64_t floats = checked_add(moments(in[0]), 3 * in[0].n * in[0].c, "group_norm: workspace");
    return checked_multiply(static_cast<std::size_t>(floats), sizeof(float), "group_norm: workspace");
  }
  void run(const KernelCall& call) const override {
    auto* room = reinterpret_cast<float*>(call.workspace.data());
    group_norm(
        stream_of(call),
        {static_cast<const float*>(weight_.data()), static_cast<const float*>(bias_.data()), groups_, eps_},
        map_of(call.inputs[0]), room, room + moments(call.inputs[0].shape), map_of(call.output));
  }

 private:
  static std::int64_t moments(const Shape& in) {
    return checked_product({3, in.n, divide_up(in.h * in.w, GroupNormWeights::chunk_pixels), in.c},
                           "group_norm: workspace");
  }
  std::shared_ptr<Context> context_;
  int groups_;
  double eps_;
  Memory weight_, bias_;
};

class PositionAttentionKernel final : public Kernel {
 public:
  explicit PositionAttentionKernel(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  std::string_view name() const override { return "cuda"; }
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int) const override {
    const std::int64_t pixels = checked_multiply(in[2].h, in[2].w, what);
    const std::int64_t floats = checked_add(checked_multiply(rows(pixels), pixels, what),
                                            checked_multiply(pixels, in[2].c + 2, what), what);
    return checked_multiply(static_cast<std::size_t>(floats + 2), sizeof(float), what);
  }
  void run(const KernelCall& call) const override {
    const Shape& value = call.inputs[2].shape;
    const std::int64_t pixels = value.h * value.w;
    PositionAttentionRoom room{};
    room.rows = static_cast<int>(rows(pixels));
    room.shares = reinterpret_cast<float*>(call.workspace.data());
    room.mixed = room.shares + rows(pixels) * pixels;
    room.largest = room.mixed + pixels * value.c;
    room.sums = room.largest + pixels;
    room.total = room.sums + pixels;
    position_attention(stream_of(call), map_of(call.inputs[0]), map_of(call.inputs[1]),
                       map_of(call.inputs[2]), room, map_of(call.output));
  }

 private:
  static constexpr std::string_view what = "position_attention: workspace";
  // Of the pairs' matrix: 4 million pairs at a time, and eight rows at least, which share a thread.
  static std::int64_t rows(std::int64_t pixels) {
    constexpr std::int64_t pairs = std::int64_t{1} << 22;
    return std::min(pixels, std::max<std::int64_t>(8, pairs / pixels));
  }
  std::shared_ptr<Context> context_;
};

class L2NormKernel final : public Kernel {
 public:
  L2NormKernel(const L2Norm& norm, std::shared_ptr<Context> context)
      : context_(std::move(context)),
        eps_(static_cast<float>(norm.eps)),
        weight_(to_device(std::vector<float>(norm.weight.get(), norm.weight.get() + norm.channels),
                          Precision::fp32)) {}
  std::string_view name() const override { return "cuda"; }
  std::size_t packed_bytes() const override { return weight_.size(); }
  void run(const KernelCall& call) const override {
    l2_norm(stream_of(call), static_cast<const float*>(weight_.data()), eps_, map_of(call.inputs[0]),
            map_of(call.output));
  }

 private:
  std::shared_ptr<Context> context_;
  float eps_;
  Memory weight_;
};

using CudaImplementation = Implementation<const Layer&, Context_>;

template <class L, auto make>
std::unique_ptr<Kernel> of_layer(const Layer& layer, Context_ context) {
  return make(std::get<L>(layer), context);
}

constexpr CudaImplementation conv2d_list[] = {
    {"depthwise", of_layer<Conv2d, make_conv2d_depthwise>},
    {"cublaslt", of_layer<Conv2d, make_conv2d_cublaslt>},
    {"cudnn", of_layer<Conv2d, make_conv2d_cudnn>},
    {"cudnn_plain", of_layer<Conv2d, make_conv2d_cudnn_plain>},
    {"direct", of_layer<Conv2d, make_conv2d_direct>},
};
constexpr CudaImplementation conv_transpose2d_list[] = {
    {"direct", of_layer<ConvTranspose2d, make_conv_transpose2d>},
};

constexpr CudaImplementation batch_norm_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<BatchNormKernel>(std::get<BatchNorm>(layer), context);
     }}};
constexpr CudaImplementation activation_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context,
                         [kind = std::get<Activation>(layer).kind](cudaStream_t stream, auto& in, Map out) {
                           activation(stream, kind, in[0], out);
                         });
     }}};
constexpr CudaImplementation max_pool2d_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context,
                         [pool = std::get<MaxPool2d>(layer)](cudaStream_t stream, auto& in, Map out) {
                           max_pool2d(stream, pool, in[0], out);
                         });
     }}};
constexpr CudaImplementation max_unpool2d_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context, [kernel = static_cast<int>(std::get<MaxUnpool2d>(layer).kernel)](
                                      cudaStream_t stream, auto& in, Map out) {
         max_unpool2d(stream, kernel, in[0], in[1], out);
       });
     }}};
constexpr CudaImplementation l2_norm_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<L2NormKernel>(std::get<L2Norm>(layer), context);
     }}};
constexpr CudaImplementation adaptive_avg_pool2d_list[] = {
    {"cuda", [](const Layer&, Context_ context) {
       return map_kernel(
           context, [](cudaStream_t stream, auto& in, Map out) { adaptive_avg_pool2d(stream, in[0], out); });
     }}};
constexpr CudaImplementation resize_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context, [how = std::get<Resize>(layer)](cudaStream_t stream, auto& in, Map out) {
         resize(stream, how, in[0], out);
       });
     }}};
constexpr CudaImplementation concat_list[] = {{"cuda", [](const Layer&, Context_ context) {
                                                 return map_kernel(
                                                     context, [](cudaStream_t stream, auto& in, Map out) {
                                                       int channel = 0;
                                                       for (const Map& map : in) {
                                                         copy_channels(stream, map, out, channel);
                                                         channel += map.c;
                                                       }
                                                     });
                                               }}};
constexpr CudaImplementation add_list[] = {
    {"cuda", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { add(stream, in[0], in[1], out); });
     }}};
constexpr CudaImplementation mul_list[] = {
    {"cuda", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { mul(stream, in[0], in[1], out); });
     }}};
constexpr CudaImplementation max_list[] = {
    {"cuda", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { maximum(stream, in[0], in[1], out); });
     }}};
constexpr CudaImplementation scale_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context,
                         [factor = std::get<Scale>(layer).factor](cudaStream_t stream, auto& in, Map out) {
                           scale(stream, factor, in[0], out);
                         });
     }}};
constexpr CudaImplementation crop_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) {
       return map_kernel(context, [cut = std::get<Crop>(layer)](cudaStream_t stream, auto& in, Map out) {
         crop(stream, static_cast<int>(cut.top), static_cast<int>(cut.left), in[0], out);
       });
     }}};
constexpr CudaImplementation encoding_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<EncodingKernel>(std::get<Encoding>(layer), context);
     }}};
constexpr CudaImplementation group_norm_list[] = {
    {"cuda", [](const Layer& layer, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<GroupNormKernel>(std::get<GroupNorm>(layer), context);
     }}};
constexpr CudaImplementation position_attention_list[] = {
    {"cuda", [](const Layer&, Context_ context) -> std::unique_ptr<Kernel> {
       return std::make_unique<PositionAttentionKernel>(context);
     }}};
constexpr CudaImplementation softmax_list[] = {
    {"cuda", [](const Layer&, Context_ context) {
       return map_kernel(context,
                         [](cudaStream_t stream, auto& in, Map out) { softmax(stream, in[0], out); });
     }}};

// By the kind of layer; none for those that optimise_for_device() (passes.h) does not make.
std::span<const CudaImplementation> list_for(const Conv2d&) { return conv2d_list; }
std::span<const CudaImplementation> list_for(const ConvTranspose2d&) { return conv_transpose2d_list; }
std::span<const CudaImplementation> list_for(const BatchNorm&) { return batch_norm_list; }
std::span<const CudaImplementation> list_for(const Activation&) { return activation_list; }
std::span<const CudaImplementation> list_for(const MaxPool2d&) { return max_pool2d_list; }
std::span<const CudaImplementation> list_for(const MaxUnpool2d&) { return max_unpool2d_list; }
std::span<const CudaImplementation> list_for(const L2Norm&) { return l2_norm_list; }
std::span<const CudaImplementation> list_for(const AdaptiveAvgPool2d&) { return adaptive_avg_pool2d_list; }
std::span<const CudaImplementation> list_for(const Resize&) { return resize_list; }
std::span<const CudaImplementation> list_for(const Crop&) { return crop_list; }
std::span<const CudaImplementation> list_for(const Concat&) { return concat_list; }
std::span<const CudaImplementation> list_for(const Add&) { return add_list; }
std::span<const CudaImplementation> list_for(const Mul&) { return mul_list; }
std::span<const CudaImplementation> list_for(const Max&) { return max_list; }
std::span<const CudaImplementation> list_for(const Scale&) { return scale_list; }
std::span<const CudaImplementation> list_for(const Softmax&) { return softmax_list; }
std::span<const CudaImplementation> list_for(const Encoding&) { return encoding_list; }
std::span<const CudaImplementation> list_for(const GroupNorm&) { return group_norm_list; }
std::span<const CudaImplementation> list_for(const PositionAttention&) { return position_attention_list; }
std::span<const CudaImplementation> list_for(const ExpandDepthwise&) { return {}; }
std::span<const CudaImplementation> list_for(const GatedConv2d&) { return {}; }
std::span<const CudaImplementation> list_for(const DoubledConv2d&) { return {}; }

std::span<const CudaImplementation> implementations(const Layer& layer) {
  return std::visit([](const auto& l) { return list_for(l); }, layer);
}

}  // namespace

std::vector<std::unique_ptr<Kernel>> make_kernels(const Node& node, Context_ context) {
  auto kernels = make_listed_kernels(node.layer, implementations(node.layer), context->options.force,
                                     node.layer, context);
  if (kernels.empty())
    fail(ErrorCode::unsupported, "cuda: ", node.name, ": no implementation of ", name_of(node.layer));
  return kernels;
}

}  // namespace atrous::cuda
