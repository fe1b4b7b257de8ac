#!/usr/bin/python3
"""Writes tests/goldens/*.txt: what torch computes for every layer, on inputs small enough to keep.

Usage: /usr/bin/python3 tests/python/make_goldens.py        (Debian's python3-torch; results were made with 1.13)

The script is seeded and writes the same files each time. tests/support/golden.h reads them. A file holds cases:

    case NAME                        what is special about it
    set KEY VALUE                    a setting of the layer
    tensor KEY D0 D1 ... : V V ...   row-major

Maps are written as NHWC, one line each; weights keep torch's order. Inputs and weights of the convolutions
are multiples of 1/8 and torch computes in double, so that the expected sums are exact and a test may ask for
equality. Batch norm, means and whole networks are computed in double as well. Elsewhere torch computes in fp32,
as it does for its users, and the last digit may differ.

mobilenet.txt needs Debian's python3-torchvision. It holds no weights: they are a formula of their names, which
tests/layers/networks/mobilenet_test.cc knows too.
"""

import pathlib

import numpy
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "goldens"


class File:
    """One golden file, with a seed of its own: cases added to one file leave the others alone."""

    def __init__(self, name):
        self.path = FOLDER / (name + ".txt")
        self.lines = ["# Written by tests/python/make_goldens.py, torch " + torch.__version__.split("+")[0] + "."]
        self.random = numpy.random.default_rng(list(name.encode()))

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.path.write_text("\n".join(self.lines) + "\n")
            print(f"{self.path.name}: {self.path.stat().st_size} bytes")

    def case(self, name, **settings):
        self.lines.append("case " + name)
        self.lines.extend(f"set {key} {value}" for key, value in settings.items())

    def tensor(self, key, values):
        values = values.to(torch.float32).contiguous()
        text = " ".join(f"{v:.9g}" for v in values.flatten().tolist())
        self.lines.append(f"tensor {key} {' '.join(map(str, values.shape))} : {text}")

    def map(self, key, values):
        self.tensor(key, values.permute(0, 2, 3, 1))

    def eighths(self, *shape):
        """Multiples of 1/8 in [-2, 2]."""
        return torch.from_numpy(self.random.integers(-16, 17, shape) / 8.0)

    def normal(self, *shape):
        return torch.from_numpy(self.random.standard_normal(shape).astype(numpy.float32))


def conv2d():
    cases = [
        # name, input NCHW, outputs, kernel, stride, padding, dilation, groups, bias
        ("plain_1x1", (1, 3, 4, 5), 4, (1, 1), 1, 0, 1, 1, True),
        ("plain_1x1_strided", (2, 3, 5, 4), 4, (1, 1), 2, 0, 1, 1, False),
        ("plain_3x3", (1, 3, 5, 6), 4, (3, 3), 1, 0, 1, 1, True),
        ("padded_3x3", (2, 3, 5, 4), 3, (3, 3), 1, 1, 1, 1, True),
        ("padding_wider_than_the_kernel_reaches", (1, 2, 3, 3), 2, (3, 3), 1, 4, 1, 1, True),
        ("strided_3x3", (1, 3, 7, 8), 2, (3, 3), 2, 1, 1, 1, False),
        ("stride_3_leaves_a_remainder", (1, 2, 9, 7), 2, (3, 3), 3, 1, 1, 1, True),
        ("stem_7x7", (1, 3, 11, 9), 2, (7, 7), 2, 3, 1, 1, False),
        ("dilation_2", (1, 3, 7, 6), 2, (3, 3), 1, 2, 2, 1, True),
        ("dilation_3_strided", (1, 2, 9, 8), 2, (3, 3), 2, 3, 3, 1, False),
        ("dilation_larger_than_the_input", (1, 3, 5, 4), 2, (3, 3), 1, 12, 12, 1, True),
        ("dilation_with_other_padding", (1, 2, 8, 9), 3, (3, 3), 1, 1, 2, 1, True),
        ("two_groups", (1, 4, 4, 5), 6, (3, 3), 1, 1, 1, 2, True),
        ("three_groups_dilated_strided", (2, 6, 6, 5), 3, (3, 3), 2, 2, 2, 3, False),
        ("depthwise", (1, 5, 5, 4), 5, (3, 3), 1, 1, 1, 5, True),
        ("depthwise_with_multiplier", (1, 3, 5, 4), 6, (3, 3), 1, 1, 1, 3, False),
        ("depthwise_5x5_dilated", (1, 3, 6, 7), 3, (5, 5), 1, 4, 2, 3, True),
        ("kernel_1x3", (1, 3, 4, 6), 2, (1, 3), 1, 1, 1, 1, True),
        ("kernel_5x2", (1, 2, 6, 5), 3, (5, 2), 1, 1, 1, 1, False),
        ("kernel_3x1_dilated", (1, 2, 7, 4), 2, (3, 1), 1, 1, 2, 1, True),
        ("input_1x1_kernel_1x1", (1, 4, 1, 1), 3, (1, 1), 1, 0, 1, 1, True),
        ("input_1x1_padded_3x3", (2, 3, 1, 1), 2, (3, 3), 1, 1, 1, 1, False),
        ("input_1xn", (1, 2, 1, 7), 2, (3, 3), 1, 1, 1, 1, True),
        ("input_nx1", (1, 2, 7, 1), 2, (3, 3), 2, 1, 1, 1, True),
        ("kernel_larger_than_the_input", (1, 2, 2, 3), 2, (5, 5), 1, 2, 1, 1, True),
        ("one_channel_in_and_out", (1, 1, 4, 4), 1, (3, 3), 1, 1, 1, 1, True),
    ]
    with File("conv2d") as file:
        for name, shape, outputs, kernel, stride, padding, dilation, groups, has_bias in cases:
            x = file.eighths(*shape)
            weight = file.eighths(outputs, shape[1] // groups, *kernel)
            bias = file.eighths(outputs) if has_bias else None
            file.case(name, stride=stride, padding=padding, dilation=dilation, groups=groups)
            file.map("input", x)
            file.tensor("weight", weight)
            if has_bias:
                file.tensor("bias", bias)
            file.map("output", F.conv2d(x, weight, bias, stride, padding, dilation, groups))


def conv_transpose2d():
    cases = [
        # name, input NCHW, outputs, kernel, stride, padding, output_padding, dilation, groups, bias
        ("plain_1x1", (1, 3, 3, 2), 2, (1, 1), 1, 0, 0, 1, 1, True),
        ("plain_3x3", (2, 2, 3, 4), 3, (3, 3), 1, 0, 0, 1, 1, True),
        ("padded_3x3", (1, 2, 4, 3), 2, (3, 3), 1, 1, 0, 1, 1, False),
        ("stride_2_doubles", (1, 3, 3, 4), 2, (4, 4), 2, 1, 0, 1, 1, True),
        ("stride_3_with_gaps", (1, 2, 3, 3), 2, (2, 2), 3, 0, 0, 1, 1, True),
        ("output_padding", (1, 2, 3, 4), 2, (3, 3), 2, 1, 1, 1, 1, True),
        ("output_padding_2_of_stride_3", (1, 1, 2, 3), 2, (3, 3), 3, 0, 2, 1, 1, False),
        ("groups", (1, 4, 3, 3), 6, (3, 3), 2, 1, 0, 1, 2, True),
        ("depthwise", (1, 3, 3, 4), 3, (4, 4), 2, 1, 0, 1, 3, False),
        ("dilation_2", (1, 2, 4, 3), 2, (3, 3), 1, 1, 0, 2, 1, True),
        ("dilation_3_stride_2_output_padding", (1, 2, 3, 2), 2, (2, 3), 2, 2, 1, 3, 1, True),
        ("kernel_5x2", (1, 2, 3, 4), 2, (5, 2), 2, 0, 0, 1, 1, True),
        ("input_1x1", (2, 3, 1, 1), 2, (3, 3), 2, 0, 0, 1, 1, True),
        ("input_1xn", (1, 2, 1, 5), 1, (3, 3), 2, 1, 0, 1, 1, False),
        ("input_nx1", (1, 2, 5, 1), 1, (3, 3), 2, 1, 0, 1, 1, False),
        ("padding_crops_all_but_the_centre", (1, 2, 2, 2), 2, (5, 5), 1, 2, 0, 1, 1, True),
    ]
    with File("conv_transpose2d") as file:
        for case in cases:
            name, shape, outputs, kernel, stride, padding, output_padding, dilation, groups, has_bias = case
            x = file.eighths(*shape)
            weight = file.eighths(shape[1], outputs // groups, *kernel)
            bias = file.eighths(outputs) if has_bias else None
            y = F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
            file.case(name, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation,
                      groups=groups)
            file.map("input", x)
            file.tensor("weight", weight)
            if has_bias:
                file.tensor("bias", bias)
            file.map("output", y)


def bilinear_kernel():
    """FCN's kernel as Long, Shelhamer and Darrell's surgery.py writes it, in numpy."""
    with File("bilinear_kernel") as file:
        for factor in (2, 4, 8):
            size = 2 * factor
            centre = factor - 0.5
            rows, columns = numpy.ogrid[:size, :size]
            kernel = (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)
            file.case(f"factor_{factor}", factor=factor)
            file.tensor("kernel", torch.from_numpy(kernel))


def batch_norm():
    with File("batch_norm") as file:
        for name, shape, eps in [("eps_1e-5", (2, 5, 3, 4), 1e-5),
                                 ("eps_1e-3", (1, 4, 2, 3), 1e-3),
                                 ("variance_below_eps", (1, 3, 3, 2), 1e-3),
                                 ("one_channel", (1, 1, 1, 4), 1e-5)]:
            channels = shape[1]
            weight, bias, mean = file.normal(channels), file.normal(channels), file.normal(channels)
            variance = file.normal(channels).abs() + 0.05
            if name == "variance_below_eps":
                variance = torch.tensor([1e-6, 1e-4, 0.0])
            x = file.normal(*shape)
            y = F.batch_norm(x.double(), mean.double(), variance.double(), weight.double(), bias.double(),
                             training=False, eps=eps)
            file.case(name, eps=eps)
            file.map("input", x)
            for key, values in [("weight", weight), ("bias", bias), ("running_mean", mean),
                                ("running_var", variance)]:
                file.tensor(key, values)
            file.map("output", y)


def activations():
    functions = {"none": lambda v: v, "relu": F.relu, "relu6": F.relu6, "hardsigmoid": F.hardsigmoid,
                 "hardswish": F.hardswish, "sigmoid": torch.sigmoid}
    knees = torch.tensor([-1e30, -120.0, -88.0, -30.0, -6.0, -3.0000002, -3.0, -2.9999998, -1.0, -1e-6, -0.0,
                          0.0, 1e-6, 1.0, 2.9999998, 3.0, 3.0000002, 5.9999995, 6.0, 6.0000005, 30.0, 88.0,
                          120.0, 1e30])
    with File("activation") as file:
        x = torch.cat([knees, 3 * file.normal(36)]).reshape(1, 3, 4, 5)
        for name, function in functions.items():
            file.case(name)
            file.map("input", x)
            file.map("output", function(x))


def max_pool2d():
    cases = [
        # name, input NCHW, kernel, stride, padding
        ("resnet_stem", (1, 3, 7, 8), 3, 2, 1),
        ("halving", (2, 2, 4, 6), 2, 2, 0),
        ("last_column_left_over", (1, 2, 5, 7), 2, 2, 0),
        ("overlapping", (1, 2, 5, 4), 3, 1, 1),
        ("stride_larger_than_the_kernel", (1, 2, 7, 8), 2, 3, 1),
        ("input_1x1", (1, 3, 1, 1), 3, 2, 1),
        ("input_1xn", (1, 2, 1, 6), 3, 2, 1),
        ("input_nx1", (1, 2, 6, 1), 3, 2, 1),
        ("kernel_1", (1, 2, 3, 4), 1, 2, 0),
    ]
    with File("max_pool2d") as file:
        for name, shape, kernel, stride, padding in cases:
            x = file.eighths(*shape) - 2.5  # all negative: padding with zeros would show
            file.case(name, kernel=kernel, stride=stride, padding=padding)
            file.map("input", x)
            file.map("output", F.max_pool2d(x, kernel, stride, padding))
    with File("max_pool2d_ceil") as file:
        for name, shape, kernel, stride, padding in cases + [
            ("fcn_odd", (1, 2, 7, 9), 2, 2, 0),
            ("last_window_begins_in_the_padding", (1, 1, 4, 2), 2, 3, 1),
            ("kernel_3_stride_2_even", (1, 2, 8, 6), 3, 2, 1),
            ("stride_3", (1, 1, 8, 11), 3, 3, 1),
        ]:
            x = file.eighths(*shape) - 2.5
            file.case(name, kernel=kernel, stride=stride, padding=padding)
            file.map("input", x)
            file.map("output", F.max_pool2d(x, kernel, stride, padding, ceil_mode=True))


def max_unpool2d():
    cases = [
        # name, input NCHW, kernel
        ("halved", (2, 2, 4, 6), 2),
        ("rows_and_columns_left_over", (1, 2, 5, 7), 2),
        ("kernel_3", (1, 3, 7, 6), 3),
        ("one_window", (1, 2, 2, 2), 2),
    ]
    with File("max_unpool2d") as file:
        for name, shape, kernel in cases:
            before = file.eighths(*shape).clamp(min=0).round()  # equal values, zeros above all
            pooled, indices = F.max_pool2d(before, kernel, kernel, return_indices=True)
            x = file.normal(*pooled.shape)
            file.case(name, kernel=kernel)
            file.map("input", x)
            file.map("before", before)
            file.map("output", F.max_unpool2d(x, indices, kernel, kernel, output_size=shape))


def l2_norm():
    """ParseNet's Normalize, in double from the definition: Liu et al. 2015, section 3.3."""
    with File("l2_norm") as file:
        for name, shape in (("map", (2, 5, 3, 4)), ("one_channel", (1, 1, 2, 2)), ("one_pixel", (1, 37, 1, 1))):
            x, weight = file.normal(*shape), file.normal(shape[1])
            x[0, :, 0, 0] *= 0 if name == "map" else 1000
            root = ((x.double() ** 2).sum(1, keepdim=True) + 1e-10).sqrt()
            file.case(name)
            file.map("input", x)
            file.tensor("weight", weight)
            file.map("output", x.double() / root * weight.double()[:, None, None])


def adaptive_avg_pool2d():
    cases = [
        # name, input NCHW, output
        ("global_mean", (2, 3, 5, 7), (1, 1)),
        ("global_mean_of_one_pixel", (1, 3, 1, 1), (1, 1)),
        ("even_cells", (1, 2, 6, 4), (3, 2)),
        ("overlapping_cells", (1, 2, 7, 5), (3, 4)),
        ("pspnet_6x6", (1, 2, 10, 11), (6, 6)),
        ("grid_finer_than_the_map", (1, 2, 2, 3), (5, 4)),
        ("rows_only", (1, 2, 5, 4), (2, 1)),
        ("same_size", (1, 2, 3, 2), (3, 2)),
    ]
    with File("adaptive_avg_pool2d") as file:
        for name, shape, size in cases:
            x = file.normal(*shape)
            file.case(name, out_h=size[0], out_w=size[1])
            file.map("input", x)
            file.map("output", F.adaptive_avg_pool2d(x.double(), size))


def treacherous_nearest_sizes(count):
    """Widths for which flooring the fp32 product scale * x gives another pixel than exact arithmetic."""
    found = []
    for out in range(2, 120):
        for size in range(1, 120):
            scale = numpy.float32(size) / numpy.float32(out)
            x = numpy.arange(out)
            in_float = numpy.minimum(numpy.floor(scale * x.astype(numpy.float32)).astype(int), size - 1)
            if (in_float != x * size // out).any():
                found.append((size, out))
    return found[:: max(1, len(found) // count)][:count]


def resize():
    sizes = [
        # name, input NCHW, output
        ("up", (2, 3, 3, 4), (7, 9)),
        ("up_by_two", (1, 2, 3, 2), (6, 4)),
        ("down", (1, 2, 9, 8), (4, 3)),
        ("down_by_two", (1, 2, 6, 4), (3, 2)),
        ("up_and_down", (1, 2, 3, 9), (8, 4)),
        ("same", (1, 2, 4, 3), (4, 3)),
        ("from_1x1", (2, 3, 1, 1), (3, 4)),
        ("from_1xn", (1, 2, 1, 5), (3, 8)),
        ("from_nx1", (1, 2, 5, 1), (8, 3)),
        ("to_1x1", (1, 2, 5, 6), (1, 1)),
        ("to_1xn", (1, 2, 5, 4), (1, 7)),
        ("to_nx1", (1, 2, 4, 5), (7, 1)),
        ("from_1x1_to_1x1", (1, 3, 1, 1), (1, 1)),
        ("logits_row_65_to_520", (1, 1, 1, 65), (1, 520)),
        ("logits_column_33_to_257", (1, 1, 33, 1), (257, 1)),
    ]
    with File("resize") as file:
        for name, shape, size in sizes:
            x = file.normal(*shape)
            for mode, align in (("bilinear", False), ("bilinear", True), ("nearest", False)):
                if mode == "nearest":
                    x = torch.arange(x.numel(), dtype=torch.float32).reshape(shape)
                y = F.interpolate(x, size=size, mode=mode, align_corners=None if mode == "nearest" else align)
                corners = "_align_corners" if align else ""
                file.case(f"{mode}{corners}_{name}", mode=mode, align_corners=int(align))
                file.map("input", x)
                file.map("output", y)
        for width, out in treacherous_nearest_sizes(12):
            x = torch.arange(width, dtype=torch.float32).reshape(1, 1, 1, width)
            file.case(f"nearest_{width}_to_{out}_rounds_in_fp32", mode="nearest", align_corners=0)
            file.map("input", x)
            file.map("output", F.interpolate(x, size=(1, out), mode="nearest"))


def resize_by():
    """With a factor: the ratio is 1 / factor, or that of the rounded sizes."""
    with File("resize_by") as file:
        for name, shape, factor in (("half", (1, 2, 9, 7), 0.5), ("three_quarters", (2, 2, 9, 13), 0.75),
                                    ("twice", (1, 3, 4, 5), 2), ("whole_sizes", (1, 2, 8, 12), 0.75),
                                    ("one_and_a_half", (1, 2, 5, 7), 1.5)):
            x = file.normal(*shape)
            for mode, align, recompute in (("bilinear", False, False), ("bilinear", False, True),
                                           ("bilinear", True, False), ("nearest", False, False)):
                y = F.interpolate(x, scale_factor=factor, mode=mode, recompute_scale_factor=recompute,
                                  align_corners=None if mode == "nearest" else align)
                file.case(f"{mode}_{name}_{int(align)}_{int(recompute)}", mode=mode, align_corners=int(align),
                          factor=factor, ratio_of_sizes=int(recompute))
                file.map("input", x)
                file.map("output", y)


def crop():
    with File("crop") as file:
        for name, shape, top, left, h, w in (("middle", (2, 3, 6, 7), 2, 1, 3, 4), ("all", (1, 2, 3, 4), 0, 0, 3, 4),
                                             ("last_pixel", (1, 2, 5, 3), 4, 2, 1, 1)):
            x = file.eighths(*shape)
            file.case(name, top=top, left=left)
            file.map("input", x)
            file.map("output", x[:, :, top:top + h, left:left + w])


def encoding():
    """Encoding layer and what follows it, in double, from the definition: Zhang et al. 2018, section 3.1."""
    with File("encoding") as file:
        for name, shape, codewords in (("encnet_like", (2, 6, 4, 5), 4), ("one_codeword", (1, 3, 2, 3), 1),
                                       ("one_pixel", (1, 5, 1, 1), 3), ("far_codewords", (1, 4, 3, 3), 3)):
            x, words = file.normal(*shape), file.normal(codewords, shape[1])
            if name == "far_codewords":
                words = 30 * words
            smoothing = -file.normal(codewords).abs() / 4
            scale, shift = file.normal(codewords), file.normal(codewords)
            pixels = x.double().flatten(2).transpose(1, 2).unsqueeze(2)  # n, pixels, 1, channels
            apart = pixels - words.double()
            share = torch.softmax(smoothing.double() * (apart ** 2).sum(-1), dim=2)
            encoded = (share.unsqueeze(-1) * apart).sum(1)  # n, codewords, channels
            encoded = scale.double()[:, None] * encoded + shift.double()[:, None]
            file.case(name)
            file.map("input", x)
            for key, values in (("codewords", words), ("smoothing", smoothing), ("scale", scale), ("shift", shift)):
                file.tensor(key, values)
            file.map("output", encoded.clamp(min=0).mean(1)[:, :, None, None])


def arithmetic():
    with File("arithmetic") as file:
        for operation, function in (("add", torch.add), ("mul", torch.mul), ("max", torch.maximum)):
            for name, shape, other in [("same", (2, 3, 3, 4), (2, 3, 3, 4)),
                                       ("repeated_1x1", (2, 3, 4, 3), (2, 3, 1, 1)),
                                       ("repeated_channel", (2, 3, 4, 3), (2, 1, 4, 3)),
                                       ("1x1_and_1x1", (2, 5, 1, 1), (2, 5, 1, 1))]:
                if operation != "mul" and shape != other:
                    continue  # Add and Max take equal shapes only
                a, b = file.normal(*shape), file.normal(*other)
                file.case(f"{operation}_{name}", operation=operation)
                file.map("a", a)
                file.map("b", b)
                file.map("output", function(a, b))


def concat():
    with File("concat") as file:
        for name, channels in (("one", [3]), ("two", [2, 3]), ("five", [1, 4, 2, 1, 3])):
            parts = [file.eighths(2, c, 3, 2) for c in channels]
            file.case(name, inputs=len(parts))
            for i, part in enumerate(parts):
                file.map(f"input{i}", part)
            file.map("output", torch.cat(parts, dim=1))


def softmax():
    with File("softmax") as file:
        plain = 4 * file.normal(2, 21, 2, 3)
        large = torch.cat([plain[:1] + 1000, plain[1:] - 1000])
        spread = 100 * file.normal(1, 3, 2, 2)
        for name, x in (("21_classes", plain), ("far_from_zero", large), ("saturated", spread),
                        ("one_class", file.normal(1, 1, 2, 2))):
            file.case(name)
            file.map("input", x)
            file.map("output", torch.softmax(x, dim=1))


def group_norm():
    with File("group_norm") as file:
        for name, shape, groups in (("one_group", (1, 6, 3, 4), 1), ("groups_of_two_in_a_batch", (2, 6, 4, 3), 3),
                                    ("a_group_a_channel", (1, 4, 2, 3), 4), ("far_from_zero", (1, 4, 3, 3), 2)):
            x = file.normal(*shape) + (1000 if name == "far_from_zero" else 0)
            weight, bias = file.normal(shape[1]), file.normal(shape[1])
            file.case(name, groups=groups)
            file.map("input", x)
            file.tensor("weight", weight)
            file.tensor("bias", bias)
            file.map("output", F.group_norm(x.double(), groups, weight.double(), bias.double()))


def position_attention():
    """The lines of segmentation_models_pytorch/decoders/manet/decoder.py, PAB.forward, between its convolutions."""
    with File("position_attention") as file:
        for name, (n, channels, h, w), small in (("square", (1, 3, 2, 2), 2), ("oblong", (1, 4, 2, 3), 3),
                                                 ("a_batch", (2, 5, 3, 2), 2), ("large_fits", (1, 2, 2, 3), 3)):
            factor = 20 if name == "large_fits" else 1
            center, top = file.normal(n, small, h, w) * factor, file.normal(n, small, h, w)
            bottom = file.normal(n, channels, h, w)
            x_center, x_top = center.double().flatten(2).transpose(1, 2), top.double().flatten(2)
            x_bottom = bottom.double().flatten(2).transpose(1, 2)
            sp_map = torch.matmul(x_center, x_top)
            sp_map = torch.softmax(sp_map.view(n, -1), dim=1).view(n, h * w, h * w)
            sp_map = torch.matmul(sp_map, x_bottom).reshape(n, channels, h, w)
            file.case(name)
            file.map("query", center)
            file.map("key", top)
            file.map("value", bottom)
            file.map("output", sp_map)


def argmax():
    with File("argmax") as file:
        for name, x in (("21_classes", file.normal(2, 21, 3, 4)),
                        ("one_class", file.normal(1, 1, 2, 2)),
                        ("256_classes", file.normal(1, 256, 1, 2)),
                        ("all_negative", -file.normal(1, 5, 3, 3).abs())):
            file.case(name)
            file.map("input", x)
            file.tensor("labels", torch.argmax(x, dim=1))


def formula(key, count):
    """`count` numbers in [0, 1) that depend on the key: FNV-1a of it seeds a linear congruential generator."""
    state = 2166136261
    for byte in key.encode():
        state = (state ^ byte) * 16777619 % 2**32
    values = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append((state >> 8) / 2**24)
    return torch.tensor(values, dtype=torch.float64)


def formula_parameter(key, shape):
    u = formula(key, int(numpy.prod(shape))).reshape(shape)
    if len(shape) == 4:
        return (2 * u - 1) * (6 / (shape[1] * shape[2] * shape[3])) ** 0.5
    if key.endswith("running_var"):
        return 0.5 + u
    return 0.7 + 0.6 * u if key.endswith("weight") else 0.4 * u - 0.2


def mobilenet():
    """Every feature of narrow networks, and their logits; of large maps a sample."""
    from torchvision.models import mobilenetv3
    from torchvision.models.segmentation import deeplabv3, fcn, lraspp
    with File("mobilenet") as file:
        for arch, head, width in (("large", "lraspp", 0.1), ("large", "deeplabv3", 0.25), ("small", "lraspp", 0.2)):
            blocks, last = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_" + arch, width_mult=width, dilated=True)
            backbone = mobilenetv3.MobileNetV3(blocks, last).features
            low, high = backbone[4 if arch == "large" else 2], backbone[-1]
            classifier, auxiliary = lraspp.LRASPPHead(low.out_channels, high.out_channels, 5, 12), None
            if head == "deeplabv3":
                classifier = torch.nn.Sequential(
                    deeplabv3.ASPP(high.out_channels, [12, 24, 36], 6), torch.nn.Conv2d(6, 6, 3, padding=1, bias=False),
                    torch.nn.BatchNorm2d(6), torch.nn.ReLU(), torch.nn.Conv2d(6, 5, 1))
                auxiliary = fcn.FCNHead(low.out_channels, 5)
            model = torch.nn.ModuleDict({"backbone": backbone, "classifier": classifier})
            if auxiliary:
                model["aux_classifier"] = auxiliary
            model.double().eval()
            shapes = {key: list(value.shape) for key, value in model.state_dict().items() if value.dim() > 0}
            model.load_state_dict({key: formula_parameter(key, shape) for key, shape in shapes.items()}, strict=False)
            file.case(f"{head}_{arch}", **{key: "x".join(map(str, shape)) for key, shape in shapes.items()})
            x = (4 * formula("input", 72 * 88 * 3) - 2).reshape(1, 72, 88, 3).permute(0, 3, 1, 2)
            maps = {}
            with torch.no_grad():
                for index, feature in enumerate(backbone):
                    maps[f"feature{index}"] = x = feature(x)
                low, high = maps[f"feature{4 if arch == 'large' else 2}"], x
                maps["out"] = classifier({"low": low, "high": high}) if head == "lraspp" else classifier(high)
                if auxiliary:
                    maps["aux"] = auxiliary(low)
            for key, value in maps.items():
                flat = value.permute(0, 2, 3, 1).flatten()
                file.tensor(key, flat[::max(1, len(flat) // 120)])


def main():
    FOLDER.mkdir(exist_ok=True)
    for write in (conv2d, conv_transpose2d, bilinear_kernel, batch_norm, activations, max_pool2d, max_unpool2d, l2_norm,
                  adaptive_avg_pool2d, resize, resize_by, crop, encoding, arithmetic, concat, softmax, group_norm,
                  position_attention, argmax, mobilenet):
        write()


if __name__ == "__main__":
    main()
