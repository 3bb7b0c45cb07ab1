"""The trainer is killed: what hooks had returned is in the store, and the run has crashed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger
from tests.faults.stores import deliver_here, made, settled_run, stream_of
from tests.faults.trainer import ROOT, Task, check_content
from tests.postgres import PostgresServer
from tracker.event import HOOKS
from tracker.query import run_of


def storm(tasks: list[Task], seed: int, *, shippers: bool) -> None:
    """Train each task, and kill it."""
    order = {"tasks": [asdict(task) for task in tasks], "seed": seed, "shippers": shippers}
    subprocess.run(
        [sys.executable, "-m", "tests.faults.storm", json.dumps(order)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
    )


def tasks(count: int, url: str, folder: Path) -> list[Task]:
    """Trainers that go on for ever, flat out."""
    return [
        Task(store=url, name=f"storm-{number}", witness=str(folder / f"witness-{number}"))
        for number in range(count)
    ]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_in_storms_with_the_shipper(
    engine: str, tmp_path: Path, ledger: Ledger, kills: int, postgres_server: PostgresServer
) -> None:
    """Trainer and shipper die at once, at any moment: the next command recovers the journal."""
    url = f"sqlite:///{tmp_path}/runs.db"
    if engine == "postgresql":
        url = made(postgres_server.create_database())
    these = tasks(kills, url, tmp_path)
    storm(these, 1, shippers=True)
    outcomes = deliver_here(url)
    assert all(isinstance(outcome, int) for outcome in outcomes.values()), outcomes
    for task in these:
        records = stream_of(task.name, url)
        check_content(records)
        ledger.add(f"SIGKILL of trainer and shipper, {engine}", records, task.returned())
        assert run_of(task.name, store=url).state.status == "crashed"
        assert records[-1].kind == "run_crashed"
    assert deliver_here(url) == {}, "all are settled"


def test_killed_in_storms(tmp_path: Path, ledger: Ledger, kills: int) -> None:
    """Only the trainer dies: its shipper delivers and says so, without any command."""
    url = f"sqlite:///{tmp_path}/runs.db"
    these = tasks(kills, url, tmp_path)
    storm(these, 2, shippers=False)
    for task in these:
        settled_run(task.name, url, status="crashed")
        records = stream_of(task.name, url)
        check_content(records)
        ledger.add("SIGKILL of the trainer", records, task.returned())


def test_the_shipper_is_killed(tmp_path: Path, ledger: Ledger) -> None:
    """Only the shipper dies, twice: another one takes its place, and the run finishes."""
    url = f"sqlite:///{tmp_path}/runs.db"
    action = (
        "import os, time; from tests.faults.trainer import shipping_process\n"
        "for _ in range(2):\n"
        "    time.sleep(1); shipping_process(os.getpid()).kill()"
    )
    task = Task(
        store=url, name="run", witness=str(tmp_path / "w"), batches=2000, at=500, action=action
    )
    trainer = task.start()
    out, _ = trainer.communicate(timeout=120)
    assert trainer.returncode == 0, out
    assert settled_run("run", url, status="finished")
    records = stream_of("run", url)
    ledger.add("SIGKILL of the shipper", records, task.returned(), may_be_more=0)


def test_a_process_that_keeps_its_shipper_from_starting(tmp_path: Path, ledger: Ledger) -> None:
    """Where no shipper can live, training goes on, one message says so, and nothing is lost."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="run", witness=str(tmp_path / "w"), batches=500)
    broken = tmp_path / "broken"
    broken.mkdir()
    # Found before the real one by every Python that is started with it.
    (broken / "sitecustomize.py").write_text(
        "import sys\nif any('tracker.ship' in word for word in sys.orig_argv): raise SystemExit(9)"
    )
    trainer = task.start(PYTHONPATH=str(broken))
    out, _ = trainer.communicate(timeout=120)
    assert trainer.returncode == 0, out
    assert out.count("tracker journal ship") == 1
    deliver_here(url)
    records = stream_of("run", url)
    assert run_of("run", store=url).state.status == "finished"
    ledger.add("a shipper that cannot run", records, task.returned(), may_be_more=0)
    assert sum(record.kind in HOOKS for record in records) == task.returned()
