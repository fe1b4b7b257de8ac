"""Runs the tests of the Python package that can be imported.

usage: python3 tests/python/package [TEST ...]    test_inputs, test_results.Lifetimes; all by default

ATROUS_CLI names the program, for tests that compare with it. Exits 77 where nothing could be run.
"""
import os
import signal
import sys
import unittest
from pathlib import Path

# Threads that wait for work sleep, since others use the machine too: where these take a processor, a network of many layers
# runs five times as long while they spin.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# What a shell starts in the background ignores Ctrl-C, which tests send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import numpy  # noqa: F401  the package needs it
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

if __name__ == "__main__":
    names = sys.argv[1:] or sorted(file.stem for file in Path(__file__).parent.glob("test_*.py"))
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromNames(names))
    sys.exit(1 if not result.wasSuccessful() else 77 if len(result.skipped) == result.testsRun else 0)
