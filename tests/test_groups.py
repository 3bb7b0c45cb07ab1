"""Runs that belong together: by hand, the trials of a tuner, the processes of one training."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import keras_tuner
import pytest
from sklearn.datasets import load_digits

import tracker
from tests.test_capture import facts, fit, own_warnings
from tests.test_cli import tracker as command
from tracker import TrackerCallback
from tracker.query import latest_runs, run_of
from tracker.workers import Worker, worker

#: Every variable that says which of several processes one is.
VARIABLES = """
    RANK WORLD_SIZE GROUP_WORLD_SIZE MASTER_ADDR MASTER_PORT TF_CONFIG TRACKER_GROUP
    TORCHELASTIC_RUN_ID OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_MCA_ess_base_jobid
    PMIX_NAMESPACE PMI_RANK PMI_SIZE HOROVOD_RANK HOROVOD_SIZE
    SLURM_PROCID SLURM_NTASKS SLURM_JOB_ID SLURM_STEP_ID
    KERAS_DISTRIBUTION_PROCESS_ID KERAS_DISTRIBUTION_NUM_PROCESSES KERAS_DISTRIBUTION_JOB_ADDRESSES
    JAX_PROCESS_ID JAX_NUM_PROCESSES JAX_COORDINATOR_ADDRESS
""".split()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may have been started by a launcher."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def groups() -> set[str | None]:
    """The groups of all runs."""
    return {run.state.group for run in latest_runs(workers=True)}


def names() -> list[str]:
    """The names of all runs, in the order in which they began."""
    return [run.name for run in reversed(latest_runs(workers=True))]


def own_params(run: str) -> dict[str, Any]:
    """A run's params without those that describe its model."""
    return {
        name: value
        for name, value in run_of(run).state.params.items()
        if not name.startswith("model.")
    }


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Search handwritten digits for a good network, with some callbacks; returns the tuner."""
    # It looks for Keras's TensorBoard callback there, and imports tensorboard for it, which
    # TensorFlow no longer brings.
    monkeypatch.setattr(keras_tuner.Tuner, "_configure_tensorboard_dir", lambda *_: None)
    images, labels = load_digits(return_X_y=True)
    images = images.astype("float32") / 16

    def build(hp: Any) -> Any:
        units = hp.Int("units", 8, 64, step=8)
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        net = keras.Sequential(
            [
                keras.layers.Input((64,)),
                keras.layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"])),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        net.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return net

    def searching(callbacks: list[Any], **arguments: Any) -> Any:
        tuner = keras_tuner.RandomSearch(
            build,
            objective="val_accuracy",
            seed=1,
            directory=tmp_path / "tuner",
            overwrite=True,
            **arguments,
        )
        tuner.search(
            images,
            labels,
            epochs=2,
            batch_size=256,
            validation_split=0.2,
            verbose=0,
            callbacks=callbacks,
        )
        return tuner

    return searching


def test_the_trials_of_a_search(search: Any) -> None:
    """Each trial of keras-tuner is a run of one group, with its hyperparameters as params."""
    callback = TrackerCallback(experiment="search")
    tuner = search([callback], max_trials=3, executions_per_trial=1)
    assert callback.run is None
    runs = latest_runs()
    assert [run.state.status for run in runs] == ["finished"] * 3
    assert len(groups()) == 1
    assert None not in groups()
    assert len({run.name for run in runs}) == 3
    by_trial = {facts(run.uuid, "run_began")[0]["trial"]: run for run in runs}
    assert by_trial.keys() == tuner.oracle.trials.keys()
    for trial, run in by_trial.items():
        expected = tuner.oracle.get_trial(trial)
        assert own_params(run.uuid) == expected.hyperparameters.values
        best = run.state.metrics["train", "val_accuracy"].maximum
        assert best == pytest.approx(expected.score)
        assert run.state.epochs == 2
        assert facts(run.uuid, "call_began")[0]["method"] == "fit"
    (row,) = tracker.experiments(metric="val_accuracy").to_dict("records")
    assert (row["experiment"], row["runs"], row["groups"]) == ("search", 3, 1)
    (best_trial,) = tuner.oracle.get_best_trials(1)
    assert row["best"] == pytest.approx(best_trial.score)
    shown = command("experiments", "show", "search", "--metric", "val_accuracy").stdout
    assert "group" in shown.splitlines()[0]


def test_several_executions_of_a_trial(search: Any) -> None:
    """Each execution is a run; name, group and params by hand are kept."""
    callback = TrackerCallback(name="trial", group="mine", params={"units": "many", "note": 1})
    tuner = search([callback], max_trials=2, executions_per_trial=2)
    assert callback.run is None
    assert names() == ["trial", "trial-2", "trial-3", "trial-4"]
    assert groups() == {"mine"}
    trials = [facts(name, "run_began")[0]["trial"] for name in names()]
    assert trials == ["0", "0", "1", "1"]
    for name, trial in zip(names(), trials, strict=True):
        values = tuner.oracle.get_trial(trial).hyperparameters.values
        assert own_params(name) == {**values, "units": "many", "note": 1}


def test_a_loop_that_copies() -> None:
    """Deep copies of an unused callback are runs of one group, which none had to name."""
    callback = TrackerCallback(experiment="loop")
    for _ in range(3):
        one = copy.deepcopy(callback)
        fit([one])
        one.close()
    assert callback.run is None
    (group,) = groups()
    assert group is not None
    fit([callback])
    assert groups() == {group}
    assert group not in names()
    shown = command("runs", "list", "--where", f'group = "{group}"').stdout
    assert len(shown.splitlines()) == 5
    assert tracker.experiments()["groups"][0] == 1


def test_copies_of_copies() -> None:
    """A copy's copies, and those in one list, are of the same group."""
    callback = TrackerCallback()
    first, second = copy.deepcopy([callback, callback])
    assert first is second
    for one in (first, copy.deepcopy(first), copy.deepcopy(callback)):
        fit([one])
    assert len(groups()) == 1


def test_copies_of_a_named_callback() -> None:
    """They are called name, name-2, name-3; the group has the name."""
    callback = TrackerCallback(name="loop")
    for _ in range(3):
        fit([copy.deepcopy(callback)])
    assert names() == ["loop", "loop-2", "loop-3"]
    assert groups() == {"loop"}


def test_a_group_by_hand() -> None:
    """It is recorded, shown, found by, and kept by copies."""
    callback = TrackerCallback(group="my group")
    fit([callback])
    fit([copy.deepcopy(callback)])
    fit([TrackerCallback(group="my group", name="third")])
    fit([TrackerCallback(name="alone")])
    assert groups() == {"my group", None}
    frame = tracker.runs(where='group = "my group"')
    assert list(frame["group"]) == ["my group"] * 3
    assert list(frame["rank"].isna()) == [True] * 3
    assert list(tracker.runs(where="group is null")["name"]) == ["alone"]
    assert "my group" in command("runs", "list").stdout
    assert "group       my group" in command("runs", "show", "third").stdout
    for wrong in ("", "@last", "a\nb", 5):
        with pytest.raises(tracker.TrackerError, match="group must"):
            TrackerCallback(group=wrong)  # type: ignore[arg-type]


def test_a_copy_of_a_callback_in_use() -> None:
    """A copy made in the middle of a fit has no part in the original's run."""
    callback = TrackerCallback(name="used")
    copies: list[TrackerCallback] = []

    class Copier(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            copies.append(copy.deepcopy(callback))

    fit([callback, Copier()], epochs=2)
    for one in copies:
        assert one.run is None
        fit([one])
    assert names() == ["used", "used-2", "used-3"]
    assert [run_of(name).state.epochs for name in names()] == [2, 1, 1]
    assert run_of("used-2").state.group == run_of("used-3").state.group == "used"


def test_a_copy_of_a_callback_that_resumes() -> None:
    """A copy begins a run of its own, since the original alone can go on with that one."""
    first = TrackerCallback(name="known")
    fit([first])
    first.close()
    callback = TrackerCallback(run="known", resume="must")
    twin = copy.deepcopy(callback)
    fit([twin])
    fit([callback])
    assert (callback.run, twin.run != first.run) == (first.run, True)
    assert names() == ["known", "known-2"]
    assert run_of("known").state.attempt == 2
    assert run_of("known-2").state.attempt == 1
    assert run_of("known-2").state.group == "known"


@pytest.mark.parametrize("meant", ["@last", "1", 1, "uuid"])
def test_a_copy_is_called_as_the_run_is(meant: str | int) -> None:
    """However the run was meant, its name is what a copy asks for."""
    first = TrackerCallback(name="known")
    fit([first])
    first.close()
    callback = TrackerCallback(run=str(first.run) if meant == "uuid" else meant)
    fit([copy.deepcopy(callback)])
    assert names() == ["known", "known-2"]
    assert run_of("known-2").state.group == "known"


def test_copies_in_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that several processes run is one group; ranks are added to names once."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        fit([copy.deepcopy(TrackerCallback())])
        fit([copy.deepcopy(TrackerCallback(run="dist"))])
    assert [name for name in names() if "dist" in name] == ["dist", "dist.1"]
    assert groups() == {"7", "dist"}


def train_elsewhere(callback: TrackerCallback) -> None:
    """A fit in a process that was spawned."""
    fit([callback])
    callback.close()


def test_a_spawned_process() -> None:
    """A pickled callback has its arguments there, and its run there is its own."""
    callback = TrackerCallback(
        "spawned", name="here", params={"a": [1, None]}, tags={"k": "v"}, batches=None, group="g"
    )
    fit([callback])
    process = multiprocessing.get_context("spawn").Process(target=train_elsewhere, args=(callback,))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert names() == ["here", "here-2"]
    here, there = run_of("here"), run_of("here-2")
    assert there.state.pid == process.pid != here.state.pid
    assert own_params("here-2") == own_params("here") == {"a": [1, None]}
    for run in (here, there):
        assert (run.state.experiment, run.state.group, run.state.tags) == (
            "spawned", "g", {"k": "v"},
        )  # fmt: skip
        assert "train_batch_end" not in set(tracker.events(run.uuid)["kind"])
    assert there.state.status == "finished"


def test_a_pickled_callback_that_resumes() -> None:
    """Unlike a copy it goes on with the run: it stands for the original, in another process."""
    first = TrackerCallback(name="known")
    fit([first])
    first.close()
    moved = pickle.loads(pickle.dumps(TrackerCallback(run="known", resume="must")))
    fit([moved])
    assert names() == ["known"]
    assert run_of("known").state.attempt == 2


#: Trains for real when the other process is ready as well.
TRAINER = """
import pathlib, sys, time
import keras, numpy
import tracker

rank, size = sys.argv[1:]
keras.utils.set_random_seed(int(rank))
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
x, y = numpy.random.rand(32, 4), numpy.random.rand(32, 1)
callback = tracker.TrackerCallback("together", name="dist")

class Meet(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        pathlib.Path(f"ready-{rank}-{epoch}").touch()
        deadline = time.monotonic() + 60
        while len(list(pathlib.Path().glob(f"ready-*-{epoch}"))) < int(size):
            assert time.monotonic() < deadline
            time.sleep(0.01)

model.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[callback, Meet()])
"""


def test_two_processes_that_train_together(home: Path) -> None:
    """Each is a run with its rank, in one group; the chief stands for both in lists."""
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "node-1", "MASTER_PORT": "29500"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(rank), "2"],
            env={**os.environ, **common, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, complaints = process.communicate(timeout=180)
        assert process.returncode == 0, complaints
        assert "Recording stops" not in complaints
    frame = tracker.runs(workers=True).sort_values("rank")
    assert list(frame["name"]) == ["dist", "dist.1"]
    assert list(frame["rank"]) == [0, 1]
    assert list(frame["group"]) == ["node-1:29500"] * 2
    assert list(frame["status"]) == ["finished"] * 2
    assert list(frame["epochs"]) == [3, 3]
    assert tracker.verify().empty
    states = [run_of(name).state for name in frame["name"]]
    assert all(state.began_at and state.ended_at for state in states)
    assert max(state.began_at or 0 for state in states) < min(
        state.ended_at or 0 for state in states
    ), "they were at it at the same time"
    for rank, name in enumerate(frame["name"]):
        (began,) = facts(name, "run_began")
        assert (began["rank"], began["workers"]) == (rank, 2)
    shown = command("runs", "list", "--format", "csv", "--columns", "name,rank").stdout
    assert shown == "name,rank\ndist,0\n"
    lines = command("runs", "list", "--workers").stdout.splitlines()
    assert {line.split()[1] for line in lines[1:]} == {"dist", "dist.1"}
    assert {"group", "rank"} <= set(lines[0].split())
    assert json.loads(command("runs", "show", "@last", "-f", "json").stdout)["name"] == "dist"
    assert json.loads(command("runs", "show", "dist.1", "-f", "json").stdout)["rank"] == 1
    (row,) = tracker.experiments(metric="loss").to_dict("records")
    assert (row["runs"], row["best_run"]) == (1, "dist")
    assert list(tracker.experiment_runs("together")["name"]) == ["dist"]


def test_a_training_with_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a cluster of TensorFlow's are runs of one group, with their ranks."""
    cluster = {"chief": ["node-0:1"], "worker": ["node-1:1", "node-2:1"], "ps": ["node-3:1"]}
    for task, index in (("worker", 1), ("chief", 0), ("worker", 0)):
        config = {"cluster": cluster, "task": {"type": task, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        callback = TrackerCallback(name="cluster")
        fit([callback])
        callback.close()
    assert {run.name: run.state.rank for run in latest_runs(workers=True)} == {
        "cluster": 0, "cluster.1": 1, "cluster.2": 2,
    }  # fmt: skip
    assert len(groups()) == 1
    assert [run.name for run in latest_runs()] == ["cluster"]
    assert run_of("@last").name == "cluster"


def test_names_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name each has one of its own; a group by hand is kept; a rank is one of several."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        fit([TrackerCallback(group="ours")])
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    fit([TrackerCallback(name="alone")])
    assert len(names()) == 3
    assert not any(name.endswith(".1") for name in names())
    assert {run.state.group for run in latest_runs(workers=True, where="rank >= 0")} == {"ours"}
    assert (run_of("alone").state.rank, run_of("alone").state.group) == (None, None)


def test_a_worker_resumes_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program, started again with run=, goes on with each process's run."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for _ in range(2):
        for rank in ("0", "1"):
            monkeypatch.setenv("RANK", rank)
            callback = TrackerCallback(run="dist")
            fit([callback])
            callback.close()
    assert names() == ["dist", "dist.1"]
    assert [run_of(name).state.attempt for name in names()] == [2, 2]
    assert [run_of(name).state.rank for name in names()] == [0, 1]
    for meant in ("@last", run_of("dist").id, run_of("dist").uuid):
        callback = TrackerCallback(run=meant)
        fit([callback])
        callback.close()
    assert names() == ["dist", "dist.1"]
    assert [run_of(name).state.attempt for name in names()] == [2, 5]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("RANK=1 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=1", Worker(1, 4, "a:1")),
        ("RANK=1 WORLD_SIZE=4 TORCHELASTIC_RUN_ID=job MASTER_ADDR=a MASTER_PORT=1",
         Worker(1, 4, "job")),
        ("RANK=1 WORLD_SIZE=4 TORCHELASTIC_RUN_ID=none MASTER_ADDR=a MASTER_PORT=1 "
         "GROUP_WORLD_SIZE=2", Worker(1, 4, "a:1")),
        ("RANK=1 WORLD_SIZE=4 SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_ID=7", Worker(1, 4, "7")),
        ("SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_JOB_ID=7 SLURM_STEP_ID=0", Worker(3, 4, "7:0")),
        ("SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_JOB_ID=7", Worker(0, 4, "7")),
        ("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_MCA_ess_base_jobid=99",
         Worker(1, 2, "99")),
        ("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 PMIX_NAMESPACE=prterun-a-1@1",
         Worker(1, 2, "prterun-a-1@1")),
        ("PMI_RANK=0 PMI_SIZE=2 TRACKER_GROUP=mine", Worker(0, 2, "mine")),
        ("HOROVOD_RANK=5 HOROVOD_SIZE=8 TRACKER_GROUP=mine MASTER_ADDR=a MASTER_PORT=1",
         Worker(5, 8, "mine")),
        ("JAX_PROCESS_ID=1 JAX_NUM_PROCESSES=2 JAX_COORDINATOR_ADDRESS=a:1", Worker(1, 2, "a:1")),
        ("KERAS_DISTRIBUTION_PROCESS_ID=1 KERAS_DISTRIBUTION_NUM_PROCESSES=2 "
         "KERAS_DISTRIBUTION_JOB_ADDRESSES=a:1,b:1", Worker(1, 2, "a:1,b:1")),
        ("RANK= WORLD_SIZE=2 PMI_RANK=1 PMI_SIZE=2 TRACKER_GROUP=g", Worker(1, 2, "g")),
        ("RANK=9 WORLD_SIZE=2 PMI_RANK=1 PMI_SIZE=2 TRACKER_GROUP=g", Worker(1, 2, "g")),
        # One process has no one beside it, whatever else is set.
        ("RANK=0 WORLD_SIZE=1 SLURM_PROCID=1 SLURM_NTASKS=2", None),
        ("SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_JOB_ID=7", None),
        ("SLURM_JOB_ID=7 MASTER_ADDR=a MASTER_PORT=1 TRACKER_GROUP=g", None),
        ("", None),
        # What no launcher says.
        ("RANK=1", None),
        ("WORLD_SIZE=2", None),
        ("RANK=one WORLD_SIZE=2", None),
        ("RANK=1.0 WORLD_SIZE=2", None),
        ("RANK= WORLD_SIZE=", None),
        ("RANK=-1 WORLD_SIZE=2", None),
        ("RANK=2 WORLD_SIZE=2", None),
        ("RANK=0 WORLD_SIZE=-2", None),
        ("RANK=0 WORLD_SIZE=0", None),
    ],
)  # fmt: skip
def test_variables_of_launchers(variables: str, expected: Worker | None) -> None:
    """Rank, size and group as launchers tell them; None for one process, and for nonsense."""
    assert worker(dict(one.split("=", 1) for one in variables.split())) == expected


def test_a_launcher_that_names_no_job() -> None:
    """Processes of one parent are of one group then, and not of another parent's."""
    program = (
        "import os; from tracker.workers import worker;"
        "print(worker({'PMI_RANK': '1', 'PMI_SIZE': '2'}).group)"
    )
    here = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert here[0].stdout == here[1].stdout != ""
    elsewhere = worker({"PMI_RANK": "1", "PMI_SIZE": "2"})
    assert elsewhere is not None
    assert elsewhere.group != here[0].stdout.strip()


def test_torchrun_on_one_machine() -> None:
    """Its default address is that of the next job too, so its processes' parent tells them."""
    variables = {
        "RANK": "1", "WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
    }  # fmt: skip
    found = worker(variables)
    assert found is not None
    assert str(os.getppid()) in found.group
    assert worker(variables | {"TRACKER_GROUP": "mine"}) == Worker(1, 2, "mine")


def test_a_job_of_many_addresses() -> None:
    """A group's name stays short, and is the same for all."""
    addresses = ",".join(f"machine-{number}:1234" for number in range(100))
    found = [
        worker(
            {
                "KERAS_DISTRIBUTION_PROCESS_ID": rank,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "100",
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses,
            }
        )
        for rank in ("0", "99")
    ]
    assert found[0] is not None
    assert found[1] == Worker(99, 100, found[0].group)
    assert len(found[0].group) < 20


def config(task: Any, index: Any, **cluster: Any) -> str:
    """A TF_CONFIG."""
    return json.dumps({"cluster": cluster, "task": {"type": task, "index": index}})


@pytest.mark.parametrize(
    ("text", "rank", "size"),
    [
        (config("worker", 1, worker=["a:1", "b:1"]), 1, 2),
        (config("worker", "0", worker=["a:1", "b:1"]), 0, 2),
        (config("chief", 0, chief=["a:1"], worker=["b:1", "c:1"]), 0, 3),
        (config("worker", 1, chief=["a:1"], worker=["b:1", "c:1"]), 2, 3),
        (config("master", 0, master=["a:1"], worker=["b:1"], ps=["c:1", "d:1"]), 0, 2),
        (config("worker", 0, chief=["a:1"], worker={"0": "b:1"}), 1, 2),
    ],
)
def test_ranks_of_tf_config(text: str, rank: int, size: int) -> None:
    """The chief comes first, then the workers; parameter servers do not train."""
    found = worker({"TF_CONFIG": text, "SLURM_PROCID": "7", "SLURM_NTASKS": "9"})
    assert found is not None
    assert (found.rank, found.size) == (rank, size)
    assert found.group.startswith("cluster-")
    named = worker({"TF_CONFIG": text, "TRACKER_GROUP": "mine"})
    assert named == Worker(rank, size, "mine")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        "[" * 100_000,
        config("worker", 0, worker=["a:1"]),
        config("worker", 0),
        config("worker", 2, worker=["a:1", "b:1"]),
        config("worker", -1, worker=["a:1", "b:1"]),
        config("worker", None, worker=["a:1", "b:1"]),
        config("worker", "x", worker=["a:1", "b:1"]),
        config("worker", 0, worker="a:1,b:1"),
        config("worker", 0, worker=2),
        config("ps", 0, worker=["a:1", "b:1"], ps=["c:1"]),
        config("evaluator", 0, worker=["a:1", "b:1"]),
        config(["worker"], 0, worker=["a:1", "b:1"]),
        json.dumps({"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": "worker"}),
        json.dumps({"task": {"type": "worker", "index": 0}}),
    ],
)
def test_tf_configs_that_make_nobody_a_worker(text: str) -> None:
    """Malformed ones, those of one process, and roles that do not train."""
    assert worker({"TF_CONFIG": text}) is None


class Peculiar(keras.callbacks.Callback):
    """Somebody's callback with a `trial` of its own."""

    def __init__(self, trial: Any) -> None:
        super().__init__()
        self._trial = trial

    @property
    def trial(self) -> Any:
        """What it was made with; an exception is raised."""
        if isinstance(self._trial, Exception):
            raise self._trial
        return self._trial


def test_callbacks_that_are_no_tuners(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a callback beside ours calls its trial, recording goes on."""
    odd = [
        RuntimeError("ask later"),
        5,
        SimpleNamespace(hyperparameters=None),
        SimpleNamespace(hyperparameters={"values": {}}),
        SimpleNamespace(hyperparameters=SimpleNamespace(values="text")),
        SimpleNamespace(hyperparameters=SimpleNamespace(values={"lr": 0.5, "net": {"width": 3}})),
    ]
    callback = TrackerCallback(name="odd")
    fit([callback, *map(Peculiar, odd)])
    assert own_warnings(caplog) == []
    assert own_params("odd") == {"lr": 0.5, "net.width": 3}
    (began,) = facts("odd", "run_began")
    assert began["trial"] is None
    assert run_of("odd").state.epochs == 1
