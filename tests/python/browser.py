"""A browser for tests of pages, by Debian's chromium, chromium-driver and python3-selenium, without which those exit 77 (skipped)."""
import shutil
import sys

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
for program in (CHROMIUM, DRIVER):
    if not shutil.which(program):
        print(f"skipped: no {program}")
        sys.exit(77)

failures = []


def check(good, statement, found=""):
    print(f"{'ok  ' if good else 'FAIL'} {statement}{'' if good else f': {found}'}")
    if not good:
        failures.append(statement)


def start(folder, log, *flags):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={folder}/profile", *flags):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver is named, so that selenium looks for none.
    return webdriver.Chrome(service=Service(DRIVER, log_path=log), options=options)


class Window:
    """A browser's window: what is done with any page."""

    def __init__(self, driver, shots=None):
        self.driver, self.shots = driver, shots

    def open(self, url, width, height, dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, element):
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def wait(self, script, seconds=20):
        WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: self.run(script))

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)

    def shoot(self, name):
        if self.shots:
            self.driver.save_screenshot(f"{self.shots}/{name}.png")


def fits(page):
    """The elements that stick out of the window, but for what lies in a frame that scrolls."""
    return page.run("""return [...document.querySelectorAll('body *')].filter((e) => {
      const box = e.getBoundingClientRect();
      const frame = e.parentElement.closest('.table-frame');
      return (box.right > innerWidth + 1 || box.left < -1) && !(frame && frame.getBoundingClientRect().right <= innerWidth);
    }).map((e) => e.outerHTML.slice(0, 100))""")
