// The kernels written here, one .cu file per layer. Each function puts one piece of work on the stream and
// returns. Maps of halves are computed in fp32 and rounded once, at the end. Where a kernel writes a map, it
// writes zeros between the last channel and the next pixel.
#pragma once

#include <cstdint>
#include <span>

#include "layers/cuda/cuda.h"
#include "layers/ops/activation.h"
#include "layers/ops/conv2d.h"
#include "layers/ops/conv_transpose2d.h"
#include "layers/ops/max_pool2d.h"
#include "layers/ops/resize.h"
#include "layers/ops/roi_align.h"

namespace atrous::cuda {

// The way in: 8-bit RGB through a table of 3 x 256 floats (device memory both) to one image of three
// channels.
void normalise(cudaStream_t, const std::uint8_t* rgb, const float* table, Map out);
// fp32 with any pitch (device memory) to a map, and a map to dense fp32.
void pack(cudaStream_t, const float* from, int from_pitch, Map to);
void unpack(cudaStream_t, Map from, float* to);

// Convolutions. bias: fp32 or null; residual: null or as in conv2d.h. The weights lie as each function says.
struct ConvolutionWeights {
  const void* weight = nullptr;
  const float* bias = nullptr;
  int input_pitch = 0;  // conv2d_direct: from one tap's weights to the next tap's
  int kernel_h = 0, kernel_w = 0, stride = 1, padding = 0, dilation = 1, groups = 1;
  ActivationKind activation = ActivationKind::none;
};
// Of any kind. weight: in the map's type [out_channels, kernel_h, kernel_w, input_pitch], of which the first
// in_channels / groups count; ungrouped, input_pitch is a multiple of 16 bytes and the rest are zeros.
void conv2d_direct(cudaStream_t, const ConvolutionWeights&, Map in, const Map* residual, Map out);
// groups = channels; weight: fp32 [kernel_h, kernel_w, device_pitch(channels)].
void conv2d_depthwise(cudaStream_t, const ConvolutionWeights&, Map in, const Map* residual, Map out);
// weight: fp32 [kernel_h, kernel_w, in_channels, out_channels / groups].
void conv_transpose2d(cudaStream_t, const ConvolutionWeights&, Map in, Map out);

// out = activation(in + bias + residual), what a convolution elsewhere left undone; bias fp32 or null,
// residual null or as in conv2d.h. out may be in.
void epilogue(cudaStream_t, const float* bias, const Map* residual, ActivationKind, Map in, Map out);

void batch_norm(cudaStream_t, const float* scale, const float* shift, Map in, Map out);
void activation(cudaStream_t, ActivationKind, Map in, Map out);  // out may be in
void add(cudaStream_t, Map a, Map b, Map out);
void mul(cudaStream_t, Map a, Map b, Map out);  // b of one pixel an image, or of one channel, is repeated
void maximum(cudaStream_t, Map a, Map b, Map out);
void scale(cudaStream_t, float factor, Map in, Map out);
void softmax(cudaStream_t, Map in, Map out);
void max_pool2d(cudaStream_t, const MaxPool2d&, Map in, Map out);
// layers/ops/max_unpool2d.h; `before`: the map that was pooled.
void max_unpool2d(cudaStream_t, int kernel, Map in, Map before, Map out);
// layers/ops/l2_norm.h; weight: fp32 [channels].
void l2_norm(cudaStream_t, const float* weight, float eps, Map in, Map out);
void adaptive_avg_pool2d(cudaStream_t, Map in, Map out);
void resize(cudaStream_t, const Resize&, Map in, Map out);
// in, at `channel` of out, at any pitch: a concatenation is one of these for each input. Only the one that
// ends with out's last channel writes zeros behind it.
void copy_channels(cudaStream_t, Map in, Map out, int channel);

// out is as large as what is left of `in` behind row `top` and column `left`, or smaller.
void crop(cudaStream_t, int top, int left, Map in, Map out);

// layers/ops/roi_align.h, of `count` regions (device memory), of maps whose layers are of one size. out: [n,
// size, size, channels], or [1, n, 1, size * size * channels], a region a pixel, its cells row by row; zeros
// beyond `count`. At most 8 maps.
void roi_align(cudaStream_t, std::span<const RoiMap<Map>> maps, const MapRegion* regions, int count, Map out);
// [n, h, w, c] -> [1, n, 1, h * w * c].
void flatten(cudaStream_t, Map in, Map out);

// layers/ops/encoding.h. codeword: fp32 [channels, codewords], transposed; the others fp32 [codewords].
// shares: room for n * h * w * codewords floats; sums: for n * codewords * channels.
struct EncodingWeights {
  const float *codeword, *smoothing, *scale, *shift;
  int codewords;
};
void encoding(cudaStream_t, const EncodingWeights&, Map in, float* shares, float* sums, Map out);

// layers/ops/group_norm.h. weight, bias: fp32 [channels]. moments: room for
// 3 * n * divide_up(h * w, chunk_pixels) * channels floats; factors: for 3 * n * channels.
struct GroupNormWeights {
  static constexpr int chunk_pixels = 256;
  const float *weight, *bias;
  int groups;
  double eps;
};
void group_norm(cudaStream_t, const GroupNormWeights&, Map in, float* moments, float* factors, Map out);

// layers/ops/position_attention.h. Room for one image: `rows` rows of the pairs' matrix in shares, h * w
// numbers each; mixed as large as the value; largest and sums of h * w floats, total of two.
struct PositionAttentionRoom {
  int rows;
  float *shares, *mixed, *largest, *sums, *total;
};
void position_attention(cudaStream_t, Map query, Map key, Map value, const PositionAttentionRoom&, Map out);

// Writes 1 to `found` (device memory) where a value of the map is infinite or no number, and else nothing.
void find_not_finite(cudaStream_t, Map, std::uint32_t* found);

// Labels and, unless null, confidences (device memory) of one image at height x width: see
// cpu/maps/upsample_argmax.h, also for the threshold of one channel. At most 256 classes.
void upsample_argmax(cudaStream_t, Map logits, const Growth&, int height, int width, float threshold,
                     std::uint8_t* labels, float* confidence);

}  // namespace atrous::cuda
