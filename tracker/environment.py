"""What a run ran in: Python, packages, machine, command line, git, seeds."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from tracker.masking import mask_command, mask_url

#: How long git may take, in seconds; a repository on a slow disk is described without it.
_GIT_TIMEOUT = 2.0

#: Packages whose versions are recorded when they are loaded, by module and distribution.
_PACKAGES = {
    "jax": "jax",
    "keras": "keras",
    "keras_hub": "keras-hub",
    "keras_tuner": "keras-tuner",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sqlalchemy": "SQLAlchemy",
    "tensorflow": "tensorflow",
    "tf_keras": "tf-keras",
    "torch": "torch",
    "tracker": "keras-event-tracker",
}

#: Variables that change what training computes or where it runs; none of them holds secrets.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "PYTHONHASHSEED",
    "SLURM_JOB_ID",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def environment() -> dict[str, Any]:
    """Facts on this process and what it runs in, as JSON can carry them; never raises.

    Returns:
        `host`, `pid`, `python`, `platform`, `cpus`, `command` (secrets masked), `folder`,
        `packages`, `keras` (version, backend, seed where one is set), `git` (commit, branch,
        dirty), `variables`. What cannot be found out is named in `problems`.
    """
    probes: dict[str, Callable[[], Any]] = {
        "host": socket.gethostname,
        "pid": os.getpid,
        "python": platform.python_version,
        "platform": platform.platform,
        "cpus": os.cpu_count,
        "command": lambda: mask_command([sys.executable, *sys.argv]),
        "notebook": lambda: "ipykernel" in sys.modules,
        "folder": lambda: str(Path.cwd()),
        "packages": package_versions,
        "keras": keras_state,
        "git": git_state,
        "variables": lambda: {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }
    facts: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, probe in probes.items():
        try:
            facts[name] = probe()
        except Exception as error:  # noqa: BLE001 - a fact less, not a run less
            problems[name] = f"{type(error).__name__}: {error}"
    return facts | ({"problems": problems} if problems else {})


def package_versions() -> dict[str, str]:
    """Versions of those packages that matter to training and are loaded."""
    versions = {}
    for module, distribution in _PACKAGES.items():
        if module in sys.modules:
            version = getattr(sys.modules[module], "__version__", None)
            try:
                versions[distribution] = str(version or metadata.version(distribution))
            except metadata.PackageNotFoundError:  # a checkout that is not installed
                continue
    return versions


def keras_state() -> dict[str, Any]:
    """Keras's version, backend, float type and global seed, if it is loaded."""
    keras = sys.modules.get("keras")
    if keras is None:
        return {}
    state: dict[str, Any] = {
        "version": str(keras.__version__),
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
    }
    # Source: keras.src.utils.rng_utils.set_random_seed keeps it there; there is no public way.
    global_state = sys.modules.get("keras.src.backend.common.global_state")
    seed = global_state.get_global_attribute("global_random_seed") if global_state else None
    return state | ({} if seed is None else {"seed": int(seed)})


def git_state(folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Commit, branch, whether files are changed, and the remote, of the repository around.

    Args:
        folder: Where to look; default: the current folder.

    Returns:
        An empty dict outside of a repository, or where git is not installed or too slow.
    """
    # `--no-optional-locks`: looking must not get in the way of the user's own git.
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return {}
    heads = dict(
        line[2:].split(" ", 1) for line in status.splitlines() if line.startswith("# branch.")
    )
    state: dict[str, Any] = {
        "commit": heads.get("branch.oid"),
        "branch": heads.get("branch.head"),
        "dirty": any(not line.startswith("#") for line in status.splitlines()),
    }
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return state | ({"remote": mask_url(remote.strip())} if remote else {})


def _git(folder: str | os.PathLike[str] | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["git", "--no-optional-locks", *arguments],  # noqa: S607 - the user's own git
            cwd=folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
