"""The same stream through other trackers: what a logging call costs, and what it leaves behind.

`make bench-peers` installs those that there are into an environment of their own. Each is
measured in a process of its own, one after the other, several times in turn; all are used as
their documentation says for a loop of one's own, offline.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

#: Logs one step's metrics.
Log = Callable[[int, dict[str, float]], None]

#: Waits until everything is where it stays.
Finish = Callable[[], None]


def ours(folder: Path) -> tuple[Log, Finish]:
    """This tracker: the hook of a batch's end."""
    from benchmarks.streams import began_recorder
    from tracker.shipper import Shipper

    recorder, identity = began_recorder(folder / "journals")
    shipper = Shipper(recorder.journal.folder, identity, f"sqlite:///{folder}/runs.db")
    shipper.flush(recorder.seq, 30)
    recorder.begin_call("train", None, {})

    def finish() -> None:
        recorder.journal.close()
        shipper.end(60)

    return lambda step, logs: recorder.batch("train_batch_end", step, logs), finish


def sqlite_floor(folder: Path) -> tuple[Log, Finish]:
    """No tracker: rows of JSON in lists of a thousand, lost by a kill."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE events (step INTEGER, at REAL, logs TEXT)")
    rows: list[tuple[int, float, str]] = []

    def finish() -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        rows.clear()

    def log(step: int, logs: dict[str, float]) -> None:
        rows.append((step, time.time(), json.dumps(logs)))
        if len(rows) >= 1000:
            finish()

    return log, finish


def trackio(folder: Path) -> tuple[Log, Finish]:
    """Trackio, without its dashboard."""
    os.environ["TRACKIO_DIR"] = str(folder)
    module = import_module("trackio")
    module.init(project="bench", embed=False)
    return lambda step, logs: module.log(logs, step=step), module.finish


def wandb(folder: Path) -> tuple[Log, Finish]:
    """Weights & Biases, offline."""
    os.environ.update(WANDB_MODE="offline", WANDB_DIR=str(folder), WANDB_SILENT="true")
    module = import_module("wandb")
    run = module.init(project="bench", dir=str(folder))
    return lambda step, logs: run.log(logs, step=step), run.finish


def mlflow(folder: Path) -> tuple[Log, Finish]:
    """MLflow into SQLite."""
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    module = import_module("mlflow")
    module.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    module.start_run()
    return lambda step, logs: module.log_metrics(logs, step=step), module.end_run


def tensorboard(folder: Path) -> tuple[Log, Finish]:
    """TensorBoard's event files, written by tensorboardX."""
    writer = import_module("tensorboardX").SummaryWriter(str(folder))

    def log(step: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def aim(folder: Path) -> tuple[Log, Finish]:
    """Aim."""
    run = import_module("aim").Run(repo=str(folder), system_tracking_interval=None)

    def log(step: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            run.track(value, name=name, step=step)

    return log, run.close


def dvclive(folder: Path) -> tuple[Log, Finish]:
    """DVCLive, without DVC and reports."""
    live = import_module("dvclive").Live(
        str(folder / "live"), dvcyaml=None, save_dvc_exp=False, report=None
    )

    def log(_step: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            live.log_metric(name, value)
        live.next_step()

    return log, live.end


#: By name: how to open it, and how many steps are enough.
PEERS: dict[str, tuple[Callable[[Path], tuple[Log, Finish]], int]] = {
    "this tracker": (ours, 20_000),
    "bare sqlite3, batches of JSON": (sqlite_floor, 20_000),
    "Trackio": (trackio, 20_000),
    "W&B, offline": (wandb, 20_000),
    "tensorboardX": (tensorboard, 20_000),
    "Aim": (aim, 5_000),
    "MLflow, SQLite": (mlflow, 500),
    "DVCLive": (dvclive, 500),
}


def measure(name: str) -> dict[str, float]:
    """Log through one of them in this process."""
    start, steps = PEERS[name]
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        log, finish = start(folder)
        metrics = [
            dict.fromkeys(("loss", "accuracy", "auc", "recall"), step * 7919 % 10007 / 10007)
            for step in range(steps)
        ]
        took = []
        clock = time.perf_counter_ns
        before = _bytes(folder)
        began = clock()
        for step, logs in enumerate(metrics):
            start_at = clock()
            log(step, logs)
            took.append(clock() - start_at)
        finish()
        whole = clock() - began
        size = _bytes(folder) - before
    cuts = statistics.quantiles(took, n=100)
    return {
        "median": cuts[49] / 1000,
        "p99": cuts[98] / 1000,
        "whole": whole / steps / 1000,
        "bytes": size / steps,
    }


def _bytes(folder: Path) -> int:
    """What a tracker has in its folder: of ours the store, not the journal of a week."""
    files = [path for path in folder.rglob("*") if path.is_file() and "journals" not in path.parts]
    return sum(path.stat().st_size for path in files)


def main() -> None:
    """Measure all that are installed, in turn, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--one", help="measure one in this process, and print JSON")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(measure(arguments.one)))
        return
    results: dict[str, list[dict[str, float]]] = {}
    missing: dict[str, str] = {}
    for _ in range(arguments.repeat):
        for name in PEERS:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.peers", "--one", name],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                missing[name] = (done.stderr.strip().splitlines() or ["?"])[-1]
            else:
                results.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    print("| tracker | a call, median | a call, p99 | a step until all is stored | a step takes |")
    print("| --- | --- | --- | --- | --- |")
    for name, rounds in results.items():
        row = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        print(
            f"| {name} | {row['median']:,.1f} µs | {row['p99']:,.0f} µs | {row['whole']:,.1f} µs | "
            f"{row['bytes']:,.0f} bytes |"
        )
    for name, why in missing.items():
        print(f"\n{name} was not measured: {why}")


if __name__ == "__main__":
    main()
