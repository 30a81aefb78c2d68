"""Headless Chromium for the tests that look at a page as its reader does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--force-prefers-reduced-motion",
)


@contextmanager
def chromium(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A fresh browser with its profile below `tmp_path`; the test is skipped where Chromium is not installed."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver (Debian: chromium chromium-driver) are not installed")
    options = Options()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def set_width(browser: webdriver.Chrome, width: int) -> None:
    """Lay the page out for a screen of `width` CSS pixels; a window cannot be as narrow as a phone."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


_FAINT = """return (() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].map((x) => x / 255);
    };
    const over = (top, below, share) => below.map((x, n) => x + (top[n] - x) * share);
    const light = (rgb) => {
        const [r, g, b] = rgb.map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const element of document.querySelectorAll("body :not(script, style, noscript, option, svg *)")) {
        const hasText = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        if (!hasText || !element.offsetWidth || element.closest("[disabled]")) continue;
        const above = [];
        for (let one = element; one; one = one.parentElement) above.unshift(getComputedStyle(one));
        let behind = [1, 1, 1];
        let opacity = 1;
        for (const style of above) {
            const colour = rgba(style.backgroundColor);
            behind = over(colour, behind, colour[3]);
            opacity *= style.opacity;
        }
        const colour = rgba(above.at(-1).color);
        const [low, high] = [behind, over(colour, behind, opacity * colour[3])].map(light).sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < 4.5) found.push(`${element.outerHTML.slice(0, 80)}: ${contrast.toFixed(2)}`);
    }
    return found;
})()"""


def faint_texts(browser: webdriver.Chrome) -> list[str]:
    """Return the texts of a page that stand out less from what is behind them than WCAG 2.2, 1.4.3, asks for: 4.5."""
    return browser.execute_script(_FAINT)
