"""What the package's tests share: the drawn street, the program beside the package, and libraries that may be missing."""
import ctypes
import gc
import importlib
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

import atrous

SOURCE = Path(__file__).resolve().parents[3]
STREET = SOURCE / "tests/street/street.png"
STREET_LABELS = SOURCE / "tests/street/street.labels.png"
CLI = os.environ.get("ATROUS_CLI")

_models = {}


def model(name="default"):
    """Loaded once for all tests."""
    if name not in _models:
        _models[name] = atrous.load(name)
    return _models[name]


def library_or_skip(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise unittest.SkipTest(f"skipped: {error}")


def run_cli(*arguments):
    if not CLI:
        raise unittest.SkipTest("skipped: ATROUS_CLI does not name the program")
    return subprocess.run([CLI, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


# One heap for all threads: with one for each, how much stays between pieces that are used is chance, tens of megabytes.
ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


def resident_bytes():
    """Without what the C library keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Test(unittest.TestCase):
    def folder(self):
        """An empty folder for one test."""
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        return Path(temporary.name)

    def refused(self, code, words, function, *arguments, **options):
        """Checks that a call is refused by an Error of this code, whose sentence holds these words."""
        with self.assertRaises(atrous.Error) as caught:
            function(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertIn(words, str(caught.exception))

    def same(self, found, expected):
        np.testing.assert_array_equal(found, expected)
