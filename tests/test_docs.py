"""The documentation does what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from tracker.cli.application import application

from tracker import machine
from tracker.event import KINDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])

#: Pages whose commands are run, after their Python.
QUESTIONS = ("best-run.md", "diff.md", "time-travel.md", "what-if.md")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def run(program: str) -> None:
    """Run Python as a reader would, in a folder and home of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def tracker(command: str) -> subprocess.CompletedProcess[str]:
    """Run one command line."""
    return subprocess.run(
        [sys.executable, "-c", "from tracker.cli import main; main()", *shlex.split(command)[1:]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def shape(text: str) -> list[list[str]]:
    """Words of each line, with numbers, times, names of machines and widths taken out."""
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", text)
    text = text.replace(f"on {machine.host()},", "on desk,")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\b(\d+m )?\d+(\.\d+)?[mu]?s\b", "DURATION", text)
    text = re.sub(r"(?<![\w.])-?\d+(\.\d+)?(e-?\d+)?(?!\w|\.\d)", "NUMBER", text)
    return [line.split() for line in text.splitlines()]


def test_the_readme() -> None:
    """Its Python runs in order, and its commands print what it shows."""
    page = ROOT / "README.md"
    python = blocks(page, "python")
    assert len(python) == 3
    assert len(python[0].splitlines()) <= 10
    run("\n".join(python[:1]))
    first = next(block for block in blocks(page, "console") if "runs list" in block)
    for session in first.split("$ ")[1:]:
        command, _, expected = session.partition("\n")
        done = tracker(command)
        assert done.returncode == 0, done.stderr
        assert shape(done.stdout) == shape(expected)
    run("\n".join(python[1:]))
    for block in blocks(page, "console"):
        for line in block.splitlines():
            command = line.removeprefix("$ ").partition("#")[0].strip()
            # The page is served until somebody ends it; tests/test_web_server.py does.
            if command.startswith("tracker ") and not command.startswith("tracker ui"):
                done = tracker(command)
                assert done.returncode == 0, done.stderr


def test_the_page_on_resuming() -> None:
    """Train, kill, resume, one curve; then one byte is changed, and `verify` names the event."""
    (session, tampering) = blocks(ROOT / "docs" / "how-to" / "resume.md", "console")
    codes = {"--die-in-epoch": -signal.SIGKILL, "verify": 6}
    for step in (session + tampering).split("$ ")[1:]:
        command, _, expected = step.partition("\n")
        program, *arguments = shlex.split(command)
        if program == "tracker":
            done = tracker(command)
        else:
            scripts = [word.replace("examples/", f"{ROOT}/examples/") for word in arguments]
            done = subprocess.run(
                [sys.executable, *scripts], capture_output=True, text=True, check=False
            )
        wanted = next((code for word, code in codes.items() if word in arguments), 0)
        assert done.returncode == wanted, done.stderr
        assert shape(done.stdout) == shape(expected), done.stdout


@pytest.mark.parametrize("name", QUESTIONS, ids=lambda name: name)
def test_questions_have_the_answers_that_are_shown(name: str) -> None:
    """The Python of a page runs, and then its commands print what it shows."""
    page = ROOT / "docs" / "how-to" / name
    run("\n".join(blocks(page, "python")))
    sessions = [one for block in blocks(page, "console") for one in block.split("$ ")[1:]]
    assert sessions
    for session in sessions:
        command, _, expected = session.partition("\n")
        done = tracker(command)
        assert done.returncode == 0, done.stderr
        assert shape(done.stdout) == shape(expected), done.stdout


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ("README.md", *QUESTIONS)],
    ids=lambda page: page.name,
)
def test_python_in_the_docs_runs(page: Path) -> None:
    """Python blocks of a page run in order; SQL for SQLite runs on a store of the examples."""
    python = blocks(page, "python")
    if python:
        run("\n".join(python))
    if page.name == "sql.md":
        run("\n".join(blocks(ROOT / "README.md", "python")[:1]))
        for statement in blocks(page, "sql"):
            program = (
                "import sqlite3, sys; from tracker.location import home;"
                "rows = sqlite3.connect(home() / 'tracker.db').execute(sys.argv[1]).fetchall();"
                "assert rows, rows"
            )
            done = subprocess.run(
                [sys.executable, "-c", program, statement],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    """Every relative link of every page is to a file that is there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_kind_is_in_the_catalogue() -> None:
    """docs/events.md has every kind of event, and no other."""
    text = (ROOT / "docs" / "events.md").read_text()
    for kind in KINDS:
        assert f"`{kind}`" in text


def test_every_command_and_option_is_documented() -> None:
    """docs/command-line.md names every command and every option of it."""
    text = (ROOT / "docs" / "command-line.md").read_text()
    root = typer.main.get_command(application())
    named: list[tuple[str, typer.core.TyperCommand]] = []
    for noun, group in root.commands.items():  # type: ignore[attr-defined]
        verbs = getattr(group, "commands", None)
        named += (
            [(f"{noun} {verb}", one) for verb, one in verbs.items()] if verbs else [(noun, group)]
        )
    assert len(named) > 25
    for name, command in named:
        assert f"`tracker {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"{name} {option}"


def test_the_compose_file_is_as_the_docs_say() -> None:
    """PostgreSQL of docker-compose.yml listens on loopback only and has a health check."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert '"127.0.0.1:5432:5432"' in text
    assert "healthcheck" in text
