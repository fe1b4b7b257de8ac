"""What Python adds to a call. The figures are printed; the bars are loose, since others use the machine too."""
import hashlib
import os
import statistics
import threading
import time
from unittest import mock

import numpy as np

import atrous
from atrous import _library
from support import STREET, Test, model


def processors_to_be_had(seconds=3):
    """How many processors four threads get that hold no GIL: others may be at work on the machine."""
    data, begin, busy = bytes(10**7), time.perf_counter(), time.process_time()

    def work():
        while time.perf_counter() < begin + seconds:
            hashlib.sha256(data)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - busy) / (time.perf_counter() - begin)


def seconds_of_a_loop(passes):
    """The measure of a machine that is slower than the one that the bars were made for."""
    def once():
        begin = time.perf_counter()
        for _ in range(passes):
            pass
        return time.perf_counter() - begin
    return min(once() for _ in range(20))


class Speed(Test):
    def test_a_call_costs_little_beyond_the_library(self):
        """Without the time within the library's function, on a photo of 520 x 520: 0.2 ms, or 10,000 passes of a loop."""
        street = np.array(atrous.read_image(STREET))
        photo = np.resize(street, (520, 520, 3))
        inside, overheads = [], []

        def timed(*arguments):
            begin = time.perf_counter()
            status = segment(*arguments)
            inside.append(time.perf_counter() - begin)
            return status
        segment = _library.functions.segment
        with mock.patch.object(_library.functions, "segment", timed):
            for _ in range(100):
                begin = time.perf_counter()
                model()(photo, resize=(32, 32), threads=1).labels
                overheads.append(time.perf_counter() - begin - inside[-1])
        print(f"a call from Python costs {1e6 * statistics.median(overheads):.0f} us beyond the library's own "
              f"(best {1e6 * min(overheads):.0f})")
        self.assertLess(min(overheads), max(0.2e-3, seconds_of_a_loop(10_000)))

    def test_threads_of_python_use_the_processors(self):
        """ATROUS_SPEED=1000 measures so many photos; otherwise a few, while the machine is busy with other tests."""
        photos, to_be_had = int(os.environ.get("ATROUS_SPEED", 40)), processors_to_be_had()
        small = np.array(atrous.read_image(STREET)[::2, ::2])
        begin, busy = time.perf_counter(), time.process_time()
        for _ in model().map((small for _ in range(photos)), threads=4, resize="none"):
            pass
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        to_be_had = (to_be_had + processors_to_be_had()) / 2
        print(f"{photos} photos of 240x180 by 4 threads of Python: {seconds:.2f} s, {busy / seconds:.2f} processors "
              f"busy, of {len(os.sched_getaffinity(0))}; sha256 in 4 threads gets {to_be_had:.2f}")
        if "ATROUS_SPEED" in os.environ:
            self.assertGreater(busy / seconds, 0.85 * to_be_had)
