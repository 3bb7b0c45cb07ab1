"""`import tracker` costs nothing that is not used."""

from __future__ import annotations

import subprocess
import sys

import tracker


def loaded_after(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    program = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    """`import tracker` loads neither keras, pandas, numpy nor sqlalchemy."""
    heavy = {"keras", "tensorflow", "pandas", "numpy", "sqlalchemy", "alembic", "typer"}
    assert not heavy & loaded_after("import tracker")


def test_reading_does_not_load_keras() -> None:
    """Queries work on machines without Keras."""
    loaded = loaded_after("import tracker; tracker.runs; tracker.events; tracker.metrics")
    assert "pandas" in loaded
    assert not {"keras", "tensorflow", "alembic"} & loaded


def test_the_help_loads_no_pandas() -> None:
    """`tracker --help` answers without pandas, SQLAlchemy and Keras."""
    loaded = loaded_after(
        "import sys; sys.argv = ['tracker', '--help']\n"
        "from tracker.cli import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code"
    )
    assert "typer" in loaded
    assert not {"keras", "pandas", "numpy", "sqlalchemy"} & loaded


def test_public_names() -> None:
    """`__all__` is sorted, and every name of it is there."""
    assert tracker.__all__ == sorted(tracker.__all__)
    for name in tracker.__all__:
        assert getattr(tracker, name) is not None
    assert dir(tracker) == tracker.__all__
    assert tracker.__version__.count(".") == 2
