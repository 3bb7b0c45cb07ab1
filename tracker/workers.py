"""Which of several processes that train together this one is, as their launcher tells it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tracker import machine

#: Variables of launchers: rank, and number of processes.
_RANKS = (
    ("RANK", "WORLD_SIZE"),  # torchrun, and many others
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("HOROVOD_RANK", "HOROVOD_SIZE"),
    ("KERAS_DISTRIBUTION_PROCESS_ID", "KERAS_DISTRIBUTION_NUM_PROCESSES"),
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)

#: Variables whose value all processes of a job have, and no other job at the same time.
_JOBS = (
    ("TRACKER_GROUP",),
    ("TORCHELASTIC_RUN_ID",),
    ("PMIX_NAMESPACE",),
    ("OMPI_MCA_ess_base_jobid",),
    ("SLURM_JOB_ID", "SLURM_STEP_ID"),
    ("SLURM_JOB_ID",),
    ("MASTER_ADDR", "MASTER_PORT"),
    ("KERAS_DISTRIBUTION_JOB_ADDRESSES",),
    ("JAX_COORDINATOR_ADDRESS",),
)

#: A group's name is as long as this at the most: addresses of many machines are not.
_LONGEST_GROUP = 80

#: What TF_CONFIG calls processes that train, in order of rank.
_TRAINING = ("chief", "master", "worker")


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes that train together."""

    #: From 0, which is the chief.
    rank: int
    #: How many there are.
    size: int
    #: What they have in common.
    group: str


def worker(environment: Mapping[str, str] = os.environ) -> Worker | None:
    """This process among those that train together; None where it is the only one."""
    found = _of_tensorflow(environment) or _of_launcher(environment)
    return found if found and found.size > 1 else None


def _of_launcher(environment: Mapping[str, str]) -> Worker | None:
    for names in _RANKS:
        try:
            rank, size = (int(environment[name]) for name in names)
        except (KeyError, ValueError):
            continue
        if 0 <= rank < size:
            return Worker(rank, size, _job(environment) or _launched())
    return None


def _of_tensorflow(environment: Mapping[str, str]) -> Worker | None:
    try:
        config: Any = json.loads(environment["TF_CONFIG"])
        cluster, task = config["cluster"], config["task"]
        role, index = str(task["type"]), int(task["index"])
        tasks = [(name, cluster.get(name) or ()) for name in _TRAINING]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None  # none, or one that TensorFlow itself will refuse
    if role not in _TRAINING or not all(isinstance(some, list | dict | tuple) for _, some in tasks):
        return None
    sizes = {name: len(some) for name, some in tasks}
    if not 0 <= index < sizes[role]:
        return None
    before = sum(sizes[name] for name in _TRAINING[: _TRAINING.index(role)])
    # Of the same addresses, until somebody names the group.
    group = _job(environment) or f"cluster-{_digest(json.dumps(cluster, sort_keys=True))}"
    return Worker(before + index, sum(sizes.values()), group)


def _job(environment: Mapping[str, str]) -> str | None:
    """What the launcher calls the job."""
    for names in _JOBS:
        values = [environment.get(name, "") for name in names]
        if values == ["none"]:  # torchrun's own default: then its address may be the default, too
            if environment.get("GROUP_WORLD_SIZE") == "1":
                return _launched()
        elif all(values):
            job = ":".join(values)
            return job if len(job) <= _LONGEST_GROUP else f"job-{_digest(job)}"
    return None


def _launched() -> str:
    """What processes of one parent have in common, and no others before or after them."""
    parent = os.getppid()
    name = f"{machine.host()}-{parent}"
    # Numbers of processes come again, but not with the same start, in ticks since the boot. No
    # such file but on Linux. Source: proc_pid_stat(5); the second field may have spaces.
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{parent}/stat").read_text(errors="replace")
        name += f"-{stat.rpartition(')')[2].split()[19]}"
    return name


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
