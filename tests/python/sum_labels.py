"""Prints what Pillow reads of label maps: a line for each PNG of a folder, sorted by name.

usage: sum_labels.py FOLDER [VOID]

A line holds the name without extension, width, height and the sum over all pixels i, counted by rows, of
(label + 1) * (i mod 65521). The label VOID counts as 255.
"""
import pathlib
import sys

import numpy as np
from PIL import Image

void = int(sys.argv[2]) if len(sys.argv) > 2 else 255
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.png")):
    labels = np.asarray(Image.open(path)).astype(np.int64)
    labels[labels == void] = 255
    weights = np.arange(labels.size) % 65521
    print(path.stem, labels.shape[1], labels.shape[0], ((labels.reshape(-1) + 1) * weights).sum())
