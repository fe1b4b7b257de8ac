// What the families of segmentation_models.pytorch ("smp") share: an encoder under `encoder`, the
// convolutions and the doubling blocks of its decoders, a head under `segmentation_head`, and the names of
// variants.
//
// segmentation_models_pytorch/encoders, /base, of 0.3.3; 0.3.0 to 0.5.0 have the same keys and results but
// where a family says otherwise.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/networks/family.h"

namespace atrous::networks {

// "smp_unet_r34_depth4_scse": the family's prefix, an encoder, options. Encoders are r18, r34, r50, r101,
// r152 (ResNets), resnet(1,1,1,1) with Bottlenecks of any number, and mobilenet_v2.
struct SmpVariant {
  std::string encoder;                    // "resnet34", "mobilenet_v2"
  std::vector<std::string_view> options;  // "depth4", "scse"
  bool has(std::string_view option) const;
  // The number behind an option, 4 for `depth` of "depth4"; `otherwise` where there is none.
  std::int64_t number(std::string_view option, std::int64_t otherwise) const;
};
// The views are of `variant`, which begins with `prefix`.
SmpVariant smp_variant(std::string_view prefix, std::string_view variant);
// Whether a name is made of `prefix`, an encoder and some of `options` in their order, one depth at most.
bool is_smp_variant(std::string_view prefix, std::string_view variant,
                    std::span<const std::string_view> options);

// The keys of an encoder, a head and `decoder`. Where all are there, the variant is `prefix` and the encoder;
// a family adds its options.
Evidence look_for_smp(const StateDict&, std::string_view prefix,
                      std::initializer_list<std::string_view> decoder);
// Adds an option to the variant where `is_so`.
void add_option(Evidence&, std::string_view option, bool is_so);
// Adds "depth3" or "depth4" to a family's variant whose encoder is five maps deep otherwise.
void add_depth(Evidence&, int depth);
// How many blocks are under module.0, module.1, ...
int count_modules(const StateDict&, std::string_view module);

// How deep the encoder is, 3 to 5, by the channels that a convolution of the decoder takes of its last map:
// those that a stage gives. `otherwise` where no stage does.
int smp_depth_of(const StateDict&, std::string_view convolution, int otherwise);

// The encoder's maps: [0] the picture, [i] 1/2^i of its size, down to 1/output_stride, where strides give way
// to dilations. Every convolution of a dilated stage has the full dilation, the first block's too: the
// publisher sets them all afterwards, and this is not what torchvision's replace_stride_with_dilation does.
// Maps of a ResNet: conv1, layer1 (behind the pooling) to layer4. Of a MobileNetV2: features 1, 3, 6, 13, 18.
//
// `depth` maps are built. A file holds the rest of the encoder too, which is read and not run; it may be left
// out, as it is from files that were made smaller.
constexpr int smp_depth = 5;
std::vector<Var> smp_encoder(Module, Var x, std::string_view name, int depth = smp_depth,
                             std::int64_t output_stride = 32);

// Conv2dReLU: convolution (0), batch norm (1), relu. Without batch norm, decoder_use_batchnorm = False, the
// convolution has a bias: keys show which. `norm`: of a network without a checkpoint.
Var smp_conv(Module, Var x, ConvOptions, bool norm = true);

// How a decoder doubles its maps. Hyper interpolation: nearest or bilinear; `assumed` was the only one before
// 0.5. `align_corners`: of bilinear.
Resize smp_doubling(Hyper&, std::string_view assumed = "nearest", bool align_corners = false);

// What the U-Net family says of its decoders.
struct SmpDecoder {
  Resize doubling = {};
  bool norm = true, scse = false;  // of a network without a checkpoint
};

// DecoderBlock: doubles x, sets the skips behind it, two 3x3 convolutions to `out` channels. Keys conv1,
// conv2; attention1 and attention2 where decoder_attention_type is "scse" (Roy, Navab & Wachinger 2018,
// "Concurrent Spatial and Channel Squeeze & Excitation"), the first of which is not run where there is no
// skip.
Var smp_block(Module, Var x, std::vector<Var> skips, std::int64_t out, const SmpDecoder&);

// The channels of block `index` of `count`: of 256, 128, 64, 32, 16 the last `count`.
std::int64_t smp_block_channels(int index, int count);

// Squeeze-and-excitation of this publisher: the global mean, 1x1 convolution (1), relu, 1x1 convolution (3),
// sigmoid. One gate a channel.
Var smp_gate(Module, Var x, std::int64_t squeezed);

// The head and what is known of the network.
struct SmpHead {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;  // of the map that the head sees
  // Whether the constructor has an `upsampling`, which may be given at stride 1, too.
  bool has_upsampling = false;
  Padding padding = {};
  std::int64_t classes = 21;  // of a network without a checkpoint
};

// SegmentationHead: a convolution (0) to the classes, then bilinear growth with align_corners = true by the
// constructor's `upsampling`. Hyper upsampling (asked for where there is one): the stride, so that the growth
// to the picture's size, which the Answer does, is the publisher's; less than that is done here, and the rest
// without align_corners. More than the stride gives the publisher logits beyond the picture's size, whose
// corners are the picture's: the Answer grows to any size from the same map. An activation of the
// constructor's is left out: the Answer's decision is the same of logits and of probabilities. `deepest`
// feeds the classifier of whole pictures (aux_params), which is read and not run. Photos keep their size: how
// large they were in training is not known.
Network smp_finish(Module, Var x, Var deepest, const SmpHead&, Hyper&);

// bilinear, align_corners = true: torch.nn.UpsamplingBilinear2d
constexpr Resize smp_bilinear{.mode = ResizeMode::bilinear, .align_corners = true};

// Arguments of the constructors, as save_pretrained() writes them.
constexpr ConfigKey smp_config_os{"encoder_output_stride", "os"},
    smp_config_rates{"decoder_atrous_rates", "rates"}, smp_config_upsampling{"upsampling", "upsampling"},
    smp_config_interpolation{"decoder_interpolation", "interpolation"};

constexpr std::string_view smp_stems[] = {"encoder.conv1.weight", "encoder.features.0.0.weight"},
                           smp_head = "segmentation_head.";

// The family with what all of the publisher have alike: names of `prefix`, an encoder and `options`, the
// places of an encoder and a head.
template <const std::string_view& prefix, const auto& options>
constexpr Family smp_family(Family family) {
  family.is_variant = [](std::string_view name) { return is_smp_variant(prefix, name, options); };
  family.stems = smp_stems;
  family.head = smp_head;
  return family;
}

}  // namespace atrous::networks
