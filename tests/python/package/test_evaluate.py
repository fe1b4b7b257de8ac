"""Scores of a small dataset, against their definition in numpy."""
import os
import signal
import threading
import time

import numpy as np

import atrous
from support import STREET, STREET_LABELS, Test, model


class Evaluate(Test):
    def dataset(self, images):
        """Pieces of the drawn street with its labels, some of them void."""
        folder = self.folder()
        (folder / "photos").mkdir()
        (folder / "labels").mkdir()
        street, truth = atrous.read_image(STREET), atrous.read_image(STREET_LABELS)[..., 0].copy()
        truth[:10] = 255
        for i in range(images):
            x = 17 * i % 200
            atrous.write_png(folder / f"photos/{i:03}.png", street[i % 50:, x:x + 240])
            atrous.write_png(folder / f"labels/{i:03}.png", truth[i % 50:, x:x + 240])
        return folder / "photos", folder / "labels"

    def scores(self, photos, labels, **options):
        """The confusion matrix and what follows from it, by numpy."""
        confusion = np.zeros((11, 11), np.int64)
        for file in sorted(photos.iterdir()):
            truth, found = atrous.read_image(labels / file.name)[..., 0], model()(file, **options).labels
            known = truth != 255
            np.add.at(confusion, (truth[known], found[known]), 1)
        both = confusion.sum(0) + confusion.sum(1)
        correct = np.diag(confusion)
        iou = correct[both > 0] / (both - correct)[both > 0]
        return iou, correct.sum() / confusion.sum()

    def test_mean_iou_is_its_definition(self):
        photos, labels = self.dataset(4)
        for rule, at in (("none", "input"), (180, "original")):
            report = atrous.evaluate(model(), photos, "pairs", labels=labels, resize=rule, at=at)
            iou, accuracy = self.scores(photos, labels, resize=rule)
            self.assertEqual((report["images"], report["failed"]), (4, []))
            self.assertAlmostEqual(report["summary"]["mean_iou"], iou.mean(), places=12)
            self.assertAlmostEqual(report["summary"]["pixel_accuracy"], accuracy, places=12)
            found = [each["iou"] for each in report["classes"] if each["iou"] is not None]
            np.testing.assert_allclose(found, iou, rtol=1e-12)
            self.assertEqual([each["name"] for each in report["classes"]], list(model().classes))

    def test_limit_and_progress(self):
        photos, labels = self.dataset(5)
        seen = []
        report = atrous.evaluate(model(), photos, "pairs", labels=labels, limit=3, resize="none",
                                 progress=lambda *progress: seen.append(progress))
        self.assertEqual((report["images"], seen), (3, [(1, 3), (2, 3), (3, 3)]))

    def test_broken_images_are_named_or_end_the_run(self):
        photos, labels = self.dataset(3)
        (photos / "001.png").write_bytes((photos / "001.png").read_bytes()[:500])
        report = atrous.evaluate(model(), photos, "pairs", labels=labels, resize="none")
        self.assertEqual((report["images"], len(report["failed"])), (2, 1))
        self.assertIn("001.png", str(report["failed"]))
        self.refused("malformed", "001.png", atrous.evaluate, model(), photos, "pairs", labels=labels, strict=True)

    def test_exceptions_in_progress_end_the_run(self):
        photos, labels = self.dataset(30)
        seen = []

        def progress(done, _):
            seen.append(done)
            raise KeyError("mine")
        with self.assertRaisesRegex(KeyError, "mine"):
            atrous.evaluate(model(), photos, "pairs", labels=labels, resize="none", progress=progress)
        self.assertEqual(seen, [1])

    def test_ctrl_c_ends_the_run(self):
        photos, labels = self.dataset(200)  # of a tenth of a second each
        begin = time.monotonic()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            atrous.evaluate(model(), photos, "pairs", labels=labels)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertFalse([thread for thread in threading.enumerate() if thread.name.startswith("atrous")])

    def test_refusals(self):
        folder = self.folder()
        for code, words, dataset, kind, options in (
                ("invalid_argument", "imagenet", folder, "imagenet", {}),
                ("io", "/nowhere", "/nowhere", "voc", {}),
                ("invalid_argument", "at: expected 'input' or 'original'", folder, "voc", {"at": "photo"}),
                ("invalid_argument", "limit: expected 1 to", folder, "voc", {"limit": 0}),
                ("invalid_argument", "kind: expected a str", folder, 7, {})):
            with self.subTest(words):
                self.refused(code, words, atrous.evaluate, model(), dataset, kind, **options)
