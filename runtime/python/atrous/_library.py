"""libatrous.so.0 by ctypes: where it lies, its structs and functions as runtime/c/atrous_c.h has them, its errors, and
its memory as numpy arrays.

A call by ctypes lets go of the GIL, so other Python threads run meanwhile.
"""
from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64,
                    c_void_p)
from pathlib import Path
from typing import Any, Callable, Tuple

import numpy as np

SONAME = "libatrous.so.0"


class Error(Exception):
    """What atrous cannot do, in a sentence. `code` says of which kind it is: "invalid_argument", "io", "malformed",
    "unsupported", "limit", "mismatch", "not_finite", "device" or "stopped"."""

    def __init__(self, message: str, code: str = "invalid_argument") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> Tuple[Any, ...]:  # exceptions travel between processes
        return Error, (str(self), self.code)


# ---- structs


class Image(ctypes.Structure):
    _fields_ = [("pixels", c_void_p), ("width", c_int32), ("height", c_int32), ("channels", c_int32),
                ("row_bytes", c_size_t)]


class Sized(ctypes.Structure):
    """A struct that begins with its size, so that the library may know more fields than this package, or fewer."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(size=ctypes.sizeof(self), **fields)


class DeviceInfo(Sized):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("name", c_char_p), ("kind", c_char_p),
                ("memory_bytes", c_uint64), ("free_bytes", c_uint64), ("threads", c_int32), ("reserved", c_int32)]


DownloadProgress = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
EvaluateProgress = CFUNCTYPE(c_int, c_void_p, c_size_t, c_size_t)


class ModelOptions(Sized):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("precision", c_char_p), ("arch", c_char_p),
                ("weights", c_char_p), ("name", c_char_p), ("threads", c_int32), ("offline", c_int32),
                ("progress", DownloadProgress), ("user", c_void_p)]


class ModelInfo(Sized):
    _fields_ = [("size", c_size_t), ("architecture", c_char_p), ("task", c_int), ("classes", c_int32),
                ("logits", c_int32), ("background", c_int32), ("has_masks", c_int32), ("palette", c_void_p),
                ("mean", c_float * 3), ("std", c_float * 3), ("range", c_int32), ("bgr", c_int32),
                ("weight_bytes", c_size_t)]


class SessionOptions(Sized):
    _fields_ = [("size", c_size_t), ("threads", c_int32), ("memory_limit", c_uint64)]


WANT_CONFIDENCE, WANT_PROBABILITIES, WANT_LOGITS = 1, 2, 4
RESIZE_AS_MODEL, RESIZE_NONE, RESIZE_SHORTER, RESIZE_EXACT = range(4)


class CrfOptions(Sized):
    _fields_ = [("size", c_size_t), ("gaussian_weight", c_double), ("gaussian_xy", c_double),
                ("bilateral_weight", c_double), ("bilateral_xy", c_double), ("bilateral_rgb", c_double),
                ("iterations", c_int32), ("logits", c_int32), ("threads", c_int32), ("reserved", c_int32),
                ("memory_limit", c_uint64)]


class ProtocolOptions(Sized):
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("scales", POINTER(c_double)), ("scale_count", c_int32),
                ("flip", c_int32), ("base_size", c_int32), ("tile_width", c_int32), ("tile_height", c_int32),
                ("overlap", c_int32)]


class SegmentOptions(Sized):
    _fields_ = [("size", c_size_t), ("want", c_uint32), ("resize", c_int32), ("width", c_int32), ("height", c_int32),
                ("at_input", c_int32), ("crf", c_int32), ("threshold", c_double), ("score", c_double),
                ("max_instances", c_int32), ("reserved", c_int32), ("crf_options", POINTER(CrfOptions)),
                ("protocol", POINTER(ProtocolOptions)), ("tile", c_int32), ("overlap", c_int32)]


class ResultInfo(Sized):
    _fields_ = [("size", c_size_t), ("width", c_int32), ("height", c_int32), ("labels", c_void_p),
                ("confidence", c_void_p), ("probabilities", c_void_p), ("logits", c_void_p), ("input_width", c_int32),
                ("input_height", c_int32), ("instances", c_int32), ("prepare_seconds", c_double),
                ("network_seconds", c_double), ("label_seconds", c_double)]


class InstanceInfo(Sized):
    _fields_ = [("size", c_size_t), ("x1", c_float), ("y1", c_float), ("x2", c_float), ("y2", c_float),
                ("score", c_float), ("label", c_int32)]


DRAW_MASK, DRAW_OVERLAY, DRAW_CUTOUT, DRAW_CONFIDENCE, DRAW_INPUT = range(5)


class DrawOptions(Sized):
    _fields_ = [("size", c_size_t), ("alpha", c_double), ("no_contours", c_int32), ("tint_all", c_int32),
                ("label", c_int32), ("reserved", c_int32)]


class EvaluateOptions(Sized):
    _fields_ = [("size", c_size_t), ("set", c_char_p), ("threads", c_int32), ("limit", c_int32),
                ("at_original", c_int32), ("strict", c_int32), ("labels", c_char_p), ("resize", c_int32),
                ("width", c_int32), ("height", c_int32), ("threshold", c_double), ("progress", EvaluateProgress),
                ("user", c_void_p), ("crf", POINTER(CrfOptions)), ("protocol", POINTER(ProtocolOptions)),
                ("tile", c_int32), ("overlap", c_int32)]


# ---- functions

_out = POINTER(c_void_p)  # where a call puts the handle that it makes

# Those that return a status: it becomes an Error.
_FALLIBLE = {
    "picture_read": (c_char_p, _out),
    "picture_decode": (c_char_p, c_size_t, c_char_p, _out),
    "png_encode": (POINTER(Image), c_void_p, c_size_t, _out),
    "png_write": (c_char_p, POINTER(Image), c_void_p, c_size_t),
    "voc_palette": (c_size_t, c_void_p),
    "devices_list": (_out,),
    "devices_get": (c_void_p, c_int32, POINTER(DeviceInfo)),
    "crf": (POINTER(Image), c_void_p, c_int32, POINTER(CrfOptions)),
    "model_load": (c_char_p, POINTER(ModelOptions), _out),
    "model_load_memory": (c_char_p, c_size_t, c_char_p, POINTER(ModelOptions), _out),
    "model_get_info": (c_void_p, POINTER(ModelInfo)),
    "session_new": (c_void_p, POINTER(SessionOptions), _out),
    "segment": (c_void_p, POINTER(Image), POINTER(SegmentOptions), _out),
    "segment_batch": (c_void_p, c_void_p, c_int32, c_int32, c_int32, POINTER(SegmentOptions), _out),
    "result_get_info": (c_void_p, POINTER(ResultInfo)),
    "result_get_instance": (c_void_p, c_int32, POINTER(InstanceInfo)),
    "result_get_mask": (c_void_p, c_int32, c_float, c_void_p, c_size_t),
    "draw": (c_void_p, c_int, POINTER(Image), POINTER(DrawOptions), _out),
    "evaluate": (c_void_p, c_char_p, c_char_p, POINTER(EvaluateOptions), _out),
}

_OTHERS = {
    "version": (c_char_p, ()),
    "last_error": (c_char_p, ()),
    "status_name": (c_char_p, (c_int,)),
    "bytes_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bytes_free": (None, (c_void_p,)),
    "picture_image": (Image, (c_void_p,)),
    "picture_free": (None, (c_void_p,)),
    "devices_count": (c_int32, (c_void_p,)),
    "devices_why_none": (c_char_p, (c_void_p,)),
    "devices_free": (None, (c_void_p,)),
    "model_class_name": (c_char_p, (c_void_p, c_int32)),
    "model_free": (None, (c_void_p,)),
    "session_free": (None, (c_void_p,)),
    "result_free": (None, (c_void_p,)),
}


class _Functions:
    """Those of atrous_c.h, by their names without "atrous_"."""

    def __init__(self) -> None:
        cdll = _open()
        for name, arguments in _FALLIBLE.items():
            self._declare(cdll, name, c_int, arguments).errcheck = self._raise
        for name, (result, arguments) in _OTHERS.items():
            self._declare(cdll, name, result, arguments)

    def _declare(self, cdll: ctypes.CDLL, name: str, result: Any, arguments: Tuple[Any, ...]) -> Any:
        function = getattr(cdll, "atrous_" + name, None)
        if function is None:
            raise ImportError(f"{cdll._name}: no function atrous_{name}: is it {SONAME}?")
        function.restype, function.argtypes = result, arguments
        setattr(self, name, function)
        return function

    def _raise(self, status: int, function: Any, arguments: Any) -> int:
        if status:
            raise Error(self.last_error().decode("utf-8", "replace"), self.status_name(status).decode())
        return status

    def __getattr__(self, name: str) -> Any:  # reached for functions that are not declared above alone
        raise AttributeError(name)


def _open() -> ctypes.CDLL:
    """$ATROUS_LIBRARY; what lies beside this file, as in a wheel; the system's."""
    named, beside = os.environ.get("ATROUS_LIBRARY"), Path(__file__).with_name(SONAME)
    path = named or (str(beside) if beside.exists() else SONAME)
    try:
        cdll = ctypes.CDLL(path)
    except OSError as error:
        where = "which ATROUS_LIBRARY names" if named else f"nor is there {beside}, and ATROUS_LIBRARY is not set"
        raise ImportError(f"atrous needs its library: {error}; {where}") from None
    try:
        cdll.atrous_version.restype = c_char_p
        version = cdll.atrous_version().decode()
    except AttributeError:
        raise ImportError(f"{path}: no function atrous_version: is it {SONAME}?") from None
    if version.split(".")[0] != SONAME.rsplit(".", 1)[1]:
        raise ImportError(f"{path} is version {version}; this package calls version {SONAME.rsplit('.', 1)[1]}")
    return cdll


functions = _Functions()


# ---- handles and their memory


class Handle:
    """What the library made, freed with the last Python object that needs it."""

    __slots__ = ("pointer", "_free", "__weakref__")

    def __init__(self, pointer: c_void_p, free: Callable[[c_void_p], None]) -> None:
        self.pointer, self._free = pointer, free

    def __del__(self) -> None:
        self._free(self.pointer)


class _Memory:
    """Memory that belongs to a handle, as numpy asks for it. Arrays over it are read-only and keep the handle."""

    __slots__ = ("handle", "__array_interface__")

    def __init__(self, handle: Handle, address: int, shape: Tuple[int, ...], kind: str) -> None:
        self.handle = handle
        self.__array_interface__ = {"version": 3, "data": (address, True), "shape": shape, "typestr": kind}


UINT8, FLOAT32 = np.dtype(np.uint8).str, np.dtype(np.float32).str


def array_of(handle: Handle, address: int, shape: Tuple[int, ...], kind: str) -> np.ndarray[Any, Any]:
    """The handle's memory as an array of UINT8 or FLOAT32, without a copy."""
    return np.asarray(_Memory(handle, address, shape, kind))


def bytes_of(pointer: c_void_p) -> bytes:
    """An atrous_bytes as Python's, freed."""
    size = c_size_t()
    try:
        return ctypes.string_at(functions.bytes_data(pointer, ctypes.byref(size)), size.value)
    finally:
        functions.bytes_free(pointer)
