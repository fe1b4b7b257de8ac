"""Draws a dataset of pairs: dataset.py FOLDER COUNT [SIDE]. Photos of three sizes around SIDE pixels, labels of five
classes and void, one broken photo; FOLDER/photos, FOLDER/labels, FOLDER/names.txt."""
import pathlib
import sys

import numpy
from PIL import Image

folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
side = int(sys.argv[3]) if len(sys.argv) > 3 else 64
for name in ("photos", "labels"):
    (folder / name).mkdir(parents=True)
(folder / "names.txt").write_text("".join(f"class {c}\n" for c in range(21)))
draws = numpy.random.default_rng(1)
for i in range(count):
    height, width = [(side, side + 16), (side + 24, side), (side - 8, side - 8)][i % 3]
    coarse = draws.integers(0, 6, (height // 8 + 1, width // 8 + 1), dtype=numpy.uint8)
    labels = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    labels[labels == 5] = 255
    colours = draws.integers(0, 256, (256, 3), dtype=numpy.uint8)
    photo = colours[labels] ^ draws.integers(0, 32, (height, width, 3), dtype=numpy.uint8)
    Image.fromarray(photo).save(folder / f"photos/{i:06}.png")
    Image.fromarray(labels).save(folder / f"labels/{i:06}.png")
(folder / "photos/000003.png").write_bytes(b"no picture")
