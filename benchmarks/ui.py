"""`python -m benchmarks.ui`: the page of `tracker ui` in a real Chromium.

A store of many runs, one of them of a million events, and a server process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser, sync_playwright

from benchmarks import search
from benchmarks.streams import records
from benchmarks.table import Figure, interleaved, machine, table
from tests.browser import chromium
from tests.postgres import installations
from tests.streams import fit_stream
from tracker.event import Record
from tracker.maintenance import rebuild_chunks
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity
from tracker.store.sql import SqlStore

_LONG, _LIVE = "long", "live"
_BATCH, _STEPS = 5_000, 2_000
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
#: Has the layout, style and scripts of all, and reads next to nothing.
_BARE = "/runs/none"
_PAGES = {
    "runs": "/runs",
    "curves": "/runs?view=charts",
    "compare": f"/compare?runs={_LONG},bench-1&metric=loss&source=batch",
    "run": f"/runs/{_LONG}",
    "time travel": f"/runs/{_LONG}/at/500000",
    "experiments": "/experiments",
}
_CLOCK = os.sysconf("SC_CLK_TCK")


def fill(store: SqlStore, runs: int, events: int) -> list[Record]:
    """The store; returns the records of the live run that are yet to come."""
    search.fill(store, runs)
    epochs = events // (2 * _STEPS)
    _append(store, _identity(_LONG, 1), fit_stream(epochs, _STEPS, name=_LONG))
    rebuild_chunks(store=store)
    live = records(3_000, 2)
    store.append(_identity(_LIVE, 2), live[:100], expected_seq=0)
    return live


def _identity(name: str, number: int) -> RunIdentity:
    return RunIdentity(uuid=f"01900000-0000-7000-a000-{number:012d}", name=name, writer="w")


def _append(store: SqlStore, run: RunIdentity, stream: list[Record]) -> None:
    for place in range(0, len(stream), _BATCH):
        store.append(run, stream[place : place + _BATCH], expected_seq=place)


@contextmanager
def server(url: str) -> Iterator[tuple[str, int]]:
    """`tracker ui` as a process; yields its address and its pid."""
    program = "from tracker.cli import main; main()"
    command = [sys.executable, "-c", program, "ui", "--port", "0", "--store", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://[\w.:]+", process.stderr.readline())
        assert found
        try:
            while True:
                try:
                    httpx2.get(found[0] + "/api/v1/openapi.json")
                    break
                except httpx2.ConnectError:
                    time.sleep(0.05)
            yield found[0], process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def first_paint(browser: Browser, pid: int, url: str) -> float:
    """Milliseconds until something is there, in a browser that was never here.

    The server has done by then what the page before had asked for.
    """
    while True:
        before = _cpu(pid)
        time.sleep(0.3)
        if _cpu(pid) - before < 0.05:
            break
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="load")
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    while (found := page.evaluate(paint)) is None:
        time.sleep(0.02)
    context.close()
    return float(found)


def wire(browser: Browser, url: str) -> float:
    """Kilobytes of a page with all that it asks for, in a browser that was never here."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="networkidle")
    sizes = (
        "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    found = float(page.evaluate(sizes)) / 1e3
    context.close()
    return found


def zooms(browser: Browser, site: str, repeat: int) -> float:
    """Milliseconds of a zoom into a million events, from the key to what is drawn."""
    page = browser.new_page()
    page.goto(f"{site}/compare?runs={_LONG}&metric=loss&source=batch", wait_until="networkidle")
    zoom = """async () => {
      const chart = document.querySelector('.chart'), began = performance.now();
      const done = new Promise((then) => chart.addEventListener('detailed', then, {once: true}));
      chart.dispatchEvent(new KeyboardEvent('keydown', {key: '+', bubbles: true}));
      await done;
      await new Promise(requestAnimationFrame);
      return performance.now() - began;
    }"""
    found = [float(page.evaluate(zoom)) for _ in range(max(repeat, 5))]
    page.close()
    return statistics.median(found)


def fetched(client: httpx2.Client, url: str) -> float:
    """Milliseconds of one answer."""
    began = time.perf_counter()
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1e3


def first_read(url: str) -> float:
    """Milliseconds of a curve of a million events, by a server that has read nothing yet."""
    with server(url) as (site, _), httpx2.Client(timeout=60) as client:
        fetched(client, f"{site}/api/v1/runs?limit=1")
        return fetched(client, f"{site}/api/v1/curves?run={_LONG}&metric=loss&source=batch")


def bare_read(store: SqlStore) -> float:
    """Its floor: the bytes of the chunks, as the driver gives them."""
    began = time.perf_counter()
    with store.reading() as connection:
        connection.exec_driver_sql("SELECT body FROM chunks").fetchall()
    return (time.perf_counter() - began) * 1e3


def live(browser: Browser, site: str, store: SqlStore, coming: list[Record]) -> float:
    """p95 of milliseconds from the commit of an event until the page shows it."""
    page = browser.new_page()
    page.goto(f"{site}/runs/{_LIVE}", wait_until="load")
    page.evaluate("""() => {
      window.shown = {};
      new MutationObserver(() => {
        const seq = document.getElementById('now')?.dataset.seq;
        window.shown[seq] ??= performance.timeOrigin + performance.now();
      }).observe(document.querySelector('main'), {childList: true, subtree: true});
    }""")
    time.sleep(1)
    committed = {}
    for seq in range(101, 161):
        store.append(_identity(_LIVE, 2), [coming[seq - 1]], expected_seq=seq - 1)
        committed[seq] = time.time() * 1e3
        time.sleep(0.37)
    time.sleep(1)
    shown = {int(seq): at for seq, at in page.evaluate("window.shown").items() if seq.isdigit()}
    page.close()
    # What came with the next event is shown by its page.
    waits = [
        min((at for other, at in shown.items() if other >= seq), default=float("inf")) - began
        for seq, began in committed.items()
    ]
    return sorted(waits)[int(0.95 * len(waits))]


def idle(site: str, pid: int, pages: int, seconds: float = 10.0) -> float:
    """Percent of a core that a server takes for so many pages that follow a silent run."""

    async def listen(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", f"{site}/api/v1/live?run={_LIVE}") as answer:
            async for _ in answer.aiter_bytes():
                pass

    async def measure() -> float:
        limits = httpx2.Limits(max_connections=pages + 1)
        async with httpx2.AsyncClient(timeout=None, limits=limits) as client:
            tasks = [asyncio.create_task(listen(client)) for _ in range(pages)]
            await asyncio.sleep(6)
            before = _cpu(pid)
            await asyncio.sleep(seconds)
            used = _cpu(pid) - before
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return used / seconds * 100

    return asyncio.run(measure())


def _cpu(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK


def figures(runs: int, events: int, repeat: int) -> list[Figure]:
    """All of them."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKER_HOME"] = folder  # journals of this machine are none of this
        url = f"sqlite:///{folder}/ui.db"
        store = open_store(url, create=True)
        coming = fill(store, runs, events)
        read, bare = interleaved([partial(first_read, url), partial(bare_read, store)], repeat)
        found.append(Figure("first read of a metric", read, "ms", bare, "SELECT body FROM chunks"))
        with server(url) as (site, pid), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
            asked: list[Callable[[], float]] = [
                partial(first_paint, browser, pid, site + path)
                for path in (_BARE, *_PAGES.values())
            ]
            nothing, *paints = interleaved(asked, repeat)
            sizes: list[Any] = [wire(browser, site + path) for path in (_BARE, *_PAGES.values())]
            for name, paint, size in zip(_PAGES, paints, sizes[1:], strict=True):
                found += [
                    Figure(f"first paint, {name}", paint, "ms", nothing, "a page that says no"),
                    Figure(f"on the wire, {name}", size, "kB", sizes[0], "a page that says no"),
                ]
            with httpx2.Client() as client:
                nowhere = f"{site}/api/v1/openapi.json"
                empty = statistics.median(fetched(client, nowhere) for _ in range(max(repeat, 5)))
            zoom = zooms(browser, site, repeat)
            found += [
                Figure("zoom in a million events", zoom, "ms", empty, "an answer of no store"),
                Figure("live, p95", live(browser, site, store, coming), "ms", None, ""),
            ]
            browser.close()
        with server(url) as (site, pid):
            lone = idle(site, pid, 1)
            found.append(Figure("50 open pages, idle", idle(site, pid, 50), "%", lone, "1 page"))
        store.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ui", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000, help="of the long run")
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each, interleaved")
    arguments = parser.parse_args()
    found = figures(arguments.runs, arguments.events, arguments.repeat)
    print(machine(installations()[0].version) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
