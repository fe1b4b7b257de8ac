"""One model, many threads of Python."""
import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np

import atrous
from support import STREET, Test, model, resident_bytes


class Threads(Test):
    @classmethod
    def setUpClass(cls):
        street = atrous.read_image(STREET)
        cls.photos = [np.roll(street, 40 * i, 1)[:120 + 8 * i, :160] for i in range(8)]
        cls.expected = [model()(photo, resize="none").labels.copy() for photo in cls.photos]

    def test_eight_threads_on_one_model(self):
        def work(first):
            for i in range(first, first + 12):
                self.same(model()(self.photos[i % 8], resize="none", threads=i % 2).labels, self.expected[i % 8])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(work, first) for first in range(8)]:
                done.result()

    def test_threads_that_come_and_go_leave_no_sessions(self):
        own, alive = atrous.load("default"), []

        def work():
            session, idle = own._session(0, 0)
            alive.append(weakref.ref(session))
            barrier.wait()
            idle.append(session)
        for _ in range(10):
            barrier = threading.Barrier(16)
            threads = [threading.Thread(target=work) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        gc.collect()
        self.assertEqual(len(alive), 160)
        self.assertLessEqual(len({session() for session in alive} - {None}), len(os.sched_getaffinity(0)))

    def test_other_threads_run_during_a_call(self):
        large = np.tile(self.photos[7], (6, 6, 1))
        beats, ends = [], []

        def beat():
            while not ends:
                beats.append(time.perf_counter())
                time.sleep(0.002)
        thread = threading.Thread(target=beat)
        thread.start()
        begin = time.perf_counter()
        model()(large, resize="none", threads=1)
        ends.append(time.perf_counter())
        thread.join()
        self.assertGreater(sum(begin < at < ends[0] for at in beats), (ends[0] - begin) / 0.05)  # else none

    def test_map_gives_results_in_order(self):
        for threads in (None, 1, 4):
            results = model().map(self.photos, resize="none", threads=threads)
            for result, expected in zip(results, self.expected):
                self.same(result.labels, expected)
        self.assertEqual(list(model().map([])), [])

    def test_map_is_bounded(self):
        taken = []

        def endless():
            while True:
                taken.append(1)
                yield self.photos[0]
        results = model().map(endless(), threads=2, resize="none")
        for _ in range(5):
            next(results)
            self.assertLessEqual(len(taken), 5 + 4)
        results.close()
        self.assertLessEqual(threading.active_count(), 1 + 2)

    def test_map_ends_with_the_first_error(self):
        results = model().map([self.photos[0], "/nowhere/a.png", self.photos[1]], resize="none")
        self.same(next(results).labels, self.expected[0])
        self.refused("io", "/nowhere/a.png", next, results)
        self.assertRaises(StopIteration, next, results)

    def test_sessions_with_a_limit_do_not_pile_up(self):
        photo = np.zeros((360, 480, 3), np.uint8)
        model()(photo, memory_limit=10**9)
        before = resident_bytes()
        for i in range(10):
            model()(photo, memory_limit=10**9 + i)
        self.assertLess(resident_bytes() - before, 60e6)  # each takes 26 MB

    def test_a_thread_goes_on_when_the_program_has_come_to_its_end(self):
        program = """
import threading, time, atrous
def later():
    time.sleep(0.3)
    try:
        atrous.evaluate(atrous.load(), "/no/such/folder", "voc")
    except atrous.Error as error:
        print(error.code)
threading.Thread(target=later).start()
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(atrous.__file__))})
        self.assertEqual((done.stdout, done.stderr), ("io\n", ""))
