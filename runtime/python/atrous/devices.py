"""What networks can run on."""
from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import List

from . import _library as c


@dataclass(frozen=True)
class Device:
    """The processor, or an NVIDIA GPU."""
    device: str  # for load(device=...): "cpu", "cuda:0"
    name: str  # "NVIDIA H200"; of the processor ""
    kind: str  # of the processor its instruction sets, the best first; "compute capability 9.0"
    threads: int  # of the processor: as many as the process may use; of a GPU 0
    memory_bytes: int  # of a GPU; of the processor 0
    free_bytes: int


class Devices(List[Device]):
    """A list of them. why_none: a sentence where there are no GPUs, otherwise ""."""
    why_none: str = ""


def devices() -> Devices:
    """The processor, then the NVIDIA GPUs, as they are now."""
    out = ctypes.c_void_p()
    c.functions.devices_list(ctypes.byref(out))
    handle = c.Handle(out, c.functions.devices_free)
    found = Devices()
    for index in range(c.functions.devices_count(handle.pointer)):
        info = c.DeviceInfo()
        c.functions.devices_get(handle.pointer, index, info)
        device, name, kind = (word.decode("utf-8", "replace") for word in (info.device, info.name, info.kind))
        found.append(Device(device, name, kind, info.threads, info.memory_bytes, info.free_bytes))
    found.why_none = c.functions.devices_why_none(handle.pointer).decode("utf-8", "replace")
    return found
