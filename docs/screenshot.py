"""Take the picture of a report that README.md shows: its summary, and one clip to listen to.

usage: python docs/screenshot.py REPORT/index.html [OUT.png]     wants chromium and chromedriver, and the extra `test`
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support.browser import chromium  # noqa: E402 - lies beside this folder

OUT = REPOSITORY / "docs" / "report.png"
WIDTH, MARGIN, COLOURS = 1100, 24, 256  # CSS pixels twice, colours of the palette: keeps the file below 300 kB
MOST_IMPROVED = (
    "//h3[starts-with(., 'Most improved')]/following-sibling::article[.//span[contains(@class, 'badge kept')]]"
)


def photograph(page: Path) -> Image.Image:
    """Return the top of a report, with its summary, above the card of the kept clip that improved most."""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        _set_height(browser, 1000)
        browser.get(page.resolve().as_uri())
        summary = browser.find_element("css selector", "[aria-label=Summary]").rect
        _set_height(browser, round(summary["y"] + summary["height"]) + MARGIN)
        head = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        card = browser.find_element("xpath", MOST_IMPROVED)
        browser.execute_script("arguments[0].scrollIntoView()", card)
        clip = Image.open(io.BytesIO(card.screenshot_as_png))
    picture = Image.new("RGB", (WIDTH, head.height + clip.height + MARGIN), head.getpixel((2, 2)))
    picture.paste(head, (0, 0))
    picture.paste(clip, ((WIDTH - clip.width) // 2, head.height))
    return picture


def _set_height(browser: Chrome, height: int) -> None:
    screen = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})


def main() -> None:
    """Write the picture and say how large it is."""
    page, out = Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else OUT
    photograph(page).quantize(COLOURS).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
