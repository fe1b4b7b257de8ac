#include "layers/networks/foreign_networks.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"

#ifndef ATROUS_HAS_CAFFE
#define ATROUS_HAS_CAFFE 1
#endif

namespace atrous {

namespace {

// Keys or modules that together tell a network apart, and the module that holds a ResNet's stages, where its
// depth is worth saying: "" for the root, none for no ResNet. A more telling signature comes first.
struct Signature {
  std::string_view network, source;
  std::array<std::string_view, 3> keys;
  std::string_view resnet;
};

constexpr std::string_view none = "-";

constexpr Signature signatures[] = {
    // Instances and boxes.
    {"Keypoint R-CNN", "torchvision", {"rpn.head", "roi_heads.keypoint_predictor"}, "backbone.body"},
    {"Mask R-CNN with a MobileNet body",
     "torchvision",
     {"backbone.body.0.0", "rpn.head", "roi_heads.mask_predictor"},
     none},
    {"Faster R-CNN with a MobileNet body",
     "torchvision",
     {"backbone.body.0.0", "rpn.head", "roi_heads.box_predictor"},
     none},
    {"Mask R-CNN", "torchvision", {"rpn.head", "roi_heads.mask_predictor"}, "backbone.body"},
    {"Faster R-CNN", "torchvision", {"rpn.head", "roi_heads.box_predictor"}, "backbone.body"},
    {"Mask R-CNN", "Detectron2", {"proposal_generator.rpn_head", "roi_heads.mask_head"}, none},
    {"Faster R-CNN", "Detectron2", {"proposal_generator.rpn_head", "roi_heads.box_predictor"}, none},
    {"PANet, Mask R-CNN with a bottom-up path",
     "ShuLiu1993",
     {"Conv_Body.panet_buttomup_conv1_modules"},
     none},
    {"Mask R-CNN", "Detectron.pytorch", {"Conv_Body", "Box_Head", "Mask_Head"}, none},
    {"Mask R-CNN", "mmdetection", {"rpn_head", "roi_head.mask_head"}, "backbone"},
    {"a detector with regions", "mmdetection", {"rpn_head", "roi_head"}, "backbone"},
    {"RetinaNet or SSD",
     "torchvision",
     {"head.classification_head", "head.regression_head"},
     "backbone.body"},
    {"DETR", "facebookresearch", {"transformer.decoder", "query_embed", "class_embed"}, "backbone.0.body"},
    {"Mask2Former or MaskFormer", "", {"sem_seg_head.predictor"}, none},
    {"Segment Anything", "facebookresearch", {"image_encoder", "mask_decoder"}, none},
    // segmentation_models.pytorch: encoder, decoder, segmentation_head.
    {"U-Net of a version before 0.1, whose decoder is another,",
     "segmentation_models.pytorch",
     {"encoder", "decoder.layer1.block"},
     none},
    {"a network with another encoder than ResNet and MobileNetV2, or another decoder",
     "segmentation_models.pytorch",
     {"encoder", "decoder", "segmentation_head"},
     none},
    // Semantic segmentation.
    {"PSANet", "semseg", {"psa", "cls"}, ""},
    {"a network", "PyTorch-Encoding", {"pretrained.conv1", "pretrained.layer4", "head"}, "pretrained"},
    {"DeepLabV3+", "kazuto1011", {"base.aspp", "base.fc2", "base.reduce"}, none},
    {"DeepLabV3", "kazuto1011", {"base.aspp.stages", "base.fc1"}, none},
    {"DeepLabV1, one 1x1 classifier", "kazuto1011", {"layer1.conv1.conv", "layer5.block1", "fc"}, none},
#if ATROUS_HAS_CAFFE
    {"a classifier of pictures, without a segmentation head: ResNet of Caffe",
     "",
     {"res2a_branch2a", "fc1000"},
     none},
    {"init.caffemodel, from which DeepLabV2's training begins: a ResNet without its four dilated classifiers",
     "",
     {"res2a_branch2a", "bn2a_branch2a"},
     none},
#endif
    {"FCN-8s on VGG-16", "", {"score_fr", "score_pool3"}, none},
    {"FCN-16s on VGG-16", "", {"score_fr", "score_pool4"}, none},
    {"FCN-8s on VGG-16", "", {"score_fr", "upscore2"}, none},
    {"FCN on VGG-16", "", {"score_fr"}, none},
    {"DeconvNet", "", {"defc6", "deconv_score"}, none},
    {"SegFormer", "Hugging Face", {"segformer.encoder", "decode_head.classifier"}, none},
    {"UPerNet", "Hugging Face or mmsegmentation", {"decode_head.psp_modules"}, "backbone"},
    {"SegFormer", "mmsegmentation", {"backbone.layers.0", "decode_head.fusion_conv"}, none},
    {"a network", "mmsegmentation", {"backbone", "decode_head"}, "backbone"},
    {"U-Net", "milesial", {"inc.double_conv", "down1", "outc"}, none},
    {"U-Net", "mateuszbuda", {"encoder1.enc1conv1", "bottleneck", "decoder1"}, none},
    {"SegNet", "", {"encoder.0", "decoder.0"}, none},
    {"HRNet", "", {"stage4", "last_layer"}, none},
    {"BiSeNet", "", {"sp.conv1", "cp", "ffm"}, none},
    {"BiSeNetV2", "", {"detail.S1", "segment.S1S2"}, none},
    {"ENet", "", {"initial_block", "transposed_conv"}, none},
    {"a torchvision ResNet backbone with another head",
     "",
     {"backbone.conv1", "backbone.layer4", "head"},
     "backbone"},
    // Classifiers. The keys of a ResNet are those of torchvision and timm.
    {"a classifier of pictures, without a segmentation head: ResNet",
     "torchvision",
     {"conv1", "layer1", "fc"},
     ""},
    {"an encoder of pictures, without a segmentation head: ResNet",
     "torchvision",
     {"conv1", "layer1", "bn1"},
     ""},
    {"a classifier of pictures, without a segmentation head: VGG",
     "torchvision",
     {"features.0", "classifier.0", "classifier.6"},
     none},
    {"a classifier of pictures, without a segmentation head: DenseNet",
     "torchvision",
     {"features.conv0", "features.denseblock1"},
     none},
    {"a classifier of pictures, without a segmentation head: MobileNet or EfficientNet",
     "torchvision",
     {"features.0.0", "classifier"},
     none},
    {"a vision transformer, without a segmentation head",
     "timm",
     {"patch_embed.proj", "cls_token", "blocks.0"},
     none},
    {"a vision transformer, without a segmentation head",
     "torchvision",
     {"class_token", "conv_proj", "encoder.layers"},
     none},
    {"CLIP", "", {"visual", "token_embedding"}, none},
};

bool fits(const Signature& signature, const StateDict& state) {
  return std::ranges::all_of(signature.keys,
                             [&](std::string_view key) { return key.empty() || state.has(key); });
}

// " on ResNet-50", where the blocks are those of a published depth.
std::string on_resnet(const StateDict& state, std::string_view module) {
  if (module == none) return "";
  const std::string name = name_of(resnet_of(state, std::string(module)), 64);
  constexpr std::string_view resnet = "resnet";
  return name.find('(') == name.npos ? " on ResNet-" + name.substr(resnet.size()) : "";
}

}  // namespace

std::string describe_foreign_network(const StateDict& state) {
  const auto found = std::ranges::find_if(signatures, [&](const Signature& s) { return fits(s, state); });
  if (found == std::end(signatures)) return "";
  const bool is_resnet = found->network.ends_with("ResNet");
  std::string depth = on_resnet(state, found->resnet);
  if (is_resnet && !depth.empty()) depth = depth.substr(std::string_view(" on ResNet").size());
  return str_cat(found->network, depth, found->source.empty() ? "" : " (", found->source,
                 found->source.empty() ? "" : ")");
}

}  // namespace atrous
