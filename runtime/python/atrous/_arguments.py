"""Python's values as C's: what ctypes would cut off in silence is refused in a sentence."""
from __future__ import annotations

import operator
import os
from typing import Any, Dict, Optional, Tuple, Union

from . import _library as c

Resize = Union[None, str, int, Tuple[int, int]]
Path = Union[str, "os.PathLike[str]"]


def text(what: str, value: Path) -> bytes:
    """A word or a path for C, which ends in a zero."""
    if not isinstance(value, (str, os.PathLike)):
        raise c.Error(f"{what}: expected a str or a path, got {type(value).__name__}")
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError:
        raise c.Error(f"{what}: {value!r} is no text") from None
    if b"\0" in encoded:
        raise c.Error(f"{what}: {value!r} has a zero in it")
    return encoded


def text_or_none(what: str, value: Optional[Path]) -> Optional[bytes]:
    return None if value is None else text(what, value)


def count(what: str, value: Any, least: int = 0, most: int = 2**31 - 1) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise c.Error(f"{what}: expected an int, got {value!r}") from None
    if not least <= number <= most:
        raise c.Error(f"{what}: expected {least} to {most}, got {number}")
    return number


def choice(what: str, value: str, *known: str) -> str:
    if value not in known:
        raise c.Error(f"{what}: expected {' or '.join(map(repr, known))}, got {value!r}")
    return value


def number_of(what: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise c.Error(f"{what}: expected a number, got {value!r}") from None


def positive(what: str, value: Optional[float]) -> float:
    """For fields in which C's 0 means the default."""
    if value is None:
        return 0
    number = number_of(what, value)
    if not number > 0:
        raise c.Error(f"{what}: expected a number above 0, got {number:g}")
    return number


def share(what: str, value: float) -> float:
    number = number_of(what, value)
    if not 0 <= number <= 1:
        raise c.Error(f"{what}: expected a number from 0 to 1, got {number:g}")
    return number


def resize(rule: Resize) -> Dict[str, int]:
    """The fields of C's options: None is the model's own rule, "none" the photo's size, a number that of its shorter
    side, a pair (width, height)."""
    if rule is None:
        return {"resize": c.RESIZE_AS_MODEL}
    if isinstance(rule, str):
        choice("resize", rule, "none")
        return {"resize": c.RESIZE_NONE}
    if isinstance(rule, (tuple, list)):
        if len(rule) != 2:
            raise c.Error(f"resize: expected (width, height), got {len(rule)} numbers")
        width, height = (count("resize", side, 1) for side in rule)
        return {"resize": c.RESIZE_EXACT, "width": width, "height": height}
    return {"resize": c.RESIZE_SHORTER, "width": count("resize", rule, 1)}
