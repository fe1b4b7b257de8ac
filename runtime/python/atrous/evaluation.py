"""How good a model is on a dataset."""
from __future__ import annotations

import ctypes
import json
from typing import Any, Callable, Dict, Optional, Sequence

from . import _library as c
from ._arguments import Path, Resize, choice, count, positive, resize as resize_fields, text, text_or_none
from ._progress import Progress, watched
from .model import Model
from .refine import Crf, Tile, crf_of, runs_of


def evaluate(model: Model, dataset: Path, kind: str, *, set: Optional[str] = None, labels: Optional[Path] = None,
             limit: Optional[int] = None, at: str = "input", resize: Resize = None,
             crf: Crf = False, protocol: Optional[str] = None, scales: Optional[Sequence[float]] = None,
             flip: bool = False, base_size: Optional[int] = None, tile: Tile = None, overlap: Optional[int] = None,
             threshold: Optional[float] = None, strict: bool = False, threads: int = 0,
             progress: Optional[Progress] = None) -> Dict[str, Any]:
    """Measures a model and gives what `atrous eval --json` writes: mean IoU, IoU by class and more.

    dataset, kind: its folder, and "voc", "camvid", "cityscapes", "ade20k", "pascal-context", "pascal-context-60",
        "coco-stuff", "coco-voc" or "pairs" (photos in one folder, label maps of the same names in another).
    set: which of its sets, "val" where there are any.
    labels: of pairs the second folder, where the label maps do not lie beside the photos.
    limit: the first so many images.
    at: "input", compared at the network's input size, or "original", at the photo's.
    crf: labels behind a dense CRF are measured too, the result's "crf". protocol, scales, flip, base_size, tile, overlap:
        as of a call of the model.
    strict: the first image that cannot be read ends the run; otherwise such are named in the result.
    progress: called with the images done and those of all. What it raises ends the run, as Ctrl-C does.
    """
    how = crf_of(crf)
    words = text("kind", kind), text("dataset", dataset)
    options = dict(
        set=text_or_none("set", set), threads=count("threads", threads),
        limit=0 if limit is None else count("limit", limit, 1),
        at_original=choice("at", at, "input", "original") == "original", strict=bool(strict),
        labels=text_or_none("labels", labels), threshold=positive("threshold", threshold), **resize_fields(resize),
        **runs_of(protocol, scales, flip, base_size, tile, overlap), crf=None if how is None else ctypes.pointer(how))

    def run(callback: Callable[..., int]) -> Dict[str, Any]:
        out = ctypes.c_void_p()
        c.functions.evaluate(model._handle.pointer, *words,
                           c.EvaluateOptions(progress=c.EvaluateProgress(callback), **options), ctypes.byref(out))
        report: Dict[str, Any] = json.loads(c.bytes_of(out))
        return report

    return watched(run, progress)
