#!/usr/bin/python3
"""A .caffemodel out of a .safetensors, as Caffe and its forks store the network that the PyTorch port was made after.

usage: make_caffemodel.py IN.safetensors OUT.caffemodel NETWORK [OPTION...]
NETWORK  fcn, fcn-first, fcn-at-once, deeplabv2, pspnet, deconvnet, parsenet
OPTION   v1 (layers of the first generation), legacy (num, channels, height, width), double, unpacked, diff

Needs Debian's protobuf-compiler and python3-protobuf; ends with status 77 where they are missing. The tables here are
written after ../../shared/docs/caffemodel.md, apart from those that atrous has.
"""

import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    import google.protobuf  # noqa: F401
    import numpy as np
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)
if not shutil.which("protoc"):
    print("no protoc", file=sys.stderr)
    sys.exit(77)

# The fields of BVLC's caffe.proto that hold weights, names and types.
PROTO = """
syntax = "proto2";
package caffe;
message BlobShape { repeated int64 dim = 1 [packed = PACKED]; }
message BlobProto {
  optional BlobShape shape = 7;
  repeated float data = 5 [packed = PACKED];
  repeated float diff = 6 [packed = PACKED];
  repeated double double_data = 8 [packed = PACKED];
  optional int32 num = 1 [default = 0];
  optional int32 channels = 2 [default = 0];
  optional int32 height = 3 [default = 0];
  optional int32 width = 4 [default = 0];
}
message NetParameter {
  optional string name = 1;
  repeated V1LayerParameter layers = 2;
  repeated string input = 3;
  repeated int32 input_dim = 4;
  optional bool force_backward = 5 [default = false];
  repeated LayerParameter layer = 100;
}
message ConvolutionParameter { optional uint32 num_output = 1; repeated uint32 kernel_size = 4; }
message LayerParameter {
  optional string name = 1;
  optional string type = 2;
  repeated string bottom = 3;
  repeated string top = 4;
  repeated float loss_weight = 5;
  repeated BlobProto blobs = 7;
  optional int32 phase = 10;
  optional ConvolutionParameter convolution_param = 106;
}
message V1LayerParameter {
  repeated string bottom = 2;
  repeated string top = 3;
  optional string name = 4;
  optional int32 type = 5;
  repeated BlobProto blobs = 6;
  repeated float blobs_lr = 7;
  optional ConvolutionParameter convolution_param = 10;
}
"""

V1_TYPES = {"Concat": 3, "Data": 5, "Dropout": 6, "InnerProduct": 14, "Convolution": 4, "Pooling": 17, "ReLU": 18, "Split": 22,
            "Eltwise": 25, "Deconvolution": 39, "Crop": 40, "UnPooling": 42, "BN": 43}


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + begin:8 + length + end], "<f4")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def modules_of(tensors):
    """Names of modules, in order, and their tensors."""
    modules = {}
    for key, value in tensors.items():
        module, _, name = key.rpartition(".")
        modules.setdefault(module, {})[name] = value
    return modules


def weights_of(module):
    return [module["weight"]] + ([module["bias"]] if "bias" in module else [])


def fcn(tensors, names=()):
    renamed = dict(names)
    for module, values in modules_of(tensors).items():
        up = module.startswith("upscore")
        blobs = weights_of(values)
        if names and module == "upscore2":
            blobs.append(np.zeros(blobs[0].shape[1], "f4"))  # the first generation's score2 has a bias
        yield renamed.get(module, module), "Deconvolution" if up else "Convolution", blobs
    yield "fuse", "Eltwise", []
    yield "fuse", "Eltwise", []


def fcn_first(tensors):
    return fcn(tensors, {"score_fr": "score-fr", "upscore2": "score2", "score_pool4": "score-pool4", "upscore_pool4": "score4",
                         "score_pool3": "score-pool3", "upscore8": "upsample"})


def fcn_at_once(tensors):
    yield from fcn(tensors)
    for name, factor in (("scale_pool4", 0.01), ("scale_pool3", 0.0001)):
        yield name, "Scale", [np.array([factor], "f4")]


def batch_norm_and_scale(name, values):
    factor = np.float32(4)  # a power of two: dividing by it is exact
    yield "bn" + name, "BatchNorm", [values["running_mean"] * factor, values["running_var"] * factor, np.array([factor])]
    yield "scale" + name, "Scale", [values["weight"], values["bias"]]


def deeplabv2(tensors):
    modules = modules_of(tensors)
    branches = {"reduce": "branch2a", "conv3x3": "branch2b", "increase": "branch2c", "shortcut": "branch1"}
    for copy in ("", "_res075", "_res05"):
        for module, values in modules.items():
            if module == "base.layer1.conv1.conv":
                yield "conv1" + copy, "Convolution", weights_of(values)
            elif module == "base.layer1.conv1.bn":
                yield from batch_norm_and_scale("_conv1" + copy, values)
            elif found := re.fullmatch(r"base\.layer(\d)\.block(\d+)\.(\w+)\.(conv|bn)", module):
                stage, block, branch, kind = found.groups()
                letters = ["a"] + [f"b{i}" for i in range(1, 40)] if stage in "34" else ["a", "b", "c"]
                name = f"{stage}{letters[int(block) - 1]}_{branches[branch]}{copy}"
                if kind == "conv":
                    yield "res" + name, "Convolution", weights_of(values)
                else:
                    yield from batch_norm_and_scale(name, values)
            elif found := re.fullmatch(r"base\.aspp\.(c\d)", module):
                yield f"fc1_voc12_{found[1]}{copy}", "Convolution", weights_of(values)


def pspnet(tensors):
    """semseg's stem reads RGB where Caffe's reads BGR, and it concatenates the pyramid from coarse to fine."""
    names = {"layer0.0": "conv1_1_3x3_s2", "layer0.3": "conv1_2_3x3", "layer0.6": "conv1_3_3x3", "cls.0": "conv5_4", "cls.4": "conv6"}
    names.update({f"ppm.features.{i}.1": f"conv5_3_pool{size}_conv" for i, size in enumerate((1, 2, 3, 6))})
    convolutions = {"conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase", "downsample.0": "1x1_proj"}
    before = {}  # the convolution of each norm
    for module in modules_of(tensors):
        if found := re.fullmatch(r"layer([1-4])\.(\d+)\.(.*)", module):
            stage, block, layer = found.groups()
            if layer in convolutions:
                names[module] = f"conv{int(stage) + 1}_{int(block) + 1}_{convolutions[layer]}"
            before[module] = re.sub(r"bn(\d)$", r"conv\1", module).replace("downsample.1", "downsample.0")
        elif found := re.fullmatch(r"(layer0|cls|ppm\.features\.\d)\.(\d)", module):
            before[module] = f"{found[1]}.{int(found[2]) - 1}"
    for module, values in modules_of(tensors).items():
        if module.startswith("aux."):
            continue
        if "running_mean" in values:
            name = names[before[module]] + "/bn"
            yield name, "BN", [values[key].reshape(1, -1, 1, 1) for key in ("weight", "bias", "running_mean", "running_var")]
            continue
        blobs = weights_of(values)
        if module == "layer0.0":
            blobs[0] = blobs[0][:, ::-1]
        if module == "cls.0":
            weight = blobs[0]
            last = tensors["ppm.features.0.1.weight"].shape
            parts = np.split(weight[:, last[1]:], 4, axis=1)
            blobs[0] = np.concatenate([weight[:, :last[1]]] + parts[::-1], axis=1)
        yield names[module], "Convolution", blobs


def folded(values):
    """The scale and shift that the authors store of a batch norm, and what is behind it."""
    root = np.sqrt(values["running_var"].astype("f8") + 1e-5)
    scale = values["weight"] / root
    return [v.astype("f4").reshape(1, -1, 1, 1) for v in (scale, values["bias"] - values["running_mean"] * scale)]


def deconvnet(tensors):
    special = {"conv67.0": "fc6", "conv67.1": "bnfc6", "conv67.3": "fc7", "conv67.4": "bnfc7", "deconv67.0": "fc6-deconv",
               "deconv67.1": "fc6-deconv-bn", "deconv1.6": "seg-score-voc"}
    for module, values in modules_of(tensors).items():
        name = special.get(module)
        kind, stage, index = re.fullmatch(r"(conv|deconv)(\d+)\.(\d)", module).groups()
        norm = "running_mean" in values
        if name is None:
            prefix = {"conv": "bn", "deconv": "debn"}[kind] if norm else kind
            name = f"{prefix}{stage}_{int(index) // 3 + 1}"
        if norm:
            yield name, "BN", folded(values)
        elif name == "seg-score-voc":
            yield name, "Convolution", [values["weight"].transpose(1, 0, 2, 3), values["bias"]]
        else:
            yield name, "Convolution" if kind == "conv" else "Deconvolution", weights_of(values)


def parsenet(tensors):
    for module, values in modules_of(tensors).items():
        kind = "Normalize" if module.endswith("norm") else "Deconvolution" if module == "upscore" else "Convolution"
        yield module, kind, weights_of(values)


NETWORKS = {"fcn": fcn, "fcn-first": fcn_first, "fcn-at-once": fcn_at_once, "deeplabv2": deeplabv2, "pspnet": pspnet,
            "deconvnet": deconvnet, "parsenet": parsenet}


def compiled(packed):
    folder = tempfile.mkdtemp()
    pathlib.Path(folder, "caffe_subset.proto").write_text(PROTO.replace("PACKED", "true" if packed else "false"))
    subprocess.run(["protoc", f"--python_out={folder}", f"-I{folder}", "caffe_subset.proto"], check=True)
    sys.path.insert(0, folder)
    import caffe_subset_pb2
    shutil.rmtree(folder)
    return caffe_subset_pb2


def fill(blob, values, options):
    values = np.ascontiguousarray(values)
    shape = values.shape
    if "legacy" in options:
        shape = (1,) * (4 - len(shape)) + shape
        blob.num, blob.channels, blob.height, blob.width = shape
    else:
        blob.shape.dim.extend(shape)
    (blob.double_data if "double" in options else blob.data).extend(values.ravel().tolist())
    if "diff" in options:
        blob.diff.extend([0.5] * values.size)


def main():
    source, target, network, *options = sys.argv[1:]
    caffe = compiled("unpacked" not in options)
    net = caffe.NetParameter(name=network)
    net.input.append("data")
    net.input_dim.extend([1, 3, 224, 224])

    def add(name, kind, blobs):
        layer = net.layers.add() if "v1" in options else net.layer.add()
        layer.bottom.append("data")
        layer.name = name
        layer.type = V1_TYPES[kind] if "v1" in options else kind
        for blob in blobs:
            fill(layer.blobs.add(), blob, options)
        layer.top.append(name)
        if kind == "Convolution":  # parameters are there to be skipped
            layer.convolution_param.num_output = blobs[0].shape[0]
            layer.convolution_param.kernel_size.append(blobs[0].shape[2])

    add("data", "Data", [])
    for name, kind, blobs in NETWORKS[network](read_safetensors(source)):
        add(name, kind, blobs)
        if kind == "Convolution":
            add("relu_" + name, "ReLU", [])
            add(name + "_split", "Split", [])
    pathlib.Path(target).write_bytes(net.SerializeToString())


if __name__ == "__main__":
    main()
