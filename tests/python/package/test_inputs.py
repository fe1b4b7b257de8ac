"""Whatever holds a photo gives the same labels; what does not is refused in a sentence."""
import functools

import numpy as np

import atrous
from support import STREET, Test, library_or_skip, model


class Inputs(Test):
    @classmethod
    def setUpClass(cls):
        cls.street = atrous.read_image(STREET)
        cls.expected = model()(STREET).labels

    def segmented_alike(self, image):
        self.same(model()(image).labels, self.expected)

    def test_paths_and_bytes_of_files(self):
        self.segmented_alike(str(STREET))
        self.segmented_alike(STREET)
        self.segmented_alike(STREET.read_bytes())
        self.segmented_alike(bytearray(STREET.read_bytes()))

    def test_arrays(self):
        self.segmented_alike(self.street)
        self.segmented_alike(np.dstack([self.street, np.zeros(self.street.shape[:2], np.uint8)]))  # RGBA
        self.segmented_alike(self.street.tolist() and np.array(self.street.tolist(), np.uint8))

    def test_arrays_that_do_not_lie_in_order(self):
        height, width, _ = self.street.shape
        self.segmented_alike(np.asfortranarray(self.street))
        self.segmented_alike(np.ascontiguousarray(self.street[::-1])[::-1])  # negative strides
        self.segmented_alike(np.ascontiguousarray(self.street[:, ::-1])[:, ::-1])
        self.segmented_alike(np.ascontiguousarray(self.street[..., ::-1])[..., ::-1])
        wider = np.zeros((height, width + 5, 3), np.uint8)
        wider[:, 2:-3] = self.street
        self.segmented_alike(wider[:, 2:-3])  # rows that do not adjoin
        self.segmented_alike(np.repeat(np.repeat(self.street, 2, 0), 3, 1)[::2, ::3])

    def test_a_single_row(self):
        row = np.arange(20, dtype=np.uint8).reshape(1, 20)
        expected = model()(row).labels
        self.same(model()(np.ascontiguousarray(row.T).T).labels, expected)
        self.same(model()(np.repeat(row[:, :, None], 3, 2)).labels, expected)

    def test_anything_with_an_array_interface(self):
        class Frame:
            __array_interface__ = self.street.__array_interface__

        class Convertible:
            def __array__(_, dtype=None):
                return self.street

        self.segmented_alike(Frame())
        self.segmented_alike(Convertible())
        self.segmented_alike(memoryview(np.ascontiguousarray(self.street)))

    def test_grey_is_rgb_of_equal_channels(self):
        grey = self.street[..., 1]
        expected = model()(np.dstack([grey] * 3)).labels
        self.same(model()(np.ascontiguousarray(grey)).labels, expected)
        self.same(model()(grey[..., None]).labels, expected)
        self.same(model()(np.broadcast_to(grey[0], grey.shape)).labels,
                  model()(np.repeat(grey[:1], len(grey), 0)).labels)

    def test_pillow(self):
        Image = library_or_skip("PIL.Image")
        opened = Image.open(STREET)
        self.segmented_alike(opened)
        self.segmented_alike(opened.convert("RGBA"))
        paletted = opened.quantize(8)
        self.same(model()(paletted).labels, model()(np.asarray(paletted.convert("RGB"))).labels)
        self.same(model()(opened.convert("L")).labels, model()(np.asarray(opened.convert("L"))).labels)
        self.refused("invalid_argument", "mode I", model(), Image.new("I", (8, 8)))

    def test_torch(self):
        torch = library_or_skip("torch")
        tensor = torch.from_numpy(self.street.copy()).permute(2, 0, 1)
        self.segmented_alike(tensor)
        self.segmented_alike(tensor.contiguous())
        self.same(model()(tensor[1]).labels, model()(self.street[..., 1]).labels)
        self.refused("invalid_argument", "a tensor is channels x height x width, of 1, 3 or 4 channels; this one is "
                     "360 x 480 x 3", model(), tensor.permute(1, 2, 0))
        self.refused("invalid_argument", "this one is 1 x 3 x 360 x 480", model(), tensor[None])
        self.refused("invalid_argument", "got float32", model(), tensor.float())

    def test_torchvision_reads_the_same_photo(self):
        io = library_or_skip("torchvision.io")
        try:
            tensor = io.read_image(str(STREET))
        except RuntimeError as error:  # a build without image readers
            self.skipTest(f"skipped: {error}")
        self.segmented_alike(tensor)

    def test_refusals(self):
        photo = np.zeros((8, 9, 3), np.uint8)
        for words, image in (
                ("got float32", photo.astype(np.float32)),
                ("got float64", np.zeros((8, 9))),
                ("got int64", photo.astype(np.int64)),
                ("got bool", photo.astype(bool)),
                ("got object", None),
                ("got object", photo.astype(object)),
                ("this one is 3 x 8 x 9", np.zeros((3, 8, 9), np.uint8)),
                ("this one is 8 x 9 x 2", photo[..., :2]),
                ("this one is 1 x 8 x 9 x 3", photo[None]),
                ("this one is 8", photo[:, 0, 0]),
                ("a single number", np.uint8(3)),
                ("0 x 9 x 3 has no pixels", photo[:0]),
                ("8 x 0 has no pixels", photo[:, :0, 0])):
            with self.subTest(words):
                self.refused("invalid_argument", words, model(), image)

    def test_files_that_are_none(self):
        self.refused("io", "/nowhere/dog.jpg", model(), "/nowhere/dog.jpg")
        self.refused("malformed", "photo", model(), STREET.read_bytes()[:1000])
        self.refused("invalid_argument", "a zero in it", model(), "dog\0.jpg")


class Options(Test):
    def test_sizes(self):
        street = atrous.read_image(STREET)
        self.assertEqual(model()(street, resize="none").input_size, (480, 360))
        self.assertEqual(model()(street, resize=90).input_size, (120, 90))
        small = model()(street, resize=(100, 60), at="input")
        self.assertEqual((small.input_size, small.labels.shape), ((100, 60), (60, 100)))
        self.assertEqual(model()(street, resize=np.int64(90)).input_size, (120, 90))

    def test_refusals(self):
        street = atrous.read_image(STREET)
        for words, options in (("resize: expected 'none'", {"resize": "all"}), ("resize: expected 1 to", {"resize": 0}),
                               ("resize: expected (width, height), got 3", {"resize": (1, 2, 3)}),
                               ("resize: expected an int, got 1.5", {"resize": 1.5}),
                               ("got 1099511627776", {"resize": 2**40}),  # which ctypes would make 0
                               ("at: expected 'photo' or 'input', got 'network'", {"at": "network"}),
                               ("threshold: expected a number above 0", {"threshold": 0}),
                               ("threshold: expected a number, got 'half'", {"threshold": "half"}),
                               ("max_instances: expected 1 to", {"max_instances": 0}),
                               ("threads: expected 0 to", {"threads": -1}),
                               ("memory_limit: expected 0 to", {"memory_limit": -1})):
            with self.subTest(words):
                self.refused("invalid_argument", words, model(), street, **options)
        self.refused("limit", "memory", model(), street, memory_limit=1000)
        self.assertEqual(model()(street).labels.shape, (360, 480))  # goes on

    def test_numbers_that_are_none(self):
        refuse = functools.partial(self.refused, "invalid_argument")
        for options, words in (({"resize": True}, "resize: expected an int, got True"),
                               ({"threads": True}, "threads: expected an int, got True"),
                               ({"memory_limit": False}, "memory_limit: expected an int"),
                               ({"threshold": 10**400}, "threshold: expected a number")):
            refuse(words, model(), STREET, **options)
        result = model()(STREET)
        for alpha in (None, [], -1, 10**400, True):
            refuse("alpha: expected a number", result.overlay, alpha=alpha)
        refuse("photo", model(), "\ud800.png")
        refuse("progress: expected a function, got 3", atrous.load, "default", progress=3)
