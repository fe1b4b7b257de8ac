"""Measures models with atrous eval and with torchvision, numpy and scikit-learn, and compares.

usage: eval_agreement.py ATROUS SHARED camvid|voc|voc-all|unet|poutyne

camvid   the narrow DeepLabV3 of SHARED/weights on SHARED/data/camvid's val: its published figures too
voc      a seeded narrow network of 21 classes on the first 12 pairs of SHARED/data/voc, at both sizes
voc-all  on all of them
unet     the U-Net of SHARED/weights on SHARED/data/voc: the mean IoU of the classes that it has learnt
poutyne  a seeded U-Net of 22 classes on the first 6 pairs of SHARED/data/voc at 224x224, void class 21: the measures of
         Poutyne's example, by scikit-learn and torch from the pixels

Three comparisons. The confusion matrix, entry by entry, with that of torchvision's logits and Pillow's labels: label
maps may differ in 0.01% of the pixels, as in torchvision_parity.py. Every ratio with scikit-learn's or numpy's from
atrous' own matrix, to 1e-9. Average precision and cross-entropy with those of torchvision's scores.
Exits 77 (skipped) without Debian's python3-torch, python3-torchvision and python3-sklearn, and without SHARED's data.
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import torch
    from PIL import Image
    from sklearn import metrics as sk
    from torch import nn
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.resnet import BasicBlock, Bottleneck
    from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3
    from torchvision.transforms import functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ATROUS, SHARED, WHAT = sys.argv[1:4]
LABEL_BAR, RATIO_BAR = 1e-4, 1e-9
BINS = 1024
warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
failures = []


def need(path):
    if not os.path.exists(path):
        print(f"skipped: {path} is not there")
        sys.exit(77)
    return path


def check(what, good, found):
    print(f"{'ok  ' if good else 'FAIL'} {what}: {found}")
    if not good:
        failures.append(what)


def atrous(*arguments):
    done = subprocess.run([ATROUS, "eval", *map(str, arguments), "--json", "-"], capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise SystemExit(f"atrous eval {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


class Trunk(nn.Module):
    """torchvision's ResNet of Bottlenecks with widths of its own, its last two stages dilated."""

    def __init__(self, stem, planes, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        channels = stem
        for stage, (width, count) in enumerate(zip(planes, blocks)):
            stride, first, rest = [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)][stage]
            layers = []
            for i in range(count):
                shortcut = None
                if i == 0:
                    shortcut = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
                layers.append(Bottleneck(channels, width, stride if i == 0 else 1, shortcut, dilation=rest if i else first))
                channels = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def narrow_deeplab(stem, planes, blocks, width, classes):
    head = nn.Sequential(ASPP(4 * planes[-1], [12, 24, 36], width), nn.Conv2d(width, width, 3, padding=1, bias=False),
                         nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, classes, 1))
    return DeepLabV3(IntermediateLayerGetter(Trunk(stem, planes, blocks), {"layer4": "out"}), head, None).eval()


class Tally:
    """The confusion matrix, and the scores in bins as the average precision takes them."""

    def __init__(self, classes):
        self.classes = classes
        self.matrix = np.zeros((classes, classes), np.int64)
        self.positives, self.all = np.zeros((2, classes, BINS), np.int64)
        self.cross_entropy = 0

    def add(self, logits, truth, void):
        """logits: [classes, h, w] as torchvision gives them; truth: [h, w]"""
        counted = truth != void
        truth, logits = truth[counted].astype(int), logits[:, torch.from_numpy(counted)].double()
        prediction = logits.argmax(0).numpy()
        self.matrix += np.bincount(self.classes * truth + prediction, minlength=self.classes**2).reshape(self.matrix.shape)
        scores = logits.softmax(0).numpy()
        self.cross_entropy -= np.log(scores[truth, np.arange(len(truth))]).sum()
        bins = np.minimum((scores * BINS).astype(int), BINS - 1)
        for c in range(self.classes):
            self.all[c] += np.bincount(bins[c], minlength=BINS)
            self.positives[c] += np.bincount(bins[c][truth == c], minlength=BINS)

    def average_precision(self, c):
        """scikit-learn's, of pixels whose scores are their bins."""
        y = np.tile([1, 0], BINS)
        weight = np.stack([self.positives[c], self.all[c] - self.positives[c]], 1).ravel()
        kept = weight > 0
        return sk.average_precision_score(y[kept], np.arange(BINS).repeat(2)[kept], sample_weight=weight[kept])


class Unet(nn.Module):
    """segmentation_models.pytorch's, on a ResNet of basic blocks; decoder_channels 256, 128, 64, 32, 16, of encoder_depth 4
    the last four."""

    def __init__(self, classes, blocks=(2, 2, 2)):
        super().__init__()
        def relu_conv(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
        self.encoder = nn.Module()
        self.encoder.conv1, self.encoder.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels, depth = 64, len(blocks) + 1
        for stage, width in enumerate((64, 128, 256, 512)[:len(blocks)]):
            shortcut = None
            if stage:
                shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, 2, bias=False), nn.BatchNorm2d(width))
            first = BasicBlock(channels, width, 2 if stage else 1, shortcut)
            rest = [BasicBlock(width, width) for _ in range(blocks[stage] - 1)]
            setattr(self.encoder, f"layer{stage + 1}", nn.Sequential(first, *rest))
            channels = width
        self.decoder, self.decoder.blocks = nn.Module(), nn.ModuleList()
        self.stages, self.multiple = len(blocks), 2**depth
        for skip, width in list(zip((256, 128, 64, 64, 0), (256, 128, 64, 32, 16)))[-depth:]:
            block = nn.Module()
            block.conv1, block.conv2 = relu_conv(channels + skip, width), relu_conv(width, width)
            self.decoder.blocks.append(block)
            channels = width
        self.segmentation_head = nn.Sequential(nn.Conv2d(channels, classes, 3, padding=1))

    def forward(self, x):
        height, width = x.shape[2:]
        x = nn.functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))  # zeros, behind normalisation
        maps = [self.encoder.bn1(self.encoder.conv1(x)).relu()]
        x = nn.functional.max_pool2d(maps[0], 3, 2, 1)
        for stage in range(self.stages):
            maps.append(x := getattr(self.encoder, f"layer{stage + 1}")(x))
        for block, skip in zip(self.decoder.blocks, [*maps[-2::-1], None]):
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block.conv2(block.conv1(x if skip is None else torch.cat([x, skip], 1)))
        return self.segmentation_head(x)[:, :, :height, :width]


def tally(model, classes, pairs, resize, at_original, void):
    counts = Tally(classes)
    for photo_path, label_path in pairs:
        photo, label = Image.open(photo_path).convert("RGB"), Image.open(label_path)
        resized = F.resize(photo, resize) if resize else photo
        x = F.normalize(F.to_tensor(resized), MEAN, STD)[None]
        with torch.no_grad():
            low = model.classifier(model.backbone(x)["out"])
        if not at_original:
            label = label.resize(resized.size, Image.NEAREST)
        size = label.size[::-1]
        logits = nn.functional.interpolate(low, size=size, mode="bilinear", align_corners=False)[0]
        counts.add(logits, np.asarray(label), void)
    return counts


def compare_matrix(found, expected):
    matrix = np.array(found["confusion_matrix"])
    moved = np.abs(matrix - expected.matrix).sum() / 2 / expected.matrix.sum()
    check("pixels counted", matrix.sum() == expected.matrix.sum() and found["summary"]["pixels"] == matrix.sum(), matrix.sum())
    check("pixels of each class", (matrix.sum(1) == expected.matrix.sum(1)).all(), "all equal")
    check("confusion matrix as torchvision's", moved <= LABEL_BAR,
          f"{100 * moved:.5f}% of the pixels elsewhere, {(matrix != expected.matrix).sum()} of {matrix.size} entries differ")


def compare_ratios(found):
    """Every ratio from the matrix that atrous printed, by scikit-learn where it has it, otherwise by its definition."""
    matrix, summary = np.array(found["confusion_matrix"]), found["summary"]
    truth, prediction = (a.ravel() for a in np.indices(matrix.shape))
    options = dict(labels=range(len(matrix)), sample_weight=matrix.ravel(), zero_division=0)
    jaccard = sk.jaccard_score(truth, prediction, average=None, **options)
    precision, recall, dice, _ = sk.precision_recall_fscore_support(truth, prediction, average=None, **options)
    worst, exist = 0, {}
    in_truth, predicted = matrix.sum(1) > 0, matrix.sum(0) > 0
    for key, values, defined in (("iou", jaccard, in_truth | predicted), ("dice", dice, in_truth | predicted),
                                 ("precision", precision, predicted), ("recall", recall, in_truth)):
        printed = [c[key] for c in found["classes"]]
        check(f"which classes have {key}", [p is not None for p in printed] == list(defined), f"{defined.sum()} of {len(defined)}")
        worst = max([worst] + [abs(p - v) for p, v, d in zip(printed, values, defined) if d])
        exist[key] = values[defined].mean()
    flat = dict(sample_weight=matrix.ravel())
    expected = {"pixel_accuracy": sk.accuracy_score(truth, prediction, **flat), "mean_iou": exist["iou"],
                "mean_accuracy": sk.balanced_accuracy_score(truth, prediction, **flat),
                "mean_dice": exist["dice"], "mean_precision": exist["precision"],
                "frequency_weighted_iou": (jaccard * matrix.sum(1)).sum() / matrix.sum(),
                "micro_iou": sk.jaccard_score(truth, prediction, average="micro", **options),
                "micro_dice": sk.f1_score(truth, prediction, average="micro", **options)}
    for key, value in expected.items():
        check(key, abs(summary[key] - value) <= RATIO_BAR, f"{summary[key]:.6f}, off by {abs(summary[key] - value):.1e}")
    check("ratios of the classes", worst <= RATIO_BAR, f"off by at most {worst:.1e}")


def compare_scores(found, expected):
    worst = 0
    for c, printed in enumerate(found["classes"]):
        if expected.positives[c].sum():
            worst = max(worst, abs(printed["average_precision"] - expected.average_precision(c)))
        elif printed["average_precision"] is not None:
            check(f"class {c} has no average precision", False, printed["average_precision"])
    check("average precision as scikit-learn's", worst <= 1e-4, f"off by at most {worst:.1e}")
    cross_entropy = expected.cross_entropy / expected.matrix.sum()
    off = abs(found["summary"]["cross_entropy"] / cross_entropy - 1)
    check("cross-entropy as torch's", off <= 1e-5, f"{cross_entropy:.6f}, off by {off:.1e} of it")


def compare(what, found, expected):
    print(f"-- {what}: {found['images']} images, mIoU {found['summary']['mean_iou']:.4f}, "
          f"pixel accuracy {found['summary']['pixel_accuracy']:.4f}, mAP {found['summary']['mean_average_precision']:.4f}")
    compare_matrix(found, expected)
    compare_ratios(found)
    compare_scores(found, expected)


def camvid():
    root, weights = need(f"{SHARED}/data/camvid"), need(f"{SHARED}/weights/deeplabv3_resnet_camvid.pth")
    model = narrow_deeplab(32, (24, 48, 96, 128), (2, 2, 3, 2), 96, 11)
    model.load_state_dict(torch.load(weights))
    pairs = [(f"{root}/val/{name}", f"{root}/valannot/{name}") for name in sorted(os.listdir(f"{root}/val"))]
    found = atrous("-m", weights, "--dataset", "camvid", root, "--set", "val", "--no-resize")
    compare("CamVid, val", found, tally(model, 11, pairs, None, False, 11))
    check("mIoU as published", abs(found["summary"]["mean_iou"] - .6047) <= .002, found["summary"]["mean_iou"])
    check("pixel accuracy as published", abs(found["summary"]["pixel_accuracy"] - .9018) <= .0005, found["summary"]["pixel_accuracy"])


def spread(model, photo):
    """A random head calls everything one class; this one has every class somewhere."""
    with torch.no_grad():
        logits = model.classifier(model.backbone(F.normalize(F.to_tensor(Image.open(photo)), MEAN, STD)[None])["out"])
    last = model.classifier[-1]
    std, mean = logits.std((0, 2, 3)), logits.mean((0, 2, 3))
    last.weight.data /= std.view(-1, 1, 1, 1)
    last.bias.data = (last.bias.data - mean) / std


def voc(folder, count):
    root = need(f"{SHARED}/data/voc")
    torch.manual_seed(4)
    model = narrow_deeplab(16, (8, 16, 24, 32), (1, 1, 1, 1), 24, 21)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, .1), m.running_var.uniform_(.6, 1.6)
    # Pixels that JPEG decoders agree on: the photos again, as PNG.
    names = open(f"{root}/ImageSets/Segmentation/val.txt").read().split()[:count]
    os.makedirs(f"{folder}/photos"), os.makedirs(f"{folder}/labels")
    pairs = []
    for name in names:
        pairs.append((f"{folder}/photos/{name}.png", f"{folder}/labels/{name}.png"))
        Image.open(f"{root}/JPEGImages/{name}.jpg").convert("RGB").save(pairs[-1][0], compress_level=1)
        os.symlink(os.path.abspath(f"{root}/SegmentationClass/{name}.png"), pairs[-1][1])
    spread(model, pairs[0][0])
    checkpoint = f"{folder}/seeded.pth"
    torch.save(model.state_dict(), checkpoint)
    for at, resize in (("input", 520), ("original", 260)):
        found = atrous("-m", checkpoint, "--dataset", "pairs", f"{folder}/photos", f"{folder}/labels", "--at", at,
                       "--resize", resize)
        compare(f"VOC, {at} size", found, tally(model, 21, pairs, resize, at == "original", 255))
    jpeg = atrous("-m", checkpoint, "--dataset", "voc", root, "--limit", len(names))
    check("the same from VOC's own layout", [i["name"] for i in jpeg["per_image"]] == names, f"{len(names)} names")


def unet():
    root, weights = need(f"{SHARED}/data/voc"), need(f"{SHARED}/weights/unet_resnet18_voc.pth")
    model = Unet(21).eval()
    model.load_state_dict(torch.load(weights))
    names = open(f"{root}/ImageSets/Segmentation/val.txt").read().split()
    pairs = [(f"{root}/JPEGImages/{name}.jpg", f"{root}/SegmentationClass/{name}.png") for name in names]
    resize = 288
    found = atrous("-m", weights, "--dataset", "voc", root, "--at", "original", "--resize", resize)
    expected = np.zeros((21, 21), np.int64)
    for photo_path, label_path in pairs:
        label = np.asarray(Image.open(label_path))
        x = F.normalize(F.to_tensor(F.resize(Image.open(photo_path).convert("RGB"), resize)), MEAN, STD)[None]
        with torch.no_grad():
            logits = nn.functional.interpolate(model(x), size=label.shape, mode="bilinear", align_corners=False)
        truth, prediction = label[label != 255].astype(int), logits[0].argmax(0).numpy()[label != 255]
        expected += np.bincount(21 * truth + prediction, minlength=21**2).reshape(21, 21)
    iou = np.diag(expected) / np.maximum(expected.sum(0) + expected.sum(1) - np.diag(expected), 1)
    learnt = [0, 8, 10, 12, 13, 15, 17]  # background, cat, cow, dog, horse, person, sheep
    means = np.mean([found["classes"][c]["iou"] for c in learnt]), iou[learnt].mean()
    check("mean IoU of the seven classes as torch's", abs(means[0] - means[1]) <= .002, f"{means[0]:.4f}, torch {means[1]:.4f}")
    matrix = np.array(found["confusion_matrix"])
    check("pixels of each class", (matrix.sum(1) == expected.sum(1)).all(), matrix.sum())
    print(f"{100 * np.abs(matrix - expected).sum() / 2 / expected.sum():.4f}% of the pixels elsewhere")


def poutyne(folder):
    """Accuracy, macro F1 and Jaccard over 22 classes and the loss, as the example measures its test set: photos by Pillow's
    bilinear, labels by nearest, void learnt as class 21."""
    root = need(f"{SHARED}/data/voc")
    torch.manual_seed(5)
    model = Unet(22, (3, 4, 6, 3)).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, .1), m.running_var.uniform_(.6, 1.6)
    os.makedirs(f"{folder}/photos"), os.makedirs(f"{folder}/labels")
    inputs, truths = [], []
    for name in open(f"{root}/ImageSets/Segmentation/val.txt").read().split()[:6]:
        photo, label = Image.open(f"{root}/JPEGImages/{name}.jpg").convert("RGB"), f"{root}/SegmentationClass/{name}.png"
        photo.save(f"{folder}/photos/{name}.png", compress_level=1)  # pixels that JPEG decoders agree on
        os.symlink(os.path.abspath(label), f"{folder}/labels/{name}.png")
        inputs.append(F.normalize(F.to_tensor(photo.resize((224, 224), Image.BILINEAR)), MEAN, STD))
        truths.append(np.asarray(Image.open(label).resize((224, 224), Image.NEAREST)).astype(np.int64))
    truth = torch.from_numpy(np.stack(truths))
    truth[truth == 255] = 21
    with torch.no_grad():
        # A random head calls everything one class; this one has every class somewhere.
        head, logits = model.segmentation_head[0], model(torch.stack(inputs))
        std, mean = logits.std((0, 2, 3)), logits.mean((0, 2, 3))
        head.weight /= std.view(-1, 1, 1, 1)
        head.bias.copy_((head.bias - mean) / std)
        logits = model(torch.stack(inputs))
    checkpoint = f"{folder}/best_weight.ckpt"
    torch.save(model.state_dict(), checkpoint)
    # It would be taken for that unasked, and say so.
    found = atrous("-m", checkpoint, "--arch", "variant=smp_unet_r34_22classes_poutyne", "--dataset", "pairs",
                   f"{folder}/photos", f"{folder}/labels", "--void-class")
    check("void is the last of 22 classes", found["classes"][21]["name"] == "void" and len(found["classes"]) == 22, "yes")
    check("pixels", found["summary"]["pixels"] == truth.numel() and found["summary"]["void_pixels"] == 0, truth.numel())
    y, p = truth.numpy().ravel(), logits.argmax(1).numpy().ravel()
    loss = nn.functional.cross_entropy(logits.double(), truth).item()
    for key, name, expected, bar in (("pixel_accuracy", "accuracy", sk.accuracy_score(y, p), LABEL_BAR),
                                     ("mean_dice", "macro F1", sk.f1_score(y, p, average="macro"), LABEL_BAR),
                                     ("mean_iou", "Jaccard", sk.jaccard_score(y, p, average="macro"), LABEL_BAR),
                                     ("cross_entropy", "loss", loss, 1e-5 * loss)):
        off = abs(found["summary"][key] - expected)
        check(name, off <= bar, f"{expected:.6f}, off by {off:.1e}")


if WHAT == "camvid":
    camvid()
elif WHAT == "unet":
    unet()
elif WHAT == "poutyne":
    with tempfile.TemporaryDirectory() as temporary:
        poutyne(temporary)
else:
    with tempfile.TemporaryDirectory() as temporary:
        voc(temporary, 12 if WHAT == "voc" else None)
if failures:
    sys.exit(f"{len(failures)} comparisons failed: {failures}")
