"""Loading: what models say of themselves, where they come from, what is refused; batches against torch."""
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time

from unittest import mock

import numpy as np

import atrous
from atrous import _library
from support import SOURCE, STREET, Test, library_or_skip, model, run_cli


class Models(Test):
    def test_what_a_model_says_of_itself(self):
        street = model()
        self.assertEqual(street.classes, ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car",
                                          "pedestrian", "bicyclist"))
        self.assertEqual((street.task, street.channels, street.background), ("semantic", 11, None))
        self.assertEqual((street.palette.shape, street.palette.dtype), ((11, 3), np.uint8))
        np.testing.assert_allclose(street.mean, (.485, .456, .406), rtol=1e-6)  # torchvision's of ImageNet
        np.testing.assert_allclose(street.std, (.229, .224, .225), rtol=1e-6)
        self.assertEqual((street.range, street.bgr), (1, False))
        self.assertGreater(street.weight_bytes, 2.9e6)
        self.assertIn("11 classes, cpu", repr(street))
        voc = model("seeded:lraspp_mobilenet_v3_small")
        self.assertEqual((voc.architecture, voc.background, voc.classes[12]), ("lraspp_mobilenet_v3_small", 0, "dog"))

    def test_paths_and_bytes(self):
        torch = library_or_skip("torch")
        segmentation = library_or_skip("torchvision.models.segmentation")
        file = self.folder() / "own.pth"
        network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
        torch.save(network.state_dict(), file)
        by_path = atrous.load(file)
        self.assertEqual((by_path.architecture, len(by_path.classes)), ("lraspp_mobilenet_v3_large", 4))
        expected = by_path(STREET, resize=64).labels
        for other in (atrous.load(str(file)), atrous.load(file.read_bytes()), atrous.load(bytearray(file.read_bytes()))):
            self.same(other(STREET, resize=64).labels, expected)

    def test_refusals(self):
        for code, words, source, options in (
                ("io", "/nowhere/own.pth", "/nowhere/own.pth", {}),
                ("unsupported", "checkpoint: is a text file", b"nothing of the kind", {}),
                ("malformed", "net.pth", b"PK\3\4 and no more of it", {"name": "net.pth"}),
                ("invalid_argument", "abacus", "default", {"device": "abacus"}),
                ("invalid_argument", "fp7", "default", {"precision": "fp7"}),
                ("invalid_argument", "device: expected a str or a path, got int", "default", {"device": 1}),
                ("invalid_argument", "name_or_path: expected a str or a path, got NoneType", None, {}),
                ("invalid_argument", "threads: expected an int, got 'two'", "default", {"threads": "two"})):
            with self.subTest(words):
                self.refused(code, words, atrous.load, source, **options)

    def test_offline(self):
        with mock.patch.dict(os.environ, {"ATROUS_CACHE": str(self.folder()), "TORCH_HOME": str(self.folder())}):
            self.refused("io", "fcn_resnet50", atrous.load, "fcn_resnet50", offline=True)

    def test_threads_and_precision_are_taken(self):
        photo = atrous.read_image(STREET)
        expected = model()(photo).labels
        self.same(atrous.load(threads=1)(photo).labels, expected)
        self.same(model()(photo, threads=1).labels, expected)
        agreement = (atrous.load(precision="bf16")(photo).labels == expected).mean()
        self.assertTrue(.95 < agreement < 1, agreement)

    def test_errors_travel_between_processes(self):
        error = pickle.loads(pickle.dumps(atrous.Error("no such file", "io")))
        self.assertEqual((str(error), error.code, type(error)), ("no such file", "io", atrous.Error))


class Progress(Test):
    """Downloads are tested in C++; here what happens to Python's side of their progress."""

    def load(self, progress=None, steps=(0, 50, 100), pause=0):
        def downloading(name, options, out):  # what the library does of a checkpoint that is not here
            for done in steps:
                time.sleep(pause)
                if options.progress(None, done, 100):
                    raise atrous.Error("stopped", "stopped")
            return real(name, options, out)
        real = _library.functions.model_load
        with mock.patch.object(_library.functions, "model_load", downloading):
            return atrous.load("default", progress=progress)

    def test_is_called(self):
        seen = []
        self.load(lambda *progress: seen.append(progress))
        self.assertEqual(seen, [(0, 100), (50, 100), (100, 100)])

    def test_exceptions_are_not_lost(self):
        def interrupted(done, _):
            seen.append(done)
            raise KeyboardInterrupt
        seen = []
        with self.assertRaises(KeyboardInterrupt):
            self.load(interrupted)
        self.assertEqual(seen, [0])

    def test_ctrl_c_ends_a_download(self):
        begin = time.monotonic()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            self.load(steps=range(100), pause=0.2)
        self.assertLess(time.monotonic() - begin, 10)


class Batches(Test):
    def test_parity_with_torchvision(self):
        torch = library_or_skip("torch")
        segmentation = library_or_skip("torchvision.models.segmentation")
        file = self.folder() / "network.pth"
        for name in ("lraspp_mobilenet_v3_large", "fcn_resnet50"):
            torch.manual_seed(7)
            network = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21).eval()
            for norm in network.modules():  # as training leaves them
                if isinstance(norm, torch.nn.BatchNorm2d):
                    norm.running_mean.normal_(0, .1)
                    norm.running_var.uniform_(.6, 1.6)
            torch.save(network.state_dict(), file)
            batch = torch.randn(2, 3, 97, 130)
            with torch.no_grad():
                expected = network(batch)["out"].numpy()
            own = atrous.load(file)
            found = own.logits(batch)
            largest = np.abs(expected).max()
            self.assertEqual((found.shape, found.dtype), (expected.shape, np.float32))
            self.assertLess(np.abs(found - expected).max() / largest, 2e-5)
            self.same(own.logits(batch.permute(0, 2, 3, 1).numpy()), found.transpose(0, 2, 3, 1))
            margins = np.diff(np.sort(expected, 1)[:, -2:], axis=1)[:, 0]  # between the two best classes
            for i, result in enumerate(own.batch(batch)):
                clear = margins[i] > 4e-5 * largest
                self.assertGreater(clear.mean(), .99)
                self.same(result.labels[clear], expected[i].argmax(0)[clear])

    def test_bfloat16_is_taken_as_float32(self):
        torch = library_or_skip("torch")
        batch = torch.randn(1, 3, 32, 32).bfloat16()
        self.same(model().logits(batch), model().logits(batch.float()))

    def test_a_photo_normalised_by_hand_is_the_photo(self):
        street = atrous.read_image(STREET)
        photo = model()(street, logits=True, resize="none")
        batch = ((street / np.float32(255) - np.float32(model().mean)) / np.float32(model().std))[None]
        np.testing.assert_allclose(model().logits(batch)[0], photo.logits, atol=1e-3)
        result, = model().batch(batch, confidence=True)
        self.assertGreater((result.labels == photo.labels).mean(), .9999)
        self.refused("invalid_argument", "photo is NULL", result.overlay)
        self.assertEqual(result._repr_png_(), atrous.encode_png(result.mask()))

    def test_refusals(self):
        for words, batch in (("expected floats, normalised, got uint8", np.zeros((1, 8, 8, 3), np.uint8)),
                             ("this one is 8 x 8 x 3", np.zeros((8, 8, 3), np.float32)),
                             ("this one is 1 x 3 x 8 x 8", np.zeros((1, 3, 8, 8), np.float32)),
                             ("this one is 0 x 8 x 8 x 3", np.zeros((0, 8, 8, 3), np.float32))):
            with self.subTest(words):
                self.refused("invalid_argument", words, model().logits, batch)
        self.refused("invalid_argument", "is inf", model().logits, np.full((1, 33, 33, 3), np.inf, np.float32))


class TheLibrary(Test):
    """Which libatrous is taken, in processes of their own."""

    def imported(self, **environment):
        package = os.path.dirname(os.path.dirname(atrous.__file__))
        return subprocess.run([sys.executable, "-c", "import atrous; print(atrous.__version__)"], capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": package, **environment})

    def test_version(self):
        self.assertEqual(self.imported().stdout.strip(), atrous.__version__)
        if os.environ.get("ATROUS_CLI"):
            self.assertIn(atrous.__version__, run_cli("--version"))

    def test_one_that_is_named_but_not_there(self):
        said = self.imported(ATROUS_LIBRARY="/nowhere/libatrous.so").stderr.splitlines()[-1]
        self.assertTrue(said.startswith("ImportError: atrous needs its library: /nowhere/libatrous.so: "), said)
        self.assertIn("ATROUS_LIBRARY", said)

    def test_one_that_is_another_library(self):
        said = self.imported(ATROUS_LIBRARY="libm.so.6").stderr.splitlines()[-1]
        self.assertEqual(said, "ImportError: libm.so.6: no function atrous_version: is it libatrous.so.0?")

    def test_one_of_another_version(self):
        folder = self.folder()
        (folder / "another.c").write_text('const char* atrous_version(void) { return "1.2.0"; }')
        try:
            subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "another.so", folder / "another.c"], check=True)
        except FileNotFoundError as error:
            self.skipTest(f"skipped: {error}")
        said = self.imported(ATROUS_LIBRARY=str(folder / "another.so")).stderr.splitlines()[-1]
        self.assertIn("another.so is version 1.2.0; this package calls version 0", said)

    def test_the_structs_have_the_sizes_of_the_header(self):
        folder, header = self.folder(), SOURCE / "runtime/c"
        structs = {"image": _library.Image, "model_options": _library.ModelOptions, "model_info": _library.ModelInfo,
                   "session_options": _library.SessionOptions, "segment_options": _library.SegmentOptions,
                   "result_info": _library.ResultInfo, "instance": _library.InstanceInfo,
                   "draw_options": _library.DrawOptions, "evaluate_options": _library.EvaluateOptions}
        lines = [f'printf("%zu\\n", sizeof(atrous_{struct}));' for struct in structs]
        fields = [(struct, field) for struct, kind in structs.items() for field, _ in kind._fields_]
        lines += [f'printf("%zu\\n", offsetof(atrous_{struct}, {field}));' for struct, field in fields]
        (folder / "sizes.c").write_text('#include <stdio.h>\n#include "atrous_c.h"\nint main(void) {' + "\n".join(lines)
                                        + "return 0; }")
        try:
            subprocess.run(["cc", "-I", header, "-o", folder / "sizes", folder / "sizes.c"], check=True)
        except FileNotFoundError as error:
            self.skipTest(f"skipped: {error}")
        found = [int(line) for line in subprocess.run([folder / "sizes"], capture_output=True, text=True,
                                                      check=True).stdout.split()]
        expected = [ctypes.sizeof(kind) for kind in structs.values()]
        expected += [getattr(structs[struct], field).offset for struct, field in fields]
        self.assertEqual(found, expected)


class Types(Test):
    def test_mypy_has_no_objection(self):
        library_or_skip("mypy")
        source = SOURCE / "runtime/python/atrous"
        with tempfile.TemporaryDirectory() as cache:
            said = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, source],
                                  capture_output=True, text=True)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)


