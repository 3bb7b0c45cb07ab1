"""Takes the pictures of the page that docs/how-to/ui.md shows, light and dark.

python tools/screenshots.py    # trains some small models first
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "pictures"
#: Enough for two colours of a page and ten of curves, and a third of the bytes.
_COLOURS = 64

_PAGES = {
    "runs": "/runs",
    "curves": "/runs?view=charts&where=group+is+null",
    "compare": "/compare?runs=rate-0.03,rate-0.01,rate-0.003&metric=loss&source=batch",
    "run": "/runs/rate-0.03",
    "travel": "/runs/rate-0.03/at/480",
    "experiment": "/experiments?name=digits",
}


def train() -> None:
    """A few runs of one experiment; with seeds, so that their values stay as they are."""
    import keras
    from sklearn.datasets import load_digits

    from tracker import TrackerCallback

    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    kinds = [(rate, 32, 1, None) for rate in (0.0003, 0.003, 0.01, 0.03)]
    kinds += [(0.003, width, seed, f"width-{width}") for width in (16, 64) for seed in (1, 2, 3)]
    for rate, width, seed, group in kinds:
        keras.utils.set_random_seed(seed)
        model = keras.Sequential(
            [
                keras.layers.Input((64,)),
                keras.layers.Dense(width, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(
            keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        callback = TrackerCallback(
            experiment="digits",
            group=group,
            name=f"rate-{rate:g}" if group is None else f"{group}-seed-{seed}",
            params={"rate": rate, "width": width, "seed": seed},
        )
        model.fit(x, y, validation_split=0.25, epochs=20, verbose=0, callbacks=[callback])


def photograph(store: str) -> None:
    """The pictures of a store's pages."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from tests.browser import chromium, served
    from tracker.web.application import application
    from tracker.web.settings import Settings

    OUT.mkdir(exist_ok=True)
    with served(application(Settings(store=store))) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": 1100, "height": 760}, color_scheme=scheme, timezone_id="UTC"
            )
            for name, path in _PAGES.items():
                page.goto(site + path, wait_until="networkidle")
                if name == "run":
                    page.get_by_role("button", name="Ask").click()
                    page.locator("#what-if-curve[data-drawn]").scroll_into_view_if_needed()
                    page.wait_for_load_state("networkidle")
                target = OUT / f"{name}-{scheme}.png"
                page.screenshot(path=target)
                with Image.open(target) as picture:
                    few = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
                few.save(target, optimize=True)
        browser.close()


def main() -> None:
    """Train, in a home that is thrown away, and take pictures."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRACKER_HOME": home}
        command = [sys.executable, "-c", "from tools.screenshots import train; train()"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        photograph(f"sqlite:///{home}/tracker.db")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
