#!/usr/bin/python3
"""Writes tests/goldens/coco_detection.txt: small sets of truths and detections, and COCO's measures of them.

Usage: /usr/bin/python3 tests/python/make_coco_goldens.py

The measures are computed from the protocol's definition (https://cocodataset.org/#detection-eval), with masks as arrays of
pixels and one loop a sentence. Seeded; writes the same each time, in the form that tests/support/golden.h reads: JSON without
spaces. Each case has two lists of results: boxes, and masks as run lengths without boxes.
"""

import json
import pathlib

import numpy as np

PATH = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "coco_detection.txt"
THRESHOLDS = np.linspace(0.5, 0.95, 10)
POINTS = np.linspace(0, 1, 101)
AREAS = [(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)]

CASES = [
    # name, images, sides, categories, those with truths, truths and detections of each in an image, share of crowds, scores
    ("plain", 4, 60, [1, 2, 7], [1, 2, 7], 3, 5, 0, 1000),
    ("crowds", 5, 70, [1, 3], [1, 3], 4, 6, 0.4, 1000),
    ("crowds_alone", 2, 40, [1], [1], 3, 4, 1, 1000),
    ("equal_scores", 6, 60, [1, 2], [1, 2], 4, 8, 0.1, 3),
    ("more_than_100_detections", 2, 50, [5], [5], 6, 140, 0.2, 50),
    ("categories_without_truths", 3, 50, [1, 2, 90], [2], 3, 5, 0.1, 1000),
    ("no_truths", 2, 30, [1, 2], [], 0, 3, 0, 1000),
    ("no_detections", 3, 40, [1], [1], 3, 0, 0.1, 1000),
    ("all_areas", 6, 220, [1, 2], [1, 2], 4, 6, 0.1, 1000),
]


def runs_of(mask):
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]]).astype(int)))
    ends = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(ends).tolist()
    return runs[:-1] if runs[-1] == 0 else runs


def compressed(runs):
    text = ""
    for i, run in enumerate(runs):
        value = run - (runs[i - 2] if i > 2 else 0)
        while True:
            bits, value = value & 31, value >> 5
            last = value == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if last else 32))
            if last:
                break
    return text


def box_mask(box, side):
    mask = np.zeros((side, side), bool)
    x, y, w, h = (int(v) for v in box)
    mask[y : y + h, x : x + w] = True
    return mask


def draw_box(rng, side):
    w, h = rng.integers(3, side * 3 // 4, 2)
    return [int(rng.integers(0, side - w)), int(rng.integers(0, side - h)), int(w), int(h)]


def near(rng, box, side):
    moved = np.array(box) + rng.integers(-2, 3, 4) * rng.integers(0, 3)
    x, y = np.clip(moved[:2], 0, side - 3)
    w, h = np.clip(moved[2:], 2, [side - x, side - y])
    return [int(x), int(y), int(w), int(h)]


def shape_mask(rng, box, side):
    """A box with a corner cut off or a hole."""
    mask = box_mask(box, side)
    x, y, w, h = box
    if rng.random() < 0.5:
        mask[y : y + h // 3, x : x + w // 3] = False
    if rng.random() < 0.5:
        mask[y + h // 2, x : x + w // 2] = False
    return mask


def draw(rng, images, side, categories, with_truths, truths, detections, crowds, scores):
    truth, boxes, masks = [], [], []
    for image in range(1, images + 1):
        if image == 2 and images > 2:
            continue  # an image with nothing in it
        for category in categories:
            known = []
            for _ in range(truths if category in with_truths else 0):
                box = draw_box(rng, side)
                kind = rng.integers(0, 3)
                mask = box_mask(box, side) if kind == 0 else shape_mask(rng, box, side)
                x, y, w, h = box
                segmentation = {
                    0: [[x, y, x, y + h, x + w, y + h, x + w, y]],
                    1: {"size": [side, side], "counts": runs_of(mask)},
                    2: {"size": [side, side], "counts": compressed(runs_of(mask))},
                }[int(kind)]
                known.append(box)
                truth.append(dict(id=len(truth) + 1, image_id=image, category_id=category, bbox=box, area=int(mask.sum()),
                                  iscrowd=int(rng.random() < crowds), segmentation=segmentation, mask=mask))
            if image == 3 and images > 3:
                continue  # truths, no detections
            for _ in range(detections):
                found = known and rng.random() < 0.7
                box = near(rng, known[rng.integers(len(known))], side) if found else draw_box(rng, side)
                score = float(rng.integers(1, scores + 1)) / scores
                mask = shape_mask(rng, box, side)
                boxes.append(dict(image_id=image, category_id=category, score=score, bbox=box, area=box[2] * box[3]))
                masks.append(dict(image_id=image, category_id=category, score=score, mask=mask, area=int(mask.sum()),
                                  segmentation={"size": [side, side], "counts": compressed(runs_of(mask))}))
    order = rng.permutation(len(boxes))
    return truth, [boxes[i] for i in order], [masks[i] for i in order]


def iou(detection, truth):
    if "mask" in detection:
        common = int((detection["mask"] & truth["mask"]).sum())
        truth_area = int(truth["mask"].sum())
    else:
        (x, y, w, h), (u, v, s, t) = detection["bbox"], truth["bbox"]
        common = max(0, min(x + w, u + s) - max(x, u)) * max(0, min(y + h, v + t) - max(y, v))
        truth_area = s * t
    if common == 0:
        return 0.0
    return common / (detection["area"] if truth["iscrowd"] else detection["area"] + truth_area - common)


def matches(truths, detections, area, threshold):
    """For each detection: its score, whether it is right and whether it counts; and how many truths count."""
    counts = [not t["iscrowd"] and area[0] <= t["area"] <= area[1] for t in truths]
    taken = [False] * len(truths)
    rows = []
    for d in detections:
        found = None
        for wanted in (True, False):  # truths that do not count are only looked at where none of the others fits
            best = threshold
            for i, t in enumerate(truths):
                if counts[i] == wanted and (t["iscrowd"] or not taken[i]) and iou(d, t) >= best:
                    best, found = iou(d, t), i
            if found is not None:
                break
        if found is None:
            rows.append((d["score"], False, area[0] <= d["area"] <= area[1]))
        else:
            taken[found] = True
            rows.append((d["score"], True, counts[found]))
    return rows, sum(counts)


def curve(truth, results, images, category, area, threshold, most):
    rows, positives = [], 0
    for image in range(1, images + 1):
        here = lambda all: [o for o in all if (o["image_id"], o["category_id"]) == (image, category)]
        detections = sorted(here(results), key=lambda d: -d["score"])[:most]  # stable
        found, count = matches(here(truth), detections, area, threshold)
        rows += found
        positives += count
    if positives == 0:
        return None
    rows.sort(key=lambda row: -row[0])  # stable
    right = np.cumsum([r and c for _, r, c in rows])
    wrong = np.cumsum([not r and c for _, r, c in rows])
    recall = right / positives
    precision = right / np.maximum(right + wrong, 1e-300)
    at = [precision[recall >= p].max(initial=0) for p in POINTS]
    return np.array(at), recall[-1] if rows else 0.0


def measure(truth, results, images, categories):
    def all_curves(area, most, which=categories):
        found = [curve(truth, results, images, c, AREAS[area], t, most) for c in which for t in THRESHOLDS]
        return [c for c in found if c]

    mean = lambda values: float(np.mean(values)) if len(values) else -1.0
    ap = lambda area, which=categories: mean([c[0] for c in all_curves(area, 100, which)])
    ar = lambda area, most: mean([c[1] for c in all_curves(area, most)])
    at = lambda t: mean([c[0] for c in (curve(truth, results, images, k, AREAS[0], THRESHOLDS[t], 100) for k in categories) if c])
    stats = [ap(0), at(0), at(5), ap(1), ap(2), ap(3), ar(0, 1), ar(0, 10), ar(0, 100), ar(1, 100), ar(2, 100), ar(3, 100)]
    return stats, [ap(0, [c]) for c in categories]


def main():
    lines = ["# Written by tests/python/make_coco_goldens.py."]
    text = lambda value: json.dumps(value, separators=(",", ":"))
    plain = lambda objects, *left_out: [{k: v for k, v in o.items() if k not in left_out} for o in objects]
    for number, (name, images, side, categories, *rest) in enumerate(CASES):
        truth, boxes, masks = draw(np.random.default_rng(number), images, side, categories, *rest)
        instances = {
            "images": [dict(id=i, width=side, height=side, file_name=f"{i}.png") for i in range(images, 0, -1)],
            "annotations": plain(truth, "mask"),
            "categories": [dict(id=c, name=f"c{c}") for c in categories],
        }
        lines += [f"case {name}", f"set truth {text(instances)}"]
        for kind, results in (("bbox", boxes), ("segm", masks)):
            stats, of_category = measure(truth, results, images, categories)
            lines.append(f"set {kind} {text(plain(results, 'mask', 'area'))}")
            lines.append(f"set {kind}_stats {','.join(repr(v) for v in stats)}")
            lines.append(f"set {kind}_categories {','.join(repr(v) for v in of_category)}")
    PATH.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
