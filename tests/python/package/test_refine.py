"""Test protocols, tiles, dense CRFs and devices: against the program, against what publishers' code gives, and against
their definitions."""
import json
import math

import numpy as np

import atrous
from support import SOURCE, STREET, STREET_LABELS, Test, library_or_skip, model, run_cli


class Refined(Test):
    @classmethod
    def setUpClass(cls):
        cls.street = atrous.read_image(STREET)

    def as_program(self, options, *arguments):
        """Labels of a call are those in the file that the program writes, of tiles row by row."""
        folder = self.folder()
        run_cli("segment", STREET, "-o", folder, "--labels", "--no-mask", "--no-overlay", "-q", *arguments)
        found = model()(self.street, **options).labels
        self.same(found, atrous.read_image(folder / "street.labels.png")[..., 0])
        return found

    def test_protocols_are_those_of_the_program(self):
        once = model()(self.street).labels
        several = self.as_program({"scales": (0.5, 1), "flip": True}, "--scales", "0.5,1", "--flip")
        self.assertTrue((several != once).any())
        self.as_program({"scales": np.array([0.75]), "crf": True}, "--scales", "0.75", "--crf")
        self.as_program({"protocol": "torchvision"}, "--protocol", "torchvision")
        tiles = {"protocol": "semseg", "scales": [1], "base_size": 300, "tile": (201, 185), "overlap": 40}
        self.as_program(tiles, "--protocol", "semseg", "--scales", "1", "--base-size", "300", "--tile", "201x185", "--overlap", "40")

    def test_a_mirrored_photo_has_the_mirrored_answer(self):
        found = model()(self.street, flip=True, probabilities=True, resize="none").probabilities
        mirrored = model()(self.street[:, ::-1], flip=True, probabilities=True, resize="none").probabilities
        np.testing.assert_allclose(mirrored[:, ::-1], found, atol=1e-5)
        np.testing.assert_allclose(found.sum(2), 1, rtol=1e-5)

    def test_tiles_are_those_of_the_program(self):
        tiled = self.as_program({"tile": 200, "overlap": 32}, "--tile", "200", "--overlap", "32")
        self.as_program({"tile": 200}, "--tile", "200")
        self.as_program({"tile": 200, "overlap": 0}, "--tile", "200", "--overlap", "0")
        whole = model()(self.street, tile=1000, confidence=True)
        self.same(whole.labels, model()(self.street, resize="none").labels)
        self.assertTrue((tiled != whole.labels).any())
        self.assertEqual(whole.overlay().shape, self.street.shape)

    def test_parameters_of_a_crf_are_those_of_the_program(self):
        self.as_program({"crf": {"iterations": 3, "gaussian": (2, 4), "bilateral": (5, 30, 7)}},
                        "--crf", "--crf-iterations", "3", "--crf-gaussian", "2,4", "--crf-bilateral", "5,30,7")
        self.as_program({"crf": {"gaussian": (0, 1)}}, "--crf", "--crf-gaussian", "0,1")
        self.same(model()(self.street, crf={"iterations": 0}).labels, model()(self.street).labels)

    def test_a_crf_of_its_own_is_that_of_the_model(self):
        before = model()(self.street, probabilities=True).probabilities
        kept = before.copy()
        after = atrous.crf(self.street, before, iterations=4)
        self.same(before, kept)
        behind = model()(self.street, crf={"iterations": 4}, probabilities=True).probabilities
        np.testing.assert_allclose(after, behind, atol=2e-4)
        self.same(atrous.crf(STREET, before.astype(np.float64), iterations=4), after)
        torch = library_or_skip("torch")
        tensor = torch.from_numpy(kept.transpose(2, 0, 1).copy())
        found = atrous.crf(STREET, tensor, iterations=4)
        self.same(found, after.transpose(2, 0, 1))

    def test_a_crf_is_that_of_its_authors(self):
        data = SOURCE.parent / "shared/data/networks/densecrf"
        if not data.is_dir():
            self.skipTest("skipped: ../shared/data is absent")
        for folder in data.iterdir():
            logits = np.load(folder / "logits.npy")
            found = atrous.crf(folder / "image.png", logits.reshape(logits.shape[-3:]).transpose(1, 2, 0), logits=True,
                               iterations=10, gaussian=(3, 3), bilateral=(10, 80, 13))
            expected = np.load(folder / "q_kk2011_10.npy")
            np.testing.assert_allclose(found.transpose(2, 0, 1), expected.reshape(expected.shape[-3:]), atol=2e-4)

    def test_evaluation_with_them(self):
        report = atrous.evaluate(model(), STREET.parent, "pairs", labels=STREET.parent, limit=1, flip=True, crf={"iterations": 2})
        self.assertEqual((report["protocol"]["flip"], report["crf"]["iterations"]), (True, 2))
        truth = atrous.read_image(STREET_LABELS)[..., 0]
        known = truth != 255
        report = atrous.evaluate(model(), STREET.parent, "pairs", labels=STREET.parent, limit=1, at="original", tile=200)
        self.assertEqual(report["tiles"], {"tile": 200, "overlap": 25})
        right = (model()(self.street, tile=200).labels == truth)[known].mean()
        self.assertAlmostEqual(report["summary"]["pixel_accuracy"], right, places=12)

    def test_what_cannot_be_is_refused(self):
        def refused(words, **options):
            self.refused("invalid_argument", words, model(), self.street, **options)
        refused("tile: expected an int", tile=(200, 200))
        refused("tile: expected 1 to", tile=0)
        refused("scales: a tile without a protocol", tile=200, scales=(1, 2))
        refused("flip: a tile without a protocol", tile=200, flip=True)
        refused("crf: with tile", tile=200, crf=True)
        refused("probabilities and logits: with tile", tile=200, probabilities=True)
        refused("an overlap of 200 pixels", tile=200, overlap=200)
        refused("overlap: of which tiles?", overlap=3)
        refused("scales: expected numbers", scales=())
        refused("scales: expected numbers", scales=0.5)
        refused("scales: expected a number, got 'x'", scales=["x"])
        refused("scale 9", scales=[9])
        refused("scale nan", scales=[math.nan])
        refused("abacus", protocol="abacus")
        refused("single run", protocol="torchvision", flip=True)
        refused("no tiles", base_size=300)
        refused("tile: expected (width, height), got 3", protocol="semseg", tile=(1, 2, 3))
        refused("no logits to keep", flip=True, logits=True)
        refused("crf: expected True, False or a dictionary, got 3", crf=3)
        refused("crf: expected iterations, gaussian and bilateral, got 'sigma'", crf={"sigma": 3})
        refused("gaussian: expected (weight, xy), got 3", crf={"gaussian": 3})
        refused("bilateral, xy: expected a number above 0, got 0", crf={"bilateral": (4, 0, 3)})
        refused("gaussian, weight: expected a number from 0, got -1", crf={"gaussian": (-1, 3)})
        refused("iterations: expected 0 to 1000, got 1001", crf={"iterations": 1001})

        def refused_crf(words, values, **options):
            self.refused("invalid_argument", words, atrous.crf, self.street, values, **options)
        refused_crf("values: expected floats, got uint8", self.street)
        refused_crf("values: ", [[1.0], [2.0, 3.0]])
        self.refused("invalid_argument", "photo: ", atrous.crf, [[1], [2, 3]], [[[0.5]]])
        refused_crf("this one is 360 x 480", np.zeros((360, 480), np.float32))
        refused_crf("of the photo's 360 x 480 pixels", np.zeros((11, 360, 480), np.float32))
        refused_crf("classes: expected 2 or more, found 1", np.zeros((360, 480, 1), np.float32))
        refused_crf("a probability of -1 of class 2 at pixel 1", np.array([0, 0, 0, 0, 0, -1] + [0] * (360 * 480 * 3 - 6), np.float32).reshape(360, 480, 3))
        self.refused("limit", "", atrous.crf, self.street, np.ones((360, 480, 3), np.float32), memory_limit=1)


class Batches(Test):
    def test_overlays_of_a_batch(self):
        photos = [np.ascontiguousarray(atrous.read_image(STREET)[:96, x:x + 128]) for x in (0, 100)]
        own = model()
        mean, std = np.array(own.mean, np.float32), np.array(own.std, np.float32)
        batch = (np.stack(photos).astype(np.float32) * own.range / 255 - mean) / std
        for result, photo in zip(own.batch(batch, photos=photos), photos):
            alone = own(photo, resize="none")
            self.same(result.labels, alone.labels)
            self.same(result.overlay(), alone.overlay())
            self.same(result.cutout("sky"), alone.cutout("sky"))
            self.assertIs(result.photo, photo)
        self.refused("invalid_argument", "photo is NULL", own.batch(batch)[0].overlay)
        self.refused("invalid_argument", "photos: expected 2, as many as the batch has, got 1", own.batch, batch, photos=photos[:1])
        self.refused("invalid_argument", "photos: expected the batch's 96 x 128 pixels, got 95 x 128", own.batch, batch,
                     photos=[photos[0], photos[1][1:]])


class Devices(Test):
    def test_devices_are_those_of_the_program(self):
        report = json.loads(run_cli("devices", "--json"))
        found = atrous.devices()
        self.assertEqual([each.device for each in found], [each["device"] for each in report["devices"]])
        self.assertEqual([each.kind for each in found], [each["kind"] for each in report["devices"]])
        self.assertEqual([each.name for each in found], [each.get("name", "") for each in report["devices"]])
        self.assertEqual([each.memory_bytes for each in found], [each.get("memory_bytes", 0) for each in report["devices"]])
        self.assertEqual(found.why_none, report.get("why_none", ""))
        self.assertEqual(bool(found.why_none), len(found) == 1)
        self.assertGreater(found[0].threads, 0)
