"""What a model says of a photo: labels, confidences, instances, and pictures of them."""
from __future__ import annotations

import base64
import ctypes
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._arguments import Path, choice, count, positive, share
from .images import Bytes, encode_png, image_of, picture_of, write_png

if TYPE_CHECKING:
    from .model import Model

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassShare:
    """A class that occurs in a picture."""
    label: int
    name: str
    share: float  # of the pixels, 0 to 1
    confidence: Optional[float]  # the mean over them, where the result has confidences


@dataclass(frozen=True, eq=False)
class Instance:
    """One of the things in a photo."""
    label: int
    name: str
    score: float
    box: Tuple[float, float, float, float]  # x1, y1, x2, y2 in the photo's pixels
    _result: Result
    _index: int

    def __repr__(self) -> str:
        return f"<atrous.Instance {self.name} {self.score:.3f}, box {', '.join(f'{side:.1f}' for side in self.box)}>"

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Where it is, height x width, made anew each time."""
        return self.mask_at(0.5)

    def mask_at(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Where its probability is at least so much, above 0."""
        threshold = positive("threshold", threshold)
        mask = np.empty(self._result.labels.shape, np.bool_)
        c.functions.result_get_mask(self._result._handle.pointer, self._index, threshold, mask.ctypes.data, mask.size)
        return mask


class Result:
    """What Model gives for a photo. Its arrays lie in the library's memory: they are read-only, and may outlive the
    result.

    labels          height x width, the class of each pixel; of instances that of the one with the highest score
    input_size      (width, height) that the network saw
    seconds         "prepare", "network" and "label", what the library took for each
    photo           the photo, or of a batch what `photos` gave, else None. It is the array that was given, where that needed no copy, and drawn
                    from again: an array that changes in the meantime makes other overlays
    """

    def __init__(self, model: Model, pointer: ctypes.c_void_p, photo: Optional[Bytes]) -> None:
        self._handle = c.Handle(pointer, c.functions.result_free)
        self.model, self.photo = model, photo
        info = c.ResultInfo()
        c.functions.result_get_info(pointer, info)
        self._info = info
        self._classes: Optional[List[ClassShare]] = None
        self.labels: Bytes = c.array_of(self._handle, info.labels, (info.height, info.width), c.UINT8)
        self.input_size: Tuple[int, int] = (info.input_width, info.input_height)
        self.seconds: Dict[str, float] = {"prepare": info.prepare_seconds, "network": info.network_seconds,
                                          "label": info.label_seconds}

    def __repr__(self) -> str:
        found = [f"{found.name} {found.share:.1%}" for found in self.classes[:3]]
        return (f"<atrous.Result {self._info.width}x{self._info.height}: {', '.join(found)}"
                f"{', ...' if len(self.classes) > 3 else ''}>")

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("an atrous.Result lies in the memory of its process: send its arrays, result.labels")

    def _floats(self, what: str, shape: Tuple[int, ...]) -> Floats:
        address = getattr(self._info, what)
        if not address:
            raise c.Error(f"this result has no {what}: ask for it, model(image, {what}=True)")
        return c.array_of(self._handle, address, shape, c.FLOAT32)

    @property
    def confidence(self) -> Floats:
        """The label's probability, height x width."""
        return self._floats("confidence", self.labels.shape)

    @property
    def probabilities(self) -> Floats:
        """Those of all classes, height x width x classes."""
        return self._floats("probabilities", (*self.labels.shape, len(self.model.classes)))

    @property
    def logits(self) -> Floats:
        """At the network's input size, height x width x channels."""
        return self._floats("logits", (*self.input_size[::-1], self.model.channels))

    @property
    def classes(self) -> List[ClassShare]:
        """Those that occur, the most frequent first."""
        if self._classes is None:
            labels, names = self.labels.ravel(), self.model.classes
            pixels = np.bincount(labels, minlength=len(names))
            means: Optional[npt.NDArray[np.float64]] = None
            if self._info.confidence:
                means = np.bincount(labels, self.confidence.ravel(), len(names)) / np.maximum(pixels, 1)
            self._classes = [
                ClassShare(label, names[label], float(pixels[label] / labels.size),
                           None if means is None else float(means[label]))
                for label in np.argsort(-pixels, kind="stable").tolist() if pixels[label]]
        return self._classes

    @property
    def instances(self) -> List[Instance]:
        """By falling score; of semantic networks none."""
        return [self._instance(index) for index in range(self._info.instances)]

    def _instance(self, index: int) -> Instance:
        info = c.InstanceInfo()
        c.functions.result_get_instance(self._handle.pointer, index, info)
        box = (info.x1, info.y1, info.x2, info.y2)
        return Instance(info.label, self.model.classes[info.label], info.score, box, self, index)

    # ---- pictures

    def _draw(self, drawing: int, **options: Any) -> Bytes:
        out = ctypes.c_void_p()
        c.functions.draw(self._handle.pointer, drawing, None if self.photo is None else image_of(self.photo),
                       c.DrawOptions(**options), ctypes.byref(out))
        return picture_of(out)

    def mask(self) -> Bytes:
        """Each label's colour, height x width x 3."""
        return self._draw(c.DRAW_MASK)

    def overlay(self, *, alpha: float = 0.5, contours: bool = True, background: bool = False) -> Bytes:
        """The photo tinted by class and outlined, height x width x 3; of instances with their boxes. A batch's results
        have no photo to draw on but those that Model.batch(photos=...) gave.

        alpha: how much of the colour, 0 to 1.
        background: tint the background too.
        """
        return self._draw(c.DRAW_OVERLAY, alpha=share("alpha", alpha) or -1, no_contours=not contours, tint_all=bool(background))

    def cutout(self, label: Union[int, str]) -> Bytes:
        """The photo where that class is, by its label or name, elsewhere transparent: height x width x 4."""
        if isinstance(label, str):
            label = self.model.classes.index(choice("label", label, *self.model.classes))
        return self._draw(c.DRAW_CUTOUT, label=count("label", label))

    def confidence_picture(self) -> Bytes:
        """Confidences of 0 to 1 as grey of 0 to 255, height x width."""
        return self._draw(c.DRAW_CONFIDENCE)

    def underlay(self) -> Bytes:
        """What the labels lie on: the photo, brought to the size that `at` asked for."""
        return self._draw(c.DRAW_INPUT)

    def save(self, path: Path, what: str = "overlay") -> None:
        """Writes a PNG: "overlay", "mask", "labels" (grey, the class of each pixel), "indexed" (the same with the
        classes' colours, as PASCAL VOC's are) or "confidence"."""
        choice("what", what, "overlay", "mask", "labels", "indexed", "confidence")
        if what == "overlay":
            picture = self.overlay()
        elif what == "mask":
            picture = self.mask()
        elif what == "confidence":
            picture = self.confidence_picture()
        else:
            picture = self.labels
        write_png(path, picture, self.model.palette if what == "indexed" else None)

    # ---- notebooks

    def _repr_png_(self) -> bytes:
        """The overlay, or where there is no photo the mask; at most 1,024 pixels a side."""
        picture = self.mask() if self.photo is None else self.overlay()
        step = -(-max(picture.shape[:2]) // 1024)
        return encode_png(picture[::step, ::step])

    def _repr_html_(self) -> str:
        """The same above a legend."""
        legend = [
            f'<span style="color:rgb({",".join(map(str, self.model.palette[found.label]))})">&#9632;</span> '
            f"{html.escape(found.name)} {found.share:.1%}" for found in self.classes]
        return (f'<img src="data:image/png;base64,{base64.b64encode(self._repr_png_()).decode()}"/>'
                f"<p>{' &ensp; '.join(legend)}</p>")
