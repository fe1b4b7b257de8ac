#!/usr/bin/env python3
"""Draws the pictures of layers/README.md from numbers that are computed here, by the layers' formulas.

usage: draw.py [--check]    writes the .svg files beside this script, or says which of them are not what it writes
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INK, GREY, LINE, PAPER = "#24292f", "#6e7781", "#d0d7de", "#ffffff"
BLUE, ORANGE, GREEN, RED = "#0969da", "#bc4c00", "#1a7f37", "#cf222e"
PALE = {BLUE: "#ddf4ff", ORANGE: "#fff1e5", GREEN: "#dafbe1", RED: "#ffebe9"}


class Card:
    """A picture on white paper, so that it reads the same on a dark page."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def rect(self, x, y, w, h, fill="none", stroke=LINE, width=1.0, opacity=1.0):
        extra = f' fill-opacity="{opacity:g}"' if opacity != 1 else ""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{stroke}" '
                          f'stroke-width="{width:g}"{extra}/>')

    def line(self, x0, y0, x1, y1, stroke=GREY, width=1.0, dash=""):
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{stroke}" '
                          f'stroke-width="{width:g}"{extra}/>')

    def path(self, points, stroke, width=2.0):
        d = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        self.parts.append(f'<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width:g}"/>')

    def dot(self, x, y, r, fill, stroke="none"):
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="{fill}" stroke="{stroke}"/>')

    def text(self, x, y, words, size=12, fill=INK, anchor="start", bold=False):
        weight = ' font-weight="bold"' if bold else ""
        words = str(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        self.parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}" '
                          f'text-anchor="{anchor}"{weight}>{words}</text>')

    def grid(self, x, y, columns, rows, cell, fill=None, label=None, size=11):
        """Cells; fill(column, row) and label(column, row) say each one's colour and words, or None."""
        for row in range(rows):
            for column in range(columns):
                self.rect(x + column * cell, y + row * cell, cell, cell, (fill and fill(column, row)) or PAPER)
                words = label(column, row) if label else None
                if words is not None:
                    self.text(x + (column + .5) * cell, y + (row + .5) * cell + size * .36, words, size, anchor="middle")

    def cells(self, x, y, columns, rows, cell, fill):
        """Cells without lines, those of one colour as one path: for maps of many values."""
        runs: dict[str, list[str]] = {}
        for row in range(rows):
            start = 0
            for column in range(1, columns + 1):
                if column == columns or fill(column, row) != fill(start, row):
                    runs.setdefault(fill(start, row), []).append(
                        f"M{x + start * cell:g} {y + row * cell:g}h{(column - start) * cell:g}v{cell:g}"
                        f"h{(start - column) * cell:g}z")
                    start = column
        for colour, parts in runs.items():
            self.parts.append(f'<path d="{"".join(parts)}" fill="{colour}"/>')

    def svg(self) -> str:
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" font-family="Helvetica, Arial, sans-serif" role="img">\n'
                f"<title>{self.title}</title>\n"
                f'<rect width="{self.width}" height="{self.height}" rx="8" fill="{PAPER}"/>\n')
        return head + "\n".join(self.parts) + "\n</svg>\n"


# ---- step 2: one convolution


def convolution() -> Card:
    picture = [[(3 * x + 5 * y + x * y) % 9 for x in range(6)] for y in range(6)]
    kernel = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    output = [[sum(kernel[ky][kx] * picture[y + ky][x + kx] for ky in range(3) for kx in range(3))
               for x in range(4)] for y in range(4)]
    at_x, at_y, cell = 2, 1, 34
    card = Card(680, 300, "One output of a 3x3 convolution is the sum of nine products")
    card.text(24, 30, "the map, 6 x 6", bold=True)
    inside = lambda x, y: at_x <= x < at_x + 3 and at_y <= y < at_y + 3
    card.grid(24, 42, 6, 6, cell, lambda x, y: PALE[BLUE] if inside(x, y) else None, lambda x, y: picture[y][x])
    card.rect(24 + at_x * cell, 42 + at_y * cell, 3 * cell, 3 * cell, stroke=BLUE, width=2.5)
    card.text(272, 90, "the kernel, 3 x 3", bold=True)
    card.grid(272, 102, 3, 3, cell, lambda x, y: PALE[ORANGE], lambda x, y: kernel[y][x])
    card.text(256, 158, "*", 22, anchor="middle")
    card.text(398, 158, "=", 20, anchor="middle")
    card.text(430, 64, "the output, 4 x 4", bold=True)
    card.grid(430, 76, 4, 4, cell, lambda x, y: PALE[GREEN] if (x, y) == (at_x, at_y) else None,
              lambda x, y: output[y][x])
    card.rect(430 + at_x * cell, 76 + at_y * cell, cell, cell, stroke=GREEN, width=2.5)
    terms = " ".join(f"{kernel[ky][kx]:+d}*{picture[at_y + ky][at_x + kx]}" for ky in range(3) for kx in range(3)
                     if kernel[ky][kx])
    card.text(24, 278, f"{terms.lstrip('+')}  =  {output[at_y][at_x]}     (the taps whose weight is 0 are left out)", 13)
    return card


# ---- step 7: dilation


def dilation() -> Card:
    card = Card(680, 262, "The nine taps of a 3x3 kernel at dilation 1, 2 and 4")
    cell, size = 20, 9
    for i, rate in enumerate((1, 2, 4)):
        left, top = 24 + i * 218, 44
        tap = lambda x, y: abs(x - 4) in (0, rate) and abs(y - 4) in (0, rate)
        covered = lambda x, y: abs(x - 4) <= rate and abs(y - 4) <= rate
        card.text(left, 30, f"dilation {rate}: 9 taps cover {2 * rate + 1} x {2 * rate + 1}", bold=True)
        card.grid(left, top, size, size, cell,
                  lambda x, y: BLUE if tap(x, y) else PALE[BLUE] if covered(x, y) else None)
        card.text(left, 246, f"(3 - 1) * {rate} + 1 = {2 * rate + 1} pixels a side", 12, GREY)
    return card


def stride_to_dilation() -> Card:
    """A row of 13 values: stride 2 and then 3 taps, and the same weights without the stride and at dilation 2."""
    row = [9, 5, 8, 2, 5, 3, 4, 7, 9, 2, 1, 8, 2]
    weights = (1, 2, -1)
    at = lambda values, i: values[i] if 0 <= i < len(values) else 0
    small = row[::2]
    strided = [sum(weights[k] * at(small, i + k - 1) for k in range(3)) for i in range(len(small))]
    dense = [sum(weights[k] * at(row, i + 2 * (k - 1)) for k in range(3)) for i in range(len(row))]
    assert dense[::2] == strided and len(set(dense)) == len(dense)  # so that no two are alike by chance
    card = Card(760, 468, "Without the stride and with dilation 2 the same weights give the same values, and those between")
    cell, left, middle = 38, 230, 3
    centre = lambda i: left + (i + .5) * cell
    card.text(20, 28, "With stride 2 the map shrinks, then the kernel (1, 2, -1) sees neighbours of the small map.", 13, bold=True)
    card.text(20, 64, "the row, 13 values")
    card.grid(left, 42, 13, 1, cell, lambda x, y: PALE[BLUE] if x % 2 == 0 else None, lambda x, y: row[x], 13)
    for i in range(len(small)):
        card.line(centre(2 * i), 80, centre(i), 106, BLUE)
    card.text(20, 128, "stride 2: every second, 7")
    card.grid(left, 106, 7, 1, cell, lambda x, y: PALE[BLUE], lambda x, y: small[x], 13)
    for i in (middle - 1, middle, middle + 1):
        card.line(centre(i), 144, centre(middle), 170, ORANGE, 1.8)
    card.text(20, 192, "three neighbouring taps: 7")
    card.grid(left, 170, 7, 1, cell, lambda x, y: PALE[GREEN], lambda x, y: strided[x], 13)
    left_one, one, right_one = small[middle - 1:middle + 2]
    card.text(left + 7.4 * cell, 192, f"{left_one} + 2 * {one} - {right_one} = {strided[middle]}", 13, ORANGE)
    card.text(20, 252, "Without the stride the taps move apart instead: dilation 2.", 13, bold=True)
    card.text(20, 288, "the row, 13 values")
    card.grid(left, 266, 13, 1, cell, lambda x, y: PALE[BLUE] if x % 2 == 0 else None, lambda x, y: row[x], 13)
    for i in (2 * middle - 2, 2 * middle, 2 * middle + 2):
        card.line(centre(i), 304, centre(2 * middle), 336, ORANGE, 1.8)
    card.text(20, 358, "three taps, 2 apart: 13")
    card.grid(left, 336, 13, 1, cell, lambda x, y: PALE[GREEN] if x % 2 == 0 else None, lambda x, y: dense[x], 13)
    card.text(20, 412, f"Above {', '.join(map(str, strided))}; below the same values, green, and one new value between every two of them,", 13)
    card.text(20, 432, "from the same three weights. All 13 are different, so none of this is chance.", 13)
    card.text(20, 454, "Beyond the ends of a row a tap reads 0.", 12, GREY)
    return card


# ---- steps 6 and 7: ResNet-50 at output stride 32, 16, 8

# The stages of ResNet-50: bottlenecks, and the stride of the first one's 3x3 convolution.
STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))


def resnet50(output_stride: int):
    """The layers along the main path with a kernel or a stride: (name, kernel, stride, dilation)."""
    layers = [("conv1", 7, 2, 1), ("maxpool", 3, 2, 1)]
    stride, dilation_now = 4, 1
    for stage, (blocks, step) in enumerate(STAGES, 1):
        first_dilation = dilation_now
        if step == 2 and stride >= output_stride:
            dilation_now, step = dilation_now * 2, 1
        stride *= step
        for block in range(blocks):
            # torchvision's _make_layer: the first block of a stage keeps the dilation that was before.
            layers.append((f"layer{stage}.{block}.conv2", 3, step if block == 0 else 1,
                           first_dilation if block == 0 else dilation_now))
    return layers


def receptive_fields(layers):
    """After each layer the side of the square of photo pixels that one value sees, and the stride so far."""
    field, jump, out = 1, 1, []
    for name, kernel, stride, rate in layers:
        field += (kernel - 1) * rate * jump
        jump *= stride
        out.append((name, field, jump))
    return out


def map_side(photo: int, layers) -> int:
    side = photo
    for _, kernel, stride, rate in layers:
        padding = (kernel - 1) // 2 * rate
        side = (side + 2 * padding - rate * (kernel - 1) - 1) // stride + 1
    return side


LAMP_POST = 10  # pixels


def street(card: Card, left, top, scale, x0, y0, x1, y1):
    """The part [x0, x1) x [y0, y1) of a scene of 520x520: sky, houses, a road, a lamp post."""
    def block(ax, ay, bx, by, fill):
        ax, bx, ay, by = max(ax, x0), min(bx, x1), max(ay, y0), min(by, y1)
        if ax < bx and ay < by:
            card.rect(left + (ax - x0) * scale, top + (ay - y0) * scale, (bx - ax) * scale, (by - ay) * scale, fill, "none")
    block(0, 0, 520, 250, "#dbeafe")
    block(0, 130, 190, 340, "#e7d9c9")
    block(190, 90, 300, 340, "#d8c7b3")
    block(400, 170, 520, 340, "#e7d9c9")
    block(0, 340, 520, 520, "#d4d4d8")
    block(300, 110, 400, 340, "#e7d9c9")
    block(340, 104, 340 + LAMP_POST, 400, INK)
    block(316, 92, 374, 104, INK)


def output_stride() -> Card:
    """Step 6: at output stride 32 a value is wider than a lamp post."""
    layers = resnet50(32)
    side, field, scale = map_side(520, layers), receptive_fields(layers)[-1][1], 0.62
    card = Card(680, 392, "ResNet-50's last map at output stride 32 over a photo of 520x520")
    left, top, extent = 24, 44, 520 * scale
    card.text(left, 28, f"output stride 32: a photo of 520 x 520, a map of {side} x {side}", bold=True)
    street(card, left, top, scale, 0, 0, 520, 520)
    for k in range(side + 1):
        at = min(k * 32 * scale, extent)
        card.line(left + at, top, left + at, top + extent, PAPER, .8)
        card.line(left, top + at, left + extent, top + at, PAPER, .8)
    cell_x, cell_y = 10 * 32, 7 * 32
    card.rect(left + cell_x * scale, top + cell_y * scale, 32 * scale, 32 * scale, ORANGE, ORANGE, 1.5, .45)
    x, y = left + (cell_x + 32) * scale, top + (cell_y + 16) * scale
    card.line(x, y, 372, y, ORANGE, 1.2)
    card.text(378, y - 6, "one value stands for 32 x 32 pixels;", 13, ORANGE)
    card.text(378, y + 12, f"the lamp post is {LAMP_POST} pixels wide:", 13)
    card.text(378, y + 30, "less than a third of what is under it.", 13)
    card.text(378, y + 62, f"What the value sees is larger: {field} x {field}", 13)
    card.text(378, y + 80, "pixels, most of the photo. It knows that", 13)
    card.text(378, y + 98, "this is a street, not where the post ends.", 13)
    card.rect(left, top, extent, extent, stroke=GREY)
    return card


def output_strides() -> Card:
    """Step 7: the same corner of the photo under the values of three output strides."""
    card = Card(680, 286, "A part of the photo under the values of output stride 32, 16 and 8")
    x0, y0, part = 288, 96, 128
    for i, stride in enumerate((32, 16, 8)):
        layers = resnet50(stride)
        side, field = map_side(520, layers), receptive_fields(layers)[-1][1]
        left, top, extent = 24 + i * 220, 48, 192
        scale = extent / part
        card.text(left, 32, f"output stride {stride}: {side} x {side}", bold=True)
        street(card, left, top, scale, x0, y0, x0 + part, y0 + part)
        for k in range(0, part + 1, stride):
            card.line(left + k * scale, top, left + k * scale, top + extent, BLUE, .8)
            card.line(left, top + k * scale, left + extent, top + k * scale, BLUE, .8)
        dilations = sorted({rate for *_, rate in layers})
        card.text(left, 260, f"dilation {', '.join(map(str, dilations))}", 12, GREY)
        card.text(left, 276, f"one value sees {field} x {field} pixels", 12, GREY)
    return card


def receptive_field() -> Card:
    card = Card(680, 330, "Receptive fields along ResNet-50: with strides or dilation, and at stride 8 without dilation")
    left, top, width, height = 60, 44, 480, 230
    card.text(24, 26, "Receptive field: the side of the square of photo pixels that one value sees", bold=True)
    fields = [receptive_fields(resnet50(stride)) for stride in (32, 16, 8)]
    assert [f for _, f, _ in fields[0]] == [f for _, f, _ in fields[1]] == [f for _, f, _ in fields[2]]
    bare = receptive_fields([(name, kernel, stride, 1) for name, kernel, stride, _ in resnet50(8)])
    most, count = 450, len(bare)
    for value in range(0, most, 100):
        y = top + height - height * value / most
        card.line(left, y, left + width, y, LINE)
        card.text(left - 8, y + 4, value, 11, GREY, "end")
    # The lower curve first and wide, so that both show where they are one.
    for curve, colour, words, wide in ((bare, ORANGE, ("stride 8,", "no dilation"), True),
                                       (fields[0], BLUE, ("output stride", "32, 16 and 8"), False)):
        points = [(left + width * i / (count - 1), top + height - height * field / most)
                  for i, (_, field, _) in enumerate(curve)]
        card.path(points, "#ffd8b5" if wide else colour, 7 if wide else 2)
        for x, y in points:
            card.dot(x, y, 6 if wide else 2.6, PALE[colour] if wide else colour, colour)
        x, y = points[-1]
        card.text(x + 12, y + 5, curve[-1][1], 13, colour, bold=True)
        for i, line in enumerate(words):
            card.text(x + 44, y - 2 + 14 * i, line, 11, colour)
    for i, (name, _, _) in enumerate(bare):
        if name in ("conv1", "layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv2", "layer4.0.conv2"):
            x = left + width * i / (count - 1)
            card.line(x, top, x, top + height, LINE, 1, "3 3")
            card.text(x, top + height + 18, name.split(".")[0], 11, GREY, "middle")
    card.text(24, 318, "Each dot is a layer with a kernel larger than 1x1. Strides or dilation: the field is the same, layer by layer.", 12, GREY)
    return card


# ---- step 8: ASPP

SIDE, RATES = 65, (12, 24, 36)


def taps_inside(rate: int, x: int, side: int = SIDE) -> int:
    return sum(0 <= x + offset < side for offset in (-rate, 0, rate))


def share_inside(rate: int, side: int = SIDE) -> float:
    return (sum(taps_inside(rate, x, side) for x in range(side)) / (3 * side)) ** 2


def aspp() -> Card:
    card = Card(700, 360, "ASPP's branches over a map of 65x65")
    shades = {9: "#0969da", 6: "#54aeff", 4: "#b6e3ff", 3: "#ddf4ff", 2: "#f6f8fa", 1: "#ffffff"}
    extent = 195
    for i, rate in enumerate(RATES):
        left, top = 24 + i * 222, 58
        card.text(left, 30, f"rate {rate}: {100 * share_inside(rate):.0f}% of the taps", bold=True)
        card.text(left, 47, "read the map, the others padding", 12, GREY)
        # Neighbours along an axis with as many taps inside make one rectangle.
        runs, start = [], 0
        for x in range(1, SIDE + 1):
            if x == SIDE or taps_inside(rate, x) != taps_inside(rate, start):
                runs.append((start, x, taps_inside(rate, start)))
                start = x
        scale = extent / SIDE
        for y0, y1, in_y in runs:
            for x0, x1, in_x in runs:
                card.rect(left + x0 * scale, top + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale, shades[in_x * in_y])
                if in_x * in_y > 1:  # the 1 stands below, beside no dot
                    card.text(left + x0 * scale + 6, top + y0 * scale + 15, in_x * in_y, 12, bold=True,
                              fill=PAPER if in_x * in_y == 9 else INK)
        centre, reach = 32, rate
        for dy in (-reach, 0, reach):
            for dx in (-reach, 0, reach):
                x, y = centre + dx, centre + dy
                inside = 0 <= x < SIDE and 0 <= y < SIDE
                if inside:
                    card.dot(left + (x + .5) * scale, top + (y + .5) * scale, 4, ORANGE, PAPER)
        card.rect(left, top, extent, extent, stroke=INK, width=1.2)
        if rate == 36:
            card.text(left + extent, top + extent + 15, "in the middle: 1", 12, bold=True, anchor="end")
    card.text(24, 290, "The numbers: how many of a pixel's nine taps lie on the map. Orange: the taps of the pixel in the middle.", 12, GREY)
    middle = sum(taps_inside(36, x) == 1 for x in range(SIDE))
    card.text(24, 312, f"At rate 36 no pixel has more than 4 taps on the map, and the {middle} x {middle} in the middle have only their own:", 13)
    card.text(24, 330, f"{100 - 100 * share_inside(36):.0f}% of the multiplications would be by zeros, and need not be done. In the middle the branch is", 13)
    card.text(24, 348, "a 1x1 convolution (Chen et al. 2017, Rethinking Atrous Convolution, section 3.3).", 13)
    return card


# ---- step 10: upsampling


def source(o: int, size_in: int, size_out: int) -> tuple[int, int, float]:
    """resize.h, align_corners = false: the two inputs of output o, and the weight of the second."""
    at = max((o + .5) * size_in / size_out - .5, 0)
    first = min(int(at), size_in - 1)
    return first, min(first + 1, size_in - 1), at - first


def upsampling() -> Card:
    values, factor = [2.0, 8.0, 4.0], 8
    size_out = factor * len(values)
    outputs = []
    for o in range(size_out):
        first, second, share = source(o, len(values), size_out)
        outputs.append(values[first] * (1 - share) + values[second] * share)
    card = Card(720, 300, "Three values become twenty-four by bilinear interpolation")
    left, bottom, width, height = 46, 220, 648, 160
    card.text(24, 28, "Three logits of a row, and the 24 that bilinear interpolation makes of them", bold=True)
    for v in (0, 2, 4, 6, 8):
        y = bottom - height * v / 8
        card.line(left, y, left + width, y, LINE)
        card.text(left - 8, y + 4, v, 11, GREY, "end")
    cell = width / size_out
    for o, v in enumerate(outputs):
        x = left + (o + .5) * cell
        card.rect(x - 9, bottom - height * v / 8, 18, height * v / 8, PALE[BLUE], BLUE)
        card.text(x, bottom + 16, f"{v:.2f}", 10, GREY, "middle")
    for i, v in enumerate(values):
        card.dot(left + (i + .5) * factor * cell, bottom - height * v / 8, 6, ORANGE, PAPER)
        card.text(left + (i + .5) * factor * cell, bottom - height * v / 8 - 11, f"{v:g}", 13, ORANGE, "middle", True)
    first, second, share = source(9, len(values), size_out)
    card.text(24, 262, f"Output 9 lies at (9 + 0.5) / {factor} - 0.5 = {first + share:.4f} of the small row: "
                       f"{1 - share:.4f} * {values[first]:g} + {share:.4f} * {values[second]:g} = {outputs[9]:.2f}.", 13)
    card.text(24, 284, "Before the first and behind the last orange point the value stays: there is nothing to mix with.", 12, GREY)
    return card


# ---- step 11: argmax


def argmax() -> Card:
    side, names, colours = 6, ("road", "car", "sky"), ("#d0b7f5", "#ffb77c", "#b6e3ff")
    def logits(x, y):
        return (y - 2.4, 1.9 - abs(x - 2.3) - 1.2 * abs(y - 3.2), 1.6 - y)
    card = Card(784, 288, "The label of a pixel is the class with the largest logit")
    cell = 29
    best = lambda x, y: max(range(3), key=lambda c: logits(x, y)[c])
    for c, name in enumerate(names):
        left = 20 + c * 190
        card.text(left, 28, f"logits of class {c}, {name}", bold=True)
        # Where the class wins its logits stand on its colour.
        card.grid(left, 40, side, side, cell, lambda x, y, c=c: colours[c] if best(x, y) == c else None,
                  lambda x, y, c=c: f"{round(logits(x, y)[c], 1) + 0:.1f}", 12)
    left = 20 + 3 * 190
    card.text(left, 28, "labels", bold=True)
    card.grid(left, 40, side, side, cell, lambda x, y: colours[best(x, y)], best, 13)
    for c, name in enumerate(names):
        card.rect(20 + c * 90, 230, 12, 12, colours[c])
        card.text(38 + c * 90, 241, f"{c} {name}")
    x, y = 2, 3
    values = ", ".join(f"{v:.1f}" for v in logits(x, y))
    card.text(20, 270, f"Column {x}, row {y}, counted from 0: logits {values}. The largest is {names[best(x, y)]}'s, so the label is {best(x, y)}.", 13)
    return card


# ---- side trips


def transposed() -> Card:
    values, kernel = [3, 1, 2], [1, 2, 2, 1]
    size = (len(values) - 1) * 2 + len(kernel)
    output = [0] * size
    for i, v in enumerate(values):
        for k, w in enumerate(kernel):
            output[2 * i + k] += v * w
    card = Card(680, 262, "A transposed convolution of stride 2 stamps its kernel for every input")
    cell, left = 46, 200
    card.text(20, 28, "Every input stamps the kernel (1, 2, 2, 1), times its value, two places on; stamps add up.", bold=True)
    colours = (BLUE, ORANGE, GREEN)
    for i, v in enumerate(values):
        y = 48 + i * 40
        card.text(20, y + 22, f"input {i}: {v}", fill=colours[i])
        for k, w in enumerate(kernel):
            card.rect(left + (2 * i + k) * cell, y, cell, 30, PALE[colours[i]], colours[i])
            card.text(left + (2 * i + k + .5) * cell, y + 20, v * w, anchor="middle")
    card.text(20, 200, "the sum: 8 from 3", bold=True)
    card.grid(left, 178, size, 1, cell, lambda x, y: None, lambda x, y: output[x], 13)
    card.text(20, 250, "FCN's kernels begin as bilinear weights, so that they first enlarge, and then learn to do better.", 12, GREY)
    return card


def grown(small: list[list[float]], size: int) -> list[list[float]]:
    """Bilinear, align_corners = false, as upsampling() above."""
    side = len(small)
    taps = [source(o, side, size) for o in range(size)]
    rows = [[row[a] * (1 - f) + row[b] * f for a, b, f in taps] for row in small]
    return [[rows[a][x] * (1 - f) + rows[b][x] * f for x in range(size)] for a, b, f in taps]


def shade(v: float, most: float) -> str:
    """White for 0, blue above, orange below, in ten steps."""
    step = max(-10, min(10, round(10 * v / most))) / 10
    low, high = (255, 255, 255), (9, 105, 218) if step > 0 else (188, 76, 0)
    return "#" + "".join(f"{round(a + (b - a) * abs(step)):02x}" for a, b in zip(low, high))


def skips() -> Card:
    """A scene of 48x48: a car-like block and a post. A map's logit is the mean of the scene's +-1 in its cell, and an
    error, the larger the less of the scene a value sees; FCN-8s adds the enlarged maps."""
    size = 48
    truth = [[1.0 if (8 <= x < 30 and 24 <= y < 38) or (14 <= x < 25 and 16 <= y < 24) or (37 <= x < 39 and 6 <= y < 40)
              else -1.0 for x in range(size)] for y in range(size)]
    state = [1]

    def uniform():
        state[0] = (1103515245 * state[0] + 12345) % 2 ** 31
        return 2 * state[0] / 2 ** 31 - 1

    def logits(cell: int, error: float):
        side = size // cell
        return [[sum(truth[y * cell + v][x * cell + u] for v in range(cell) for u in range(cell)) / cell ** 2
                 + error * uniform() for x in range(side)] for y in range(side)]

    maps = [logits(8, 0.1), logits(4, 0.7), logits(2, 1.5)]
    total, sums = [[0.0] * size for _ in range(size)], []
    for small in maps:
        large = grown(small, size)
        total = [[a + b for a, b in zip(*rows)] for rows in zip(total, large)]
        sums.append(total)

    def score(values):
        pairs = [(values[y][x] > 0, truth[y][x] > 0) for y in range(size) for x in range(size)]
        return 100 * sum(a and b for a, b in pairs) / sum(a or b for a, b in pairs)

    card = Card(760, 470, "FCN's skip connections: logits at stride 32, 16 and 8 are enlarged and added")
    extent, step = 168, 188
    card.text(20, 28, "The logits of a class, and the labels that come of them", 13, bold=True)
    names = ("stride 32: sees much, coarse", "stride 16: in between", "stride 8: fine, errs often")
    results = ("32 alone", "32 + 16", "32 + 16 + 8")
    for i, (small, values) in enumerate(zip(maps, sums)):
        left, side = 20 + i * step, len(small)
        card.text(left, 52, names[i], 12)
        card.cells(left, 60, side, side, extent / side, lambda x, y: shade(small[y][x], 2))
        card.rect(left, 60, extent, extent, stroke=GREY)
        card.line(left + extent / 2, 236, left + extent / 2, 256, GREY, 1.5)
        if i:
            card.text(left - 10, 258, "+", 16, GREY, "middle", True)
        card.text(left, 276, f"{results[i]}: IoU {score(values):.0f}%", 12, bold=True)
        card.cells(left, 284, size, size, extent / size, lambda x, y: BLUE if values[y][x] > 0 else PALE[BLUE])
        card.rect(left, 284, extent, extent, stroke=GREY)
    left = 20 + 3 * step
    card.text(left, 276, "the truth", 12, bold=True)
    card.cells(left, 284, size, size, extent / size, lambda x, y: GREEN if truth[y][x] > 0 else PALE[GREEN])
    card.rect(left, 284, extent, extent, stroke=GREY)
    alone = score(grown(maps[2], size))
    for i, line in enumerate(("Blue: for the class,", "orange: against it.", "", "Stride 8 alone,", f"enlarged: IoU {alone:.0f}%.", "", "Errors are made up, up", "to 0.1, 0.7 and 1.5.")):
        card.text(left, 76 + 18 * i, line, 12, GREY)
    return card


def unet() -> Card:
    """smp_unet_r34 (layers/networks/smp_unet.cc) and a picture of 512x512: sides and channels of its maps."""
    encoder = [(256, 64), (128, 64), (64, 128), (32, 256), (16, 512)]
    decoder = [(32, 256), (64, 128), (128, 64), (256, 32), (512, 16)]
    megabytes = lambda side, channels: side * side * channels * 4 / 1e6
    card = Card(760, 436, "U-Net: every doubled map is joined with the encoder's map of that size")
    card.text(20, 28, "U-Net on ResNet-34 for a picture of 512 x 512: height is a map's side, width its channels", 13, bold=True)
    height = lambda side: 14 * (side.bit_length() - 4)
    width = lambda channels: 6 + channels / 12
    levels = {256: 0, 128: 1, 64: 2, 32: 3, 16: 4, 512: -1}
    bottom = lambda side: 172 + 50 * levels[side]
    left, right = {}, {}
    x = 30.0
    for side, channels in encoder:
        left[side] = x
        card.rect(x, bottom(side) - height(side), width(channels), height(side), PALE[BLUE], BLUE, 1.5)
        card.text(x, bottom(side) + 14, f"{side}: {channels}", 11, BLUE)
        x += width(channels) + 42
    x = left[16] + width(512) + 34
    previous = 512
    for i, (side, channels) in enumerate(decoder):
        skip = dict(encoder).get(side)
        right[side] = x
        if skip:
            y = bottom(side) - height(side) / 2
            card.line(left[side] + width(skip), y, x, y, BLUE, 1.2, "5 4")
            card.rect(x, bottom(side) - height(side), 5, height(side), BLUE, BLUE)
        card.rect(x + 5, bottom(side) - height(side), width(channels), height(side), PALE[ORANGE], ORANGE, 1.5)
        words = f"{previous} + {skip} to {channels}" if skip else f"{previous} to {channels}"
        card.text(x, bottom(side) + 14, f"{side}: {words}", 11, ORANGE)
        previous = channels
        x += width(channels) + 64
    whole = sum(megabytes(*m) for m in decoder)
    card.text(20, 408, f"The decoder's outputs take {', '.join(f'{megabytes(*m):.1f}' for m in decoder)} MB in fp32: "
                       f"{100 * (megabytes(*decoder[-1]) + megabytes(*decoder[-2])) / whole:.0f}% of it the last two.", 13)
    card.text(20, 426, "Blue: the encoder's maps, and where they are laid beside the doubled one. Orange: behind two 3x3 convolutions.", 12, GREY)
    return card


def crf() -> Card:
    """Mean field on a row of pixels, all pairs: dense_crf.h's formula without its lattice."""
    from math import exp, log, sqrt

    count, edge = 30, 17
    greys = [(60 if i < edge else 190) + (7 * i * i + 3 * i) % 13 - 6 for i in range(count)]
    # A coarse network's answer: the edge three pixels too far to the left, and round.
    start = [1 / (1 + exp((i - (edge - 3.5)) / 2.5)) for i in range(count)]
    kernels = []
    for weight, near, colour in ((3, 1, None), (4, 8, 12)):
        k = [[exp(-(i - j) ** 2 / (2 * near ** 2) - ((greys[i] - greys[j]) ** 2 / (2 * colour ** 2) if colour else 0))
              for j in range(count)] for i in range(count)]
        norms = [1 / sqrt(sum(row)) for row in k]
        kernels.append((weight, [[norms[i] * k[i][j] * norms[j] for j in range(count)] for i in range(count)]))
    unary = [(-log(max(p, 1e-5)), -log(max(1 - p, 1e-5))) for p in start]
    softmax = lambda a, b: exp(a) / (exp(a) + exp(b))
    q, shown = [softmax(-u, -v) for u, v in unary], {}
    for iteration in range(1, 6):
        heard = [[sum(w * sum(k[i][j] * (q[j] if c == 0 else 1 - q[j]) for j in range(count)) for w, k in kernels)
                  for c in range(2)] for i in range(count)]
        q = [softmax(-u + a, -v + b) for (u, v), (a, b) in zip(unary, heard)]
        shown[iteration] = q
    label_edge = lambda values: next(i for i, p in enumerate(values) if p < .5)
    card = Card(760, 348, "A dense CRF moves the border of two labels to the border of two colours")
    card.text(20, 28, "A row of pixels. Each hears all others, the more the nearer and the more alike in colour they are.", 13, bold=True)
    left, cell, top = 150, 19, 46
    card.text(20, top + 16, "the photo")
    card.grid(left, top, count, 1, cell, lambda x, y: f"#{greys[x]:02x}{greys[x]:02x}{greys[x]:02x}")
    for n, (name, values) in enumerate((("the network", start), ("after 1 round", shown[1]), ("after 5 rounds", shown[5]))):
        base = top + 100 + n * 84
        card.text(20, base - 30, name)
        at = label_edge(values)
        card.text(20, base - 14, f"border at pixel {at}", 12, GREY)
        for i, p in enumerate(values):
            card.rect(left + i * cell, base - 58 * p, cell, 58 * p, PALE[BLUE], BLUE, .8)
        card.line(left, base, left + count * cell, base, GREY)
        card.line(left, base - 29, left + count * cell, base - 29, LINE, 1, "3 3")
        card.line(left + at * cell, base - 62, left + at * cell, base + 4, RED, 2)
    card.line(left + edge * cell, top, left + edge * cell, top + 268, GREEN, 1.5, "5 4")
    card.text(20, 338, f"Blue: the probability of the left class. Red: where it falls below one half. Green: where the colour changes, at pixel {edge}.", 12, GREY)
    return card


def pyramid() -> Card:
    """PSPNet on a 473x473 photo: maps of 60x60, averaged in bins by adaptive_avg_pool2d.h's edges."""
    side = 60
    card = Card(680, 250, "Pyramid pooling: a map of 60x60 in 1, 4, 9 and 36 bins")
    for i, bins in enumerate((1, 2, 3, 6)):
        left, top, extent = 20 + i * 166, 44, 144
        card.text(left, 30, f"{bins} x {bins}", bold=True)
        edges = [(b * side // bins, -(-(b + 1) * side // bins)) for b in range(bins)]
        for r, (y0, y1) in enumerate(edges):
            for c, (x0, x1) in enumerate(edges):
                card.rect(left + x0 * extent / side, top + y0 * extent / side, (x1 - x0) * extent / side,
                          (y1 - y0) * extent / side, PALE[BLUE] if (r + c) % 2 == 0 else PAPER, BLUE)
        width = edges[0][1] - edges[0][0]
        card.text(left, 208, f"means of {width} x {width} pixels", 12, GREY)
    card.text(20, 236, "Each grid of means is enlarged to 60 x 60 again and laid beside the map.", 12, GREY)
    return card


def roi_align() -> Card:
    """A proposal on a map, 2x2 bins with 2x2 samples each, at coordinates that are not rounded."""
    x0, y0, x1, y1, bins, samples, cell = 1.3, 0.9, 6.1, 4.7, 2, 2, 44
    card = Card(680, 322, "RoIAlign samples a box between the pixels")
    card.text(24, 28, "RoIAlign: a box of 4.8 x 3.8 map pixels, 2 x 2 bins, four samples in each", bold=True)
    left, top = 24, 60
    card.grid(left, top, 7, 5, cell)
    for row in range(6):
        for column in range(8):
            card.dot(left + column * cell, top + row * cell, 2.5, GREY)
    step_x, step_y = (x1 - x0) / bins, (y1 - y0) / bins
    for b in range(bins):
        for a in range(bins):
            card.rect(left + (x0 + a * step_x) * cell, top + (y0 + b * step_y) * cell, step_x * cell, step_y * cell,
                      PALE[ORANGE], ORANGE, 2, .6)
            for j in range(samples):
                for i in range(samples):
                    x, y = x0 + (a + (i + .5) / samples) * step_x, y0 + (b + (j + .5) / samples) * step_y
                    card.dot(left + x * cell, top + y * cell, 4, BLUE)
    x, y = x0 + .25 * step_x, y0 + .25 * step_y
    card.text(400, 80, "The first sample lies at", 13)
    card.text(400, 100, f"({x:.2f}, {y:.2f}): between four pixels,", 13)
    card.text(400, 120, "mixed as in step 10.", 13)
    card.text(400, 152, "A bin's value is the mean of its", 13)
    card.text(400, 172, "samples. Nothing is rounded, so", 13)
    card.text(400, 192, "masks do not shift by half a pixel", 13)
    card.text(400, 212, "(16 photo pixels at stride 32).", 13)
    card.text(24, 308, "Grey: the map's pixels. Blue: where it is read. Orange: the bins.", 12, GREY)
    return card


DRAWINGS = {
    "convolution": convolution, "dilation": dilation, "stride_to_dilation": stride_to_dilation, "output_strides": output_strides,
    "output_stride": output_stride, "receptive_field": receptive_field, "aspp": aspp, "upsampling": upsampling,
    "argmax": argmax, "transposed": transposed, "skips": skips, "unet": unet, "pyramid": pyramid, "crf": crf,
    "roi_align": roi_align,
}


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 2
    different = 0
    for name, draw in DRAWINGS.items():
        file, text = HERE / f"{name}.svg", draw().svg()
        if not sys.argv[1:]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            different += 1
            print(f"{file.name} is not what draw.py draws: run layers/drawings/draw.py")
    strangers = {f.stem for f in HERE.glob("*.svg")} - set(DRAWINGS)
    for name in sorted(strangers):
        print(f"{name}.svg is drawn by nothing in draw.py")
    return 1 if different or strangers else 0


if __name__ == "__main__":
    sys.exit(main())
