"""Opens the page for browsers (runtime/wasm) and uses it, served by a plain file server, on a desk and on a phone.

usage: web_page.py BUILD_WEB ATROUS [FOLDER|short]    BUILD_WEB: what `make web` writes; screenshots go to FOLDER where one is
given; short: without other networks and little memory, a minute less

What the page finds is compared with what the program ATROUS finds by its sse4 kernels. Needs Debian's chromium, chromium-driver,
python3-selenium, python3-numpy and python3-pil; exits 77 (skipped) without them.
"""
import base64
import contextlib
import functools
import http.server
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

from browser import Window, check, failures, fits, start

import numpy
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

SITE, ATROUS = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
STREET = pathlib.Path(__file__).resolve().parent.parent / "street" / "street.png"
MARGIN = 1e-5  # of the two largest probabilities, below which a label may be the other
LONG = 120  # seconds, for what computes


# ---- the server and the program

class Files(http.server.SimpleHTTPRequestHandler):
    isolated, slow, missing = False, False, None

    def log_message(self, *_):
        pass

    def end_headers(self):
        if Files.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def translate_path(self, path):
        return "/nowhere" if Files.missing and path.endswith(Files.missing) else super().translate_path(path)

    def copyfile(self, source, outputfile):
        for part in iter(functools.partial(source.read, 1 << 18), b""):
            outputfile.write(part)
            time.sleep(0.1 if Files.slow else 0)


@contextlib.contextmanager
def served(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class Program:
    """What `atrous segment --isa sse4` finds in a photo."""

    def __init__(self, folder, photo, *options):
        self.out = folder / f"program-{time.monotonic_ns()}"
        subprocess.run([ATROUS, "segment", photo, "-o", self.out, "--isa", "sse4", "--threads", "1", "-q", "--labels", "--confidence",
                        "--probabilities", folder / "p.npy", "--json", folder / "p.json", *options], check=True)
        self.probabilities = numpy.load(folder / "p.npy")[0]
        self.json = json.loads((folder / "p.json").read_text())[0]
        self.labels = self.picture("labels")

    def picture(self, kind):
        return numpy.asarray(Image.open(next(self.out.glob(f"*.{kind}.png"))))

    def agrees(self, labels):
        """How many labels differ, and how many of them at a margin that is none."""
        largest = numpy.sort(self.probabilities, axis=0)[-2:]
        different = labels != self.labels
        return int(different.sum()), int((different & (largest[1] - largest[0] >= MARGIN)).sum())


# ---- the page

class Page(Window):
    def __init__(self, driver, folder, shots):
        super().__init__(driver, shots)
        self.folder = folder
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder / "saved")})

    def start(self, url, width=1280, height=900, dark=False):
        self.open(url, width, height, dark)
        self.wait("return model !== null && !busy", LONG)

    def choose(self, file, control="photo"):
        self.one(f"#{control}").send_keys(str(file))

    def finish(self, seconds=LONG):
        self.wait("return !busy", seconds)

    def segment(self, file):
        """Chooses a photo and waits until it is done; the seconds that the library took."""
        self.run("shown = null; noProblem()")
        self.choose(file)
        self.wait("return (shown !== null || !document.getElementById('problem').hidden) && !busy", LONG)
        return self.run("return shown && Object.values(shown.result.seconds).reduce((a, b) => a + b)")

    def bytes(self, what):
        return base64.b64decode(self.run(f"""const bytes = {what}, parts = [];
            for (let i = 0; i < bytes.length; i += 8192) parts.push(String.fromCharCode(...bytes.subarray(i, i + 8192)));
            return btoa(parts.join(""));"""))

    def labels(self):
        width, height = self.run("return [shown.result.width, shown.result.height]")
        return numpy.frombuffer(self.bytes("shown.result.labels"), numpy.uint8).reshape(height, width)

    def saved(self, button, name):
        file = self.folder / "saved" / name
        file.unlink(missing_ok=True)
        self.click(self.one(f"#{button}"))
        for _ in range(200):
            if file.exists() and file.stat().st_size:
                return file
            time.sleep(0.05)
        raise AssertionError(f"{name} was not saved")

    def view(self, kind):
        self.run("document.querySelector(`#views [value=${arguments[0]}]`).click()", kind)

    def words_at(self, x, y):
        """What the tip says when the mouse is at a pixel of the photo."""
        self.run("document.getElementById('stage').scrollIntoView({block: 'center', behavior: 'instant'})")
        left, top, across, down = self.run("""const box = document.getElementById('canvas').getBoundingClientRect();
            return [box.left, box.top, box.width / shown.photo.width, box.height / shown.photo.height]""")
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {
            "type": "mouseMoved", "x": left + (x + 0.5) * across, "y": top + (y + 0.5) * down})
        return self.one("#tip").text

    def problem(self):
        return self.one("#problem-words").text if self.one("#problem").is_displayed() else ""

    def script_before_all(self, source):
        return self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})["identifier"]


def begins(page, url):
    """A network of 6 MB that does not come, or comes slowly: the page says so, and how far it is."""
    Files.missing = ".safetensors"
    page.open(url, 1280, 900)
    page.wait("return !document.getElementById('problem').hidden")
    check("default.safetensors could not be downloaded: the server says 404." == page.problem(), "a part that is missing is named", page.problem())
    Files.missing = None
    page.click(page.one("#example"))
    page.wait("return shown !== null && !busy", LONG)
    check(page.problem() == "", "and asked for again with the next photo", page.problem())
    page.driver.get_log("browser")  # the 404
    Files.slow = True
    page.open(url, 1280, 900)
    page.wait("return document.getElementById('bar').value > 0.2 && document.getElementById('bar').value < 1")
    check(" of " in page.one("#amount").text and "MB" in page.one("#amount").text, "the download says how far it is", page.one("#amount").text)
    page.shoot("desktop-download")
    Files.slow = False
    page.finish()
    check("sky" in page.one("#knows").text, "the page says what its network knows", page.one("#knows").text)
    check(page.one("#photo").get_attribute("accept").startswith("image/"), "a phone offers its pictures")
    page.shoot("desktop")
    check(not fits(page), "nothing sticks out", fits(page))


def street(page, folder):
    """The example, by one click: labels, classes and confidence are the program's."""
    page.run("""window.gaps = []; let before = performance.now();
        requestAnimationFrame(function measure(now) { gaps.push(now - before); before = now; requestAnimationFrame(measure); })""")
    page.click(page.one("#example"))
    page.wait("return onStage !== null")
    page.shoot("desktop-busy")
    page.wait("return shown !== null && !busy", LONG)
    longest, seconds = page.run("return [Math.max(...gaps) / 1000, shown.result.seconds.network]")
    check(longest < max(0.3, seconds / 2), "the page goes on while it computes", f"{longest:.2f} s without a frame, of {seconds:.2f} s")
    page.shoot("desktop-result")
    program = Program(folder, STREET, "--cutout", "car")
    different, wrong = program.agrees(page.labels())
    print(f"     labels: {different} of {program.labels.size} differ, {wrong} of them at margins of {MARGIN} or more")
    check(wrong == 0, "the street has the labels of --isa sse4", wrong)
    confidence = numpy.frombuffer(page.bytes("shown.result.confidence"), numpy.uint8).reshape(program.labels.shape)
    off = numpy.abs(confidence.astype(int) - program.picture("confidence")).max()
    check(off <= 1, "and its confidence", off)

    numbers = json.loads(page.saved("save-json", "street.json").read_text())[0]
    expected = program.json
    same = ("file", "width", "height", "input_width", "input_height")
    check([numbers[k] for k in same[1:]] == [expected[k] for k in same[1:]] and numbers["file"] == "street.png", "the numbers name the photo", numbers)
    check(set(expected) - set(numbers) == {"precision", "written"}, "they have the program's keys", set(expected) ^ set(numbers))
    check([set(c) for c in numbers["classes"]] == [set(c) for c in expected["classes"]], "of classes too")
    found = {c["name"]: c for c in numbers["classes"]}
    check([c["name"] for c in numbers["classes"]] == [c["name"] for c in expected["classes"]] and all(
        abs(found[c["name"]]["pixels"] - c["pixels"]) <= different and abs(found[c["name"]]["confidence"] - c["confidence"]) < 1e-4
        for c in expected["classes"]), "classes, pixels and confidence are the program's")

    overlay = numpy.asarray(Image.open(page.saved("save-png", "street.overlay.png")).convert("RGB")).astype(int)
    off = (numpy.abs(overlay - program.picture("overlay")) > 1).any(axis=2).sum()
    check(off <= 9 * different, "the saved picture is the program's overlay", f"{off} pixels differ")
    page.view("mask")
    mask = numpy.asarray(Image.open(page.saved("save-png", "street.mask.png")).convert("RGB"))
    check((mask != program.picture("mask")).any(axis=2).sum() <= different, "and its mask")
    page.view("cutout")
    page.shoot("desktop-cutout")
    page.click(page.one("[aria-label='Only car']"))
    cut = numpy.asarray(Image.open(page.saved("save-png", "street.cutout.png")))
    check((cut != program.picture("cutout-car")).any(axis=2).sum() <= different, "and its cut-out of the car")
    page.view("overlay")
    return program


def pointing(page, program):
    """The mouse, the keyboard and the legend tell what is where."""
    y, x = (int(v[len(v) // 2]) for v in numpy.nonzero(program.labels == 8))
    sure = round(100 * float(program.probabilities[8, y, x]))
    check(page.words_at(x, y) in (f"car, {n}% sure" for n in (sure - 1, sure, sure + 1)), "the mouse tells class and confidence", page.words_at(x, y))
    check(page.texts(".legend .pointed .name") == ["car"], "and marks the class in the legend", page.texts(".legend .pointed .name"))
    stage = page.one("#stage")
    page.run("arguments[0].focus()", stage)
    stage.send_keys(Keys.ARROW_RIGHT)
    said = page.one("#said").get_attribute("textContent")
    check("% sure" in said and page.one("#cross").is_displayed(), "the arrow keys tell it too, aloud", said)
    page.run("arguments[0].blur()", stage)

    canvas = page.one("#canvas")
    all_on = canvas.screenshot_as_png
    box = page.one("#legend input")
    page.run("arguments[0].focus()", box)
    box.send_keys(Keys.SPACE)
    page.wait("return document.getElementById('canvas')")
    time.sleep(0.2)
    one_off = canvas.screenshot_as_png
    page.click(page.one("#none"))
    time.sleep(0.2)
    check(len({all_on, one_off, canvas.screenshot_as_png}) == 3, "classes are switched off, by keyboard too")
    drawn = page.run("const c = document.getElementById('canvas'); return [...c.getContext('2d').getImageData(9, 9, 1, 1).data]")
    check(drawn[:3] == list(Image.open(STREET).convert("RGB").getpixel((9, 9))), "without classes the photo is left", drawn)
    page.click(page.one("#all"))
    slider = page.one("#alpha")
    page.run("arguments[0].focus()", slider)
    slider.send_keys(Keys.END)
    time.sleep(0.2)
    check(page.one("#alpha-words").text == "100%" and canvas.screenshot_as_png != all_on, "colours are as strong as asked for")
    page.run("arguments[0].value = 50; arguments[0].dispatchEvent(new Event('input'))", slider)


def speed(page, folder):
    """The library's seconds on the street, with one thread each, in turn."""
    ours, theirs = [], []
    while len(ours) < 4 or (min(ours) > 2 * min(theirs) and len(ours) < 16):  # more where the machine has other work
        ours.append(page.segment(STREET))
        theirs.append(sum(Program(folder, STREET).json["seconds"].values()))
    print(f"     the street: {min(ours):.2f} s here, {min(theirs):.2f} s by --isa sse4 --threads 1: {min(ours) / min(theirs):.2f} times")
    check(min(ours) <= 2 * min(theirs), "at most twice the time of --isa sse4", (ours, theirs))


def threads(page, url, expected):
    """Where the host sends COOP and COEP, all processors compute."""
    if not (SITE / "atrous_threads.wasm").exists():
        return print("     no module for several threads was built")
    Files.isolated = True
    page.start(url)
    check(page.run("return crossOriginIsolated"), "the host's headers are understood")
    page.segment(STREET)
    device = page.run("return shown && shown.result.device")
    check(device is not None and device.endswith("threads"), "several threads compute", (device, page.problem()))
    check(bool((page.labels() == expected).all()), "and give the same labels")
    page.segment(STREET)
    print(f"     the street: {page.segment(STREET):.2f} s by {device}")
    Files.isolated = False


def arrivals(page, folder, expected):
    """Photos may be dropped, pasted, in other formats, turned by EXIF, or the camera's."""
    give = """const [kind, name, type, text] = arguments, bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const carried = new DataTransfer();
        carried.items.add(new File([bytes], name, {type}));
        shown = null;
        noProblem();
        if (kind === "paste") dispatchEvent(new ClipboardEvent("paste", {clipboardData: carried, bubbles: true}));
        else for (const event of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(event,
          {dataTransfer: carried, bubbles: true, cancelable: true}))"""

    def arrive(kind, name, data):
        page.run(give, kind, name, "image/" + name.split(".")[-1], base64.b64encode(data).decode())
        page.wait("return (shown !== null || !document.getElementById('problem').hidden) && !busy", LONG)
        return page.run("return shown !== null")

    for kind in ("drop", "paste"):
        check(arrive(kind, "street.png", STREET.read_bytes()) and bool((page.labels() == expected).all()), f"a photo arrives by {kind}", page.problem())
    photo, webp, turned = Image.open(STREET).convert("RGB"), io.BytesIO(), io.BytesIO()
    photo.save(webp, "WEBP", lossless=True)
    check(arrive("drop", "street.webp", webp.getvalue()) and bool((page.labels() == expected).all()),
          "WebP, which the browser decodes, has the same labels", page.problem())
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    photo.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=95, exif=exif)
    check(arrive("drop", "turned.jpg", turned.getvalue()) and page.run("return [shown.photo.width, shown.photo.height]") == [480, 360]
          and (page.labels() == expected).mean() > 0.95, "EXIF turns a photo upright", page.problem())
    page.run("shown = null")
    page.click(page.one("#camera"))
    page.wait("return document.getElementById('video').videoWidth > 0")
    page.shoot("desktop-camera")
    page.click(page.one("#shoot"))
    page.wait("return shown !== null && !busy", LONG)
    check(page.run("return shown.photo.name === 'camera' && video.srcObject === null"), "the camera takes a photo and is let go")
    large = Image.effect_noise((6000, 4000), 60).convert("RGB")
    large.save(folder / "large.jpg", quality=80)
    page.segment(folder / "large.jpg")
    check("from 6000x4000 to 3000x2000" in page.one("#facts").text, "what is done to a large photo is said", page.one("#facts").text)


def networks(page, folder, expected):
    """Networks in files: what they find, and back again."""
    file = folder / "lraspp.safetensors"
    subprocess.run([ATROUS, "convert", "seeded:lraspp_mobilenet_v3_large", file], check=True, stdout=subprocess.DEVNULL)
    page.segment(STREET)
    page.run("shown = null")
    page.click(page.one("summary"))
    page.choose(file, "network")
    page.wait("return shown !== null && !busy", LONG)
    check("lraspp" in page.one("#network-name").text, "a network in a file is used", page.problem())
    different, wrong = Program(folder, STREET, "-m", file).agrees(page.labels())
    check(wrong == 0, "and finds what the program finds with it", (different, wrong))
    broken = folder / "broken.pth"
    broken.write_bytes(b"PK\3\4" + bytes(1000))
    page.choose(broken, "network")
    page.wait("return !busy && !document.getElementById('problem').hidden")
    check("broken.pth" in page.problem() and "lraspp" in page.one("#network-name").text, "one that is none leaves the other in use", page.problem())
    page.shoot("desktop-error")
    page.run("shown = null")
    page.click(page.one("#default-network"))
    page.wait("return shown !== null && !busy", LONG)
    check(bool((page.labels() == expected).all()), "the built-in network comes back")

    # Of a network for photos of any size, in more memory than a page has.
    file = folder / "unet.safetensors"
    subprocess.run([ATROUS, "convert", "seeded:smp_unet_r18", file, "--no-resize"], check=True, stdout=subprocess.DEVNULL)
    Image.open(STREET).resize((3840, 2880)).save(folder / "street large.png")
    page.choose(file, "network")
    page.finish()
    page.segment(folder / "street large.png")
    check("more memory than there is here" in page.one("#facts").text, "a photo that is too large for a network is made smaller, and it is said",
          (page.problem(), page.one("#facts").text))
    page.click(page.one("#default-network"))
    page.finish()


def instances(page, folder):
    """A network that finds single things: random weights, with a bias that makes it find some."""
    file = folder / "rcnn.safetensors"
    subprocess.run([ATROUS, "convert", "seeded:maskrcnn_resnet18_fpn", file, "--arch", "min_size=160,max_size=300"], check=True, stdout=subprocess.DEVNULL)
    data = bytearray(file.read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])

    def values(key):
        first, last = header["roi_heads.box_predictor.cls_score." + key]["data_offsets"]
        return numpy.frombuffer(data, "<f4", (last - first) // 4, 8 + size + first)

    values("weight")[:] *= 0.01
    values("bias")[:] = 0
    values("bias")[[3, 18]] = 4, 3.5
    file.write_bytes(data)
    out = subprocess.run([ATROUS, "segment", STREET, "-m", file, "--isa", "sse4", "--json", "-", "-o", folder / "instances"],
                         check=True, capture_output=True).stdout
    expected = json.loads(out)
    page.choose(file, "network")
    page.finish()
    page.segment(STREET)
    check(page.problem() == "" and len(expected) > 0, "a network of instances is used", (page.problem(), len(expected)))
    found = json.loads(page.saved("save-json", "street.json").read_text())
    check(len(found) == len(expected) and all(f["category"] == e["category"] and abs(f["score"] - e["score"]) < 1e-3 and
          numpy.allclose(f["bbox"], e["bbox"], atol=0.5) for f, e in zip(found, expected)), "and finds what the program finds", (found[:2], expected[:2]))
    drawn = numpy.asarray(Image.open(page.saved("save-png", "street.overlay.png")))
    check(drawn.shape == (360, 480, 4), "their picture can be saved")
    page.run("document.getElementById('work').scrollIntoView()")
    page.shoot("desktop-instances")
    page.run("document.getElementById('default-network').click()")
    page.finish()


def png_of_zeros(side):
    """A grey PNG of side x side, without its pixels in memory."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def refusals(page, folder, expected):
    """What cannot be done is said in one sentence, and the page goes on."""
    files = {"notes.jpg": b"these are words", "empty.png": b"", "cut.png": STREET.read_bytes()[:5000], "enormous.png": png_of_zeros(14200),
             "phone.heic": b"\0\0\0\x20ftypheic" + bytes(100)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        page.segment(folder / name)
        said = page.problem()
        print(f"     {name}: {said}")
        check(name in said, f"{name} is refused in a sentence", said)
        check(said.count(". ") <= 1 and len(said) < 200 and "atrous" not in said, f"a short one, for {name}", said)
        page.segment(STREET)
        check(page.problem() == "" and bool((page.labels() == expected).all()), f"after {name} a photo is looked at as ever", page.problem())
    page.run("dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    check("nothing" in page.problem().lower() or "no picture" in page.problem(), "a paste without a picture is answered", page.problem())


def little_memory(folder, shots, url, expected):
    """A browser that gives a page 128 MiB: what does not fit is said, and the page goes on."""
    browser = start(f"{folder}/small", f"{folder}/small.log", "js-flags=--wasm-max-mem-pages=2048")
    try:
        page = Page(browser, folder, shots)
        page.start(url)
        page.segment(folder / "large.jpg")
        print(f"     large.jpg: {page.problem()}")
        check("memory" in page.problem() and "large.jpg" in page.problem(), "a photo for which memory is too little is refused", page.problem())
        page.choose(folder / "unet.safetensors", "network")
        page.wait("return !busy && document.getElementById('problem-words').textContent.includes('unet')", LONG)
        print(f"     unet.safetensors: {page.problem()}")
        check("memory" in page.problem(), "a network, too", page.problem())
        page.segment(STREET)
        check(bool((page.labels() == expected).all()), "and the page goes on", page.problem())
    finally:
        browser.quit()


def cancelling(page, folder, expected):
    page.run("shown = null")
    page.choose(STREET)
    page.wait("return document.getElementById('doing').textContent.startsWith('Looking') && !document.getElementById('cancel').hidden")
    page.run("document.getElementById('cancel').click()")
    page.finish()
    check(page.run("return shown") is None and page.problem() == "", "Cancel ends what is computed", page.problem())
    page.segment(STREET)
    check(bool((page.labels() == expected).all()), "and the next photo is looked at")
    # A second photo while the first is computed.
    Image.open(STREET).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirror.png")
    page.choose(folder / "mirror.png")
    page.wait("return document.getElementById('doing').textContent.includes('mirror')")
    page.choose(STREET)
    page.wait("return shown !== null && shown.photo.name === 'street.png' && !busy", LONG)
    check(bool((page.labels() == expected).all()), "a second photo takes the place of the first")


def old_browsers(page, url):
    for source, words in (("WebAssembly.validate = () => false", "SIMD"), ("delete self.WebAssembly", "WebAssembly")):
        script = page.script_before_all(source)
        page.open(url, 390, 844)
        page.wait("return !document.getElementById('problem').hidden")
        check(words in page.problem() and page.problem().count(".") == 1, "a browser that cannot is told", page.problem())
        if words == "SIMD":
            page.shoot("phone-error")
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})


def phone(page, url, expected):
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for width, dark in ((390, False), (360, True)):
        page.start(url, width, 780, dark)
        name = "phone-dark" if dark else "phone"
        page.shoot(name)
        page.click(page.one("#example"))
        page.wait("return shown !== null && !busy", LONG)
        page.run("scrollTo(0, 0)")
        page.shoot(name + "-result")
        page.run("document.querySelector('.right').scrollIntoView()")
        page.shoot(name + "-legend")
        check(page.run("return document.documentElement.scrollWidth <= innerWidth") and not fits(page), f"nothing sticks out at {width} pixels", fits(page))
        small = page.run("""return [...document.querySelectorAll('button, summary, .button, .legend label')].filter((e) =>
            e.offsetParent && e.getBoundingClientRect().height < 40 && !e.closest('.legend')).map((e) => e.textContent)""")
        check(not small, "what is tapped is large enough", small)
        background = page.run("return getComputedStyle(document.body).backgroundColor")
        check((sum(map(int, background[4:-1].split(","))) < 150) == dark, "the colours are as the phone's", background)
    check(bool((page.labels() == expected).all()), "a phone has the same labels")
    page.click(page.one("#theme"))
    check(page.run("return document.documentElement.dataset.theme") == "light", "and can be had the other way")
    page.driver.refresh()
    # No flash of other colours: what the head's script sets is there before the first rule of colours is.
    check(page.run("""return document.documentElement.dataset.theme === 'light' &&
        [...document.head.children].findIndex((e) => e.tagName === 'SCRIPT' && !e.dataset.part) <
        [...document.head.children].findIndex((e) => e.tagName === 'STYLE' || e.rel === 'stylesheet')"""), "and stays so from the first drawing on")
    page.run("localStorage.clear()")
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def dark_desk(page, url):
    page.start(url, 1280, 900, dark=True)
    page.click(page.one("#example"))
    page.wait("return shown !== null && !busy", LONG)
    page.shoot("desktop-dark")


def by_keyboard(page, url):
    """From nothing to a saved picture without a mouse; every control has a name."""
    def press(key):
        ActionChains(page.driver).send_keys(key).perform()
        return page.run("const e = document.activeElement; return e.id || e.name || e.textContent")

    page.start(url)
    reached = []
    while len(reached) < 12 and "example" not in reached:
        reached.append(press(Keys.TAB))
    check({"theme", "photo", "camera", "paste", "example"} <= set(reached), "every way in is reached by Tab", reached)
    press(Keys.ENTER)
    page.wait("return shown !== null && !busy", LONG)
    reached = []
    while len(reached) < 45 and "save-json" not in reached:
        reached.append(press(Keys.TAB))
    check({"stage", "view", "alpha", "save-png", "save-json"} <= set(reached), "all of the result is reached by Tab", reached)
    nameless = page.run("""return [...document.querySelectorAll('button, input, summary, [tabindex], canvas')].filter((e) => e.tagName !== "CANVAS" &&
        !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels[0] && e.labels[0].textContent.trim())))
        .map((e) => e.outerHTML.slice(0, 80))""")
    check(not nameless, "every control has a name", nameless)


def contrast(page):
    """WCAG's contrast of text, 4.5, and of controls' edges, 3, in both colour schemes."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(w * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for w, v in zip((0.2126, 0.7152, 0.0722), parts))

    for theme in ("light", "dark"):
        page.run("document.documentElement.dataset.theme = arguments[0]", theme)
        colours = page.run("""const style = getComputedStyle(document.documentElement);
            return Object.fromEntries(['page', 'surface', 'sunken', 'text', 'muted', 'accent', 'on-accent', 'warned', 'edge'].map((name) =>
              [name, style.getPropertyValue('--' + name).trim()]))""")
        for front, back, least in (("text", "page", 4.5), ("text", "surface", 4.5), ("muted", "page", 4.5), ("muted", "surface", 4.5),
                                   ("muted", "sunken", 4.5), ("accent", "page", 4.5), ("on-accent", "accent", 4.5), ("text", "warned", 4.5), ("edge", "page", 3)):
            bright, dim = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
            ratio = (bright + 0.05) / (dim + 0.05)
            if ratio < least:
                check(False, f"{front} on {back} is legible in {theme}", f"{ratio:.2f}")
    check(True, "colours are told apart in both schemes")


def single_file(page, expected):
    """One file, from a disk; the page of many files says that it is none."""
    page.open((SITE / "index.html").as_uri(), 1280, 900)
    page.wait("return !document.getElementById('problem').hidden")
    check("atrous.html" in page.problem(), "opened from a disk the folder's page says what to open", page.problem())
    file = SITE / "atrous.html"
    page.start(file.as_uri())
    page.click(page.one("#example"))
    page.wait("return shown !== null && !busy", LONG)
    check(bool((page.labels() == expected).all()), "the single file, opened from a disk, has the same labels")
    check(page.problem() == "", "without complaint", page.problem())
    print(f"     {file.name}: {file.stat().st_size / 1e6:.1f} MB")


def quiet(page, *allowed):
    said = [entry["message"] for entry in page.driver.get_log("browser")]
    check(not said, "the console stays empty", said)
    sent = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
             and m["params"]["documentURL"].startswith(allowed)}
    outside = sorted(url for url in asked if not url.startswith((*allowed, "data:", "blob:")))
    check(asked and not outside, "nothing is asked of anyone else", outside)


def sizes():
    for module in sorted(SITE.glob("atrous*.wasm")):
        name = module.stem
        size = sum(file.stat().st_size for file in SITE.glob(f"{name}.*") if file.suffix != ".html")
        print(f"     {name}: {size} bytes of code")
        check(size < 2_500_000, f"{name} is under 2.5 MB", size)


def main():
    short = sys.argv[3:] == ["short"]
    shots = sys.argv[3] if len(sys.argv) > 3 and not short else None
    if shots:
        pathlib.Path(shots).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, served(SITE) as host:
        folder = pathlib.Path(temporary)
        (folder / "saved").mkdir()
        browser = start(temporary, f"{temporary}/driver.log", "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
        page, url = Page(browser, folder, shots), host + "/index.html"
        try:
            sizes()
            begins(page, url)
            program = street(page, folder)
            expected = page.labels()
            pointing(page, program)
            arrivals(page, folder, expected)
            cancelling(page, folder, expected)
            if not short:
                networks(page, folder, expected)
                instances(page, folder)
            refusals(page, folder, expected)
            if not short:
                little_memory(folder, shots, url, expected)
            threads(page, url, expected)
            by_keyboard(page, url)
            contrast(page)
            dark_desk(page, url)
            speed(page, folder)
            quiet(page, host + "/", f"blob:{host}/")
            phone(page, url, expected)
            old_browsers(page, url)
            if (SITE / "atrous.html").exists():
                single_file(page, expected)
        finally:
            browser.quit()
    if failures:
        sys.exit(f"{len(failures)} statements do not hold: {failures}")


main()
