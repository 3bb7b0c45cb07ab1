"""New events of running runs, pushed to the pages that look at them.

One task a process looks at the store while anybody listens, and tells all who do: pages cost the
store nothing, and a training machine next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tracker.errors import InvalidArgument, TrackerError
from tracker.following import lost_among, progress_of
from tracker.liveness import LOST
from tracker.masking import mask_text
from tracker.query import run_of
from tracker.web.context import Context, context_of

#: Runs that one page may follow, and pages that one process serves.
_MOST_RUNS, _MOST_LISTENERS = 50, 500
#: Seconds of silence after which a line is sent, so that dead connections are noticed.
_QUIET = 15.0
#: Seconds between two looks for running runs whose writers are silent.
_LOST_SECONDS = 10.0
#: Seconds without a change after which half as many looks do: each wakes a sleeping machine.
_CALM_SECONDS = 5.0

_log = logging.getLogger("tracker.web")

#: What a run's row tells of it: how far its stream is, and its status.
State = dict[str, Any]


class Hub:
    """Looks at the store for all listeners of a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._followed: dict[asyncio.Queue[Any], frozenset[str]] = {}
        self._seen: dict[str, State] = {}
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self, uuids: frozenset[str]) -> Any:
        """Yields a queue of states of these runs, one whenever something changed.

        Raises:
            InvalidArgument: Too many pages listen.
        """
        if len(self._followed) >= _MOST_LISTENERS:
            raise InvalidArgument("Too many pages follow runs at once. Close some.")
        # Who is slow gets the last states only: they tell all that was missed.
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=64)
        self._followed[queue] = uuids
        if self._task is None or self._task.done():
            self._seen = {}
            self._task = asyncio.create_task(self._watch())
        try:
            yield queue
        finally:
            del self._followed[queue]

    async def _watch(self) -> None:
        away, look_for_lost, lost = False, 0.0, set[str]()
        changed_at = time.monotonic()
        while self._followed:
            wanted = frozenset().union(*self._followed.values())
            try:
                states = await run_in_threadpool(_states, self._context, wanted)
                if time.monotonic() >= look_for_lost:
                    running = {one for one, state in states.items() if state["status"] == "running"}
                    lost = await run_in_threadpool(lost_among, running, self._context.store)
                    look_for_lost = time.monotonic() + _LOST_SECONDS
                for uuid in lost & states.keys():
                    if states[uuid]["status"] == "running":
                        states[uuid]["status"] = LOST
            except Exception as error:  # noqa: BLE001 - nobody else looks: it has to go on
                if not isinstance(error, TrackerError):
                    _log.error("A fault of the tracker while runs are followed", exc_info=error)
                if not away:
                    self._tell_all({"away": mask_text(str(error))})
                away = True
            else:
                if away:
                    self._tell_all({"back": True})
                away = False
                changed = {uuid: one for uuid, one in states.items() if self._seen.get(uuid) != one}
                self._seen |= changed
                if changed:
                    changed_at = time.monotonic()
                for queue, uuids in self._followed.items():
                    for uuid in changed.keys() & uuids:
                        _put(queue, changed[uuid])
            poll = self._context.settings.poll
            calm = time.monotonic() - changed_at > _CALM_SECONDS
            await asyncio.sleep(1.0 if away else 2 * poll if calm else poll)

    def _tell_all(self, message: State) -> None:
        for queue in self._followed:
            _put(queue, message)


def _put(queue: asyncio.Queue[Any], message: State) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(message)


def _states(context: Context, uuids: frozenset[str]) -> dict[str, State]:
    return {uuid: one._asdict() for uuid, one in progress_of(uuids, context.store).items()}


async def _live(request: Request) -> Response:
    """Server-sent events: a state of a run whenever it changes; what it is now comes first.

    A browser that connects again says which state it had last, and gets it again only if it is
    another by now.
    """
    context = context_of(request)
    asked = request.query_params.getlist("run")
    if not 1 <= len(asked) <= _MOST_RUNS:
        raise InvalidArgument(f"Name 1 to {_MOST_RUNS} runs: ?run=A&run=B.")
    store = await run_in_threadpool(lambda: context.store)
    runs = [await run_in_threadpool(run_of, one, store=store) for one in asked]
    uuids = frozenset(run.uuid for run in runs)
    hub = _hub(request)
    last = request.headers.get("last-event-id", "")

    async def stream() -> AsyncIterator[bytes]:
        with hub.listening(uuids) as queue:
            yield b"retry: 1000\n\n"
            try:
                states = await run_in_threadpool(_states, context, uuids)
            except TrackerError as error:
                states = {}
                yield _message({"away": mask_text(str(error))})
            for state in states.values():
                if _mark(state) != last:
                    yield _message(state)
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _QUIET)
                except TimeoutError:
                    yield b": still here\n\n"
                else:
                    yield _message(message)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Events(stream(), media_type="text/event-stream", headers=headers)


class _Events(StreamingResponse):
    """A stream that ends when the server stops: whoever listens comes back by themselves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _mark(state: State) -> str:
    return f"{state['uuid']}:{state['seq']}:{state['status']}"


def _message(state: State) -> bytes:
    data = orjson.dumps(state).decode()
    if "uuid" not in state:
        return f"event: store\ndata: {data}\n\n".encode()
    return f"id: {_mark(state)}\nevent: run\ndata: {data}\n\n".encode()


def _hub(request: Request) -> Hub:
    state = request.app.state
    if not hasattr(state, "hub"):
        state.hub = Hub(state.context)
    hub: Hub = state.hub
    return hub


ROUTES = [Route("/api/v1/live", _live)]
