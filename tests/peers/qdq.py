"""Writes an fp32 ONNX graph in 8 bits, as ONNX Runtime's quantize_static does with QuantFormat.QDQ, per_channel=True,
activations QUInt8, weights QInt8 and the range from the smallest to the largest value (Debian's python3-onnx).

Q and DQ stand for QuantizeLinear and DequantizeLinear. Every map that a node of QUANTISED reads or writes passes Q and
DQ where it is made: behind the Relu or Clip if such a node follows, so that ONNX Runtime, at load, makes one QLinearConv
of DQ, Conv, Relu and Q. Weights are int8 with a scale for each output channel, biases int32 with the product of the
scales of input and weights. No layer stays in fp32, neither the first nor the last.
"""
import collections

import numpy as np
import onnx
from onnx import helper, numpy_helper

QUANTISED = ("Conv", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Sigmoid")
MOVES = ("MaxPool", "Resize")  # the output keeps its input's scale, so that the node runs on the bytes
READS_ALL = ("Add", "Mul", "Concat")


def maps_of(graph):
    """The quantised nodes' outputs, and the maps to quantise in the order in which they are made."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = collections.defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)

    def clips_below(node):
        if node.op_type == "Clip":
            return node.input[1] in weights and numpy_helper.to_array(weights[node.input[1]]) == 0
        return node.op_type == "Relu"

    quantised, maps = set(), {}
    for node in graph.node:
        inputs = node.input if node.op_type in READS_ALL else node.input[:1]
        held = any(name in weights for name in inputs) or (node.op_type == "Conv" and node.input[1] not in weights)
        if node.op_type not in QUANTISED or held:
            continue
        quantised.add(node.output[0])
        after = readers[node.output[0]]
        maps.update(dict.fromkeys(inputs))
        maps[after[0].output[0] if len(after) == 1 and clips_below(after[0]) else node.output[0]] = None
    made = [value.name for value in graph.input] + [name for node in graph.node for name in node.output]
    return quantised, [name for name in made if name in maps]


def write_ranges(fp32, path):
    """Writes the graph of the file `fp32` with one output: smallest and largest value of every map, in turn."""
    model = onnx.load(fp32)
    graph, parts = model.graph, []
    maps = maps_of(graph)[1]
    graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "range/axes"))
    for name in maps:
        for kind in ("ReduceMin", "ReduceMax"):
            value = f"{name}/{kind}"
            graph.node.append(helper.make_node(kind, [name], [value], keepdims=0))
            graph.node.append(helper.make_node("Unsqueeze", [value, "range/axes"], [value + "/1"]))
            parts.append(value + "/1")
    graph.node.append(helper.make_node("Concat", parts, ["ranges"], axis=0))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("ranges", onnx.TensorProto.FLOAT, [len(parts)]))
    onnx.save(model, path)


def write(fp32, path, ranges):
    """Writes the graph of the file `fp32` with Q and DQ. `ranges`: for each photo, the output of write_ranges' graph."""
    model = onnx.load(fp32)
    graph = model.graph
    quantised, maps = maps_of(graph)
    lows, highs = np.minimum(np.min(ranges, axis=0)[::2], 0), np.maximum(np.max(ranges, axis=0)[1::2], 0)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales, shared, nodes = {}, {}, []

    def hold(name, array):
        if name not in weights:
            weights[name] = array
            graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def pass_through(name, source, target):
        """Nodes Q and DQ from `source` to `target` with the scale of the map `name`."""
        constants = [hold(f"{name}/scale", scales[name][0]), hold(f"{name}/zero", scales[name][1])]
        nodes.append(helper.make_node("QuantizeLinear", [source, *constants], [f"{target}/q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{target}/q", *constants], [target]))

    def dequantised(name, values, scale, dtype):
        """A node DQ whose scales run along axis 0 of the constant `values`; its output."""
        limit = np.iinfo(dtype).max
        shape = (-1,) + (1,) * (values.ndim - 1)
        levels = np.clip(np.rint(values / scale.reshape(shape)), -limit, limit).astype(dtype)
        constants = [hold(f"{name}/q", levels), hold(f"{name}/scale", scale.astype(np.float32)),
                     hold(f"{name}/zero", np.zeros(len(scale), dtype))]
        nodes.append(helper.make_node("DequantizeLinear", constants, [f"{name}/dq"], axis=0))
        return f"{name}/dq"

    for name, low, high in zip(maps, lows, highs):
        scale = np.float32((high - low) / 255 or 1)
        scales[name] = scale, np.uint8(np.rint(-low / scale))
    read = {}  # the name under which nodes read an input of the graph
    for value in graph.input:
        if value.name in scales:
            read[value.name] = f"{value.name}/dq"
            pass_through(value.name, value.name, read[value.name])
    for node in graph.node:
        name = node.output[0]
        if node.op_type in MOVES and name in quantised and name in scales:
            shared[name] = shared.get(node.input[0], node.input[0])
        if node.op_type == "Conv" and name in quantised:
            w = weights[node.input[1]].astype(np.float64)
            largest = np.abs(w).reshape(len(w), -1).max(axis=1)
            scale = np.where(largest > 0, largest, 127) / 127
            node.input[1] = dequantised(f"{name}/weight", w, scale, np.int8)
            if len(node.input) > 2:
                of_input = scales[shared.get(node.input[0], node.input[0])][0]
                bias = weights[node.input[2]].astype(np.float64)
                node.input[2] = dequantised(f"{name}/bias", bias, of_input * scale, np.int32)
        node.input[:] = [read.get(n, n) for n in node.input]
        nodes.append(node)
        if name in scales:
            node.output[0] = f"{name}/fp32"
            pass_through(shared.get(name, name), node.output[0], name)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.CopyFrom(helper.make_graph(nodes, graph.name, graph.input, graph.output, kept))
    onnx.save(model, path)


def convolutions(path):
    """How many convolutions of an optimised graph run in 8 bits, and how many there are."""
    kinds = collections.Counter(node.op_type for node in onnx.load(path).graph.node)
    return kinds["QLinearConv"], sum(n for kind, n in kinds.items() if kind in ("Conv", "FusedConv", "QLinearConv"))
