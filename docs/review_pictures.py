"""Take the pictures of the review page that review.md shows: clips, thresholds, and both on a phone.

usage: python docs/review_pictures.py ADDRESS     of `clean-corpus review` over a copy of the demo's corpus

It decides over some clips; wants chromium and chromedriver, and the extra `test`.
"""

import io
import json
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from PIL import Image

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support.browser import chromium, set_width  # noqa: E402 - lies beside this folder
from tests.support.review import Reviewer  # noqa: E402

DOCS = REPOSITORY / "docs"
QUALITY = 72  # of WebP: all pictures together stay below 300 kB
GAP = 20  # pixels between the pictures of a phone
REJECTED = "#filter=" + quote(json.dumps({"is": {"verdict": ["rejected"]}})) + "&sort=nearest"
TO_BE_HEARD_S = 1.6


def main() -> None:
    """Decide over some clips, write the pictures, and say how large they are."""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        reviewer = Reviewer(browser, sys.argv[1])
        _save("review-clips", _clips(reviewer))
        _save("review-thresholds", _thresholds(reviewer))
        _save("review-phone", _phone(reviewer))


def _clips(reviewer: Reviewer) -> Image.Image:
    """Return the page after some decisions, in the middle of a clip."""
    set_width(reviewer.browser, 1280)
    reviewer.open(REJECTED)
    for key in "yjjyj1jj":
        reviewer.press(key)
        reviewer.settle()
    reviewer.press("y")
    reviewer.until("document.querySelector('#saved')?.textContent === 'saved'")
    time.sleep(1)  # facets are counted anew
    reviewer.press(" ")
    time.sleep(TO_BE_HEARD_S)
    reviewer.press(" ")
    return _photograph(reviewer)


def _thresholds(reviewer: Reviewer) -> Image.Image:
    """Return two thresholds moved, in the dark."""
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    reviewer.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    moved = quote(json.dumps({"gate.dnsmos_sig_min": 2.8, "gate.dnsmos_bak_min": 3.3}))
    reviewer.open(f"#view=thresholds&moved={moved}")
    reviewer.until("document.querySelector('#kept-then')")
    picture = _photograph(reviewer)
    reviewer.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    return picture


def _phone(reviewer: Reviewer) -> Image.Image:
    """Return list, clip and pending decisions side by side, each as wide as a phone."""
    set_width(reviewer.browser, 390)
    reviewer.open(REJECTED)
    pictures = [_photograph(reviewer)]
    reviewer.run("document.querySelector('#rows .row').click()")
    reviewer.settle()
    time.sleep(3)  # its pictures come
    pictures.append(_photograph(reviewer))
    reviewer.press("g", "p")
    reviewer.until("document.querySelector('#publish')")
    pictures.append(_photograph(reviewer))
    wide = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    row = Image.new("RGB", (wide, pictures[0].height), "#9aa4af")
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * (picture.width + GAP), 0))
    return row


def _photograph(reviewer: Reviewer) -> Image.Image:
    reviewer.browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    time.sleep(0.3)
    return Image.open(io.BytesIO(reviewer.browser.get_screenshot_as_png())).convert("RGB")


def _save(name: str, picture: Image.Image) -> None:
    path = DOCS / f"{name}.webp"
    picture.save(path, quality=QUALITY, method=6)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
