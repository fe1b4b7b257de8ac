"""Makes a small COCO tree of hostile polygons and masks, and beside it the truth, drawn another way.

usage: draw_coco_masks.py FOLDER

Here outlines are walked point by point over a grid of fifths of a pixel, as COCO's tools are documented to
do; the library computes the crossings of columns directly. FOLDER/truth/NAME.raw holds the rows of labels.
"""
import json
import math
import os
import random
import sys

import numpy as np

CATEGORIES = [5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72]  # VOC's classes 1..20


def walk(ax, ay, bx, by):
    """The fine pixels of a line from a to b, both ends included."""
    wide = abs(bx - ax) >= abs(by - ay)
    (p0, q0), (p1, q1) = ((ax, ay), (bx, by)) if wide else ((ay, ax), (by, bx))
    backwards = p0 > p1
    if backwards:
        (p0, q0), (p1, q1) = (p1, q1), (p0, q0)
    steps = p1 - p0
    slope = (q1 - q0) / steps if steps else 0.0
    points = [(p0 + t, int(q0 + slope * t + 0.5)) for t in range(steps + 1)]
    if backwards:
        points.reverse()
    return points if wide else [(p, q) for q, p in points]


def polygon_mask(corners, width, height):
    fine = [int(5 * c + 0.5) for c in corners]
    xs, ys = fine[0::2], fine[1::2]
    points = []
    for i in range(len(xs)):
        j = (i + 1) % len(xs)
        points += walk(xs[i], ys[i], xs[j], ys[j])
    changes = np.zeros(width * height + 1, np.int64)
    for (u0, v0), (u1, v1) in zip(points, points[1:]):
        if u0 == u1:
            continue
        column = (min(u0, u1) + 0.5) / 5 - 0.5
        if column != math.floor(column) or not 0 <= column <= width - 1:
            continue
        row = math.ceil(min(max((min(v0, v1) + 0.5) / 5 - 0.5, 0), height))
        changes[int(column) * height + row] += 1
    inside = np.cumsum(changes)[:-1] % 2
    return inside.reshape(width, height).T


def runs_of(mask):
    flat = mask.T.reshape(-1)
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    return runs if flat[0] == 0 else [0] + runs


def compressed(runs):
    text = ""
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            low, value = value & 31, value >> 5
            last = value == (-1 if low & 16 else 0)
            text += chr(48 + low + (0 if last else 32))
            if last:
                break
    return text


def polygon(rng, width, height):
    kind = rng.randrange(8)
    count = rng.randint(3, 12)
    if kind == 0:  # whole pixels
        return [rng.randint(0, (width, height)[i % 2]) for i in range(2 * count)]
    if kind == 1:  # a rectangle
        x, y = rng.uniform(-2, width), rng.uniform(-2, height)
        w, h = rng.uniform(0, width), rng.uniform(0, height)
        return [x, y, x, y + h, x + w, y + h, x + w, y]
    if kind == 2:  # thinner than a pixel
        x, y, w = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 0.4)
        return [x, y, x + w, y, x + w + 3, y + height, x + 3, y + height]
    if kind == 3:  # far outside
        return [rng.uniform(-5 * width, 6 * width) for _ in range(2 * count)]
    if kind == 4:  # tenths and repeated corners, where rounding halves decides
        corners = [rng.randint(-20, 10 * width) / 10 for _ in range(2 * count)]
        return corners + corners[-2:] + corners[:2]
    if kind == 5:  # within one pixel
        x, y = rng.randrange(width), rng.randrange(height)
        return [(x, y)[i % 2] + rng.random() for i in range(2 * count)]
    if kind == 6:  # hundredths, as COCO's own
        return [round(rng.uniform(-1, (width, height)[i % 2] + 1), 2) for i in range(2 * count)]
    return [rng.uniform(0, (width, height)[i % 2]) for i in range(2 * count)]


def annotation(rng, width, height):
    """A segmentation as the file holds it, and its mask."""
    polygons = [polygon(rng, width, height) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    mask = np.zeros((height, width), np.int64)
    for p in polygons:
        mask |= polygon_mask(p, width, height)
    kind = rng.randrange(4)
    if kind == 0:
        return {"counts": runs_of(mask), "size": [height, width]}, mask, 1
    if kind == 1:
        return {"size": [height, width], "counts": compressed(runs_of(mask))}, mask, 0
    return polygons, mask, 0


def main(folder):
    rng = random.Random(20170905)
    for name in ("annotations", "val2017", "truth"):
        os.makedirs(os.path.join(folder, name))
    images, annotations = [], []
    for i in range(120):
        width, height = rng.choice([(1, 1), (1, 9), (9, 1), (23, 17), (64, 48), (97, 80)])
        name = "%012d" % (rng.randrange(10**6) * 1000 + i)
        images.append({"id": 1000 - i, "file_name": name + ".jpg", "width": width, "height": height})
        truth, count = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int64)
        for _ in range(rng.choice([0, 1, 2, 5])):
            segmentation, mask, crowd = annotation(rng, width, height)
            category = rng.choice(CATEGORIES + [8, 10, 90])  # truck, traffic light, toothbrush: no VOC classes
            annotations.append({"segmentation": segmentation, "area": 1.5, "iscrowd": crowd,
                                "image_id": 1000 - i, "bbox": [0, 0, 1, 1], "category_id": category,
                                "id": 100000 + len(annotations)})
            if category in CATEGORIES:
                cls = CATEGORIES.index(category) + 1
                truth = np.maximum(truth, (mask * cls).astype(np.uint8))
                count += mask
        truth[count > 1] = 255
        open(os.path.join(folder, "val2017", name + ".jpg"), "wb").close()
        truth.tofile(os.path.join(folder, "truth", name + ".raw"))
    rng.shuffle(annotations)
    with open(os.path.join(folder, "annotations", "instances_val2017.json"), "w") as file:
        json.dump({"info": {"year": 2017}, "images": images, "annotations": annotations,
                   "categories": [{"supercategory": "person", "id": 1, "name": "person"}]}, file)


main(sys.argv[1])
