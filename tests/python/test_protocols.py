"""Computes the published test protocols with PyTorch and NumPy and compares the probabilities that atrous gives.

usage: test_protocols.py ATROUS

What a network says of an input comes from torchvision's LR-ASPP, live, or, of publishers' networks that Debian has no code
of, from the program itself, run on the plain tensors that each protocol cuts here. Everything else (sizes, resizing, padding,
tiles, mirror images, what is averaged) is written from the definitions, in float64, and shares nothing with atrous.
Photos are smaller than a tile, of its size, and larger. The bar: no probability off by more than 1e-5, no label another where
the two best are further apart than that. Needs Debian's python3-torch and python3-torchvision; exits 77 (skipped) without.
"""
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ATROUS = sys.argv[1]
BAR = 1e-5
IMAGENET = np.array([.485, .456, .406]), np.array([.229, .224, .225])
failures = []


def run(*arguments):
    done = subprocess.run([ATROUS, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"atrous {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


# ---- what a network says: [n, 3, h, w] of normalised floats -> [n, classes, h, w], at the input's size

def live(model):
    def logits(batch):
        with torch.no_grad():
            return model(torch.from_numpy(batch.astype("float32")))["out"].numpy().astype("float64")
    return logits


def by_the_program(checkpoint, folder):
    def logits(batch):
        np.save(f"{folder}/x.npy", np.ascontiguousarray(batch, "float32"))
        run("segment", f"{folder}/x.npy", "-m", checkpoint, "--logits", f"{folder}/y.npy", "--no-mask", "-q")
        return np.load(f"{folder}/y.npy").astype("float64")
    return logits


def live_low(model):
    """The same before it is resized to the input's size."""
    def logits(batch):
        with torch.no_grad():
            return model.classifier(model.backbone(torch.from_numpy(batch.astype("float32")))).numpy().astype("float64")
    return logits


# ---- pieces of the definitions, on arrays [channels, h, w]

def imagenet(photo):
    return (photo / 255 - IMAGENET[0][:, None, None]) / IMAGENET[1][:, None, None]


def caffe(photo):
    return photo[::-1] - np.array([104.00698793, 116.66876762, 122.67891434])[:, None, None]


def resized(array, height, width, corners, dtype="float64"):
    small = torch.from_numpy(array[None].astype(dtype))
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=corners)[0].numpy().astype("float64")


def softmax(logits, axis):
    e = np.exp(logits - logits.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def half_even(x):
    return int(round(x))  # Python's own rounding


def mirrored(batch):
    return batch[..., ::-1]


# ---- the protocols: photo [3, h, w] of 0..255 as floats -> [classes, h, w]

def semseg(logits, photo, scales, base, tile, mirror=True):
    """hszhao/semseg: the mean colour around what is smaller than a tile, the last tile moved back to the edge."""
    mean, std = (255 * v[:, None, None] for v in IMAGENET)
    _, height, width = photo.shape
    tall, wide = tile
    answer = 0
    for scale in scales:
        longer = half_even(scale * base)
        h, w = (longer, half_even(longer / height * width)) if height > width else (half_even(longer / width * height), longer)
        picture = resized(photo, h, w, False)
        more_h, more_w = max(tall - h, 0), max(wide - w, 0)
        canvas = np.broadcast_to(mean, (3, h + more_h, w + more_w)).copy()
        top, left = more_h // 2, more_w // 2
        canvas[:, top:top + h, left:left + w] = picture
        canvas = (canvas - mean) / std
        _, rows, columns = canvas.shape
        places = []
        for size, side in ((rows, tall), (columns, wide)):
            step = math.ceil(side * (2 / 3))
            places.append([min(i * step, size - side) for i in range(math.ceil((size - side) / step) + 1)])
        windows = list(itertools.product(*places))
        cuts = np.stack([canvas[:, y:y + tall, x:x + wide] for y, x in windows])
        said = softmax(logits(cuts), 1)
        if mirror:
            said = (said + mirrored(softmax(logits(mirrored(cuts)), 1))) / 2
        total = np.zeros((said.shape[1], rows, columns))
        seen = np.zeros((rows, columns))
        for (y, x), one in zip(windows, said):
            total[:, y:y + tall, x:x + wide] += one
            seen[y:y + tall, x:x + wide] += 1
        answer = answer + resized((total / seen)[:, top:top + h, left:left + w], height, width, False)
    return answer / len(scales)


def encnet(logits, photo, scales, base, tile):
    """zhanghang1989's MultiEvalModule: black at the right and below, exponentials, points aligned at the corners. Its resizing is
    that of torch's fp32, which rounds the places too: a picture of 900 columns differs from one of exact places by 1e-5."""
    picture, black = imagenet(photo), imagenet(np.zeros((3, 1, 1)))
    _, height, width = photo.shape
    answer = 0
    for scale in scales:
        longer = math.ceil(base * scale)
        h, w = ((longer, int(width * longer / height + .5)) if height > width else (int(height * longer / width + .5), longer))
        step = int(tile * (2 / 3))
        rows, columns = max(h, tile), max(w, tile)
        places = [[i * step for i in range(math.ceil((size - tile) / step) + 1)] for size in (rows, columns)]
        windows = list(itertools.product(*places))
        canvas = np.broadcast_to(black, (3, windows[-1][0] + tile, windows[-1][1] + tile)).copy()
        canvas[:, :h, :w] = resized(picture, h, w, True, "float32")
        cuts = np.stack([canvas[:, y:y + tile, x:x + tile] for y, x in windows])
        said = np.exp(logits(cuts) + mirrored(logits(mirrored(cuts))))
        total = np.zeros((said.shape[1], *canvas.shape[1:]))
        seen = np.zeros(canvas.shape[1:])
        for (y, x), one in zip(windows, said):
            total[:, y:y + tile, x:x + tile] += one
            seen[y:y + tile, x:x + tile] += 1
        answer = answer + resized(total[:, :h, :w] / seen[:h, :w], height, width, True, "float32")
    return answer / answer.sum(0)


def whole(logits, photo, scales, mirror):
    """No publisher's: probabilities of whole pictures."""
    picture = imagenet(photo)
    _, height, width = photo.shape
    answer = 0
    for scale in scales:
        batch = resized(picture, half_even(height * scale), half_even(width * scale), False)[None]
        said = softmax(logits(batch), 1)
        if mirror:
            said = (said + mirrored(softmax(logits(mirrored(batch)), 1))) / 2
        answer = answer + resized(said[0], height, width, False)
    return answer / len(scales)


def deeplabv2(low_logits, photo, smaller):
    """kazuto1011's MSC: the largest logits of all scales at the size that those of scale 1 have."""
    x = torch.from_numpy(imagenet(photo)[None].astype("float32"))
    largest = low_logits(x.numpy())
    for factor in smaller:
        # Of torch from 1.6 on: places are divided by the factor, not by the ratio of whole sizes.
        other = low_logits(F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False,
                                         recompute_scale_factor=False).numpy())
        largest = np.maximum(largest, resized(other[0], *largest.shape[2:], False)[None])
    return softmax(resized(largest[0], *photo.shape[1:], False), 0)


# ---- comparisons

def compare(what, expected, photo_file, checkpoint, folder, *options):
    out = f"{folder}/p.npy"
    report = json.loads(run("segment", photo_file, "-m", checkpoint, "-o", folder, "--no-mask", "--no-overlay", "--labels",
                            "--probabilities", out, "--json", "-", *options))
    found = np.load(out)[0]
    labels = np.asarray(Image.open(photo_file.replace(".png", ".labels.png")))
    assert found.shape == expected.shape, (found.shape, expected.shape)
    worst = np.abs(found - expected).max()
    best = np.sort(expected, axis=0)[-2:]
    clear = best[1] - best[0] > 2 * BAR
    other = int((labels != expected.argmax(0))[clear].sum())
    good = worst <= BAR and other == 0 and len(np.unique(labels)) > 1
    print(f"{'ok  ' if good else 'FAIL'} {what}: probabilities within {worst:.1e}, {other} of {clear.sum()} clear labels other, "
          f"{len(np.unique(labels))} classes, surest {expected.max():.2f}; {report[0].get('protocol')}")
    if not good:
        failures.append(what)


def photo_of(width, height, folder, seed):
    """Waves and patches, so that labels differ from place to place."""
    draw = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(x / draw.uniform(4, 15) + c) + 45 * np.cos(y / draw.uniform(3, 11) * (c + 1)) for c in range(3)]
    pixels = np.stack(waves, -1) + draw.normal(0, 12, (height, width, 3))
    pixels[height // 3:height // 2, width // 4:width // 2] = draw.randint(0, 256, 3)
    name = f"{folder}/photo.png"
    Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(name)
    return name, np.asarray(Image.open(name)).transpose(2, 0, 1).astype("float64")


def scales_text(scales):
    return ",".join(map(str, scales))


def spread_of(logits, folder, prepared=imagenet, side=129, spread=.7):
    """Of random weights each class's mean logit, and the factor that spreads it so: labels change from place to place,
    and what fp32 rounds within the network stays below the bar."""
    os.makedirs(f"{folder}/spread", exist_ok=True)
    _, photo = photo_of(side, side // 4 * 3, f"{folder}/spread", 3)
    said = logits(prepared(photo)[None])[0]
    return said.mean((1, 2)), spread / said.std((1, 2))


def live_network(folder, side=129, spread=.7):
    torch.manual_seed(5)
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=6)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.weight.data.uniform_(.7, 1.3)
            m.bias.data.normal_(0, .1)
            m.momentum = 1  # the statistics are those of the batch below: what goes through fades nowhere
    batch = np.stack([imagenet(photo_of(side, side, folder, seed)[1]) for seed in range(4)])
    with torch.no_grad():
        model.train()(torch.from_numpy(batch).float())
    centre, gain = spread_of(live(model.eval()), folder, side=side, spread=spread)
    for head in (model.classifier.low_classifier, model.classifier.high_classifier):
        head.weight.data *= torch.from_numpy(gain).float()[:, None, None, None]
        head.bias.data *= torch.from_numpy(gain).float()
    model.classifier.low_classifier.bias.data -= torch.from_numpy(centre * gain).float()
    torch.save(model.state_dict(), f"{folder}/live.pth")
    return model, f"{folder}/live.pth"


def torchvision_live(folder):
    model, checkpoint = live_network(folder)
    logits = live(model)
    # At scale 1 the longer side is `base`: below, at and above the tile of 65 and of 80 x 56.
    for width, height, base, tile, scales in ((57, 40, 50, (65, 65), [1]), (65, 65, 65, (65, 65), [1]),
                                              (101, 64, 65, (65, 65), [.5, 1, 1.75]), (48, 97, 90, (65, 65), [.75, 1.3]),
                                              (131, 90, 130, (56, 80), [1, 1.25])):
        name, photo = photo_of(width, height, folder, width)
        compare(f"semseg, {width}x{height}", semseg(logits, photo, scales, base, tile), name, checkpoint, folder,
                "--protocol", "semseg", "--base-size", base, "--tile", f"{tile[1]}x{tile[0]}", "--scales", scales_text(scales))
    for width, height, base, tile, scales in ((57, 40, 50, 65, [1]), (65, 65, 65, 65, [1]), (101, 64, 65, 65, [.5, 1, 1.75]),
                                              (48, 97, 90, 65, [.75, 1.3]), (131, 90, 130, 64, [1, 1.26])):
        name, photo = photo_of(width, height, folder, width + 1)
        compare(f"encnet, {width}x{height}", encnet(logits, photo, scales, base, tile), name, checkpoint, folder,
                "--protocol", "encnet", "--base-size", base, "--tile", tile, "--scales", scales_text(scales))
    for width, height, scales, mirror in ((60, 41, [.5, 1, 1.5], True), (33, 65, [.8, 1.21], False), (50, 50, [1], True)):
        name, photo = photo_of(width, height, folder, width + 2)
        compare(f"scales {scales}, {width}x{height}", whole(logits, photo, scales, mirror), name, checkpoint, folder, "--no-resize",
                "--scales", scales_text(scales), *(["--flip"] if mirror else []))
    for width, height, scales in ((97, 65, [.5, .75, 1]), (64, 48, [1]), (70, 71, [.6, 1, 1.3])):
        name, photo = photo_of(width, height, folder, width + 3)
        compare(f"deeplabv2, {width}x{height}", deeplabv2(live_low(model), photo, [s for s in scales if s != 1]), name, checkpoint,
                folder, "--protocol", "deeplabv2", "--scales", scales_text(scales))
    # As published: base 512, tiles of 473, mirrored; 520 and 480. torchvision: the shorter side 520, by Pillow.
    model, checkpoint = live_network(folder, 513, .15)
    logits = live(model)
    name, photo = photo_of(512, 343, folder, 7)
    compare("semseg as published", semseg(logits, photo, [1], 512, (473, 473)), name, checkpoint, folder, "--protocol", "semseg")
    compare("encnet as published", encnet(logits, photo, [.5, .75, 1, 1.25, 1.5, 1.75], 520, 480), name, checkpoint, folder,
            "--protocol", "encnet")
    seen = np.asarray(Image.open(name).resize((int(520 * 512 / 343), 520), Image.BILINEAR)).transpose(2, 0, 1).astype("float64")
    compare("torchvision", softmax(logits(imagenet(seen)[None])[0], 0), name, checkpoint, folder, "--protocol", "torchvision",
            "--at", "input")


def rewritten(source, target, change, prefix=""):
    """A .safetensors file with change(name, values) in some tensors' place, and other names."""
    data = bytearray(open(source, "rb").read())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    values = data[8 + length:]
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        changed = change(name, np.frombuffer(values[begin:end], "<f4").reshape(entry["shape"])) if entry["dtype"] == "F32" else None
        if changed is not None:
            values[begin:end] = changed.astype("<f4").tobytes()
    text = json.dumps({prefix + key: value for key, value in header.items()}).encode()
    text += b" " * (-len(text) % 8)
    open(target, "wb").write(len(text).to_bytes(8, "little") + text + values)


def seeded(name, heads, folder, prepared=imagenet):
    """A publisher's network with random weights, the convolutions that end it scaled as spread_of() says."""
    drawn, checkpoint = f"{folder}/drawn.safetensors", f"{folder}/{name}.safetensors"
    run("convert", f"seeded:{name}", drawn)
    centre, gain = spread_of(by_the_program(drawn, folder), folder, prepared)

    def change(key, values):
        if key.rsplit(".", 1)[0] not in heads:
            return None
        spread = values * gain.reshape(-1, *[1] * (values.ndim - 1))
        return spread - centre * gain if key == heads[0] + ".bias" else spread
    rewritten(drawn, checkpoint, change)
    return checkpoint


def publishers(folder):
    """Networks whose logits grow with aligned corners, whose sizes are 8k+1, or that hold their scales themselves."""
    name, photo = photo_of(101, 64, folder, 11)
    checkpoint = seeded("pspnet-semseg-resnet50", ["cls.4"], folder)
    compare("PSPNet", semseg(by_the_program(checkpoint, folder), photo, [.5, 1, 1.5], 65, (65, 65)), name, checkpoint, folder,
            "--protocol", "semseg", "--base-size", 65, "--tile", 65, "--scales", "0.5,1,1.5")

    checkpoint = seeded("encnet-resnet50s", ["head.conv6.1"], folder)
    compare("EncNet", encnet(by_the_program(checkpoint, folder), photo, [.5, 1, 1.5], 65, 64), name, checkpoint, folder,
            "--protocol", "encnet", "--base-size", 65, "--tile", 64, "--scales", "0.5,1,1.5")

    # The wrapper MSC of the same weights makes the scales itself.
    heads, wrapped = [f"aspp.c{i}" for i in range(4)], f"{folder}/msc.safetensors"
    checkpoint = seeded("deeplabv2-kazuto-resnet101", heads, folder, caffe)
    rewritten(checkpoint, wrapped, lambda key, values: None, prefix="base.")
    answers = []
    for model in (checkpoint, wrapped):
        run("segment", name, "-m", model, "--protocol", "deeplabv2", "--probabilities", f"{folder}/p.npy", "--no-mask", "-q")
        answers.append(np.load(f"{folder}/p.npy")[0])
    plain = f"{folder}/plain.npy"
    run("segment", name, "-m", checkpoint, "--no-resize", "--probabilities", plain, "--no-mask", "-q")
    worst, alone = np.abs(answers[0] - answers[1]).max(), np.abs(answers[0] - np.load(plain)[0]).max()
    good = worst <= BAR and alone > 100 * BAR
    print(f"{'ok  ' if good else 'FAIL'} DeepLabV2: within {worst:.1e} of its own MSC, {alone:.1e} from a single scale")
    if not good:
        failures.append("DeepLabV2")


with tempfile.TemporaryDirectory() as temporary:
    torchvision_live(temporary)
    publishers(temporary)
if failures:
    sys.exit(f"{len(failures)} comparisons failed: {failures}")
