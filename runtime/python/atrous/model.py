"""A checkpoint made ready, and what it says of photos."""
from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import ctypes
import functools
import os
import sys
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._arguments import Path, Resize, choice, count, positive, resize as resize_fields, text, text_or_none
from ._progress import Progress, watched
from .images import Bytes, as_array, as_numpy, as_photo, image_of
from .refine import Crf, Tile, crf_of, runs_of
from .result import Result

# How many threads there are to be had. Sessions that wait for a call are no more than that: others would not run at once.
_processors = len(os.sched_getaffinity(0))


def load(name_or_path: Union[Path, bytes, bytearray] = "default", *, device: str = "cpu", precision: Optional[str] = None,
         arch: Optional[str] = None, weights: Optional[str] = None, name: Optional[str] = None, threads: int = 0,
         offline: bool = False, progress: Optional[Progress] = None) -> Model:
    """Makes a model ready.

    name_or_path: "default", the network of street scenes in the library; the name of a published checkpoint,
        "deeplabv3_resnet101", downloaded once; "seeded:NETWORK", random weights; the path of a .pth, .safetensors or
        .caffemodel file or of a folder with one; or the bytes of such a file.
    device: "cpu", "cuda", "cuda:1".
    precision: "fp32", "bf16" or "int8", on a device "fp32", "tf32" or "fp16".
    arch: what weights do not say, "os=16,rates=6,12,18".
    weights: which of several networks in a file, by the prefix of its names.
    name: of variants with the same weights, the one to take; of bytes, what stands for the file in errors, too.
    threads: most threads of a call, 0 for all; see Model.map() about several calls at once.
    offline: a checkpoint that is not here yet is an Error rather than downloaded.
    progress: called with the bytes downloaded and those of all, 0 while unknown. What it raises ends the download, which
        the next load() goes on with; so does Ctrl-C.
    """
    return Model(name_or_path, progress, device=device, precision=precision, arch=arch, weights=weights, name=name,
                 threads=threads, offline=offline)


class Model:
    """What load() gives. It does not change: any number of threads may call it at once, each call runs without the
    GIL. A forked child goes on with its parent's model; pickled, it is the arguments of load(), by which the other
    process loads it again (bytes travel whole, a relative path stays one).

    architecture   "deeplabv3_resnet101"
    task           "semantic" or "instances"
    classes        their names, by label
    palette        their colours, classes x 3, red, green, blue
    background     the label that overlays leave as the photo is, or None
    channels       of the logits: as many as classes, or 1 for both of two
    has_masks      of instances: whether they have masks, or boxes alone
    mean, std, range, bgr   normalised input is (sample * range / 255 - mean) / std, blue first if bgr
    weight_bytes   of its weights as packed for computing
    """

    def __init__(self, source: Union[Path, bytes, bytearray], progress: Optional[Progress], **options: Any) -> None:
        self._source: Union[Path, bytes] = bytes(source) if isinstance(source, bytearray) else source
        self._options = options
        words = {key: text_or_none(key, options[key]) for key in ("device", "precision", "arch", "weights", "name")}
        self._threads = count("threads", options["threads"])
        path = b"" if isinstance(self._source, bytes) else text("name_or_path", self._source)

        def make(callback: Callable[..., int]) -> c.Handle:
            fields = c.ModelOptions(threads=self._threads, offline=bool(options["offline"]),
                                    progress=c.DownloadProgress(callback), **words)
            out = ctypes.c_void_p()
            if isinstance(self._source, bytes):
                c.functions.model_load_memory(self._source, len(self._source), words["name"] or b"checkpoint", fields,
                                            ctypes.byref(out))
            else:
                c.functions.model_load(path, fields, ctypes.byref(out))
            return c.Handle(out, c.functions.model_free)

        self._handle = watched(make, progress)
        info = c.ModelInfo()
        c.functions.model_get_info(self._handle.pointer, info)
        self.architecture: str = info.architecture.decode()
        self.task: str = ("semantic", "instances")[info.task]
        self.classes: Tuple[str, ...] = tuple(
            c.functions.model_class_name(self._handle.pointer, label).decode("utf-8", "replace")
            for label in range(info.classes))
        self.palette: Bytes = c.array_of(self._handle, info.palette, (info.classes, 3), c.UINT8)
        self.background: Optional[int] = info.background if info.background >= 0 else None
        self.channels: int = info.logits
        self.has_masks = bool(info.has_masks)
        self.mean: Tuple[float, ...] = tuple(info.mean)
        self.std: Tuple[float, ...] = tuple(info.std)
        self.range: int = info.range
        self.bgr = bool(info.bgr)
        self.weight_bytes: int = info.weight_bytes
        self._idle: Dict[int, Deque[c.Handle]] = {}  # by their threads

    def __reduce__(self) -> Tuple[Any, ...]:
        return functools.partial(load, self._source, **self._options), ()

    def __repr__(self) -> str:
        precision = f" in {self._options['precision']}" if self._options["precision"] else ""
        return f"<atrous.Model {self.architecture}: {len(self.classes)} classes, {self._options['device']}{precision}>"

    def __call__(self, image: Any, *, confidence: bool = False, probabilities: bool = False, logits: bool = False,
                 resize: Resize = None, at: str = "photo", crf: Crf = False, protocol: Optional[str] = None,
                 scales: Optional[Sequence[float]] = None, flip: bool = False, base_size: Optional[int] = None,
                 tile: Tile = None, overlap: Optional[int] = None, threshold: Optional[float] = None,
                 score: Optional[float] = None, max_instances: Optional[int] = None, threads: Optional[int] = None,
                 memory_limit: int = 0) -> Result:
        """Segments a photo: a path, a file's bytes, a Pillow image, or an array height x width (x 3 or 4) or torch
        tensor (channels x) height x width of uint8.

        confidence, probabilities, logits: what the result has beside labels.
        resize: the photo on its way in, None as the model was published, "none" not at all, 520 its shorter side,
            (width, height) exactly.
        at: "photo" or "input", the size that the labels have.
        crf: labels follow the photo's edges, by a dense CRF: True, or the arguments of atrous.crf() that say how,
            {"iterations": 5, "bilateral": (4, 67, 3)}; what is not said is as published for the network, or the usual.
        scales, flip: the photo at these scales, (0.5, 1, 1.5), and mirrored left to right too; probabilities are averaged.
        protocol: as a publisher's test code does, "semseg", "encnet", "deeplabv2" or "torchvision", with its own scales,
            flips and tiles unless they are given. base_size: of semseg and encnet, the longer side at scale 1.
        tile: of these the tiles that the network sees, N or (width, height), which share `overlap` pixels, a third.
            Without a protocol a picture of any size, at its own size, in tiles of N pixels that share `overlap`, an
            eighth, blended: labels and confidences alone.
        threshold: of a network of one logit, the probability above which a pixel is of class 1, 0.5.
        score, max_instances: of instances, those above it, 0 for all, and how many.
        threads: instead of load()'s.
        memory_limit: most bytes for weights and activations.
        """
        photo = as_photo(image)
        how = crf_of(crf)
        options = _options(confidence, probabilities, logits, threshold, score, max_instances, crf=how is not None,
                           at_input=choice("at", at, "photo", "input") == "input", **resize_fields(resize),
                           **runs_of(protocol, scales, flip, base_size, tile, overlap))
        if how is not None:
            options.crf_options = ctypes.pointer(how)
        out = ctypes.c_void_p()
        session, idle = self._session(threads, memory_limit)
        try:
            c.functions.segment(session.pointer, image_of(photo), options, ctypes.byref(out))
        finally:
            idle.append(session)
        return Result(self, out, photo)

    def batch(self, batch: Any, *, photos: Optional[Sequence[Any]] = None, confidence: bool = False,
              probabilities: bool = False, logits: bool = False, threshold: Optional[float] = None,
              score: Optional[float] = None, max_instances: Optional[int] = None, threads: Optional[int] = None,
              memory_limit: int = 0) -> List[Result]:
        """Segments photos of one size that are normalised already: floats, an array n x height x width x 3 or a torch
        tensor n x 3 x height x width.

        photos: the same ones as a call takes them, of that size, for the results' overlays and cut-outs.
        """
        values, _ = _as_batch(batch)
        options = _options(confidence, probabilities, logits, threshold, score, max_instances)
        n, height, width = values.shape[:3]
        under: List[Optional[Bytes]] = [None] * n if photos is None else [as_photo(photo) for photo in photos]
        if len(under) != n:
            raise c.Error(f"photos: expected {n}, as many as the batch has, got {len(under)}")
        for photo in under:
            if photo is not None and photo.shape[:2] != (height, width):
                raise c.Error(f"photos: expected the batch's {height} x {width} pixels, got {photo.shape[0]} x {photo.shape[1]}")
        out = (ctypes.c_void_p * n)()
        session, idle = self._session(threads, memory_limit)
        try:
            c.functions.segment_batch(session.pointer, values.ctypes.data, count("photos", n), count("height", height),
                                    count("width", width), options, out)
        finally:
            idle.append(session)
        return [Result(self, ctypes.c_void_p(pointer), photo) for pointer, photo in zip(out, under)]

    def logits(self, batch: Any, *, threads: Optional[int] = None, memory_limit: int = 0) -> npt.NDArray[np.float32]:
        """The logits of photos that are normalised already, at their size, in the batch's order: an array n x height x
        width x 3 gives n x height x width x channels, a torch tensor n x 3 x height x width gives n x channels x height
        x width, an array too."""
        results = self.batch(batch, logits=True, threads=threads, memory_limit=memory_limit)
        values = np.stack([result.logits for result in results])
        return values.transpose(0, 3, 1, 2) if _as_batch(batch)[1] else values

    def map(self, images: Iterable[Any], *, threads: Optional[int] = None, **options: Any) -> Iterator[Result]:
        """Segments photos one after the other, from as many threads of Python as the process has processors, each with
        one thread of its own in the network; results come in the photos' order. `options` are those of a call.

        This is the quickest way through many photos: they are read and decoded in the threads too. No more than twice
        `threads` photos are under way, so that memory stays bounded and `images` may be endless. The first error ends
        it.
        """
        workers = count("threads", threads, 1) if threads is not None else self._threads or _processors
        options = {"threads": 1, **options}
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(workers))
            pending: Deque[concurrent.futures.Future[Result]] = collections.deque()
            stack.callback(lambda: [future.cancel() for future in pending])
            for image in images:
                pending.append(pool.submit(self, image, **options))
                if len(pending) == 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _session(self, threads: Optional[int], memory_limit: int) -> Tuple[c.Handle, Deque[c.Handle]]:
        """A session that nobody else uses, and where to put it afterwards. Those that wait lie in deques, whose methods
        need no lock, so that a fork finds none held; threads that end leave nothing behind."""
        threads = self._threads if threads is None else count("threads", threads)
        memory_limit = count("memory_limit", memory_limit, 0, 2**64 - 1)
        idle: Deque[c.Handle] = collections.deque()  # with a limit on its memory none waits for the next call
        if not memory_limit:
            idle = self._idle.setdefault(threads, collections.deque(maxlen=_processors))
        try:
            session = idle.pop()
        except IndexError:
            out = ctypes.c_void_p()
            c.functions.session_new(self._handle.pointer,
                                  c.SessionOptions(threads=threads, memory_limit=memory_limit), ctypes.byref(out))
            session = c.Handle(out, c.functions.session_free)
        return session, idle


def _options(confidence: bool, probabilities: bool, logits: bool, threshold: Optional[float], score: Optional[float],
             max_instances: Optional[int], **fields: Any) -> c.SegmentOptions:
    return c.SegmentOptions(
        want=c.WANT_CONFIDENCE * bool(confidence) + c.WANT_PROBABILITIES * bool(probabilities)
        + c.WANT_LOGITS * bool(logits), threshold=positive("threshold", threshold),
        score=-1 if score == 0 else positive("score", score),
        max_instances=0 if max_instances is None else count("max_instances", max_instances, 1), **fields)


def _as_batch(batch: Any) -> Tuple[npt.NDArray[np.float32], bool]:
    """n x height x width x 3, and whether it came with channels before height, as torch has them."""
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(batch, torch.Tensor)
    values = as_numpy(batch) if is_tensor else as_array("batch", batch)
    order = "a tensor is n x 3 x height x width" if is_tensor else "an array is n x height x width x 3"
    if values.dtype.kind != "f":
        raise c.Error(f"batch: expected floats, normalised, got {values.dtype}; photos go to the model itself")
    if values.ndim != 4 or values.shape[1 if is_tensor else 3] != 3 or values.size == 0:
        raise c.Error(f"batch: {order}; this one is {' x '.join(map(str, values.shape))}")
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if is_tensor else values, np.float32), is_tensor

