"""Writes the fuzz targets' seeds into corpus/TARGET: small files of each kind that a target reads.

/usr/bin/python3 make_seeds.py     needs python3-numpy, python3-pil, python3-torch

Those of pth_legacy differ from run to run: torch names their storages by address.

Files that fuzzing has found lie beside them; they are named by their defect and not made here.
"""
import hashlib
import io
import json
import os
import struct
import zlib
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from pathlib import PurePosixPath

import numpy as np
import torch
from PIL import Image

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def seed(target, name, data):
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data.encode() if isinstance(data, str) else data)


def saved(value, legacy):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def checkpoints():
    """State dicts as they come: plain, wrapped by a training script, of every type, strided, shared."""
    weight = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    plain = OrderedDict([("a.weight", weight), ("a.bias", torch.ones(3))])
    types = OrderedDict(
        (str(t).split(".")[1], torch.ones(3).to(t))
        for t in (torch.half, torch.bfloat16, torch.double, torch.long, torch.int, torch.short, torch.int8, torch.uint8, torch.bool)
    )
    strided = OrderedDict([("t", weight.t()), ("slice", weight[1:, 1:3]), ("again", weight), ("zero", torch.zeros(1).expand(2, 3))])
    parameters = OrderedDict([("p", torch.nn.Parameter(weight)), ("scalar", torch.tensor(7))])
    module = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(2, 3, 1), norm=torch.nn.BatchNorm2d(3))).state_dict()
    wrapped = {"model": plain, "epoch": 3, "lr": 0.5, "args": Namespace(lr=1, name="x"), "optimizer": {"state": {}, "groups": [{"n": None}]}}
    for name, value in dict(
        plain=plain, types=types, strided=strided, parameters=parameters, module=module, wrapped=wrapped, empty=OrderedDict()
    ).items():
        seed("pth_zip", name, saved(value, legacy=False))
        seed("pth_legacy", name, saved(value, legacy=True))
        archive = saved(value, legacy=False)
        seed("pickle", name, pickle_of(archive))


def networks():
    """Whole models, TorchScript archives, harmless values beside weights, several networks in one file."""
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = torch.nn.Sequential(OrderedDict(conv1=torch.nn.Conv2d(1, 1, 1, bias=False), relu=torch.nn.ReLU()))
            self.classifier = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1))
            self.register_buffer("grid", torch.ones(1), persistent=False)

        def forward(self, x):
            return self.classifier(self.backbone(x))

    Net.__qualname__, Net.__module__ = "Net", __name__
    globals()["Net"] = Net  # where pickle looks for the class
    net = Net()
    state = net.state_dict()
    extras = {"best": np.float64(0.5), "array": np.arange(2), "size": torch.Size([1]), "set": {1}, "frozen": frozenset([2]), "dtype": torch.half,
              "counter": Counter("ab"), "default": defaultdict(list, a=[1]), "long": 2**100, "complex": 1j, "path": PurePosixPath("a")}
    for name, value in dict(whole=net, extras={"net": state, **extras}, two={"model": state, "model_ema": state.copy()},
                            flat={**state, "epoch": 1}, parts={"backbone": net.backbone.state_dict(), "classifier": net.classifier.state_dict()}).items():
        archive = saved(value, legacy=False)
        seed("pth_zip", name, archive)
        seed("pickle", name, pickle_of(archive))
        seed("pth_legacy", name, saved(value, legacy=True))
    out = io.BytesIO()
    torch.save(extras, out, pickle_protocol=4)
    seed("pickle", "extras of protocol 4", pickle_of(out.getvalue()))
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.ones(1, 1, 2, 2)), out)
    seed("pth_zip", "program", out.getvalue())
    seed("pickle", "program", pickle_of(out.getvalue()))


def pickle_of(archive):
    import zipfile

    with zipfile.ZipFile(io.BytesIO(archive)) as entries:
        return entries.read(next(n for n in entries.namelist() if n.endswith("data.pkl")))


def pickles():
    """Opcodes that torch does not write, or only by other protocols."""
    for name, data in {
        "protocol 4": b"\x80\x04\x95\x3b\0\0\0\0\0\0\0\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94("
        b"\x8c\x01k\x94K\1\x85\x94\x8c\x01l\x94M\1\2J\1\0\0\0\x86\x94u.",
        "lists": b"\x80\x02](K\1K\2e(K\1K\2l]K\3a\x88\x89N\x87.",
        "pairs": b"\x80\x02ccollections\nOrderedDict\n]((X\1\0\0\0aK\1l]X\1\0\0\0bq\0ah\0aeq\1\x85R}q\2b.",
        "longs": b"\x80\x02(\x8a\0\x8a\1\xff\x8b\3\0\0\0\1\2\3\x8a\x08\0\0\0\0\0\0\0\x80G\0\0\0\0\0\0\0\0t.",
        "bytes": b"\x80\x03(B\2\0\0\0abC\1cT\1\0\0\0dU\1e\x8d\1\0\0\0\0\0\0\0f\x8e\1\0\0\0\0\0\0\0g20(1t.",
    }.items():
        seed("pickle", name, data)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def caffe_blob(values, shape=None, legacy=None, packed=True):
    floats = struct.pack(f"<{len(values)}f", *values)
    if legacy:
        out = b"".join(varint(number << 3) + varint(size) for number, size in enumerate(legacy, 1))
    else:
        out = message(7, message(1, b"".join(map(varint, shape or [len(values)]))))
    return out + (message(5, floats) if packed else b"".join(b"\x2d" + floats[i:i + 4] for i in range(0, len(floats), 4)))


def caffemodels():
    def v2(name, kind, *blobs):
        return message(100, message(1, name) + message(2, kind) + message(3, b"data") + b"".join(message(7, b) for b in blobs))

    def v1(name, kind, *blobs):
        return message(2, message(2, b"data") + message(4, name) + b"\x28" + varint(kind) + b"".join(message(6, b) for b in blobs))

    weight = caffe_blob([1, 2, 3, 4], [2, 2, 1, 1])
    front = message(1, b"net") + message(3, b"data") + b"\x20\x01\x28\x00" + message(8, message(1, b"\1\3"))
    seed("caffemodel", "layers", front + v2(b"conv1", b"Convolution", weight, caffe_blob([5, 6])) + v2(b"relu", b"ReLU"))
    seed("caffemodel", "batch norm", v2(b"bn", b"BatchNorm", *map(caffe_blob, ([1, 2], [3, 4], [2]))) + v2(b"s", b"Scale", *map(caffe_blob, ([1, 2], [3, 4]))))
    seed("caffemodel", "batch norm alone", v2(b"bn", b"BatchNorm", *map(caffe_blob, ([1], [3], [0]))))
    seed("caffemodel", "bn", v2(b"a/bn", b"BN", *[caffe_blob([i, 2], legacy=(1, 2, 1, 1)) for i in range(4)]))
    legacy = caffe_blob([1, 2], legacy=(1, 1, 1, 2))
    seed("caffemodel", "first generation", front + v1(b"conv", 4, caffe_blob([1, 2], legacy=(2, 1, 1, 1)), legacy) + v1(b"fc", 14, legacy) + v1(b"bn", 43, legacy, legacy))
    doubles = message(7, message(1, b"\2")) + message(8, struct.pack("<d", 1)) + b"\x41" + struct.pack("<d", 2) + message(6, bytes(8)) + message(9, bytes(8))
    seed("caffemodel", "doubles", v2(b"w", b"Normalize", doubles) + v2(b"p", b"PReLU", caffe_blob([1], packed=False), caffe_blob([2]), caffe_blob([3])))
    seed("caffemodel", "scalar", v2(b"norm", b"Normalize", message(7, b"") + message(5, bytes(4))))
    seed("caffemodel", "first format", message(2, message(1, message(1, b"conv1"))))
    seed("checkpoint", "layers.caffemodel", front + v2(b"conv1", b"Convolution", weight))


def safetensors_file(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data, text


METADATA = {
    "atrous.format": "1",
    "architecture": "fcn_resnet18",
    "classes": '["road","sky","caf\u00e9"]',
    "palette": "[[128,64,128],[70,130,180],[0,0,0]]",
    "mean": "[0.485000014,0.456,0.406]",
    "std": "[0.229,0.224,1e-3]",
    "resize": '{"kind":"shorter_side","width":520,"center_crop":480}',
    "source": "model.pth",
    "source_sha256": "0123456789abcdef" * 4,
    "self_test": '{"height":65,"width":97,"indices":[0,5,9],"values":[1.5,-2,0.25],"largest":2,"tolerance":0.0001}',
}


def safetensors():
    floats = ("F32", [2, 3], struct.pack("<6f", *range(6)))
    for name, tensors, metadata in (
        ("one", {"a.weight": floats}, None),
        ("several", {"a": floats, "b": ("BF16", [1], b"\x80\x3f"), "c": ("BOOL", [], b"\1"), "d": ("I64", [0, 5], b"")}, None),
        ("types", {t: (t, [1], bytes(size)) for t, size in (("U8", 1), ("I8", 1), ("I16", 2), ("I32", 4), ("F16", 2), ("F64", 8))}, None),
        ("metadata", {"a": floats}, METADATA),
    ):
        file, header = safetensors_file(tensors, metadata)
        seed("safetensors", name, file)
        seed("safetensors", name + " header", header)
    seed("safetensors", "spaces and escapes header", '{ "\\u00e9\\n": {"shape" : [ 1 ],\t"dtype":"U8", "data_offsets":[0,1]} }  ')


def safetensors_index():
    """What follows a NUL is every shard's content."""
    shard, _ = safetensors_file({"a": ("F32", [1], bytes(4)), "b": ("U8", [2], b"xy")})
    index = json.dumps({"metadata": {"total_size": 6}, "weight_map": {"a": "m-1-of-1.safetensors", "b": "m-1-of-1.safetensors"}})
    seed("safetensors_index", "one shard", index.encode() + bytes(1) + shard)
    seed("safetensors_index", "no shard", index)
    seed("safetensors_index", "another place", index.replace("m-1", "m-2", 1).encode() + bytes(1) + shard)
    seed("safetensors_index", "a folder", index.replace("m-1", "../m-1"))


def metadata():
    def lines(values):
        return "".join(f"{key} {value}\n" for key, value in values.items())

    seed("metadata", "full", lines(METADATA))
    seed("metadata", "int8", lines({"atrous.format": "3", "activations": '{"a.relu":[0,1.5],"a.bn":[-0.0,3.4e38]}'}))
    for kind in ('{"kind":"none"}', '{"kind":"exact","width":1,"height":16384}'):
        seed("metadata", kind[9:13], lines({"atrous.format": "1", "resize": kind, "mean": "[-0.0,1e-45,3.4e38]", "std": "[1,2,3]"}))
    classes = {"atrous.format": "1", "classes": '["road","crack"]'}
    seed("metadata", "sigmoid", lines(classes | {"answer": "sigmoid", "background": "none"}))
    seed("metadata", "softmax", lines(classes | {"answer": "softmax", "background": "1"}))
    seed("metadata", "foreign", "format pt\n")
    seed("metadata", "config", '{"activation": "sigmoid", "rates": [12, 24.5], "aux": {"classes": 4}, "depth": 5, "norm": null, "own": true}')


def picture(height, width, channels):
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((x * 19 + y * 31 + c * 67 + (x * y) % 7 * 11) % 256).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, filters, interlace=0, before=b"", rows=None):
    """A PNG whose pixels lie in stored blocks; `filters` are repeated over its rows."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 1, 1)] if not interlace else [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data, number = b"", 0
    for x0, y0, dx, dy in passes:
        across, down = -(-(width - x0) // dx), -(-(height - y0) // dy)
        for _ in range(down if across > 0 else 0):
            size = (across * samples * depth + 7) // 8
            data += bytes([filters[number % len(filters)]]) + (rows or bytes(range(1, 256)) * 4)[number % 7 :][:size]
            number += 1
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    stream = zlib.compress(data, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


PALETTE = chunk(b"PLTE", bytes(range(48)))


def pngs():
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    every = [0, 1, 2, 3, 4]
    indices = bytes(i % 16 for i in range(64))
    for name, file in {
        "rgb": png(5, 6, 8, 2, every),
        "rgba": png(3, 5, 8, 6, every),
        "grey alpha 16": png(2, 5, 16, 4, every),
        "rgb 16 interlaced": png(9, 9, 16, 2, every, interlace=1),
        "turned": png(4, 3, 8, 2, [0], before=exif),
    }.items():
        seed("image", name + ".png", file)
    for name, file in {
        "grey": png(7, 5, 8, 0, every),
        "grey 1": png(11, 3, 1, 0, every),
        "grey 2 interlaced": png(9, 9, 2, 0, every, interlace=1),
        "palette": png(6, 4, 8, 3, [0], before=PALETTE, rows=indices),
        "palette 4": png(7, 4, 4, 3, [0, 2], before=PALETTE + chunk(b"tRNS", b"\0"), rows=indices),
        "compressed": png(6, 4, 8, 3, [0], before=PALETTE + chunk(b"tEXt", b"a\0b"), rows=indices),
    }.items():
        seed("image", name + ".png", file)
        seed("labels", name + ".png", file)
    drawn = bytes([0, 0, 0, 128, 0, 0, 0, 128, 0, 224, 224, 192])
    for name, file in {
        "colours": png(4, 4, 8, 2, [0], rows=drawn * 4),
        "colour of no class": png(4, 1, 8, 6, [0], rows=bytes([0, 0, 0, 255, 128, 0, 0, 255, 9, 9, 8, 255, 0, 0, 0, 0])),
        "grey as colours": png(4, 1, 8, 2, [0], rows=bytes([0, 0, 0, 1, 1, 1, 7, 7, 7, 255, 255, 255])),
        "grey 16": png(4, 1, 16, 0, [0], rows=bytes([0, 0, 0, 1, 0, 200, 255, 255])),
        "renumbered": png(4, 2, 8, 3, [0], before=chunk(b"PLTE", drawn[3:] + drawn[:3]), rows=bytes([0, 1, 2, 3] * 2)),
    }.items():
        seed("labels", name + ".png", file)
    for kind, shape, order in (("u1", (3, 4), "C"), ("<i8", (1, 3, 4), "C"), ("<u2", (3, 4), "F")):
        out = io.BytesIO()
        np.save(out, np.arange(12).astype(kind).reshape(shape, order=order).copy(order))
        seed("labels", "array " + kind.strip("<") + ".npy", out.getvalue())
    out = io.BytesIO()
    Image.fromarray(picture(20, 30, 1)[:, :, 0]).quantize(9).save(out, "png")
    seed("labels", "deflated.png", out.getvalue())
    seed("labels", "photo.ppm", "P6 1 1 255\nabc")
    seed("labels", "colours.ppm", b"P6 4 1 255\n" + drawn)
    seed("labels", "grey.pgm", b"P5 4 1 20\n\0\1\2\xff")
    seed("labels", "grey 16.pgm", b"P5 4 1 65535\n\0\0\0\1\0\xc8\xff\xff")
    for name, kind in (("grey", "L"), ("bits", "1"), ("colours", "RGB"), ("palette", "P")):
        out = io.BytesIO()
        Image.fromarray(picture(3, 5, 3)).convert(kind).save(out, "bmp")
        seed("labels", name + ".bmp", out.getvalue())


def photos():
    def save(name, image, kind, **options):
        out = io.BytesIO()
        image.save(out, kind, **options)
        seed("image", name, out.getvalue())

    rgb, grey = Image.fromarray(picture(20, 27, 3)), Image.fromarray(picture(9, 17, 1)[:, :, 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    save("baseline.jpg", rgb, "jpeg", quality=40, subsampling=0)
    save("subsampled.jpg", rgb, "jpeg", quality=30, subsampling=2, exif=exif)
    save("progressive.jpg", rgb, "jpeg", quality=30, subsampling=1, progressive=True)
    save("grey.jpg", grey, "jpeg", quality=50)
    save("progressive grey.jpg", grey, "jpeg", quality=50, progressive=True, comment=b"words")
    save("cmyk.jpg", rgb.convert("CMYK"), "jpeg", quality=30)
    save("lossy.webp", rgb, "webp", quality=40)
    save("lossless.webp", rgb, "webp", lossless=True)
    save("alpha.webp", Image.fromarray(picture(9, 7, 4)), "webp", quality=50)
    save("turned.webp", grey, "webp", lossless=True, exif=exif)
    save("animated.webp", rgb, "webp", save_all=True, append_images=[rgb.rotate(90)], duration=10)
    small = rgb.resize((5, 3))
    save("24.bmp", small, "bmp")
    save("32.bmp", small.convert("RGBA"), "bmp")
    save("8.bmp", small.convert("L"), "bmp")
    save("1.bmp", small.convert("1"), "bmp")
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 26) + struct.pack("<IHHHH", 12, 3, 2, 1, 24)
    seed("image", "os2.bmp", head + bytes(range(24)))
    seed("image", "colour.ppm", b"P6\n# a comment\n3 2 255\n" + bytes(range(18)))
    seed("image", "grey16.pgm", b"P5 2 2 1000\n" + bytes(range(8)))


def streams():
    """Frames one after the other, and lines of YUV4MPEG2 with planes."""
    def saved_as(kind, *size, **options):
        out = io.BytesIO()
        Image.fromarray(picture(*size, 3)).save(out, kind, **options)
        return out.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6
    jpegs, pngs_ = saved_as("jpeg", 8, 9, quality=30, exif=exif), saved_as("png", 5, 4)
    ppm = b"P6\n# a comment\n3 2 255\n" + bytes(range(18))
    y4m = b"YUV4MPEG2 W3 H2 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED\nFRAME\n" + bytes(range(60, 70))
    wide = b"YUV4MPEG2 H2 W5 C422 XCOLORRANGE=FULL\nFRAME\n" + bytes(range(22))
    for name, stream in {
        "jpeg": jpegs + bytes(3) + saved_as("jpeg", 3, 3, quality=20), "png": pngs_ + saved_as("png", 2, 2), "ppm": ppm + b"P5 2 1 9\n\1\2" + ppm,
        "y4m": y4m + b"FRAME X1\n" + bytes(10), "joined": y4m + wide, "mixed": pngs_ + jpegs, "broken": pngs_[:40] + pngs_,
        "without end": jpegs[:-2] + jpegs,
    }.items():
        seed("frame_stream", name, stream)
    for chroma in ("420", "420mpeg2", "420paldv", "422", "444", "mono", "420p10"):
        seed("y4m", chroma, f"YUV4MPEG2 W5 H3 F30000:1001 I? A0:0 C{chroma}\n".encode() + bytes(range(0, 225, 5)))
    seed("y4m", "ffmpeg", y4m)
    seed("y4m", "full", wide)


def npys():
    def save(name, array, version=(1, 0)):
        out = io.BytesIO()
        np.lib.format.write_array(out, array, version=version)
        seed("npy", name, out.getvalue())

    array = np.arange(24, dtype="<f4").reshape(1, 3, 2, 4)
    save("one", array)
    save("two", array.reshape(2, 1, 3, 4), (2, 0))
    save("three", array, (3, 0))
    save("fortran", np.asfortranarray(array))
    save("double", array.astype("<f8"))


def words():
    seed("palette_and_names", "numbers", "# colours\n0 0 0 background\n128 64 255\n\n#ff8000 orange\n")
    seed("palette_and_names", "dictionary", "name,r,g,b\nroad,128,64,128\n\"car, parked\",0,0,142\r\n")
    seed("palette_and_names", "columns", "id;blue;green;red;class\n0;1;2;3;sky\n1;4;5;6;\"tree\"\n")
    seed("palette_and_names", "text", "backbone.layer1.0.conv1.weight \u00e9\u20ac\U0001f600")
    seed("palette_and_names", "controls", b"\x1b[31mred\x7f\xc2\x9b\xed\xa0\x80\xf0\x80\x80\x80\xff")
    for name, line in {
        "segment": "segment\nphoto.jpg\n-m\nmodel.pth\n--overlay\n--threads\n2\n-o\nout",
        "memory": "segment\n-\n--memory-limit=1.5 GiB\n--isa\nscalar",
        "inspect": "inspect\nmodel.safetensors\n--json\n--size\n1024x768",
        "convert": "convert\na.pth\nb.safetensors",
        "bench": "bench\n--size\n65x65\n--threads=1\n-m\nseeded:fcn_resnet18\n--help",
        "completion": "completion\nbash",
        "version": "--version",
        "mistaken": "segmnt\n--hlep",
        "junk": "profile\n--threads\n2x\n520x520x",
    }.items():
        seed("cli_arguments", name, line)


def datasets():
    segmentation = [[1, 1, 6.5, 1.2, 6, 7, 2, 5.4], [0, 0, 3, 4]]
    runs = {"counts": [3, 4, 5, 6, 6], "size": [4, 6]}
    compressed = {"counts": "355640", "size": [4, 6]}
    annotations = [
        {"id": i, "image_id": 7, "category_id": category, "iscrowd": i % 2, "segmentation": mask, "bbox": [0, 0, 1, 1]}
        for i, (category, mask) in enumerate(((1, segmentation), (18, runs), (2, compressed), (90, [])))
    ]
    images = [{"id": 7, "file_name": "a.jpg", "width": 6, "height": 4, "url": "x"}, {"id": 9, "file_name": "b.jpg", "width": 3, "height": 3}]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    seed("coco_annotations", "instances", json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": categories}))
    seed("coco_annotations", "polygon", json.dumps({"images": images, "annotations": annotations[:1]}))
    seed("coco_annotations", "runs", b"\x05\x03" + b"355640")
    found = {"image_id": 7, "category_id": 3, "score": 0.5}
    mask = {"size": [8, 10], "counts": [0, 4, 4, 4, 4, 4, 4, 4, 52]}
    seed("coco_results", "boxes", json.dumps([dict(found, bbox=[0, 0, 4, 4]), dict(found, score=0.25, bbox=[5, 4, 3, 3])]))
    seed("coco_results", "masks", json.dumps([dict(found, segmentation=mask), dict(found, segmentation=dict(mask, counts="a24\\11l1"))]))
    seed("coco_results", "both", json.dumps([dict(found, bbox=[0, 0, 4, 4], segmentation=mask)]))
    score = {"width": 4, "height": 3, "pixels": 10, "pixel_accuracy": "1.8p-1", "mean_iou": None, "mean_dice": "0p+0"}
    score |= {"cross_entropy": "inf", "iou": [[0, "1p-1"], [1, "0p+0"]], "seconds": "1p-3"}
    lines = lambda *records: "\n".join(json.dumps(r, separators=(",", ":")) for r in records) + "\n"
    head = {"atrous_journal": 1, "shard": [1, 1], "images": 3, "identity": [["model", "m"]]}
    about = {key: "x%FF" for key in ("model", "architecture", "dataset", "size", "input", "colours")}
    about |= {"classes": ["a", "b"], "palette": [[0, 1, 2], [3, 4, 5]], "scores": 0, "binary": False}
    more = {"protocol": {"style": "semseg", "scales": [0.5, 1], "flip": True, "base_size": 512, "tile_width": 473, "tile_height": 473},
            "tiles": {"tile": 520, "overlap": 64},
            "crf": {"iterations": 10, "gaussian": {"weight": 3, "xy": 1}, "bilateral": {"weight": 4, "xy": 67, "rgb": 3}}}
    counts = {"image": score, "confusion": [4, 1, 2, 3], "scores": None, "sharpened": [-4]}
    record = {"name": "a", "took": "1p-2", "seen": [1, 0, 0], **counts, "forms": [1, 0, 1], "foreground": None}
    failed = {"name": "b", "took": "1p-2", "seen": [0, 0, 0], "failed": "why"}
    labels = head | {"kind": "evaluation", "about": about}
    seed("evaluation_state", "state", lines(labels, record, failed, record))
    seed("evaluation_state", "options", lines(labels | {"about": about | more}, record | {"sharpened": [4, 1, 2, 3]}))
    seed("evaluation_state", "binary", lines(labels | {"about": about | {"binary": True}}, record | {"seen": [1, 0, 1], "foreground": counts}))
    scores = {"positives": [5, -2047], "all": [10, -2046, 10], "cross_entropy": "1p-1", "pixels": 10}
    seed("evaluation_state", "scores", lines(labels | {"about": about | {"scores": 2}}, record | {"scores": scores}))
    seed("evaluation_state", "file", '{"crc32":"00000000",' + lines(labels, record)[1:])
    box = ["1p+0", "0p+0", "1.8p+1", "1p+1"]
    digest = hashlib.sha256(b"3 a 4x3\n7 b 5x2\n8 c 1x1\n").hexdigest()
    instances = {"model": "m", "architecture": "maskrcnn", "annotations": "a.json", "photos": "p", "masks": 1, "by_name": 0,
                 "categories": [None, 1, 18]}
    instances = head | {"kind": "detections", "identity": [["images", "3, sha256 " + digest]], "about": instances}
    image = {"took": "1p-2", "other_classes": 2}
    masks = [image | {"id": 3, "found": [[1, "1p-1", box, "075"], [18, "1p-2", box, "<"]]}, {"id": 7, "took": "1p-2", "failed": "why"}, image | {"id": 8, "found": []}]
    seed("coco_state", "masks", lines(instances, *masks))
    seed("coco_state", "boxes", lines(instances | {"about": instances["about"] | {"masks": 0}}, image | {"id": 3, "found": [[1, "1p-1", box, None]]}))
    seed("coco_state", "shard", lines(instances | {"shard": [2, 2]}, {"id": 7, "took": "1p-2", "failed": "why"}))
    seed("dataset_lists", "map", "# streets\nroad = 3\nsidewalk = ignore\n2 = traffic light\n* = 0\nperson = person\n")
    seed("dataset_lists", "names", "2007_000032\n2007_000033\r\n\nroad\n")


def drawn():
    """Inputs that targets take apart themselves: only their length is of interest."""
    for target, count, size in (("convolution", 24, 40), ("checkpoint", 16, 64), ("png_round_trip", 8, 60)):
        rng = np.random.RandomState(7)
        for i in range(count):
            seed(target, f"drawn {i}", rng.randint(0, 256, size).astype(np.uint8).tobytes())
    seed("png_round_trip", "labels", bytes([5, 4, 3, 20]) + bytes(range(20)))
    file, _ = safetensors_file({"module.classifier.4.weight": ("F32", [1, 1, 1, 1], bytes(4))}, METADATA)
    seed("checkpoint", "file", file)


if __name__ == "__main__":
    torch.manual_seed(1)
    checkpoints()
    networks()
    pickles()
    caffemodels()
    safetensors()
    safetensors_index()
    metadata()
    pngs()
    photos()
    streams()
    npys()
    words()
    datasets()
    drawn()
