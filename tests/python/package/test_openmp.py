"""A host whose own OpenMP is another than atrous's: clang's libomp, or torch's, with regions before and after.

Each case is a process of its own, whose labels are compared with this one's.
"""
import os
import subprocess
import sys

import numpy as np

import atrous
from support import STREET, Test, library_or_skip, model

HOST = """
import ctypes, os, sys, threading
street, labels = sys.argv[1:3]
modes = {"local": ctypes.RTLD_LOCAL, "global": ctypes.RTLD_GLOBAL}

def libomp():
    return ctypes.CDLL("libomp.so.5", mode=modes[os.environ.get("HOST_MODE", "local")])

def region(omp):  # in which four threads meet
    seen, meeting = set(), threading.Barrier(4)
    work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def body(_):
        meeting.wait(20)
        seen.add(omp.omp_get_thread_num())
    omp.GOMP_parallel(work(body), None, 4, 0)
    assert seen == {0, 1, 2, 3}, seen

def segment():
    import atrous, numpy
    model = atrous.load()
    numpy.save(labels, model(street).labels)
    for result in model.map([street] * 4, threads=2):
        assert (result.labels == numpy.load(labels)).all()

def mapped(name):
    return any(name in line for line in open("/proc/self/maps"))
"""


class AnotherOpenMP(Test):
    def run_host(self, program, **environment):
        file = self.folder() / "labels.npy"
        package = os.path.dirname(os.path.dirname(atrous.__file__))
        done = subprocess.run([sys.executable, "-c", HOST + program, STREET, file], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": package, **environment}, timeout=120)
        if done.returncode and "libomp.so.5: cannot open" in done.stderr:
            self.skipTest("skipped: no libomp.so.5")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.same(np.load(file), model()(STREET).labels)

    def test_libomp_before_and_after(self):
        for mode in ("local", "global"):
            self.run_host("omp = libomp(); region(omp); segment(); region(omp); segment(); assert mapped('libomp')",
                          HOST_MODE=mode)

    def test_libomp_comes_later(self):
        for mode in ("local", "global"):
            self.run_host("segment(); omp = libomp(); region(omp); segment(); region(omp)", HOST_MODE=mode)

    def test_a_host_that_links_libomp(self):
        # Linked libraries come before all others, so that theirs are the functions of OpenMP that others find too.
        self.run_host("omp = libomp(); region(omp); segment(); region(omp); segment(); region(omp)",
                      LD_PRELOAD="libomp.so.5")

    def test_torch(self):
        library_or_skip("torch")
        multiply = "x = torch.randn(600, 600); expected = x @ x; "
        again = "assert torch.equal(x @ x, expected); "
        self.run_host("import torch; " + multiply + "segment(); " + again + "segment(); assert mapped('libgomp')")
        self.run_host("segment(); import torch; " + multiply + "segment(); " + again)
