"""A server between a client and PostgreSQL that cuts connections at the COMMIT of an append."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal

#: Where a connection is cut: the server has not seen the COMMIT, or has done it, and nobody was
#: told.
Place = Literal["before", "after"]


class CommitProxy:
    """Passes bytes on, but for every n-th COMMIT of a transaction that inserts events."""

    def __init__(self, port: int, place: Place, every: int) -> None:
        self._target = port
        self._place = place
        self._every = every
        self._lock = threading.Lock()
        self._commits = 0
        #: How many connections were cut.
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        cut = threading.Event()
        back = threading.Thread(target=self._pass_back, args=(server, client, cut), daemon=True)
        back.start()
        inserted = False
        with contextlib.suppress(OSError):
            while data := client.recv(2**16):
                inserted = inserted or b"INSERT INTO events" in data
                commits = b"COMMIT\x00" in data
                if commits and inserted and self._is_time():
                    if self._place == "before":
                        break
                    # What the server answers from here on, it answers to us.
                    cut.set()
                    server.sendall(data)
                    back.join(10)
                    break
                inserted = inserted and not commits
                server.sendall(data)
        for one in (client, server):
            _end(one)

    def _pass_back(
        self, server: socket.socket, client: socket.socket, cut: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(2**16):
                if cut.is_set():
                    if b"COMMIT\x00" in data:  # the tag of a transaction that is done
                        break
                    continue
                client.sendall(data)
        _end(client)

    def _is_time(self) -> bool:
        with self._lock:
            self._commits += 1
            if self._commits % self._every:
                return False
            self.cuts += 1
            return True


@contextlib.contextmanager
def commit_proxy(port: int, place: Place, every: int = 3) -> Iterator[CommitProxy]:
    """A proxy before the server at `port`."""
    proxy = CommitProxy(port, place, every)
    try:
        yield proxy
    finally:
        proxy.close()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
