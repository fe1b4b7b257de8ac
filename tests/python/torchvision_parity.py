"""Runs torchvision and atrous on the same checkpoint and input and compares.

usage: torchvision_parity.py ATROUS tiny|preprocessing|full

tiny           narrow ResNets and MobileNetV3s in torchvision's own classes, FCN, DeepLabV3 and LR-ASPP, odd sizes, both
               containers, aux
preprocessing  resize and crop of a PNG against Pillow + torchvision, to the bit; other means, scales and orders
full           the six models as published, seeded weights, 520x520 and odd sizes, batches of 1 and 3

The bars: logits within 1e-4 of the largest absolute logit, label maps at least 99.99% equal.
Needs Debian's python3-torch and python3-torchvision; exits 77 (skipped) without them.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torchvision
    from PIL import Image
    from torchvision.models import segmentation
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from torchvision.models import mobilenetv3
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead
from torchvision.models.segmentation.lraspp import LRASPP
from torchvision.transforms import functional as F

ATROUS = sys.argv[1]
LOGIT_BAR, LABEL_BAR = 1e-4, 0.9999
failures = []


def run(*arguments):
    done = subprocess.run([ATROUS, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"atrous {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def with_realistic_statistics(model):
    """Batch norms as training leaves them; torch's defaults (mean 0, variance 1) would hide mistakes in folding."""
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, .1)
            m.running_var.uniform_(.6, 1.6)
            m.weight.data.uniform_(.7, 1.3)
            m.bias.data.normal_(0, .1)
    return model.eval()


def compare(what, model, checkpoint, x, folder, output="out"):
    np.save(f"{folder}/x.npy", x.numpy())
    aux = ["--aux"] if output == "aux" else []
    run("segment", f"{folder}/x.npy", "-m", checkpoint, "--logits", f"{folder}/y.npy", "--no-mask", "-q", *aux)
    found = np.load(f"{folder}/y.npy")
    with torch.no_grad():
        expected = model(x)[output].numpy()
    assert found.shape == expected.shape, (found.shape, expected.shape)
    deviation = np.abs(found - expected).max() / np.abs(expected).max()
    agreement = (found.argmax(1) == expected.argmax(1)).mean()
    good = deviation <= LOGIT_BAR and agreement >= LABEL_BAR
    print(f"{'ok  ' if good else 'FAIL'} {what}, {'x'.join(map(str, x.shape))}, {output}: "
          f"logits within {deviation:.1e} of the largest ({np.abs(expected).max():.2f}), labels {100 * agreement:.4f}% equal")
    if not good:
        failures.append(what)


def narrow(block, blocks, head, classes, aux, dilate=(False, True, True)):
    """A torchvision segmentation network on a ResNet with an eighth of the channels."""
    class Narrow(ResNet):
        def __init__(self):
            super().__init__(block, blocks, replace_stride_with_dilation=list(dilate))

    original, widths = ResNet._make_layer, {64: 8, 128: 16, 256: 32, 512: 64}

    def narrow_layer(self, b, planes, n, stride=1, dilate=False):
        if planes == 64:  # the first layer: the stem is made by now
            self.inplanes = 8
            self.conv1, self.bn1 = torch.nn.Conv2d(3, 8, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(8)
        return original(self, b, widths[planes], n, stride, dilate)

    ResNet._make_layer = narrow_layer
    try:
        resnet = Narrow()
    finally:
        ResNet._make_layer = original
    out = 64 * block.expansion
    layers = {"layer4": "out", **({"layer3": "aux"} if aux else {})}
    backbone = IntermediateLayerGetter(resnet, layers)
    auxiliary = FCNHead(out // 2, classes) if aux else None
    if head == "fcn":
        return FCN(backbone, FCNHead(out, classes), auxiliary)
    return DeepLabV3(backbone, narrow_deeplab_head(out, classes), auxiliary)


def narrow_deeplab_head(channels, classes):
    return torch.nn.Sequential(ASPP(channels, [12, 24, 36], 24), torch.nn.Conv2d(24, 24, 3, padding=1, bias=False),
                               torch.nn.BatchNorm2d(24), torch.nn.ReLU(), torch.nn.Conv2d(24, classes, 1))


def narrow_mobilenet(arch, width, head, classes, reduced_tail=False):
    """A torchvision segmentation network on a MobileNetV3 of another width; DeepLabV3 has an auxiliary head."""
    blocks, last = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_" + arch, width_mult=width, dilated=True,
                                                  reduced_tail=reduced_tail)
    features = mobilenetv3.MobileNetV3(blocks, last).features
    low = 4 if arch == "large" else 2
    low_channels, high_channels = features[low].out_channels, features[-1].out_channels
    names = ("low", "high") if head == "lraspp" else ("aux", "out")
    backbone = IntermediateLayerGetter(features, {str(low): names[0], str(len(features) - 1): names[1]})
    if head == "lraspp":
        return LRASPP(backbone, low_channels, high_channels, classes, inter_channels=20)
    return DeepLabV3(backbone, narrow_deeplab_head(high_channels, classes), FCNHead(low_channels, classes))


def tiny(folder):
    torch.manual_seed(1)
    checkpoint = f"{folder}/tiny.pth"
    dilated, strided = (False, True, True), (False, False, False)
    cases = [("fcn, Bottlenecks", narrow(Bottleneck, (1, 2, 2, 2), "fcn", 21, True, dilated), True),
             ("deeplabv3, Bottlenecks", narrow(Bottleneck, (2, 1, 3, 2), "deeplabv3", 5, True, dilated), True),
             ("fcn, BasicBlocks", narrow(BasicBlock, (2, 1, 1, 2), "fcn", 3, False, strided), False),
             ("lraspp, MobileNetV3-Large", narrow_mobilenet("large", .25, "lraspp", 21), False),
             ("lraspp, MobileNetV3-Large, widened", narrow_mobilenet("large", 1.1, "lraspp", 2), False),
             ("deeplabv3, MobileNetV3-Large", narrow_mobilenet("large", .1, "deeplabv3", 7), True),
             ("lraspp, MobileNetV3-Small", narrow_mobilenet("small", .5, "lraspp", 4), False),
             ("deeplabv3, MobileNetV3-Small, reduced tail", narrow_mobilenet("small", .3, "deeplabv3", 3, True), True)]
    for what, model, aux in cases:
        with_realistic_statistics(model)
        for zipped in (True, False):
            torch.save(model.state_dict(), checkpoint, _use_new_zipfile_serialization=zipped)
            for shape in ((1, 3, 1, 1), (1, 3, 33, 65), (3, 3, 64, 96), (1, 3, 97, 50)):
                compare(what + (", zip" if zipped else ", legacy"), model, checkpoint, torch.randn(shape), folder)
        if aux:
            compare(what, model, checkpoint, torch.randn(1, 3, 65, 33), folder, "aux")


def full(folder):
    torch.manual_seed(2)
    torch.set_num_threads(os.cpu_count())
    checkpoint = f"{folder}/full.pth"
    for name in ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
                 "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        has_aux = not name.startswith("lraspp")
        options = {"aux_loss": True} if has_aux else {}
        model = with_realistic_statistics(
            getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, **options))
        torch.save(model.state_dict(), checkpoint)
        shapes = [(1, 520, 520), (1, 1, 1), (1, 33, 65), (3, 224, 224), (1, 375, 500), (1, 641, 513)]
        if not name.endswith("resnet101"):
            shapes.append((3, 520, 520))
        for n, h, w in shapes:
            compare(name, model, checkpoint, torch.randn(n, 3, h, w), folder)
        if has_aux:
            compare(name, model, checkpoint, torch.randn(1, 3, 224, 224), folder, "aux")


def preprocessing(folder):
    """An overlay of strength 0 at the input's size is the picture that the network saw, before normalisation. (The
    normalised floats are compared with torchvision's, to the bit, by the tests of runtime/image/preprocess.)"""
    torch.manual_seed(3)
    model = narrow(BasicBlock, (1, 1, 1, 1), "fcn", 3, False, (False, False, False))
    torch.save(model.state_dict(), f"{folder}/tiny.pth")
    generator = np.random.default_rng(3)
    for size in ((97, 61), (640, 480), (33, 500), (1, 1), (520, 700)):
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{folder}/photo.png")
        photo = Image.open(f"{folder}/photo.png")
        rules = [(["--resize", 520], F.resize(photo, 520)), (["--resize", 64], F.resize(photo, 64)),
                 (["--size", "200x77"], F.resize(photo, (77, 200))), (["--no-resize"], photo),
                 (["--resize", 256, "--center-crop", 224], F.center_crop(F.resize(photo, 256), 224)),
                 (["--no-resize", "--center-crop", 80], F.center_crop(photo, 80))]
        for options, expected in rules:
            if min(size) * 20 < max(size) and options[1:2] == [520]:
                continue  # 520 x 7878: nothing new, and slow
            run("segment", f"{folder}/photo.png", "-m", f"{folder}/tiny.pth", "-o", folder, "-q", "--no-mask",
                "--alpha", 0, "--no-contours", "--at", "input", *options)
            found = np.asarray(Image.open(f"{folder}/photo.overlay.png"))
            good = found.shape == np.asarray(expected).shape and (found == np.asarray(expected)).all()
            print(f"{'ok  ' if good else 'FAIL'} {size[0]}x{size[1]} {' '.join(map(str, options))}: {found.shape[1]}x{found.shape[0]}")
            if not good:
                failures.append(f"{size} {options}")
    normalisations(model.eval(), folder)


def normalisations(model, folder):
    """Networks that take photos another way: torch's arithmetic on the pixels, beside --mean, --std, --range, --order."""
    pixels = np.random.default_rng(4).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(f"{folder}/photo.png")
    rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    three = lambda *values: torch.tensor(values).view(1, 3, 1, 1)
    caffe, half = three(104.008, 116.669, 122.675), three(.5, .5, .5)
    for options, x in ((["--range", 255, "--order", "bgr", "--mean", "104.008,116.669,122.675"], rgb.flip(1) - caffe),
                       (["--range", 255, "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"],
                        (rgb - three(123.675, 116.28, 103.53)) / three(58.395, 57.12, 57.375)),
                       (["--mean", "0.5", "--std", "0.5"], (rgb / 255 - half) / half),
                       (["--order", "bgr", "--mean", "0", "--std", "1"], rgb.flip(1) / 255)):
        run("segment", f"{folder}/photo.png", "-m", f"{folder}/tiny.pth", "--no-resize", "--no-mask", "--no-overlay", "-q",
            "--logits", f"{folder}/y.npy", *options)
        found = np.load(f"{folder}/y.npy")
        with torch.no_grad():
            expected = model(x)["out"].numpy()
        deviation = np.abs(found - expected).max() / np.abs(expected).max()
        good = deviation <= LOGIT_BAR
        print(f"{'ok  ' if good else 'FAIL'} {' '.join(map(str, options))}: logits within {deviation:.1e} of the largest")
        if not good:
            failures.append(f"{options}")


with tempfile.TemporaryDirectory() as temporary:
    {"tiny": tiny, "preprocessing": preprocessing, "full": full}[sys.argv[2]](temporary)
if failures:
    sys.exit(f"{len(failures)} comparisons failed: {failures}")
