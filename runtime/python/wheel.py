#!/usr/bin/env python3
"""Packs the Python package and a built libatrous into a wheel, without network and without setuptools.

usage: wheel.py LIBRARY FOLDER

The library is stripped and gets a copy of the system's libgomp beside it. That copy has a name of its own, since the
dynamic loader knows libraries by their names: asked for libgomp.so.1 it would hand out whatever came first under that
name in the process, conda's for example, which is clang's libomp. Two copies in a process do not meet: each has its own
threads, and those without work sleep.

Files have the same date and order each time, so that the same library gives the same bytes. Needs Debian's binutils and
patchelf.
"""
from __future__ import annotations

import base64
import csv
import ctypes
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SONAME = "libatrous.so.0"
# What the tag promises, by PEP 600: a system with glibc 2.36 and what GCC 12 brings with it.
TAG = f"py3-none-manylinux_2_36_{platform.machine()}"
NEWEST = {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)}
SYSTEM = re.compile(r"lib(c|m|stdc\+\+|gcc_s)\.so\.[0-9]+|ld-linux-[a-z0-9-]+\.so\.[0-9]+")
# Licences of what is inside: copied, and linked statically.
NOTICES = {"libgomp": "libgomp1", "libdeflate": "libdeflate-dev", "zlib": "zlib1g-dev", "libwebp": "libwebp-dev",
           "highway": "libhwy-dev", "eigen": "libeigen3-dev", "stb": "libstb-dev", "nlohmann-json": "nlohmann-json3-dev"}

METADATA = """Metadata-Version: 2.1
Name: atrous
Version: {version}
Summary: Semantic segmentation from published checkpoints, without a framework
License: MIT; the libgomp inside is GPL-3.0-or-later WITH GCC-exception-3.1
Requires-Python: >=3.9
Requires-Dist: numpy>=1.21
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Classifier: Typing :: Typed
Description-Content-Type: text/markdown
"""


def output(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def needed(library: Path) -> list[str]:
    return output("patchelf", "--print-needed", library).split()


def check(library: Path, own: str) -> None:
    """SystemExit for a library that has another name, or that needs more than the tag promises."""
    if output("patchelf", "--print-soname", library).strip() != library.name:
        raise SystemExit(f"{library.name} calls itself {output('patchelf', '--print-soname', library).strip()}")
    for name in needed(library):
        if name != own and not SYSTEM.fullmatch(name):
            raise SystemExit(f"{library.name} needs {name}, which systems of the tag {TAG} need not have")
    for prefix, numbers in set(re.findall(r"\s([A-Z]+)_([0-9.]+)$", output("objdump", "-p", library), re.M)):
        version = tuple(map(int, numbers.split(".")))
        if version > NEWEST.get(prefix, version):
            newest = ".".join(map(str, NEWEST[prefix]))
            raise SystemExit(f"{library.name} needs {prefix}_{numbers}; {TAG} has {newest}")


def libraries(library: Path, folder: Path) -> list[Path]:
    """libatrous and its libgomp, as they go into the package."""
    resolved = dict(re.findall(r"(\S+) => (\S+)", output("ldd", library)))
    gomp = Path(resolved["libgomp.so.1"]).resolve()
    digest = hashlib.sha256(gomp.read_bytes()).hexdigest()[:8]
    own_gomp, own = folder / f"libgomp-{digest}.so.1", folder / SONAME
    shutil.copy(gomp, own_gomp)
    shutil.copy(library, own)
    output("strip", "--strip-unneeded", own)
    output("patchelf", "--set-soname", own_gomp.name, own_gomp)
    for change in (("--set-soname", SONAME), ("--replace-needed", "libgomp.so.1", own_gomp.name),
                   ("--set-rpath", "$ORIGIN")):  # all at once, patchelf 0.14 mixes them up
        output("patchelf", *change, own)
    check(own, own_gomp.name)
    check(own_gomp, own_gomp.name)
    return [own, own_gomp]


def version_of(library: Path) -> str:
    function = ctypes.CDLL(str(library.resolve())).atrous_version
    function.restype = ctypes.c_char_p
    version: bytes = function()
    return version.decode()


def record(files: dict[str, bytes], own_name: str) -> bytes:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(data)])
    writer.writerow([own_name, "", ""])
    return rows.getvalue().encode()


def main(library: Path, folder: Path) -> None:
    files = {f"atrous/{path.name}": path.read_bytes()
             for path in sorted((HERE / "atrous").iterdir()) if path.suffix == ".py" or path.name == "py.typed"}
    with tempfile.TemporaryDirectory() as temporary:
        packed = libraries(library, Path(temporary))
        version = version_of(packed[0])  # so it can be loaded, too
        files.update((f"atrous/{path.name}", path.read_bytes()) for path in packed)
    info = f"atrous-{version}.dist-info"
    licences = {"LICENSE": HERE.parent.parent / "LICENSE", "GPL-3": Path("/usr/share/common-licenses/GPL-3")}
    licences.update((f"{name}.copyright", Path(f"/usr/share/doc/{package}/copyright"))
                    for name, package in NOTICES.items())
    files.update((f"{info}/{name}", path.read_bytes()) for name, path in licences.items())
    metadata = METADATA.format(version=version) + "".join(f"License-File: {name}\n" for name in licences)
    files[f"{info}/METADATA"] = f"{metadata}\n{(HERE / 'README.md').read_text()}".encode()
    files[f"{info}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: atrous ({version})\nRoot-Is-Purelib: false\n"
                              f"Tag: {TAG}\n").encode()
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")

    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"atrous-{version}-{TAG}.whl"
    unfinished = wheel.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compresslevel=9)
    os.replace(unfinished, wheel)
    print(f"{wheel}: {wheel.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
