"""Photos as Python's libraries have them, and PNG."""
from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._arguments import Path, count, text

Bytes = npt.NDArray[np.uint8]


def picture_of(pointer: ctypes.c_void_p) -> Bytes:
    """An atrous_picture as height x width x channels, or height x width where it is grey; without a copy."""
    handle = c.Handle(pointer, c.functions.picture_free)
    image = c.functions.picture_image(pointer)
    shape = (image.height, image.width, image.channels)[:2 if image.channels == 1 else 3]
    return c.array_of(handle, image.pixels, shape, c.UINT8)


def read_image(file: Union[Path, bytes]) -> Bytes:
    """A JPEG, PNG, WebP, BMP or PNM, by its path or its bytes, as height x width x 3, RGB, turned upright as its EXIF
    says."""
    out = ctypes.c_void_p()
    if isinstance(file, (bytes, bytearray)):
        file = bytes(file)
        c.functions.picture_decode(file, len(file), b"photo", ctypes.byref(out))
    else:
        c.functions.picture_read(text("photo", file), ctypes.byref(out))
    return picture_of(out)


def as_numpy(tensor: Any) -> npt.NDArray[Any]:
    """A torch tensor's values; those of bfloat16, which numpy does not have, as float32."""
    try:
        tensor = tensor.detach().cpu()
        return np.asarray(tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy())
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise c.Error(f"a tensor whose values cannot be had: {error}") from None


def as_array(what: str, values: Any) -> npt.NDArray[Any]:
    """As numpy makes an array of them: lists too, whose rows are equally long."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise c.Error(f"{what}: numpy makes no array of it: {error}") from None


def as_photo(image: Any) -> Bytes:
    """What Model takes for a photo, as an array whose rows have their samples side by side.

    An array is height x width (grey) or height x width x 3 (RGB) or 4 (RGBA), a torch tensor channels x height x width
    as torchvision.io.read_image gives it, both of uint8. A Pillow image is converted to RGB. A str or path is read, and
    so are bytes, a file's."""
    if isinstance(image, (str, os.PathLike, bytes, bytearray)):
        return read_image(image)
    torch = sys.modules.get("torch")
    pixels: npt.NDArray[Any]
    if torch is not None and isinstance(image, torch.Tensor):
        pixels = as_numpy(image)
        if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4):
            pixels = np.stack(list(pixels), 2)  # a quarter of the time that a transposed copy takes
        elif pixels.ndim != 2:
            raise c.Error("photo: a tensor is channels x height x width, of 1, 3 or 4 channels; "
                          f"this one is {_size(pixels)}")
    elif hasattr(image, "convert") and hasattr(image, "mode"):  # Pillow's
        if image.mode.startswith(("I", "F")):
            raise c.Error(f"photo: Pillow's mode {image.mode} has no whites at 255: convert it to RGB first")
        pixels = np.asarray(image.convert("RGB"))
    else:
        pixels = as_array("photo", image)
    if pixels.dtype != np.uint8:
        raise c.Error(f"photo: expected uint8, 0 to 255, got {pixels.dtype}; "
                      "what is normalised already goes to Model.logits() or Model.batch()")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise c.Error("photo: an array is height x width, or height x width x channels, of 1, 3 or 4; "
                      f"this one is {_size(pixels) or 'a single number'}")
    if pixels.size == 0:
        raise c.Error(f"photo: {_size(pixels)} has no pixels")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    samples_adjoin = pixels.strides[1] == channels and (pixels.ndim == 2 or pixels.strides[2] == 1)
    if not samples_adjoin or pixels.strides[0] < pixels.shape[1] * channels:
        pixels = np.ascontiguousarray(pixels)
    return pixels


def _size(array: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape))


def image_of(pixels: Bytes) -> c.Image:
    """as_photo()'s array for C. The array must outlive it."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return c.Image(pixels.__array_interface__["data"][0], count("width", width), count("height", height), channels, pixels.strides[0] if height > 1 else 0)


def _colours(palette: Optional[Any]) -> Bytes:
    if palette is None:
        return np.empty((0, 3), np.uint8)
    colours = np.ascontiguousarray(palette)
    if colours.dtype != np.uint8 or colours.ndim != 2 or colours.shape[1] != 3:
        raise c.Error(f"palette: expected uint8, colours x 3, got {colours.dtype}, {_size(colours)}")
    return colours


def encode_png(image: Any, palette: Optional[Any] = None) -> bytes:
    """A PNG's bytes: see write_png()."""
    pixels, colours, out = as_photo(image), _colours(palette), ctypes.c_void_p()
    c.functions.png_encode(image_of(pixels), colours.ctypes.data if len(colours) else None, len(colours),
                         ctypes.byref(out))
    return c.bytes_of(out)


def write_png(path: Path, image: Any, palette: Optional[Any] = None) -> None:
    """Writes grey, RGB or RGBA. With a palette, colours x 3, the image's one channel holds indices into it. The file
    appears whole or not at all."""
    pixels, colours = as_photo(image), _colours(palette)
    c.functions.png_write(text("path", path), image_of(pixels), colours.ctypes.data if len(colours) else None,
                        len(colours))


def voc_palette(colours: int = 21) -> Bytes:
    """PASCAL VOC's colours, colours x 3."""
    palette = np.empty((count("colours", colours, 1, 256), 3), np.uint8)
    c.functions.voc_palette(len(palette), palette.ctypes.data)
    return palette
