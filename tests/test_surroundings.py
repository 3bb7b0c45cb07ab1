"""Where things are, what is masked, and what is known of model, machine and repository."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import location
from tracker.description import describe_call, describe_model
from tracker.environment import environment, git_state
from tracker.errors import InvalidStoreURL
from tracker.masking import mask_command, mask_text, mask_url, without_passwords
from tracker.names import readable_name, uuid7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:///runs.db", "sqlite:///{cwd}/runs.db"),
        ("runs.db", "sqlite:///{cwd}/runs.db"),
        ("./sub/../runs.db", "sqlite:///{cwd}/runs.db"),
        ("/data/runs.db", "sqlite:////data/runs.db"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:p@h:1/d?x=y", "postgresql+psycopg://u:p@h:1/d?x=y"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_store_urls_in_full(text: str, expected: str) -> None:
    """Short forms become full URLs with absolute paths and the driver."""
    assert location.normalize(text) == expected.format(cwd=Path.cwd())


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", ":memory:", "host:5432/db"])
def test_store_urls_that_cannot_be(text: str) -> None:
    """What outlives no process, or is no URL, is refused."""
    with pytest.raises(InvalidStoreURL):
        location.normalize(text)


def test_which_store_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit, then TRACKER_STORE, then the nearest pyproject.toml, then the user's own."""
    assert location.store_url() == location.default_store()
    (tmp_path / "pyproject.toml").write_text('[tool.tracker]\nstore = "data/runs.db"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert location.store_url() == f"sqlite:///{tmp_path}/data/runs.db"
    monkeypatch.setenv("TRACKER_STORE", "v.db")
    assert location.store_url() == f"sqlite:///{inner}/v.db"
    assert location.store_url("e.db") == f"sqlite:///{inner}/e.db"
    monkeypatch.delenv("TRACKER_STORE")
    (inner / "pyproject.toml").write_text("not [ toml")
    assert location.store_url() == location.default_store()


def test_the_home_without_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without TRACKER_HOME things are in the user's data folder."""
    monkeypatch.delenv("TRACKER_HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert tmp_path in location.home().parents


@given(
    st.text(
        st.characters(exclude_characters=" /'\"\n\t\r\x0b\x0c:", categories=["L", "N", "P"]),
        min_size=4,
    ),
    st.sampled_from(["?password=", "&sslpassword=", ":"]),
)
def test_passwords_are_masked(password: str, place: str) -> None:
    """A password in user info or in the query is gone, the rest of the URL is there."""
    if any(character in password for character in "&;@?#*"):
        password = "secret" + "x" * len(password)
    url = (
        f"postgresql://user{place}{password}@host/db"
        if place == ":"
        else (f"postgresql://user@host/db{place}{password}")
    )
    masked = mask_url(url)
    assert "***" in masked
    assert masked.replace("***", "") == url.replace(place + password, place)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d?password=x&a=b", "postgresql+psycopg://u@h/d?a=b"),
        ("postgresql+psycopg://u@h/d?password=x", "postgresql+psycopg://u@h/d"),
        (
            "postgresql+psycopg://u@/d?host=a:1&host=b:2",
            "postgresql+psycopg://u@/d?host=a:1&host=b:2",
        ),
        ("sqlite:////x/y.db", "sqlite:////x/y.db"),
    ],
)
def test_stores_are_the_same_with_and_without_password(url: str, expected: str) -> None:
    """A journal's name of its store has no password, nor a place where one was."""
    assert without_passwords(url) == expected


@given(st.lists(st.text()))
def test_masking_never_raises(argv: list[str]) -> None:
    """Whatever the command line is, masking keeps its length."""
    assert len(mask_command(argv)) == len(argv)
    for argument in argv:
        mask_text(argument)


def test_secrets_of_command_lines() -> None:
    """Values of telling flags, assignments, URLs and known tokens are masked; others stay."""
    argv = [
        "train.py", "--token", "abc", "--api-key=abc", "DB_PASSWORD=abc", "--lr", "0.1",
        "postgresql://u:p@ss@h/d", "hf_abcdefghijklmnopqrstuv", "--epochs=3",
    ]  # fmt: skip
    assert mask_command(argv) == [
        "train.py", "--token", "***", "--api-key=***", "DB_PASSWORD=***", "--lr", "0.1",
        "postgresql://u:***@h/d", "***", "--epochs=3",
    ]  # fmt: skip


def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit, branch and dirty flag of a real repository; nothing outside, nor without git."""
    repository = tmp_path / "repository"
    repository.mkdir()
    assert git_state(repository) == {}

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@x")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=repository,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    git("init", "--initial-branch", "trunk")
    (repository / "file").write_text("one")
    git("add", "file")
    git("commit", "--message", "first")
    git("remote", "add", "origin", "https://me:secret@example.org/x.git")
    commit = git("rev-parse", "HEAD")
    expected = {
        "commit": commit,
        "branch": "trunk",
        "dirty": False,
        "remote": "https://me:***@example.org/x.git",
    }
    assert git_state(repository) == expected
    (repository / "file").write_text("two")
    assert git_state(repository) == expected | {"dirty": True}
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) == {}


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run ran in is told without secrets, and a probe that fails is named."""
    monkeypatch.setattr("sys.argv", ["train.py", "--password", "abc"])
    facts = environment()
    assert facts["command"][1:] == ["train.py", "--password", "***"]
    assert {"host", "pid", "python", "platform", "cpus", "folder", "packages"} <= set(facts)
    assert "problems" not in facts
    monkeypatch.setattr("socket.gethostname", lambda: 1 / 0)
    assert environment()["problems"] == {"host": "ZeroDivisionError: division by zero"}


def test_objects_that_are_no_models() -> None:
    """A model that knows nothing of itself, or none at all, is described by what there is."""
    assert describe_model(None) == {}
    assert describe_model(object()) == {"class": "object"}
    assert describe_call({}, "fit") == {}
    assert describe_call({"epochs": 3, "batch_size": 8}, "fit") == {"epochs": 3, "batch_size": 8}


def test_names_and_uuids() -> None:
    """UUIDs are of version 7 and sort by time; names can be said."""
    ids = [uuid7(now_ms=1_700_000_000_000 + n) for n in range(100)]
    assert sorted(ids) == ids
    for one in ids:
        assert uuid.UUID(one).version == 7
        assert uuid.UUID(one).variant == uuid.RFC_4122
    assert len({uuid7() for _ in range(1000)}) == 1000
    assert readable_name().count("-") == 2
    assert len({readable_name() for _ in range(100)}) > 90
