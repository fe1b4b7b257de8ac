// Rewrites of a graph that leave what it computes unchanged but for rounding, and make it cheaper to run.
#pragma once

#include <optional>
#include <span>

#include "layers/graph/graph.h"

namespace atrous {

// A transposed convolution of stride 1 that does not make its map larger is an ordinary one, of the weights
// turned by 180 degrees with inputs and outputs exchanged, padded by dilation * (kernel - 1) - padding. The
// passes below and the kernels of convolutions see it so. Runs first. One that makes its map larger stays: as
// a convolution it would multiply padding.
void convolve_transposed(Graph&);

// A batch norm behind a convolution that nobody else reads becomes part of it:
// weight[o] *= scale[o], bias[o] = bias[o] * scale[o] + shift[o]. Products in double, rounded once. Layers
// that run several times, on the same weights, share them afterwards too.
void fold_batch_norm(Graph&);

// A 1x1 convolution of a concatenation one of whose inputs is a single pixel repeated over the map, like
// ASPP's image pooling: that input's part of the sum is the same everywhere. It is computed once per image,
// by a convolution of the pixel, and added as a residual; nothing is repeated or concatenated for it. Runs
// behind fold_batch_norm.
void hoist_repeated_pixel(Graph&);

// An Add behind a Conv2d becomes the convolution's residual (its second input); of two convolutions the one
// that runs later takes the other's output. The sum must have no other way to be read.
void fuse_residual(Graph&);

// An Activation behind a Conv2d that nobody else reads becomes the convolution's own.
void fuse_activation(Graph&);

// A bilinear resize commutes with a 1x1 convolution, since its weights sum to one: where that makes fewer
// channels out of more, and nobody else reads the resized map, the convolution runs first, on the small map.
void classify_before_resize(Graph&);

// A 1x1 convolution that only a depthwise one reads makes one layer with it, ExpandDepthwise. Run behind the
// passes above, which know Conv2d alone.
void fuse_expansion(Graph&);

// A Mul by a gate (a map of one pixel per image) that only a 1x1 convolution reads makes one layer with it,
// GatedConv2d. Run behind the passes above likewise.
void fold_gate(Graph&);

// A nearest resize by 2 that only a 3x3 convolution reads makes one layer with it, DoubledConv2d. Where the
// convolution reads it in a concatenation, as in U-Net's decoder, it becomes a DoubledConv2d of the doubled
// map's part of the sums, and a convolution of the rest, to which that is a residual: the doubled map is not
// written, and what it would be joined with is not copied. Run behind the passes above likewise; not where
// maps are in fewer bits, which it does not read.
void fuse_doubling(Graph&);

// Which maps are in bfloat16 (Value::dtype) where a network is to run so: those that only layers read and
// write which multiply in bfloat16 or merely move values. The rest stays in fp32: the input, and so the first
// layer's products; the outputs; maps of one pixel, that is means over the whole map and what is made of
// them; and what goes through sums of many values or through kernels that fuse layers.
void choose_bf16(Graph&);

// Which maps are in 8 bits, of a quantised checkpoint's network: those with a range (Value::range) that a
// convolution makes and one with quantised weights reads, or that get from one to the other by layers which
// merely move values, and share one range then. The rest stays in fp32, as above, and so does the input; but
// of those that have a range convolutions with quantised weights, depthwise ones apart, quantise what they
// read where they multiply it often enough: then the value has a quantisation.
void choose_int8(Graph&);

// The inputs whose values a layer moves and does not change, so that its output has their range: of
// concatenations, max pools, crops and nearest resizes. Empty for other layers.
std::span<const ValueId> moved_values(const Node&);

// The convolution that alone makes, for the reader alone, what that reads first, and whose channels can be
// divided by dividing its weights and bias: without a residual, and with no activation, relu or relu6. By its
// place among the nodes.
std::optional<std::size_t> divider(const Graph&, const Node& reader);

// Where a quantised layer has its input's channels divided (Filter::equalisation) and that is in 8 bits, the
// divider() divides them; but a relu6 whose limit is within the range of some channel does not. So channels
// of small values are not lost beside those of large ones. Behind choose_int8, which takes that for granted.
// Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1.
void equalise(Graph&);

// Quantised weights whose layer does not read 8 bits become floats.
void dequantise_others(Graph&);

// All rewrites of above that make a network cheaper, in the order that lets each find what it looks for. A
// device's kernels do not know ExpandDepthwise, GatedConv2d and DoubledConv2d: these are the processor's
// alone, and leave out what has quantised weights. After the first convolutions' weights may be still to be
// read, and to be multiplied for a batch norm: WeightMemory brings them in layer by layer.
void optimise_for_device(Graph&);  // for the processor too
// Behind it. Of few bits: in which the network's maps are to be afterwards.
void fuse_for_processor(Graph&, bool few_bits);
void optimise(Graph&);  // both, with all weights brought in: for tests; programs do the steps one by one

}  // namespace atrous
