"""Reference pictures by Pillow and torchvision, for tests/runtime/image/pillow_test.cc, which says what it wants in argv.

make_images.py pictures DIR    inputs, what Pillow makes of them, and cases.txt, a line a case
make_images.py webp DIR        WebP files, and what Pillow makes of them
make_images.py normalise DIR   the same for torchvision's transforms
make_images.py decode DIR      reads back what the test wrote: ours_*.png, ours_*.jpg -> raw samples, ours.npy -> again.npy
make_images.py labels DIR      label maps, and what they are resized
make_images.py annotations DIR DATA   what Pillow reads of the label PNGs and PngSuite in the data folder, which cases.txt
                               names by their paths in it
make_images.py awkward DIR FROM  what Pillow makes of every file below FROM, and awkward.tsv, a line a file:
                               path, format, mode, orientation, width, height, file of the upright RGB samples, the same
                               of the samples as stored; or path and the reason why Pillow refuses it
"""
import os
import random
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

SIZES = [(1, 1), (1, 7), (9, 1), (2, 3), (5, 8), (16, 16), (37, 23), (64, 48), (101, 67), (213, 150)]
TARGETS = [(1, 1), (1, 13), (17, 1), (2, 2), (8, 5), (16, 31), (33, 47), (64, 48), (128, 96), (260, 41)]


def photo(width, height, mode, seed):
    """Gradients with noise and hard edges: every filter tap matters."""
    rng = np.random.RandomState(seed)
    bands = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for band in range(bands):
        values = 128 + 90 * np.sin((x * (band + 1) + y * 2) / 7.0) + rng.randint(-60, 60, (height, width))
        values = np.where((x // 5 + y // 3) % 4 == 0, 255 * (rng.rand(height, width) > 0.5), values)
        planes.append(np.clip(values, 0, 255).astype(np.uint8))
    array = planes[0] if bands == 1 else np.stack(planes, 2)
    return Image.fromarray(array, mode)


class Cases:
    def __init__(self, folder):
        self.folder, self.lines = folder, []

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, verb, source, expected, *numbers):
        """`expected`: an image or an array, stored as raw samples."""
        name = f"{len(self.lines)}.raw"
        np.asarray(expected).tofile(self.path(name))
        self.lines.append(" ".join(map(str, (verb, source, name) + numbers)))

    def close(self):
        with open(self.path("cases.txt"), "w") as out:
            out.write("\n".join(self.lines) + "\n")


def resizes(cases):
    for i, size in enumerate(SIZES):
        name = f"resize{i}.png"
        image = photo(*size, "RGB", i)
        image.save(cases.path(name))
        for target in TARGETS:
            cases.add("resize", name, image.resize(target, Image.BILINEAR), *target)
    rng = random.Random(1)
    for i in range(120):
        size = rng.randint(1, 90), rng.randint(1, 90)
        target = rng.randint(1, 140), rng.randint(1, 140)
        image = photo(*size, "RGB", 100 + i)
        name = f"random{i}.png"
        image.save(cases.path(name))
        cases.add("resize", name, image.resize(target, Image.BILINEAR), *target)
    image = photo(1300, 1100, "RGB", 999)
    image.save(cases.path("large.png"))
    cases.add("resize", "large.png", image.resize((614, 520), Image.BILINEAR), 614, 520)


def readings(cases):
    """What convert("RGB") gives, for every mode that PNG has, and for BMP and PNM, which Pillow reads losslessly too."""
    rgb, rgba, grey = photo(31, 17, "RGB", 7), photo(31, 17, "RGBA", 8), photo(31, 17, "L", 9)
    palette = rgb.quantize(50)
    modes = {"rgb": rgb, "rgba": rgba, "grey": grey, "la": rgba.convert("LA"), "bit": grey.convert("1"), "palette": palette}
    for bits in (1, 2, 4):
        small = rgb.quantize(2**bits)
        small.save(cases.path(f"palette{bits}.png"), bits=bits)
        cases.add("read", f"palette{bits}.png", small.convert("RGB"), 31, 17)
    for name, image in modes.items():
        image.save(cases.path(name + ".png"))
        cases.add("read", name + ".png", image.convert("RGB"), 31, 17)
    palette.save(cases.path("trns.png"), transparency=3)
    cases.add("read", "trns.png", palette.convert("RGB"), 31, 17)
    for name in ("rgb", "grey", "palette", "bit", "rgba"):
        modes[name].save(cases.path(name + ".bmp"))
        cases.add("read", name + ".bmp", Image.open(cases.path(name + ".bmp")).convert("RGB"), 31, 17)
    for name, suffix in (("rgb", "ppm"), ("grey", "pgm")):
        modes[name].save(cases.path(f"{name}.{suffix}"))
        cases.add("read", f"{name}.{suffix}", modes[name].convert("RGB"), 31, 17)
    sixteen = np.random.RandomState(3).randint(0, 65536, (17, 31)).astype(np.uint16)
    Image.fromarray(sixteen.astype(np.int32), "I").save(cases.path("sixteen.png"))
    cases.add("read", "sixteen.png", np.repeat((sixteen >> 8).astype(np.uint8)[:, :, None], 3, 2), 31, 17)


def orientations(cases):
    image = photo(24, 13, "RGB", 11)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"orientation{orientation}.png"
        image.save(cases.path(name), exif=exif)
        upright = ImageOps.exif_transpose(Image.open(cases.path(name))).convert("RGB")
        cases.add("read", name, upright, *upright.size)


def jpegs(cases):
    """Inverse cosine transforms differ by a level or two; the test asks for closeness."""
    smooth = photo(120, 90, "RGB", 12).resize((16, 12), Image.BILINEAR).resize((120, 90), Image.BICUBIC)
    for name, image, options in (
        ("baseline", smooth, {"subsampling": 0}),
        ("subsampled", smooth, {"subsampling": 2}),
        ("progressive", smooth, {"subsampling": 2, "progressive": True}),
        ("grey", smooth.convert("L"), {}),
        ("cmyk", smooth.convert("CMYK"), {}),
    ):
        image.save(cases.path(name + ".jpg"), quality=95, **options)
        cases.add("jpeg", name + ".jpg", Image.open(cases.path(name + ".jpg")).convert("RGB"), 120, 90)
    with open(cases.path("cmyk.jpg"), "rb") as source:
        data = source.read()
    at = data.index(b"\xff\xee")
    with open(cases.path("plain_cmyk.jpg"), "wb") as out:  # the same without Adobe's segment
        out.write(data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :])
    cases.add("jpeg", "plain_cmyk.jpg", Image.open(cases.path("plain_cmyk.jpg")).convert("RGB"), 120, 90)
    # Columns at the edge of colour planes of half the width, and planes too narrow to interpolate.
    for width, height in ((1, 1), (2, 5), (3, 3), (4, 4), (5, 5), (17, 17), (1, 50), (50, 1)):
        for subsampling in (1, 2):
            name = f"narrow_{width}x{height}_{subsampling}.jpg"
            photo(width, height, "RGB", 13).save(cases.path(name), quality=95, subsampling=subsampling)
            cases.add("jpeg", name, Image.open(cases.path(name)).convert("RGB"), width, height)
    named_rgb(cases, "baseline.jpg")


def webp(folder):
    """Lossy with fancy upsampling, lossless, alpha, odd sizes; EXIF that Pillow has written."""
    cases = Cases(folder)
    wavy = photo(120, 90, "RGB", 14)
    smooth = wavy.resize((16, 12), Image.BILINEAR).resize((120, 90), Image.BICUBIC)
    for name, image, options in (
        ("lossy", smooth, {"quality": 80}),
        ("coarse", wavy, {"quality": 5, "method": 6}),
        ("fine", wavy, {"quality": 100}),
        ("lossless", wavy, {"lossless": True}),
        ("alpha", photo(67, 45, "RGBA", 15), {"quality": 70}),
        ("lossless_alpha", photo(67, 45, "RGBA", 16), {"lossless": True}),
        ("exact_alpha", photo(67, 45, "RGBA", 16), {"lossless": True, "exact": True}),
        ("few_colours", smooth.quantize(9).convert("RGB"), {"lossless": True}),
        ("profile", smooth, {"quality": 80, "icc_profile": b"not a profile"}),
    ):
        image.save(cases.path(name + ".webp"), **options)
        cases.add("webp", name + ".webp", Image.open(cases.path(name + ".webp")).convert("RGB"), *image.size)
    for width, height in SIZES:
        name = f"small_{width}x{height}.webp"
        photo(width, height, "RGB", 17).save(cases.path(name), quality=60)
        cases.add("webp", name, Image.open(cases.path(name)).convert("RGB"), width, height)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"orientation{orientation}.webp"
        photo(24, 13, "RGB", 11).save(cases.path(name), lossless=True, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(cases.path(name))).convert("RGB")
        cases.add("webp", name, upright, *upright.size)
    cases.close()


def named_rgb(cases, baseline):
    """Components called R, G and B hold RGB, unless JFIF's segment or Adobe's says YCbCr."""
    with open(cases.path(baseline), "rb") as source:
        data = source.read()
    for marker, step in ((b"\xff\xc0", 3), (b"\xff\xda", 2)):
        at = data.index(marker) + (10 if marker == b"\xff\xc0" else 5)
        for letter in b"RGB":
            data = data[:at] + bytes([letter]) + data[at + 1 :]
            at += step
    plain = data[:2] + data[2 + 2 + int.from_bytes(data[4:6], "big") :]  # without JFIF's segment
    adobe = [b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) for transform in (0, 1)]
    for name, file in {
        "rgb_jfif": data,
        "rgb": plain,
        "rgb_adobe0": plain[:2] + adobe[0] + plain[2:],
        "rgb_adobe1": plain[:2] + adobe[1] + plain[2:],
        "rgb_jfif_adobe0": data[:20] + adobe[0] + data[20:],
    }.items():
        with open(cases.path(name + ".jpg"), "wb") as out:
            out.write(file)
        cases.add("jpeg", name + ".jpg", Image.open(cases.path(name + ".jpg")).convert("RGB"), 120, 90)


def pictures(folder):
    cases = Cases(folder)
    resizes(cases)
    readings(cases)
    orientations(cases)
    jpegs(cases)
    cases.close()


def normalise(folder):
    from torchvision import transforms as T

    norm = T.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    cases = Cases(folder)
    for i, (size, shorter, crop) in enumerate(
        [((37, 23), 52, 0), ((23, 37), 52, 0), ((64, 48), 31, 29), ((48, 65), 31, 30), ((20, 31), 17, 40), ((31, 20), 24, 33),
         ((60, 45), 0, 0), ((45, 60), 0, 51), ((333, 250), 128, 0)]
    ):
        image = photo(*size, "RGB", 300 + i)
        name = f"photo{i}.png"
        image.save(cases.path(name))
        steps = ([T.Resize(shorter)] if shorter else []) + ([T.CenterCrop(crop)] if crop else [])
        sized = T.Compose(steps)(image)
        cases.add("rule", name, sized, shorter, crop, *sized.size)
        cases.add("normalise", name, norm(T.ToTensor()(image)).permute(1, 2, 0).contiguous().numpy(), *size)
    # All 256 values of every channel.
    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2), "RGB")
    ramp.save(cases.path("ramp.png"))
    cases.add("normalise", "ramp.png", norm(T.ToTensor()(ramp)).permute(1, 2, 0).contiguous().numpy(), 256, 1)
    cases.close()


def plain(image):
    """The samples; of one bit as 0 and 1, where Pillow hands NumPy a True made of 255."""
    return np.where(np.asarray(image), 1, 0).astype(np.uint8) if image.mode == "1" else np.asarray(image)


def labels(folder):
    cases = Cases(folder)
    rng = np.random.RandomState(5)
    for bits in (1, 2, 4, 8):
        image = Image.fromarray(rng.randint(0, 2**bits, (17, 31)).astype(np.uint8), "P")
        image.putpalette(rng.bytes(3 * 2**bits))
        for interlaced in (False, True):
            name = f"indices{bits}{interlaced}.png"
            image.save(cases.path(name), bits=bits, interlace=interlaced)
            cases.add("labels", name, Image.open(cases.path(name)), 31, 17)
    grey = Image.fromarray(rng.randint(0, 256, (17, 31)).astype(np.uint8), "L")
    grey.save(cases.path("grey.png"))
    cases.add("labels", "grey.png", grey, 31, 17)
    bit = grey.convert("1")
    bit.save(cases.path("bit.png"))
    cases.add("labels", "bit.png", plain(bit), 31, 17)
    for name, image in (("grey.bmp", grey), ("indices.bmp", Image.open(cases.path("indices8False.png"))),
                        ("bit.bmp", bit), ("grey.pgm", grey), ("colours.bmp", grey.convert("RGB")),
                        ("colours.ppm", grey.convert("RGB"))):
        image.save(cases.path(name))
        cases.add("labels", name, grey if image.mode == "RGB" else plain(image), 31, 17)

    # Long thin maps meet many centres that lie on, or a rounding beside, the border between two pixels.
    random.seed(2)
    sizes = [((random.randint(1, 3000), 1), (random.randint(1, 3000), 1)) for _ in range(150)]
    sizes += [((1, random.randint(1, 3000)), (1, random.randint(1, 3000))) for _ in range(50)]
    sizes += [((500, 375), target) for target in ((520, 520), (693, 520), (250, 188), (499, 376), (1, 1), (167, 125))]
    for i, (size, target) in enumerate(sizes):
        image = Image.fromarray(np.random.RandomState(i).randint(0, 256, size[::-1]).astype(np.uint8), "L")
        image.save(cases.path(f"nearest{i}.png"))
        cases.add("nearest", f"nearest{i}.png", image.resize(target, Image.NEAREST), *target)
    cases.close()


def annotations(folder, data):
    cases = Cases(folder)
    for inside in ("voc/SegmentationClass", "camvid/valannot", "camvid/testannot"):
        for name in sorted(os.listdir(os.path.join(data, inside))):
            image = Image.open(os.path.join(data, inside, name))
            cases.add("labels", f"{inside}/{name}", image, *image.size)
    primary = "awkward/pngsuite/primary"
    for name in sorted(os.listdir(os.path.join(data, primary))):
        with open(os.path.join(data, primary, name), "rb") as file:
            depth, colour = file.read(26)[24:]
        if colour in (0, 3) and depth <= 8:
            spread = {2: 85, 4: 17}.get(depth, 1) if colour == 0 else 1  # of grey samples over 0..255, in Pillow
            samples = plain(Image.open(os.path.join(data, primary, name)))
            cases.add("labels", f"{primary}/{name}", samples // spread, *samples.shape[::-1])
    cases.close()


def decode(folder):
    for name in sorted(os.listdir(folder)):
        if name.startswith("ours_") and name.endswith((".png", ".jpg")):
            np.asarray(Image.open(os.path.join(folder, name))).tofile(os.path.join(folder, name[:-4] + ".raw"))
    array = np.load(os.path.join(folder, "ours.npy"))
    np.save(os.path.join(folder, "again.npy"), np.ascontiguousarray(array * 2))


def samples(image):
    """RGB, and for 16-bit grey the high byte, where convert() would clip at 255."""
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, 2)
    return np.asarray(image.convert("RGB"))


def awkward(folder, source):
    warnings.simplefilter("ignore")
    lines = []

    def store(array, suffix):
        name = f"{len(lines)}.{suffix}"
        array.tofile(os.path.join(folder, name))
        return name

    for parent, _, names in sorted(os.walk(source)):
        for path in (os.path.join(parent, name) for name in sorted(names)):
            try:
                with Image.open(path) as image:
                    image.load()
                    orientation = image.getexif().get(0x0112, 1)
                    stored = samples(image)
                    upright = samples(ImageOps.exif_transpose(image))
            except Exception as reason:  # of many types, struct.error and SyntaxError among them
                lines.append((path, f"{type(reason).__name__}: {reason}".replace("\n", " ").replace(path, "")))
                continue
            size = upright.shape[1], upright.shape[0]
            files = (store(upright, "raw"),) * 2 if orientation == 1 else (store(upright, "upright"), store(stored, "stored"))
            lines.append((path, image.format, image.mode, orientation) + size + files)
    with open(os.path.join(folder, "awkward.tsv"), "w") as out:
        out.write("".join("\t".join(map(str, line)) + "\n" for line in lines))


if __name__ == "__main__":
    commands = (pictures, webp, normalise, decode, labels, annotations, awkward)
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
