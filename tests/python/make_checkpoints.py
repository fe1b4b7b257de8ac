#!/usr/bin/python3
"""Writes torch checkpoints of every flavour into a folder, each with what torch itself reads from it.

Usage: /usr/bin/python3 tests/python/make_checkpoints.py FOLDER             write them
       /usr/bin/python3 tests/python/make_checkpoints.py --check FOLDER     compare FOLDER/*.safetensors with them
       /usr/bin/python3 tests/python/make_checkpoints.py --digest FILE...   what torch reads from any checkpoints, on stdout

Beside NAME.pth stands NAME.expected, one tensor after the other in the order of the state dict:

    key, newline, dtype as safetensors names it, newline, dimensions between spaces, newline, bytes in row-major order

--digest prints for every tensor: key, dtype, dimensions between commas, SHA-256 of the bytes, between tabs; wrappers
and prefixes stay off, as atrous leaves them off. Each file ends in an empty line.

tests/weights_tools/torch/torch_agreement_test.cc compares these bit for bit with what atrous reads, and asks for --check on what it wrote.
Made for Debian's python3-torch 1.13.
"""

import argparse
import collections
import datetime
import hashlib
import json
import pathlib
import random
import struct
import sys

import numpy
import torch

NAMES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


def raw(tensor):
    """The bytes of a tensor in row-major order. numpy knows no bfloat16."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy().tobytes()


def network():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
    net.train()
    net(torch.randn(2, 3, 6, 6))  # running statistics unlike their initial values
    return net


def dtypes():
    values = torch.randn(3, 5) * 50
    state = collections.OrderedDict((name, values.to(dtype)) for dtype, name in NAMES.items())
    state["special"] = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, 3.4e38])
    state["zero-dimensional"] = torch.tensor(7)
    state["zero-dimensional float"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 4)
    return state


def strided():
    base = torch.arange(120, dtype=torch.float32)
    return collections.OrderedDict([
        ("transposed", base.view(8, 15).t()),
        ("channels last", base.view(2, 3, 4, 5).to(memory_format=torch.channels_last)),
        ("every third", base[1::3]),
        ("inner columns", base.view(8, 15)[2:5, 3:7]),
        ("expanded", torch.tensor([[1.0], [2.0]]).expand(2, 6)),
        ("permuted", base.view(2, 3, 4, 5).permute(3, 1, 0, 2)),
        ("permuted half", base.half().view(2, 3, 4, 5).permute(2, 0, 3, 1)),
        ("permuted bytes", base.to(torch.uint8).view(4, 30).t()),
        ("permuted doubles", base.double().view(4, 30).t()),
    ])


def shared():
    base = torch.randn(10, 4)
    return collections.OrderedDict([("whole", base), ("again", base), ("rows", base[3:6]), ("flat", base.view(-1)), ("last", base[9, 3])])


def flavours():
    """Name, object to save, its dict of tensors with the names atrous gives them, and torch.save's options."""
    net = network()
    plain = net.state_dict()
    wrapped = {"model": plain, "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).state_dict(), "epoch": 3,
               "args": argparse.Namespace(lr=0.1, data_path="/data", aux_loss=True)}
    last = network().to(memory_format=torch.channels_last).state_dict()
    parameters = collections.OrderedDict(net.named_parameters())
    parallel = collections.OrderedDict(("module." + key, value) for key, value in plain.items())
    samples = [
        ("plain", plain, plain), ("channels_last", last, last), ("half", *[network().half().state_dict()] * 2),
        ("bfloat16", *[network().bfloat16().state_dict()] * 2), ("double", *[network().double().state_dict()] * 2),
        ("dtypes", *[dtypes()] * 2), ("strided", *[strided()] * 2), ("shared", *[shared()] * 2),
        ("parameters", parameters, parameters), ("module_prefix", parallel, plain), ("wrapped", wrapped, plain),
        ("state_dict", {"state_dict": parallel, "best_acc1": torch.tensor(91.5)}, plain),
        ("model_state_dict", {"model_state_dict": plain, "loss": 0.25}, plain), ("dict", dict(plain), plain),
    ]
    for name, saved, expected in samples:
        yield name + "_zip", saved, expected, {}
        yield name + "_legacy", saved, expected, {"_use_new_zipfile_serialization": False}
    extras = {
        "model": plain, "best": numpy.float64(0.5), "array": numpy.arange(3.0), "size": torch.Size([1, 2]), "dtype": torch.float16,
        "device": torch.device("cpu"), "set": {1, 2}, "frozen": frozenset("ab"), "bytes": b"\xff", "bytearray": bytearray(b"ab"), "complex": 1 + 2j,
        "counter": collections.Counter("aab"), "default": collections.defaultdict(list, a=[1]), "path": pathlib.PurePosixPath("a/b"),
        "date": datetime.datetime(2026, 1, 2), "rng": torch.get_rng_state(), "python rng": random.getstate(), "numpy rng": numpy.random.get_state(),
        "generator": numpy.random.default_rng(1).bit_generator.state, "quantized": torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8),
        "complex tensor": torch.ones(3, dtype=torch.complex64), "long": 2**100, "function": torch.relu,
    }
    whole = torch.nn.Sequential(collections.OrderedDict(body=network(), again=torch.nn.BatchNorm1d(2, affine=False)))
    whole.body.register_buffer("grid", torch.ones(2), persistent=False)
    whole.twice = whole.body[0]
    for protocol in (2, 4, 5):
        for name, saved, expected in (("extras", extras, plain), ("whole", whole, whole.state_dict()), ("module_in_dict", {"epoch": 1, "model": whole}, whole.state_dict())):
            yield f"{name}{protocol}_zip", saved, expected, {"pickle_protocol": protocol}
            yield f"{name}{protocol}_legacy", saved, expected, {"pickle_protocol": protocol, "_use_new_zipfile_serialization": False}
    yield "scripted_zip", torch.jit.script(net), plain, {}
    yield "traced_zip", torch.jit.trace(net.eval(), torch.ones(1, 3, 6, 6)), plain, {}
    for protocol in (3, 4, 5):
        yield f"protocol{protocol}_zip", plain, plain, {"pickle_protocol": protocol}
        yield f"protocol{protocol}_legacy", wrapped, plain, {"pickle_protocol": protocol, "_use_new_zipfile_serialization": False}


def write(folder):
    for name, saved, expected, options in flavours():
        if isinstance(saved, torch.jit.ScriptModule):
            torch.jit.save(saved, folder / (name + ".pth"))
        else:
            torch.save(saved, folder / (name + ".pth"), **options)
        with open(folder / (name + ".expected"), "wb") as out:
            for key, tensor in expected.items():
                shape = " ".join(map(str, tensor.shape))
                out.write(f"{key}\n{NAMES[tensor.dtype]}\n{shape}\n".encode() + raw(tensor))


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    assert length % 8 == 0, path
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        yield name, (entry["dtype"], entry["shape"], data[8 + length:][begin:end])


def check(folder):
    """Without atrous' reader: what its writer wrote is what torch saved."""
    for name, _, expected, _ in flavours():
        found = dict(read_safetensors(folder / (name + ".safetensors")))
        wanted = {key: (NAMES[t.dtype], list(t.shape), raw(t)) for key, t in expected.items()}
        if found != wanted:
            sys.exit(f"{name}.safetensors differs: {[key for key in wanted if found.get(key) != wanted[key]]}")


def digest(path):
    state = torch.load(path, map_location="cpu")
    for key in ("model", "state_dict", "model_state_dict"):
        state = state[key] if isinstance(state.get(key), dict) else state
    while all(key.startswith("module.") for key in state):
        state = {key[len("module."):]: value for key, value in state.items()}
    for key, tensor in state.items():
        shape = ",".join(map(str, tensor.shape))
        print(key, NAMES[tensor.dtype], shape, hashlib.sha256(raw(tensor)).hexdigest(), sep="\t")
    print()


if __name__ == "__main__":
    numpy.seterr(all="ignore")
    if sys.argv[1] == "--digest":
        for file in sys.argv[2:]:
            digest(file)
    elif sys.argv[1] == "--check":
        check(pathlib.Path(sys.argv[2]))
    else:
        write(pathlib.Path(sys.argv[1]))
