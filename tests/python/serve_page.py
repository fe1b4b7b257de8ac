"""Opens the page that atrous-serve serves, and has photos computed by the server: what the page shows is what the program finds.

usage: serve_page.py ATROUS_SERVE ATROUS [FOLDER]    screenshots go to FOLDER where one is given

Needs Debian's chromium, chromium-driver and python3-selenium; exits 77 (skipped) without them.
"""
import base64
import json
import pathlib
import subprocess
import sys
import tempfile

from browser import Window, check, failures, start

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "programs/serve"))
from serving import STREET, Server  # noqa: E402

PROGRAM, ATROUS = sys.argv[1:3]
TOKEN = "a-token-for-the-page"
LONG = 60


def labels_of(page):
    return base64.b64decode(page.run("""const bytes = shown.result.labels, parts = [];
        for (let i = 0; i < bytes.length; i += 8192) parts.push(String.fromCharCode(...bytes.subarray(i, i + 8192)));
        return btoa(parts.join(""));"""))


def begin(page, url):
    page.open("about:blank", 1280, 900)
    page.open(url, 1280, 900)
    page.wait("return !busy", LONG)


def choose(page, file):
    page.run("shown = null; noProblem()")
    page.one("#photo").send_keys(str(file))
    page.wait("return (shown !== null || !document.getElementById('problem').hidden) && !busy", LONG)


def semantic(page, folder):
    with Server(PROGRAM, "--sessions", "1") as server:
        begin(page, f"http://127.0.0.1:{server.port}/")
        check("server" in page.one("#where").text, "the page says that the server computes", page.one("#where").text)
        choose(page, STREET)
        found = page.run("return shown && {...shown.result, labels: null, confidence: null}")
        subprocess.run([ATROUS, "segment", str(STREET), "--size", "64x64", "-o", folder, "--labels", "-q", "--json", f"{folder}/one.json"],
                       check=True)
        wanted = json.loads(pathlib.Path(folder, "one.json").read_text())[0]
        check(found["classes"] == wanted["classes"], "the classes are the program's", (found["classes"], wanted["classes"]))
        counts = [0] * 256
        for label in labels_of(page):
            counts[label] += 1
        check({c["index"]: c["pixels"] for c in wanted["classes"]} == {i: n for i, n in enumerate(counts) if n},
              "the labels' pixels are the program's", counts[:12])
        confidence = page.run("""const sums = {}, r = shown.result;
            r.labels.forEach((label, i) => { sums[label] = (sums[label] || 0) + r.confidence[i] / 255; });
            return sums;""")
        wrong = [c["name"] for c in wanted["classes"] if abs(confidence[str(c["index"])] / c["pixels"] - c["confidence"]) > 0.5 / 255]
        check(not wrong, "the confidences are the program's", wrong)
        page.shoot("serve")
        page.click(page.one("#example"))
        page.wait("return shown !== null && !busy && shown.photo.name === 'street.png'", LONG)
        check(page.run("return document.getElementById('problem').hidden"), "the example is there", page.one("#problem-words").text)
        torn = pathlib.Path(folder, "torn.png")
        torn.write_bytes(STREET.read_bytes()[:1000])
        choose(page, torn)
        check(not page.run("return document.getElementById('problem').hidden"), "a broken picture is said in a sentence")
        choose(page, STREET)
        check(page.run("return shown !== null"), "and the page goes on")
        # A camera's frame has no file: it travels as PNG.
        frame = page.run("""const photo = {...shown.photo, file: null};
            return computer.segment(photo).then((r) => [...r.labels].join() === [...shown.result.labels].join());""")
        check(frame, "a frame of the camera gives the labels of the same photo")


def tokens(page, folder):
    file = pathlib.Path(folder, "tokens")
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    with Server(PROGRAM, "--sessions", "1", "--token-file", str(file)) as server:
        begin(page, f"http://127.0.0.1:{server.port}/")
        check("token" in page.one("#problem-words").text, "without a token the page says what it wants", page.one("#problem-words").text)
        begin(page, f"http://127.0.0.1:{server.port}/#token={TOKEN}")
        choose(page, STREET)
        check(page.run("return shown !== null"), "with the link's token a photo is computed", page.one("#problem-words").text)


def instances(page):
    with Server(PROGRAM, "-m", "seeded:maskrcnn_resnet50_fpn", "--arch", "min_size=64,max_size=96", "--sessions", "1", small=False) as server:
        begin(page, f"http://127.0.0.1:{server.port}/")
        choose(page, STREET)
        found = page.run("""const r = shown && shown.result; return r && {instances: r.instances.length, named: [...new Set(r.instanceOf)].filter((i) => i < 255)
            .every((i) => i < r.instances.length), pixels: r.instanceOf.length, labels: r.labels.length}""")
        check(found and found["instances"] > 0 and found["named"] and found["pixels"] == found["labels"] == 480 * 360,
              "instances arrive with their map", (found, page.one("#problem-words").text))


def main():
    with tempfile.TemporaryDirectory() as folder:
        driver = start(folder, folder + "/driver.log")
        try:
            page = Window(driver, sys.argv[3] if len(sys.argv) > 3 else None)
            semantic(page, folder)
            said = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE" and "422" not in e["message"]]
            check(not said, "the browser has nothing to complain of", said)
            tokens(page, folder)
            instances(page)
        finally:
            driver.quit()
    sys.exit(1 if failures else 0)


main()
