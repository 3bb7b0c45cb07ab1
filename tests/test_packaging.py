"""The wheel, in a fresh environment, from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

from tracker.store import schema
from tracker.web import assets

ROOT = Path(__file__).parent.parent


def test_the_wheel_works_anywhere(tmp_path: Path) -> None:
    """Built from a copy, installed in a new venv: the command, migrations and marker are there."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "node_modules")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "tracker/py.typed",
        "tracker/cli/main.py",
        "tracker/migrations/env.py",
        "tracker/journal/writer.py",
        "tracker/migrations/versions/0001_runs_and_events.py",
    } <= names
    # The page: our own files, those that were fetched for it, and their licences.
    web = ROOT / "tracker" / "web"
    files = [
        one for folder in ("static", "templates", "vendor") for one in (web / folder).iterdir()
    ]
    assert {f"tracker/web/{one.relative_to(web)}" for one in files} <= names
    vendored = {one.name for one in (web / "vendor").iterdir()}
    assert {*assets.NAMES, "LICENSE.htmx.txt", "LICENSE.uPlot.txt"} <= vendored
    tops = {name.split("/")[0] for name in names}
    assert tops == {"tracker", "keras_event_tracker-0.1.0.dist-info"}

    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    # The dependencies are those of this environment: what is tested is what the wheel brings.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "tracker"), *arguments],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TRACKER_HOME": str(tmp_path / "wheel-home")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert f"went from revision none to {schema.REVISION}" in run(
        "db", "upgrade", "--store", "new.db"
    )
    assert (elsewhere / "new.db").exists()
    assert "Nothing to show" in run("runs", "list")
    where = subprocess.run(
        [python, "-c", "import tracker; print(tracker.__file__)"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(packages) in where
