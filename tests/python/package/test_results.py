"""Labels, confidences, pictures and instances: against the program, and against their definitions."""
import gc
import json
import weakref

import numpy as np

import atrous
from support import STREET, Test, library_or_skip, model, resident_bytes, run_cli


class Results(Test):
    @classmethod
    def setUpClass(cls):
        cls.street = atrous.read_image(STREET)
        cls.result = model()(cls.street, confidence=True, probabilities=True, logits=True)

    def test_files_are_those_of_the_program(self):
        folder = self.folder()
        run_cli("segment", STREET, "-o", folder, "--labels", "--confidence", "--cutout", "car", "-q")
        for what, picture in (("labels", self.result.labels), ("mask", self.result.mask()),
                              ("overlay", self.result.overlay()), ("confidence", self.result.confidence_picture())):
            self.result.save(folder / "own.png", what)
            self.assertEqual((folder / "own.png").read_bytes(), (folder / f"street.{what}.png").read_bytes(), what)
            self.assertEqual(atrous.encode_png(picture), (folder / "own.png").read_bytes())
        self.assertEqual(atrous.encode_png(self.result.cutout("car")),
                         (folder / "street.cutout-car.png").read_bytes())
        run_cli("segment", STREET, "-o", folder, "--indexed", "--alpha", "0", "--no-contours", "-q")
        self.result.save(folder / "own.png", "indexed")
        self.assertEqual((folder / "own.png").read_bytes(), (folder / "street.labels.png").read_bytes())
        self.same(self.result.overlay(alpha=0, contours=False), atrous.read_image(folder / "street.overlay.png"))

    def test_labels_are_the_most_probable_classes(self):
        labels, probabilities = self.result.labels, self.result.probabilities
        self.assertEqual((labels.dtype, labels.shape), (np.uint8, (360, 480)))
        self.assertEqual(probabilities.shape, (360, 480, len(model().classes)))
        self.same(labels, probabilities.argmax(2))
        np.testing.assert_allclose(self.result.confidence, probabilities.max(2), rtol=1e-6)
        np.testing.assert_allclose(probabilities.sum(2), 1, rtol=1e-5)
        scores = np.exp(self.result.logits - self.result.logits.max(2, keepdims=True))  # at the photo's size here
        np.testing.assert_allclose(probabilities, scores / scores.sum(2, keepdims=True), atol=1e-5)

    def test_classes_are_counted(self):
        found = self.result.classes
        self.assertEqual([each.share for each in found], sorted((each.share for each in found), reverse=True))
        self.assertEqual({each.label for each in found}, set(np.unique(self.result.labels)))
        for each in found:
            here = self.result.labels == each.label
            self.assertEqual((each.name, each.share), (model().classes[each.label], here.mean()))
            self.assertAlmostEqual(each.confidence, self.result.confidence[here].mean(), places=5)
        self.assertIsNone(model()(self.street).classes[0].confidence)
        self.assertIn("480x360: sky 3", repr(self.result))

    def test_pictures_follow_their_definitions(self):
        colours = model().palette[self.result.labels]
        self.same(self.result.mask(), colours)
        car = model().classes.index("car")
        cutout = self.result.cutout(car)
        self.same(cutout[..., 3] > 0, self.result.labels == car)
        self.same(cutout[cutout[..., 3] > 0, :3], self.street[self.result.labels == car])
        tinted = self.result.overlay(alpha=1, contours=False, background=True)
        self.same(tinted, colours)
        small = model()(self.street, resize=(120, 90), at="input")
        self.assertEqual(small.overlay().shape, (90, 120, 3))
        Image = library_or_skip("PIL.Image")
        self.same(small.underlay(), np.asarray(Image.fromarray(self.street.copy()).resize((120, 90), 2)))

    def test_what_was_not_asked_for_is_an_error(self):
        plain = model()(self.street)
        for what in ("confidence", "probabilities", "logits"):
            self.refused("invalid_argument", f"has no {what}: ask for it, model(image, {what}=True)",
                         lambda: getattr(plain, what))
        self.refused("invalid_argument", "", plain.confidence_picture)
        self.refused("invalid_argument", "'dog'", plain.cutout, "dog")
        self.refused("invalid_argument", "'sheet'", plain.save, "street.png", "sheet")
        self.refused("io", "/nowhere/a.png", plain.save, "/nowhere/a.png")
        plain.photo = self.street[1:]
        self.refused("invalid_argument", "", plain.overlay)

    def test_a_crf_follows_the_program(self):
        folder = self.folder()
        run_cli("segment", STREET, "-o", folder, "--labels", "--crf", "-q")
        sharp = model()(self.street, crf=True).labels
        self.assertEqual(atrous.encode_png(sharp), (folder / "street.labels.png").read_bytes())

    def test_notebooks_show_the_overlay(self):
        self.assertEqual(self.result._repr_png_(), atrous.encode_png(self.result.overlay()))
        page = self.result._repr_html_()
        self.assertTrue(page.startswith('<img src="data:image/png;base64,iVBOR'), page[:60])
        self.assertIn("sky 3", page)
        large = model()(np.repeat(np.repeat(self.street, 5, 0), 5, 1), resize=(120, 90))
        self.assertEqual(atrous.read_image(large._repr_png_()).shape, (600, 800, 3))

    def test_png_is_read_back(self):
        folder = self.folder()
        palette = atrous.voc_palette(21)
        self.same(palette[[0, 1, 15, 20]], [[0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128]])  # the devkit's
        indices = np.arange(21, dtype=np.uint8).reshape(3, 7)
        atrous.write_png(folder / "indexed.png", indices, palette)
        self.same(atrous.read_image(folder / "indexed.png"), palette[indices])
        self.refused("invalid_argument", "", atrous.write_png, folder / "short.png", indices, palette[:20])
        self.assertFalse((folder / "short.png").exists())
        self.refused("invalid_argument", "palette: expected uint8, colours x 3, got float64, 21 x 3",
                     atrous.encode_png, indices, palette / 255)


class Lifetimes(Test):
    def test_arrays_outlive_their_result_and_model(self):
        own = atrous.load("default")
        result = own(STREET, confidence=True)
        labels, confidence, palette, overlay = result.labels, result.confidence, own.palette, result.overlay()
        expected = [array.copy() for array in (labels, confidence, palette, overlay)]
        handle = weakref.ref(result._handle)
        del own, result
        gc.collect()
        for _ in range(3):
            model()(STREET)  # takes what memory was freed
        for array, before in zip((labels, confidence, palette, overlay), expected):
            self.same(array, before)
        self.assertIsNotNone(handle())
        del labels, confidence, palette, overlay, array, before
        self.assertIsNone(handle())

    def test_arrays_are_the_librarys_memory_and_read_only(self):
        result = model()(STREET)
        self.assertEqual(result.labels.ctypes.data, result._info.labels)
        for array in (result.labels, model().palette, result.mask(), atrous.read_image(STREET)):
            with self.assertRaises(ValueError):
                array[0] = 0

    def test_the_photo_is_not_copied(self):
        photo = np.array(atrous.read_image(STREET))
        self.assertIs(model()(photo).photo, photo)

    def test_loading_and_calling_leave_nothing_behind(self):
        photo = np.zeros((64, 64, 3), np.uint8)

        def load_and_call(times):
            for _ in range(times):
                atrous.load("default")(photo, resize="none", confidence=True).overlay()
        load_and_call(20)
        before = resident_bytes()
        load_and_call(200)  # of 6 MB each
        self.assertLess(resident_bytes() - before, 3e6)


class Instances(Test):
    name = "seeded:maskrcnn_resnet50_fpn"

    def test_instances_are_those_of_the_program(self):
        folder = self.folder()
        report = json.loads(run_cli("segment", STREET, "-m", self.name, "-o", folder, "--resize", "64", "--json", "-"))
        result = model(self.name)(STREET, resize=64)
        self.assertEqual(model(self.name).task, "instances")
        self.assertEqual(len(result.instances), len(report))
        self.assertGreater(len(report), 0)
        for found, expected in zip(result.instances, report):
            x1, y1, x2, y2 = found.box
            np.testing.assert_allclose([x1, y1, x2 - x1, y2 - y1], expected["bbox"], atol=0.01)
            self.assertAlmostEqual(found.score, expected["score"], places=6)
            self.assertEqual((found.name, model(self.name).classes[found.label]), (expected["category"],) * 2)
            self.assertEqual(found.mask.shape, (360, 480))
            self.assertEqual(found.mask.dtype, np.bool_)
            self.same(found.mask_at(0.9) & ~found.mask, False)  # a higher bar leaves less
        self.same(result.overlay(), atrous.read_image(folder / "street.overlay.png"))
        first = result.instances[0]
        self.same(result.labels[first.mask], first.label)  # nothing has a higher score
        self.assertIn(first.name, repr(first))

    def test_options(self):
        self.assertEqual(len(model(self.name)(STREET, resize=64, max_instances=2).instances), 2)
        self.assertEqual(len(model(self.name)(STREET, resize=64, score=0.99999).instances), 0)
        self.assertGreater(len(model(self.name)(STREET, resize=64, score=0).instances), 0)
        self.assertEqual(model()(STREET).instances, [])
