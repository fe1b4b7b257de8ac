"""Forked children go on with their parent's model; spawned ones get it pickled."""
import multiprocessing
import os
import pickle
import threading

import numpy as np

import atrous
from support import STREET, Test, library_or_skip, model


def labels_of(own, photo):
    return own(photo, resize="none").labels


def hand_over(connection, own, photo):
    connection.send(labels_of(own, photo))


def fail(_):
    model()("/nowhere/a.png")


class Processes(Test):
    @classmethod
    def setUpClass(cls):
        cls.photo = np.array(atrous.read_image(STREET)[:120, :160])
        cls.expected = labels_of(model(), cls.photo).copy()  # OpenMP's threads are there before the fork

    def in_child(self, method):
        context = multiprocessing.get_context(method)
        here, there = context.Pipe()
        child = context.Process(target=hand_over, args=(there, model(), self.photo))
        child.start()
        self.assertTrue(here.poll(60), f"{method}: no answer for a minute")
        self.same(here.recv(), self.expected)
        child.join()
        self.assertEqual(child.exitcode, 0)

    def test_fork(self):
        self.in_child("fork")
        self.same(labels_of(model(), self.photo), self.expected)

    def test_spawn(self):
        self.in_child("spawn")

    def test_forkserver(self):
        self.in_child("forkserver")

    def test_fork_while_other_threads_segment(self):
        ends = threading.Event()

        def work():
            while not ends.is_set():
                labels_of(model(), self.photo)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                self.in_child("fork")
        finally:
            ends.set()
            for thread in threads:
                thread.join()

    def test_pools(self):
        for method in ("fork", "spawn"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                for labels in pool.starmap(labels_of, [(model(), self.photo)] * 4):
                    self.same(labels, self.expected)
                self.refused("io", "/nowhere/a.png", pool.map, fail, [0])

    def test_a_forked_child_has_threads_of_its_own(self):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                list(model().map([self.photo] * 4, threads=2))
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_pickled_model_is_how_it_was_loaded(self):
        own = atrous.load("default", threads=1, precision="bf16", progress=lambda *_: None)
        again = pickle.loads(pickle.dumps(own))
        self.assertEqual(repr(again), repr(own))
        self.assertEqual(again._threads, 1)
        self.same(labels_of(again, self.photo), labels_of(own, self.photo))
        self.assertLess(len(pickle.dumps(own)), 500)

    def test_a_model_from_bytes_takes_them_along(self):
        torch = library_or_skip("torch")
        segmentation = library_or_skip("torchvision.models.segmentation")
        file = self.folder() / "own.pth"
        torch.save(segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(), file)
        own = atrous.load(file.read_bytes())
        file.unlink()
        self.same(labels_of(pickle.loads(pickle.dumps(own)), self.photo), labels_of(own, self.photo))

    def test_a_result_says_why_it_cannot_be_pickled(self):
        with self.assertRaisesRegex(TypeError, "send its arrays, result.labels"):
            pickle.dumps(model()(self.photo))
