"""Opens reports in a browser and uses them: sorts, filters, opens an image, moves the slider, on a phone too.

usage: report_browser.py ATROUS_TESTS [FOLDER]    writes screenshots into FOLDER where one is given

The reports are the samples that tests/runtime/report/report_test.cc and detection_report_test.cc write. Needs Debian's chromium, chromium-driver and python3-selenium;
exits 77 (skipped) without them.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from browser import Window, check, failures, fits, start

from selenium.webdriver.common.keys import Keys


class Page(Window):
    def __init__(self, driver, folder, shots):
        super().__init__(driver, shots)
        self.folder = folder

    def open(self, width, height, dark=False):
        super().open(pathlib.Path(self.folder, "index.html").as_uri(), width, height, dark)

    def sort_by(self, table, title):
        self.click(next(b for b in self.all(f"{table} .sort") if b.text.strip("\u2191\u2193\u2009 ") == title))

    def column(self, table, title):
        at = next(i for i, text in enumerate(self.texts(f"{table} thead th")) if text == title)
        return [None if text == "absent" else float(text.replace(",", ""))
                for text in self.texts(f"{table} tbody tr:not(.detail) > :nth-child({at + 1})")]


def is_sorted(values, descending=False):
    known = [v for v in values if v is not None]
    return known == sorted(known, reverse=descending) and None not in values[:len(known)]


def summary(page, data):
    check(page.one("h1").text == data["model"], "the title is the model's")
    tiles = dict(zip(page.texts(".tile dt"), page.texts(".tile dd:nth-child(2)")))
    check(tiles["Mean IoU"] == f"{100 * data['summary']['mean_iou']:.2f}%", "the mean IoU is shown", tiles)
    check(tiles["Failures"] == "1" and tiles["Images"] == "130", "images and failures are counted", tiles)
    check(page.texts("#failure-list dt") == [data["failed"][0][0]] and page.texts("#failure-list dd") == [data["failed"][0][1]],
          "failures are listed with their sentence", page.texts("#failure-list dt"))
    check(not page.all("#failure-list img, th b, td b"), "markup in a name stays text")
    text = page.one("body").text
    check(not any(word in text for word in ("NaN", "undefined", "null", "Infinity")), "no number is broken")


def class_table(page, data):
    table = "#class-table"
    rows = page.texts(f"{table} tbody tr")
    check(len(rows) == 4 and rows[3].count("absent") == 5, "a class that is nowhere is absent", rows)
    page.sort_by(table, "IoU")
    check(is_sorted(page.column(table, "IoU"), True), "classes sort by IoU, the best first", page.column(table, "IoU"))
    page.sort_by(table, "IoU")
    check(is_sorted(page.column(table, "IoU")), "and the worst first, what is absent last", page.column(table, "IoU"))
    page.sort_by(table, "Class")
    names = page.texts(f"{table} tbody .name-text")
    check(names == sorted(c["name"] for c in data["classes"]), "classes sort by name", names)
    check(page.one(f"{table} thead .name").get_attribute("aria-sort") == "ascending", "the order is announced")


def confusion(page, data):
    canvas = page.one("#matrix canvas")
    page.run("arguments[0].focus()", canvas)
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    tip = page.one("#matrix-tip").text
    pixels, row = data["confusion"][0][1], sum(data["confusion"][0])
    check(f"{pixels:,} of {row:,} pixels" in tip and "sky, called road" in tip and f"{100 * pixels / row:.1f}%" in tip,
          "the arrow keys walk through the confusion matrix", tip)
    filled = page.run("const c = arguments[0], d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                      "return new Set(new Uint32Array(d.buffer)).size", canvas)
    check(filled > 4, "the matrix is drawn", filled)


def curves(page):
    drawn = page.texts("#plot .curve title")
    check(sorted(drawn) == ["road", "sky", "tree"], "every class in the truth has a curve", drawn)
    button = page.one("#curve-legend button[aria-pressed='false']")
    before = len(page.all("#plot .curve.picked"))
    page.click(button)
    check(len(page.all("#plot .curve.picked")) == before + 1, "a click in the legend picks a curve")
    check(button.get_attribute("aria-pressed") == "true", "and says so")


def image_table(page):
    table = "#image-table"
    scores = page.column(table, "Mean IoU")
    check(len(scores) == 100 and is_sorted(scores), "images begin with the worst, a hundred of them", scores[:5])
    page.sort_by(table, "Mean IoU")
    check(is_sorted(page.column(table, "Mean IoU"), True), "and sort the other way", page.column(table, "Mean IoU")[:5])
    page.sort_by(table, "Loss")
    check(is_sorted(page.column(table, "Loss"), True), "images sort by loss, the worst first")
    page.click(page.all("#more button")[-1])
    check(len(page.all(f"{table} tbody tr")) == 130, "all images can be shown")
    page.one("#filter").send_keys("PARK")
    names = page.texts(f"{table} tbody .name-text")
    check(len(names) == 65 and all("park" in name for name in names), "the filter filters", len(names))
    check("65 of 130" in page.one("#images-count").text, "and says how many are left", page.one("#images-count").text)
    page.one("#filter").send_keys(Keys.CONTROL, "a")
    page.one("#filter").send_keys("no such image")
    check(not page.all(f"{table} tbody tr"), "a filter may leave nothing")


def open_image(page, name):
    page.one("#filter").clear()
    page.one("#filter").send_keys(name)
    page.click(page.one("#image-table .open"))
    page.run("document.querySelector('.panel').scrollIntoView({behavior: 'instant'})")


def image_panel(page):
    open_image(page, "park_8")
    check(page.one(".open").get_attribute("aria-expanded") == "true", "an image opens")
    page.wait("return [...document.querySelectorAll('.panel img')].every((i) => i.complete && i.naturalWidth > 0)")
    sources = page.run("return [...document.querySelectorAll('.four img')].map((i) => [i.naturalWidth, i.src])")
    check(len({source for _, source in sources}) == 4 and all(width == 48 for width, _ in sources),
          "its photo, truth, prediction and errors are loaded", sources)
    layer = "return getComputedStyle(document.querySelectorAll('.stage img')[1]).opacity"
    slider = page.one(".fade input")
    box, before = page.one(".stage"), page.run(layer)
    blended = box.screenshot_as_png
    page.run("arguments[0].focus()", slider)
    slider.send_keys(Keys.HOME)
    check(float(page.run(layer)) == 0 and before == "0.6", "the slider leads back to the photo, by keyboard", page.run(layer))
    photo = box.screenshot_as_png
    slider.send_keys(Keys.END)
    check(float(page.run(layer)) == 1 and len({blended, photo, box.screenshot_as_png}) == 3, "and on to the map alone")
    page.click(page.all(".layers input[type=radio]")[2])
    page.wait("const i = document.querySelectorAll('.stage img')[1]; return i.src.includes('errors') && i.complete")
    check(True, "the map over the photo can be the errors")
    page.shoot("image")
    page.click(page.one(".open"))
    check(not page.all(".panel"), "an image closes")
    open_image(page, "\"odd\"")
    page.wait("return [...document.querySelectorAll('.panel img')].every((i) => i.complete && i.naturalWidth > 0)")
    check(len(page.all(".four img")) == 4, "an image of an odd name has its pictures")
    open_image(page, "street_5")
    check("No pictures" in page.one(".panel").text, "an image without pictures says so")


def phone(page):
    page.open(390, 844, dark=True)
    open_image(page, "park_8")
    page.wait("return [...document.querySelectorAll('.panel img')].every((i) => i.complete && i.naturalWidth > 0)")
    check(page.run("return innerWidth") == 390 and not fits(page), "nothing sticks out on a phone", fits(page))
    check(page.run("return document.querySelector('#image-table').offsetWidth <= 390"), "the images' table fits a phone")
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    check(sum(map(int, background[4:-1].split(","))) < 150, "the page is dark where that is asked for", background)
    page.shoot("phone-panel")
    page.run("scrollTo(0, 0)")
    page.shoot("phone")


def quiet(page):
    said = [entry["message"] for entry in page.driver.get_log("browser")]
    check(not said, "the console stays empty", said)
    sent = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    here = pathlib.Path(page.folder).as_uri() + "/"
    asked = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
             and m["params"]["documentURL"].startswith(here)}  # the browser's own first page asks for a lot
    outside = [url for url in asked if not url.startswith((here, "data:,"))]
    check(any(url.endswith("-photo.png") for url in asked) and not outside, "nothing is asked of a network", outside)


def figures(page, data):
    check(page.one("h1").text == data["model"], "the title is the model's")
    tiles = dict(zip(page.texts(".tile dt"), page.texts(".tile dd:nth-child(2)")))
    check(tiles["Mask AP"] == f"{100 * data['summary']['masks']['ap']:.2f}%", "the masks' AP is shown", tiles)
    check(tiles["Failures"] == "1" and tiles["Images"] == "130", "images and failures are counted", tiles)
    check(not page.all("#failure-list img, th b, td b"), "markup in a name stays text")
    text = page.one("body").text
    check(not any(word in text for word in ("NaN", "undefined", "null", "Infinity")), "no number is broken")
    check("a note of the run" in text, "notes are shown")
    rows = page.texts("#figure-table tbody tr")
    check(len(rows) == 12, "there are COCO's twelve figures", rows)
    for row, key in ((0, "ap"), (3, "ap_small"), (5, "ap_large"), (8, "ar100")):
        shown = page.texts(f"#figure-table tbody tr:nth-child({row + 1}) td:nth-last-child(-n + 2)")
        expected = [data["summary"][geometry][key] for geometry in ("boxes", "masks")]
        expected = ["absent" if v is None else f"{100 * v:.1f}" for v in expected]
        check(shown == expected, f"{key} of boxes and masks is in its row", (shown, expected))


def categories(page, data):
    table = "#class-table"
    rows = page.texts(f"{table} tbody tr")
    check(len(rows) == 3 and rows[2].count("absent") == 6, "a category without truths is absent", rows)
    page.sort_by(table, "AP mask")
    check(is_sorted(page.column(table, "AP mask"), True), "categories sort by AP, the best first", page.column(table, "AP mask"))
    page.sort_by(table, "Class")
    names = page.texts(f"{table} tbody .name-text")
    check(names == sorted(c["name"] for c in data["classes"]), "categories sort by name", names)


def curves_of_both(page, data):
    path = "return document.querySelector('#plot .curve.picked').getAttribute('d')"
    drawn = page.texts("#plot .curve title")
    check(sorted(drawn) == ["cat", "dog"], "every category that is found has a curve", drawn)
    boxes = page.run(path)
    check(page.texts("#curve-legend button")[0].endswith(f"AP50 {100 * data['classes'][0]['boxes']['ap50']:.1f}"),
          "the legend has its AP50", page.texts("#curve-legend button"))
    page.click(page.all("#curves input[type=radio]")[1])
    check(len(page.all("#plot .curve")) == 2 and page.run(path).startswith("M"), "the curves of masks are shown instead")
    page.click(page.all("#curves input[type=radio]")[0])
    check(page.run(path) == boxes, "and those of boxes again")


def images_of_detections(page, data):
    table = "#image-table"
    scores = page.column(table, "F1")
    check(len(scores) == 100 and is_sorted(scores), "images begin with the worst, a hundred of them", scores[:5])
    missed = sorted((len(image["missed"]) for image in data["images"]), reverse=True)[:100]
    page.sort_by(table, "Missed")
    check(page.column(table, "Missed") == missed, "images sort by what was missed", page.column(table, "Missed")[:5])
    check("12 worst" in page.one("#images-note").text, "the page says which images have pictures", page.one("#images-note").text)
    page.one("#filter").send_keys("odd")
    page.click(page.one("#image-table .open"))
    page.wait("return [...document.querySelectorAll('.panel img')].every((i) => i.complete && i.naturalWidth > 0)")
    sources = page.run("return [...document.querySelectorAll('.four img')].map((i) => [i.naturalWidth, i.src])")
    check(len({source for _, source in sources}) == 4 and all(width == 120 for width, _ in sources),
          "its photo, truth, what was found and errors are loaded", sources)
    listed = page.texts(".panel .chips li")
    check(listed == ["dog", "dog0.63", "cat0.88"], "what was missed, wrong and right is listed with scores", listed)
    box = page.one(".stage")
    found = box.screenshot_as_png
    page.click(page.all(".layers input[type=radio]")[-1])
    page.wait("const i = document.querySelectorAll('.stage img')[1]; return i.src.includes('errors') && i.complete")
    check(box.screenshot_as_png != found, "the picture over the photo can be the errors")
    page.shoot("detections-image")
    page.click(page.one(".open"))
    open_image(page, "street_129")
    check("No pictures" in page.one(".panel").text, "an image without pictures says so")


def phone_of_detections(page):
    page.open(390, 844, dark=True)
    open_image(page, "odd")
    page.wait("return [...document.querySelectorAll('.panel img')].every((i) => i.complete && i.naturalWidth > 0)")
    check(page.run("return innerWidth") == 390 and not fits(page), "nothing of instances sticks out on a phone", fits(page))
    check(page.run("return document.querySelector('#image-table').offsetWidth <= 390"), "the images' table of instances fits a phone")
    page.run("scrollTo(0, 0)")
    page.shoot("detections-phone")


def sample(case, folder):
    """The report that a test case writes, and the data its page carries."""
    subprocess.run([sys.argv[1], "--no-skip", f"-tc={case}"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "ATROUS_REPORT_SAMPLE": folder})
    with open(f"{folder}/index.html", encoding="utf-8") as file:
        return json.loads(file.read().split('id="evaluation">')[1].split("</script>")[0])


with tempfile.TemporaryDirectory() as temporary:
    shots = sys.argv[2] if len(sys.argv) > 2 else None
    browser = start(temporary, f"{temporary}/driver.log")
    try:
        used = Page(browser, f"{temporary}/a report", shots)
        carried = sample("a sample report for the browser", used.folder)
        used.open(1280, 900)
        used.shoot("desktop")
        summary(used, carried)
        class_table(used, carried)
        confusion(used, carried)
        curves(used)
        image_table(used)
        image_panel(used)
        check(not fits(used), "nothing sticks out on a desk", fits(used))
        phone(used)
        quiet(used)
        used = Page(browser, f"{temporary}/of instances", shots)
        carried = sample("a sample report of detections for the browser", used.folder)
        used.open(1280, 900)
        used.shoot("detections")
        figures(used, carried)
        categories(used, carried)
        curves_of_both(used, carried)
        images_of_detections(used, carried)
        check(not fits(used), "nothing of instances sticks out on a desk", fits(used))
        phone_of_detections(used)
        quiet(used)
    finally:
        browser.quit()
if failures:
    sys.exit(f"{len(failures)} statements do not hold: {failures}")
