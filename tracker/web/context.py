"""What requests share: the settings, and the open store."""

from __future__ import annotations

import threading

from starlette.requests import Request

from tracker.store.opening import open_store
from tracker.store.sql import SqlStore
from tracker.web.settings import Settings


class Context:
    """One server process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._store: SqlStore | None = None

    @property
    def store(self) -> SqlStore:
        """The store, open for reading only.

        It is opened when it is first needed, and again as long as that fails: it may come back,
        or be brought to today's revision.
        """
        with self._lock:
            if self._store is None:
                self._store = open_store(self.settings.store, reading_for=self.settings.timeout)
            return self._store

    def close(self) -> None:
        """Give up the connections."""
        if self._store is not None:
            self._store.close()


def context_of(request: Request) -> Context:
    """The context of the application that got a request."""
    context: Context = request.app.state.context
    return context
