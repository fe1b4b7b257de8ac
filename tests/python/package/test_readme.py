"""The READMEs' examples run, one after the other, in a folder with the files that they name."""
import contextlib
import io
import os
import re
import shutil

import numpy as np

import atrous
from support import SOURCE, STREET, STREET_LABELS, Test, library_or_skip


class Readmes(Test):
    def test_examples(self):
        library_or_skip("PIL.Image")
        torch = library_or_skip("torch")
        segmentation = library_or_skip("torchvision.models.segmentation")
        folder = self.folder()
        for part in ("photos", "labels"):
            (folder / part).mkdir()
        shutil.copy(STREET, folder / "street.png")
        shutil.copy(STREET, folder / "photos/1.png")
        shutil.copy(STREET_LABELS, folder / "labels/1.png")
        shutil.copy(STREET, folder / "dog.jpg")  # formats are told by their bytes
        # Checkpoints that would be downloaded: random weights.
        network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
        torch.save(network.state_dict(), folder / "seeded.pth")
        instead = {"deeplabv3_resnet101": "seeded:lraspp_mobilenet_v3_small", "lraspp_mobilenet_v3_large": "seeded.pth"}
        examples = []
        for readme in ("README.md", "runtime/python/README.md"):
            found = re.findall(r"^```python\n(.*?)^```", (SOURCE / readme).read_text(), re.M | re.S)
            self.assertTrue(found, readme)
            examples += found
        names, said = {}, io.StringIO()
        load, before = atrous.load, os.getcwd()
        made = segmentation.lraspp_mobilenet_v3_large
        atrous.load = lambda name="default", **options: load(instead.get(name, name), **options)
        segmentation.lraspp_mobilenet_v3_large = lambda weights: network
        os.chdir(folder)
        try:
            for number, example in enumerate(examples):
                with self.subTest(example), contextlib.redirect_stdout(said):
                    exec(compile(example, f"example {number + 1}", "exec"), names)
        finally:
            os.chdir(before)
            atrous.load, segmentation.lraspp_mobilenet_v3_large = load, made
        self.assertTrue((folder / "dog.overlay.png").exists())
        self.same(names["by_path"], names["by_array"])
        self.assertLess(np.abs(names["found"] - names["expected"]).max() / np.abs(names["expected"]).max(), 2e-5)
        self.assertIn("io nowhere.jpg", said.getvalue())
