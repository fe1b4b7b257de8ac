#!/usr/bin/python3
"""Writes tests/goldens/metrics.txt: what scikit-learn computes from label maps and scores.

Usage: /usr/bin/python3 tests/python/make_metric_goldens.py

Needs Debian's python3-sklearn (results were made with 1.2), which nothing else here needs: the tests read the file.
Seeded; writes the same each time, in the form that tests/support/golden.h reads. "none" stands for a ratio whose denominator is
zero, where scikit-learn would warn and give 0. Curves are thinned as runtime/metrics/metrics.h says, to the points where
something changes.
"""

import pathlib

import numpy as np
import sklearn
from sklearn import metrics

PATH = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "metrics.txt"
BINS = 1024

CASES = [
    # name, classes, height, width, the classes drawn in the truth, label to ignore, share of it
    ("two_classes", 2, 9, 7, [0, 1], 255, 0.1),
    ("twenty_one_classes_some_nowhere", 21, 11, 13, [0, 2, 3, 5, 8, 13, 15, 20], 255, 0.15),
    ("one_class", 1, 3, 5, [0], 255, 0.3),
    ("most_is_void", 5, 10, 9, [1, 2, 4], 255, 0.8),
    ("one_class_is_all_the_truth", 4, 6, 5, [2], 255, 0),
    ("background_ignored", 4, 8, 11, [1, 2, 3], 0, 0.4),
    ("nothing_ignored", 3, 1, 40, [0, 1, 2], -1, 0),
    ("void_is_11", 11, 17, 1, [0, 3, 4, 10], 11, 0.2),
]


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def draw_logits(rng, truth, classes):
    """Eighths, usually largest at the truth, and no score so near a bin's edge that rounding could carry it across."""
    logits = np.empty(truth.shape + (classes,))
    for at in np.ndindex(truth.shape):
        while True:
            logits[at] = rng.integers(-24, 25, classes) / 8
            if truth[at] < classes and rng.random() < 0.7:
                logits[at][truth[at]] += 2
            scaled = softmax(logits[at]) * BINS
            if np.all((np.abs(scaled - scaled.round()) > 1e-4) | (scaled.round() == 0) | (scaled.round() == BINS)):
                break
    return logits


def curve_of(truth, score):
    """(threshold, precision, recall) from the highest threshold down, where recall or precision changes."""
    precision, recall, threshold = metrics.precision_recall_curve(truth, score)
    points = []
    for point in list(zip(threshold, precision, recall))[::-1]:
        if not points or point[1:] != points[-1][1:]:
            points.append(point)
    return np.array(points)


class File:
    def __init__(self):
        self.lines = [f"# Written by tests/python/make_metric_goldens.py, scikit-learn {sklearn.__version__}."]

    def set(self, key, value):
        self.lines.append(f"set {key} {value if isinstance(value, (int, str)) else format(value, '.17g')}")

    def tensor(self, key, values):
        text = " ".join(f"{v:.9g}" for v in values.flatten().tolist())
        self.lines.append(f"tensor {key} {' '.join(map(str, values.shape))} : {text}")


def per_class(file, t, p, binned, classes):
    """Returns the means over the classes that have each ratio."""
    scores = {"jaccard": metrics.jaccard_score, "f1": metrics.f1_score, "precision": metrics.precision_score,
              "recall": metrics.recall_score}
    names = {"jaccard": "iou", "f1": "dice", "precision": "precision", "recall": "recall"}
    in_truth, in_prediction = set(t.tolist()), set(p.tolist())
    exists = {"jaccard": in_truth | in_prediction, "f1": in_truth | in_prediction, "precision": in_prediction,
              "recall": in_truth}
    for key, score in scores.items():
        for c in range(classes):
            value = float(score(t, p, labels=[c], average="macro")) if c in exists[key] else "none"
            file.set(f"{names[key]}.{c}", value)
        file.set("mean_" + names[key], float(score(t, p, labels=sorted(exists[key]), average="macro")))
    precisions = []
    for c in range(classes):
        if c in in_truth:
            precisions.append(float(metrics.average_precision_score(t == c, binned[:, c])))
        file.set(f"average_precision.{c}", precisions[-1] if c in in_truth else "none")
    file.set("mean_average_precision", float(np.mean(precisions)))


def main():
    file = File()
    for name, classes, height, width, drawn, ignore, share in CASES:
        rng = np.random.default_rng(list(name.encode()))
        truth = np.where(rng.random((height, width)) < share, ignore, rng.choice(drawn, (height, width)))
        logits = draw_logits(rng, truth, classes)
        prediction = logits.argmax(-1)
        counted = truth != ignore
        t, p, probability = truth[counted], prediction[counted], softmax(logits[counted])
        binned = np.minimum(np.floor(probability * BINS), BINS - 1) / BINS

        file.lines.append("case " + name)
        file.set("classes", classes)
        file.set("ignore", ignore)
        file.tensor("truth", truth)
        file.tensor("prediction", prediction)
        file.tensor("logits", logits)
        file.tensor("confusion", metrics.confusion_matrix(t, p, labels=range(classes)))
        per_class(file, t, p, binned, classes)
        everything = list(range(classes))
        file.set("pixel_accuracy", float(metrics.accuracy_score(t, p)))
        present = sorted(set(t.tolist()))
        file.set("frequency_weighted_iou", float(metrics.jaccard_score(t, p, labels=present, average="weighted")))
        file.set("micro_iou", float(metrics.jaccard_score(t, p, labels=everything, average="micro")))
        file.set("micro_dice", float(metrics.f1_score(t, p, labels=everything, average="micro")))
        # log_loss refuses a single class, whose score is 1 everywhere.
        file.set("cross_entropy", float(metrics.log_loss(t, probability, labels=everything)) if classes > 1 else 0.0)
        file.tensor(f"curve.{present[0]}", curve_of(t == present[0], binned[:, present[0]]))
    PATH.write_text("\n".join(file.lines) + "\n")
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
