// .caffemodel, what Caffe saves of a network: one message NetParameter of Protocol Buffers (wire_format.h),
// without a header. Layers with their names, types and blobs; both generations of them, V1 (field `layers`)
// and V2 (`layer`). Format: src/caffe/proto/caffe.proto of BVLC/caffe and of the forks that FCN, ParseNet,
// DeconvNet, DeepLab and PSPNet were published with.
//
// A layer's blobs become entries NAME.weight and NAME.bias, as torch calls them:
//
//   Convolution        [out, in / groups, kh, kw] as it is         Deconvolution  [in, out / groups, kh, kw]
//   InnerProduct       [out, in]
//   BatchNorm          mean and variance, both divided by the third blob (0 where that is 0), become
//                      running_mean and running_var; weight and bias are those of a Scale directly behind, or
//                      ones and zeros
//   BN                 four blobs: weight, bias, running_mean, running_var; two: weight and bias, with the
//                      statistics folded in; of training, by DeconvNet's bn_mode LEARN, two without
//                      statistics
//   Scale, Normalize   [channels]
//   any other          weight, bias, blob2, blob3, ... in the shape that the file says
//
// Shapes are those of BlobShape, or of num, channels, height and width, which count dimensions from the
// right: the ones in front of a bias are no dimensions. Data is float or double, packed or not, in any number
// of runs. Layers without blobs, differences (`diff`) and all parameters but that mode are skipped: forks
// gave the same field numbers to different parameters, so a network's family knows them, not the file.
#pragma once

#include "layers/graph/state_dict.h"
#include "weights_tools/io/file.h"

namespace atrous {

// Whether a file begins as a NetParameter does: a layer among its first fields, whose first field is one of
// a layer's. There is no signature.
bool looks_like_caffemodel(const InputFile&);

constexpr std::uint64_t caffe_layer_limit = 100'000;

// Twice through the file: elements are counted before memory is taken. Error(malformed), with the layer's
// name: a message that is cut off or has another form, layers of both generations or without a name, two of
// one name with blobs, a shape unlike the number of elements, a size below 1, data of both kinds, counts that
// do not fit a layer's type. Error(unsupported): layers of Caffe's first format (V0), BN layers as training
// leaves them, which cannot be run (stage_1 and stage_2 of DeconvNet). Error(limit): more than
// 8 dimensions, 16 blobs a layer or caffe_layer_limit layers, overflow.
StateDict read_caffemodel(const InputFile&);

}  // namespace atrous
