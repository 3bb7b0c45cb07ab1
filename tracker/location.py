"""Where things are: the store's URL, and the folder of the journals."""

from __future__ import annotations

import getpass
import os
import tempfile
import tomllib
from pathlib import Path

from tracker.errors import InvalidStoreURL

#: Environment variables that choose the folder of ours, and the store.
HOME_VARIABLE = "TRACKER_HOME"
STORE_VARIABLE = "TRACKER_STORE"

_SYNONYMS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "sqlite3": "sqlite",
}


def home() -> Path:
    """The folder of journals and of the default store: `TRACKER_HOME`, or the user's."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path  # 5 ms, only without TRACKER_HOME

    return user_data_path("tracker", appauthor=False)


def journal_folders() -> list[Path]:
    """Folders in which journals may lie, the preferred one first.

    The second is for a home that cannot be written: training goes on all the same.
    """
    return [home() / "journals", Path(tempfile.gettempdir()) / f"tracker-{_user()}" / "journals"]


def default_store() -> str:
    """The URL of the user's own SQLite store, which need not exist yet."""
    return f"sqlite:///{home() / 'tracker.db'}"


def store_url(explicit: str | None = None) -> str:
    """The URL of the store to use.

    The first that is set of: `explicit`, the variable `TRACKER_STORE`, `store` in
    `[tool.tracker]` of the nearest pyproject.toml, the user's own SQLite store.

    Raises:
        InvalidStoreURL: The text is not a URL, nor a path of a SQLite file.
    """
    if explicit:
        return normalize(explicit)
    from_environment = os.environ.get(STORE_VARIABLE)
    if from_environment:
        return normalize(from_environment)
    return _project_store(Path.cwd()) or default_store()


def normalize(text: str, folder: Path | None = None) -> str:
    """A store URL in full: driver named, SQLite path absolute.

    Args:
        text: A URL, or the path of a SQLite file.
        folder: What a relative path is relative to; default: the current folder.
    """
    text = os.fspath(text).strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        if ":" in text.partition("/")[0] and not text.startswith(":memory:"):
            raise InvalidStoreURL(_malformed(text))
        scheme, rest = "sqlite", f"/{text}"
    scheme = _SYNONYMS.get(scheme, scheme)
    if scheme.partition("+")[0] != "sqlite":
        return f"{scheme}://{rest}"
    path, question, query = rest.removeprefix("/").partition("?")
    if not rest.startswith("/") or not path or path == ":memory:":
        raise InvalidStoreURL(
            f"{text!r} does not name a SQLite file. A store outlives the process, so it needs "
            "a path: sqlite:///runs.db (relative) or sqlite:////data/runs.db (absolute)."
        )
    full = (folder or Path.cwd()) / Path(path).expanduser()
    return f"sqlite:///{os.path.normpath(full)}{question}{query}"


def sqlite_path(url: str) -> Path | None:
    """The file of a normalized SQLite URL, or None for other engines."""
    if not url.startswith("sqlite"):
        return None
    return Path(url.partition("://")[2].removeprefix("/").partition("?")[0])


def _project_store(folder: Path) -> str | None:
    for candidate in (folder, *folder.parents):
        file = candidate / "pyproject.toml"
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:
            continue
        try:
            store = tomllib.loads(text).get("tool", {}).get("tracker", {}).get("store")
        except (tomllib.TOMLDecodeError, AttributeError):
            return None  # somebody else's file: not ours to complain about
        return normalize(store, candidate) if isinstance(store, str) else None
    return None


def _malformed(text: str) -> str:
    # Where a password stands in what is not a URL cannot be told: all before the host goes.
    before, at, host = text.rpartition("@")
    shown = f"***{at}{host}" if before else text
    return (
        f"{shown!r} is not a store URL. Expected sqlite:///path/to/runs.db, "
        "postgresql://user:password@host/database, or the path of a SQLite file."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        return str(os.getuid())
