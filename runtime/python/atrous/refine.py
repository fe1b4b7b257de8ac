"""What a photo may be asked for beside one run of the network: a dense CRF, test protocols, tiles."""
from __future__ import annotations

import ctypes
import math
import sys
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._arguments import count, number_of, text
from .images import as_array, as_numpy, as_photo, image_of

Crf = Union[bool, Mapping[str, Any]]
Tile = Union[None, int, Tuple[int, int]]


def crf(image: Any, values: Any, *, logits: bool = False, iterations: Optional[int] = None,
        gaussian: Optional[Sequence[float]] = None, bilateral: Optional[Sequence[float]] = None, threads: int = 0,
        memory_limit: int = 0) -> npt.NDArray[np.float32]:
    """A dense CRF behind any network: each pixel is drawn towards those that are near, and those that are near and of
    like colour, so that labels follow the photo's edges. Gives the sharpened probabilities, in the order of `values`.

    image: as Model takes it.
    values: the network's probabilities of that size, not below 0: an array height x width x classes, or a torch tensor
        classes x height x width. They stay as they are.
    logits: the values are logits, whose softmax is the probabilities.
    iterations: 0 to 1000; 10.
    gaussian: (weight, xy) of the kernel for pixels that are near, xy its standard deviation in pixels; (3, 1). A weight
        of 0 leaves it out.
    bilateral: (weight, xy, rgb) of that for pixels of like colour too, rgb in levels of 0 to 255; (4, 67, 3).
    threads: most threads, 0 for all.
    memory_limit: most bytes beside the arguments.
    """
    photo = as_photo(image)
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(values, torch.Tensor)
    given = as_numpy(values) if is_tensor else as_array("values", values)
    order = "a tensor is classes x height x width" if is_tensor else "an array is height x width x classes"
    if given.dtype.kind != "f":
        raise c.Error(f"values: expected floats, got {given.dtype}")
    if given.ndim != 3:
        raise c.Error(f"values: {order}; this one is {' x '.join(map(str, given.shape)) or 'a single number'}")
    sharp = np.array(given.transpose(1, 2, 0) if is_tensor else given, np.float32, order="C")
    if sharp.shape[:2] != photo.shape[:2]:
        raise c.Error(f"values: {order}, of the photo's {photo.shape[0]} x {photo.shape[1]} pixels; "
                      f"this one is {' x '.join(map(str, given.shape))}")
    options = crf_options(iterations=iterations, gaussian=gaussian, bilateral=bilateral)
    options.logits, options.threads = bool(logits), count("threads", threads)
    options.memory_limit = count("memory_limit", memory_limit, 0, 2**64 - 1)
    c.functions.crf(image_of(photo), sharp.ctypes.data, count("classes", sharp.shape[2]), options)
    return np.ascontiguousarray(sharp.transpose(2, 0, 1)) if is_tensor else sharp


def crf_options(iterations: Optional[int] = None, gaussian: Optional[Sequence[float]] = None,
                bilateral: Optional[Sequence[float]] = None) -> c.CrfOptions:
    """None stands for the network's, or the usual ones. C has 0 for these, and numbers below 0 for none."""
    fields: Dict[str, float] = {}
    for kernel, given, parts in (("gaussian", gaussian, ("weight", "xy")),
                                 ("bilateral", bilateral, ("weight", "xy", "rgb"))):
        if given is None:
            continue
        numbers = list(given) if isinstance(given, (tuple, list, np.ndarray)) else [given]
        if len(numbers) != len(parts):
            raise c.Error(f"{kernel}: expected ({', '.join(parts)}), got {given!r}")
        for part, number in zip(parts, numbers):
            value = number_of(f"{kernel}, {part}", number)
            if not (0 <= value < math.inf and (value > 0 or part == "weight")):
                raise c.Error(f"{kernel}, {part}: expected a number {'from' if part == 'weight' else 'above'} 0, got {value:g}")
            fields[f"{kernel}_{part}"] = value or -1
    if iterations is not None:
        fields["iterations"] = count("iterations", iterations, 0, 1000) or -1
    return c.CrfOptions(**fields)


def crf_of(asked: Crf) -> Optional[c.CrfOptions]:
    """True, or the arguments of crf() that say how; False is none."""
    if isinstance(asked, Mapping):
        unknown = set(asked) - {"iterations", "gaussian", "bilateral"}
        if unknown:
            raise c.Error(f"crf: expected iterations, gaussian and bilateral, got {sorted(map(str, unknown))[0]!r}")
        return crf_options(**asked)
    if not isinstance(asked, (bool, np.bool_)):
        raise c.Error(f"crf: expected True, False or a dictionary, got {asked!r}")
    return crf_options() if asked else None


def runs_of(protocol: Optional[str], scales: Optional[Sequence[float]], flip: bool, base_size: Optional[int], tile: Tile,
            overlap: Optional[int]) -> Dict[str, Any]:
    """The fields of C's options. A tile without a protocol is a large picture's."""
    fields: Dict[str, Any] = {}
    shared = 0 if overlap is None else count("overlap", overlap) or -1
    large = tile is not None and protocol is None
    if large:
        for name, given in (("scales", scales is not None), ("flip", flip), ("base_size", base_size is not None)):
            if given:
                raise c.Error(f"{name}: a tile without a protocol is a large picture at its own size, once")
        return {"tile": count("tile", tile, 1), "overlap": shared}
    if protocol is None and scales is None and not flip and base_size is None and overlap is None:
        return {}
    if protocol is None and overlap is not None:
        raise c.Error("overlap: of which tiles? tile says how large they are")
    if protocol is not None:
        fields["name"] = text("protocol", protocol)
    if scales is not None:
        numbers = [number_of("scales", scale) for scale in scales] if isinstance(scales, (tuple, list, np.ndarray)) else []
        if not numbers:
            raise c.Error(f"scales: expected numbers, (0.5, 1), got {scales!r}")
        fields["scales"], fields["scale_count"] = (ctypes.c_double * len(numbers))(*numbers), len(numbers)
    if base_size is not None:
        fields["base_size"] = count("base_size", base_size, 1)
    if tile is not None:
        sides = tile if isinstance(tile, (tuple, list)) else (tile, tile)
        if len(sides) != 2:
            raise c.Error(f"tile: expected (width, height), got {len(sides)} numbers")
        fields["tile_width"], fields["tile_height"] = (count("tile", side, 1) for side in sides)
    return {"protocol": ctypes.pointer(c.ProtocolOptions(flip=bool(flip), overlap=shared, **fields))}
