"""The pages in a real Chromium: what they show, how they behave, and that nothing else is asked."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

import tracker
from tests.browser import Seen, axe, served, watched
from tests.postgres import PostgresServer, running_server
from tests.streams import Stream, fit_stream, identity
from tracker.event import Record
from tracker.store import schema
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.port import RunIdentity
from tracker.store.sql import SqlStore
from tracker.web.application import application
from tracker.web.settings import Settings

#: Markup that would show itself if a page took it for its own.
_EVIL = "<img src=x onerror=document.title='caught'>"


def _curved(name: str, values: list[float], params: dict[str, Any], group: str | None) -> Stream:
    """A run of one fit whose validation loss is given, epoch by epoch."""
    stream = Stream()
    began = {"version": 2, "name": name, "experiment": "curves", "group": group, "params": params}
    model = {"optimizer": {"class": "SGD", "learning_rate": 0.25}}
    stream.add("run_began", {**began, "model": model})
    stream.add("call_began", {"phase": "train", "epochs": len(values)}, call=1)
    stream.add("train_begin", call=1)
    for epoch, value in enumerate(values):
        stream.add("epoch_begin", call=1, epoch=epoch)
        for batch in range(3):
            stream.add("train_batch_begin", call=1, epoch=epoch, batch=batch)
            logs = {"loss": value + batch / 10}
            stream.add("train_batch_end", logs, call=1, epoch=epoch, batch=batch)
        logs = {"loss": value, "val_loss": value}
        stream.add("epoch_end", logs, call=1, epoch=epoch)
    stream.add("train_end", {"loss": 0.1}, call=1)
    stream.add("run_ended", {"status": "finished"})
    return stream


def _fill(store: SqlStore) -> None:
    """Runs of all kinds; the first is long, the last one that began has an evil name."""
    store.append(identity("long", 1), fit_stream(6, 1_500, name="long"), expected_seq=0)
    for number in range(2, 7):
        values = [1.0, 0.5, 0.3 * number, 0.6, 0.7, 0.8]
        params = {"lr": 0.1**number, "width": number, "kind": "ab"[number % 2]}
        group = "left" if number % 2 else "right"
        stream = _curved(f"curve-{number}", values, params, group)
        store.append(identity(f"curve-{number}", number), stream.records, expected_seq=0)
    evil = Stream()
    began = {"version": 2, "name": _EVIL, "experiment": _EVIL, "params": {_EVIL: _EVIL}}
    evil.add("run_began", {**began, "tags": {_EVIL: _EVIL}})
    evil.add("call_began", {"phase": "train", "epochs": 1}, call=1)
    evil.add("train_begin", call=1)
    evil.add("epoch_begin", call=1, epoch=0)
    evil.add("epoch_end", {_EVIL: 1.0, "val_loss": 2.0}, call=1, epoch=0)
    evil.add(
        "run_ended",
        {"status": "failed", "error": {"type": _EVIL, "message": _EVIL, "traceback": _EVIL}},
    )
    store.append(identity(_EVIL, 7), evil.records, expected_seq=0)
    for number in range(8, 8 + 150):
        few = Stream()
        few.add("run_began", {"version": 2, "name": f"many-{number}", "experiment": "many"})
        few.add("run_ended", {"status": "finished"})
        store.append(identity(f"many-{number}", number), few.records, expected_seq=0)


def _filled(url: str) -> str:
    store = connect_store(url, create=True)
    upgrade_store(store)
    _fill(store)
    store.close()
    return url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of 157 runs."""
    return _filled(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'runs.db'}")


@pytest.fixture(scope="module")
def site(url: str) -> Iterator[str]:
    """A server of that store."""
    with served(application(Settings(store=url))) as address:
        yield address


_PAGES = [
    "/runs",
    "/runs?view=charts&where=experiment+%3D+%22curves%22",
    "/runs?where=status+%3D",
    "/compare?runs=curve-2,curve-3,curve-4&source=batch",
    "/runs/long?source=batch&log=true",
    "/runs/" + identity("", 7).uuid,
    "/runs/curve-2/at/12",
    "/experiments",
    "/experiments?name=curves",
    "/runs/nobody",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", _PAGES)
def test_pages_are_sound(browser: Browser, site: str, path: str, scheme: Any) -> None:
    """No error, no request to others, no serious finding of axe; nothing wider than a phone."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = watched(page)
    found.expected = ["404 (Not Found)"] if "nobody" in path else ["400 (Bad Request)"]
    page.goto(site + path, wait_until="networkidle")
    assert page.title() != "caught"
    assert page.locator("main h1").count() == 1
    assert axe(page) == []
    page.set_viewport_size({"width": 375, "height": 700})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    _wait_for(lambda: page.evaluate(wide) <= 0)
    context.close()
    found.check()


def test_more_rows_are_like_those_before(site: str) -> None:
    """Their columns are those of the table, whatever these runs have of them."""
    like = ["name", "val_loss", "none", "params.width", "odd `name", "min(val_loss)"]
    shown = {"where": "experiment = 'curves'", "sort": "name", "limit": "2"}
    answer = httpx2.get(f"{site}/runs/more", params={**shown, "like": like})
    assert answer.status_code == 200, answer.text
    rows = [re.findall(r"<td[^>]*>(.*)</td>", row) for row in answer.text.split("<tr ")[1:3]]
    assert [[re.sub("<.*?>", "", cell) for cell in row[2:]] for row in rows] == [
        ["curve-2", "0.8", "", "2", "", "0.5"],
        ["curve-3", "0.8", "", "3", "", "0.5"],
    ]
    told = httpx2.get(f"{site}/runs/more", params={"like": ["a"] * 501})
    assert told.status_code == 400
    assert "500" in told.text


def test_names_of_users_are_never_markup(page: Page, site: str) -> None:
    """Run, metric, params, tags, error and traceback are shown as they are written."""
    uuid = identity("", 7).uuid
    paths = ("/runs?where=experiment+like+%22%25img%25%22", "/experiments")
    own = (f"/runs/{uuid}", f"/runs/{uuid}/at/5", f"/compare?runs={uuid},curve-2")
    for path in (*paths, *own):
        page.goto(site + path, wait_until="networkidle")
        expect(page.locator("main")).to_contain_text(_EVIL)
        assert page.locator("img").count() == 0
        assert page.title() != "caught"


def test_the_list_of_runs(page: Page, seen: list[Seen], site: str) -> None:
    """A filter without a reload, its mistake at its place, more rows on scroll, small curves."""
    page.goto(site + "/runs")
    rows = page.locator("tr[data-run]")
    expect(rows).to_have_count(100)
    page.mouse.wheel(0, 20_000)
    expect(rows).to_have_count(157)
    # The later ones have metrics that the first ones lack: no column of theirs is another's.
    columns = page.locator("table.runs thead th").count()
    lengths = "[...document.querySelectorAll('tr[data-run]')].map((row) => row.cells.length)"
    assert set(page.evaluate(lengths)) == {columns}
    expect(page.locator("tr", has_text="curve-2").locator("td").nth(2)).to_have_text("finished")
    expect(page.locator("tr", has_text="curve-2").locator(".spark polyline")).to_have_count(1)
    seen[0].expected = ["400 (Bad Request)", "Response Status Error Code 400"]
    page.evaluate("window.stays = true")
    page.get_by_label("Filter").fill("params.width >")
    page.get_by_label("Filter").press("Enter")
    expect(page.locator("#problem")).to_contain_text("^")
    page.get_by_label("Filter").fill("params.width > 4")
    page.get_by_label("Filter").press("Enter")
    expect(rows).to_have_count(2)
    expect(page.locator("#problem")).to_be_empty()
    assert "where=params.width" in page.url
    assert page.evaluate("window.stays")


@pytest.mark.parametrize("path", ["/runs", "/experiments", "/experiments?name=curves"])
def test_names_of_metrics_are_suggested(page: Page, site: str, path: str) -> None:
    """They are asked for once, when somebody is about to write one."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site + path, wait_until="networkidle")
    assert not [url for url in asked if url.endswith("/api/v1/metrics")]
    field = page.locator("input[name=metric]")
    for _ in range(2):
        field.focus()
        expect(page.locator("datalist option[value=val_loss]")).to_have_count(1)
        field.blur()
    assert len([url for url in asked if url.endswith("/api/v1/metrics")]) == 1


def test_columns_and_selection(page: Page, site: str) -> None:
    """Columns are chosen on the page; selected runs are compared."""
    page.goto(site + "/runs?where=experiment+%3D+%22curves%22")
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("params.width", exact=True).check()
    page.get_by_role("link", name="Show these").click()
    expect(page.locator("thead")).to_contain_text("params.width")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.get_by_label("Select curve-2").check()
    page.get_by_label("Select curve-3").check()
    expect(page.locator("#selected")).to_have_text("2 runs selected.")
    compare.click()
    expect(page.locator("h1")).to_have_text("Compare 2 runs")


def test_a_grid_of_curves(page: Page, site: str) -> None:
    """A card a metric; a run that is not chosen is not drawn, and the others keep their colours."""
    page.goto(site + "/runs?view=charts&where=experiment+%3D+%22curves%22")
    card = page.locator(".card[data-metric=val_loss]")
    expect(card).to_have_attribute("data-drawn", "5")
    colours = (
        "[...document.querySelectorAll('.runs-list .swatch')].map((one) => one.style.background)"
    )
    before = page.evaluate(colours)
    assert len(set(before)) == 5
    page.get_by_label("Draw curve-3").uncheck()
    expect(card).to_have_attribute("data-drawn", "4")
    assert page.evaluate(colours) == before


def test_where_two_runs_part(page: Page, site: str) -> None:
    """The event is named as `tracker.diff` names it, with a link to it in both runs."""
    page.goto(site + "/compare?runs=curve-2,curve-3")
    parting = page.locator("#parting")
    expect(parting).to_contain_text("epoch 2, batch 0")
    expect(parting).to_contain_text("ulp of")
    expect(page.locator("main")).to_contain_text("width")
    parting.get_by_role("link").nth(1).click()
    page.wait_for_url(re.compile("/at/"))
    expect(page.locator("h1")).to_have_text("curve-3 in time")
    expect(page.locator("#moment")).to_contain_text("loss")


def test_params_against_results(page: Page, site: str) -> None:
    """A line and a point for each run; another param is another plot."""
    page.goto(site + "/compare?runs=curve-2,curve-3,curve-4")
    plots = page.locator("#relations")
    expect(plots.locator("polyline")).to_have_count(3)
    expect(plots.locator("circle")).to_have_count(3)
    plots.get_by_label("Param").select_option("kind")
    expect(plots.locator("a").first).to_have_attribute("aria-label", re.compile("curve-2: kind a"))


def test_zoom_asks_the_store_for_detail(page: Page, site: str) -> None:
    """Dragging, keys and a double click; the answer has each value where there is room for all."""
    page.goto(site + "/compare?runs=long&metric=loss&source=batch", wait_until="networkidle")
    over = page.locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    with page.expect_response(re.compile("begin=")) as asked:
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.51, middle, steps=4)
        page.mouse.up()
    line = asked.value.json()["lines"][0]
    assert line["low"] is None
    assert 40 < len(line["x"]) < 400
    page.locator(".chart").focus()
    with page.expect_response(re.compile("begin=")) as asked:
        page.keyboard.press("-")
    assert len(asked.value.json()["lines"][0]["x"]) > len(line["x"])
    page.mouse.move(box["x"] + 100, middle)
    expect(page.locator(".tip")).to_contain_text("long")
    with page.expect_download() as saved:
        page.get_by_role("button", name="PNG").click()
    assert saved.value.suggested_filename == "loss.png"
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_what_is_chosen_stands_in_the_address(page: Page, site: str) -> None:
    """And gives the same page again."""
    page.goto(site + "/compare?runs=curve-2,curve-3&metric=loss", wait_until="networkidle")
    with page.expect_response(re.compile("/curves.*source=batch")):
        page.locator("select[name=source]").select_option("batch")
    with page.expect_response(re.compile("/curves.*x=time")):
        page.locator("select[name=x]").select_option("time")
    page.reload(wait_until="networkidle")
    assert page.locator("select[name=source]").input_value() == "batch"
    assert page.locator("select[name=x]").input_value() == "time"
    expect(page.locator(".card")).to_have_attribute("data-drawn", "2")


def test_what_would_a_callback_have_done(page: Page, seen: list[Seen], site: str, url: str) -> None:
    """The page says what `tracker.replay` says; a mistake is told."""
    import keras

    page.goto(site + "/runs/curve-2")
    form = page.locator("#what-if")
    form.get_by_label("patience").fill("2")
    form.get_by_role("button", name="Ask").click()
    callback = keras.callbacks.EarlyStopping("val_loss", patience=2)
    expect(page.locator("#verdict")).to_have_text(
        str(tracker.replay("curve-2", [callback], store=url)), timeout=30_000
    )
    expect(page.locator("#what-if-curve")).to_have_attribute("data-drawn", "1")
    form.get_by_label("Callback").select_option("ReduceLROnPlateau")
    expect(form.get_by_label("baseline")).to_be_hidden()
    form.get_by_label("factor").fill("0.5")
    form.get_by_role("button", name="Ask").click()
    expect(page.locator("#verdict")).to_contain_text("ReduceLROnPlateau")
    seen[0].expected = ["400 (Bad Request)"]
    page.goto(site + "/runs/" + identity("", 7).uuid)
    form.get_by_role("button", name="Ask").click()
    expect(page.locator("#verdict .problem, #verdict p")).not_to_contain_text("Driving")


def test_travel_in_time(page: Page, seen: list[Seen], site: str, url: str) -> None:
    """Slider, buttons, keys, play and points; each has its address, and is `tracker.state`."""
    page.goto(site + "/runs/curve-2/at/12", wait_until="networkidle")
    moment = page.locator("#moment")
    expect(moment).to_contain_text("12 of ")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("/at/13$"))
    state = tracker.state("curve-2", 13, store=url)
    expect(moment).to_contain_text(f"13 of 53: {state.kind}")
    page.get_by_role("button", name="Next epoch").click()
    page.wait_for_url(re.compile(f"/at/{tracker.state('curve-2', 'epoch:1', store=url).seq}$"))
    page.get_by_role("button", name="Previous epoch").click()
    page.wait_for_url(re.compile(f"/at/{tracker.state('curve-2', 'epoch:0', store=url).seq}$"))
    page.get_by_label("Go to").fill("epoch:4")
    page.get_by_label("Go to").press("Enter")
    page.wait_for_url(re.compile(f"/at/{tracker.state('curve-2', 'epoch:4', store=url).seq}$"))
    seen[0].expected = ["400 (Bad Request)"]
    page.get_by_label("Go to").fill("epoch:40")
    page.get_by_label("Go to").press("Enter")
    expect(page.locator("#problem")).to_contain_text("epoch")
    page.get_by_role("slider").fill("20")
    page.wait_for_url(re.compile("/at/20$"))
    expect(page.locator("#problem")).to_be_empty()
    page.get_by_role("button", name="Play").click()
    page.wait_for_url(re.compile("/at/53$"))
    expect(page.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Home")
    page.wait_for_url(re.compile("/at/1$"))


def test_where_the_time_went(page: Page, site: str) -> None:
    """It is read when somebody looks."""
    page.goto(site + "/runs/curve-2")
    with page.expect_response(re.compile("/time$")):
        page.get_by_role("heading", name="Where the time went").scroll_into_view_if_needed()
        page.mouse.wheel(0, 20_000)
    expect(page.get_by_role("region", name="Time of calls")).to_contain_text("train, call 1")


def test_groups_are_bands(page: Page, site: str) -> None:
    """A line with a band for each group, and the best runs below."""
    page.goto(site + "/experiments?name=curves")
    expect(page.locator("#groups")).to_have_attribute("data-drawn", "2")
    expect(page.locator("#best")).to_have_attribute("data-drawn", "5")
    expect(page.locator("main")).to_contain_text("curve-4")


def test_light_and_dark(page: Page, site: str) -> None:
    """The reader chooses, and the choice stays."""
    page.goto(site + "/runs")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) != before
    page.reload()
    assert page.evaluate(ground) != before


def test_under_a_path_of_a_proxy(page: Page, url: str) -> None:
    """All addresses on the page begin with it."""
    with served(application(Settings(store=url, prefix="/lab/tracker"))) as site:
        page.goto(site + "/lab/tracker/", wait_until="networkidle")
        page.get_by_role("link", name="Curves").click()
        page.wait_for_url(re.compile("view=charts"))
        page.goto(site + "/lab/tracker/compare?runs=curve-2,curve-3", wait_until="networkidle")
        expect(page.locator(".card")).to_have_attribute("data-drawn", "2")
        page.locator("#parting").get_by_role("link").first.click()
        page.wait_for_url(re.compile("/lab/tracker/runs/.*/at/"))


_TRAINING = """
import keras, numpy, sys, time, tracker

class Slow(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.4)

model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
model.compile(loss="mse")
model.fit(numpy.ones((8, 2)), numpy.ones(8), batch_size=4, epochs=12, verbose=0,
          validation_split=0.5, callbacks=[tracker.TrackerCallback(name="live"), Slow()])
"""


def test_a_training_is_followed(page: Page, home: Path) -> None:
    """A page of a run that really trains shows its events as they come, until it has finished."""
    home.mkdir(exist_ok=True)
    store = f"sqlite:///{home / 'tracker.db'}"
    with subprocess.Popen([sys.executable, "-c", _TRAINING]) as training:
        try:
            _wait_for(lambda: _begun(store), training)
            app = application(Settings(store=store))
            with served(app) as site:
                page.goto(site + "/runs/live")
                page.evaluate("window.stays = true")
                now = page.locator("#now")
                expect(now).to_contain_text(re.compile("epoch [3-9] of 12"), timeout=30_000)
                assert len(page.evaluate("performance.getEntriesByType('resource')")) > 0
                expect(now).to_contain_text("finished", timeout=60_000)
                assert page.evaluate("window.stays"), "the page was loaded again"
                expect(page.locator(".card[data-metric=val_loss] .legend")).to_contain_text("live")
                assert training.wait(30) == 0
                shown = int(now.get_attribute("data-seq") or 0)
                assert shown == tracker.state("live", store=store).seq
                _closed_while_hidden(page, app)
                page.goto("about:blank")
        finally:
            training.kill()


def _begun(store: str) -> bool:
    try:
        found = tracker.runs(store=store, where="epochs >= 1")
    except tracker.TrackerError:
        return False
    return len(found) == 1


def _closed_while_hidden(page: Page, app: Any) -> None:
    """A page that nobody looks at holds no connection, and takes one up again."""
    listeners = app.state.hub._followed
    assert len(listeners) == 1
    for hidden, count in ((True, 0), (False, 1)):
        page.evaluate(
            "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden,"
            " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )
        _wait_for(partial(_has, listeners, count))


def _has(listeners: Collection[Any], count: int) -> bool:
    return len(listeners) == count


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() in (None, 0), "the training failed"
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def _begun_run(url: str) -> tuple[SqlStore, RunIdentity, list[Record]]:
    """A new store with 20 events of a run that has not ended; the run, and all its events."""
    store = connect_store(url, create=True)
    upgrade_store(store)
    one, records = identity("run", 1), fit_stream(3, 4, ended=False)
    store.append(one, records[:20], expected_seq=0)
    return store, one, records


def test_a_run_that_is_lost_and_comes_back(page: Page, home: Path) -> None:
    """Its page says so without being loaded again, and follows it on."""
    home.mkdir()
    url = f"sqlite:///{home / 'runs.db'}"
    store, one, records = _begun_run(url)
    with served(application(Settings(store=url))) as site:
        page.goto(site + "/runs/run")
        now = page.locator("#now")
        expect(now).to_contain_text("running")
        page.evaluate("window.stays = true")
        with store.writing() as connection:
            silent = schema.runs.c.heartbeat_at - 600_000_000
            connection.execute(update(schema.runs).values(heartbeat_at=silent))
        expect(now).to_contain_text("lost", timeout=30_000)
        store.append(one, records[20:30], expected_seq=20)
        expect(now).to_contain_text("running", timeout=30_000)
        expect(now).to_contain_text("event 30")
        assert page.evaluate("window.stays")
        page.goto("about:blank")
    store.close()


def test_a_server_that_goes_away(page: Page, seen: list[Seen], home: Path) -> None:
    """A banner says so, and goes when it is back; what happened meanwhile is shown."""
    home.mkdir()
    url = f"sqlite:///{home / 'runs.db'}"
    store, one, records = _begun_run(url)
    seen[0].expected = ["Failed to load resource", "ERR_", "net::"]
    with served(application(Settings(store=url))) as site:
        page.goto(site + "/runs/run")
        expect(page.locator("#now")).to_contain_text("event 20")
        page.evaluate("window.stays = true")
    banner = page.locator("#banner")
    expect(banner).to_contain_text("does not answer")
    store.append(one, records[20:30], expected_seq=20)
    store.close()
    with served(application(Settings(store=url)), int(site.rpartition(":")[2])):
        expect(page.locator("#now")).to_contain_text("event 30")
        expect(banner).to_be_hidden()
        assert page.evaluate("window.stays")


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that a test may stop."""
    with running_server() as server:
        yield server


def test_a_store_that_goes_away(page: Page, seen: list[Seen], own_server: PostgresServer) -> None:
    """The page says that the database is away, and goes on by itself when it is back."""
    url = own_server.create_database()
    store, one, records = _begun_run(url)
    store.close()
    seen[0].expected = ["503 (Service Unavailable)"]
    with served(application(Settings(store=url))) as site:
        page.goto(site + "/runs/run")
        expect(page.locator("#now")).to_contain_text("event 20")
        own_server.stop()
        expect(page.locator("#banner")).to_be_visible(timeout=30_000)
        other = page.context.new_page()
        answer = other.goto(site + "/runs")
        assert answer is not None
        assert answer.status == 503
        assert "Traceback" not in other.content()
        own_server.start()
        expect(page.locator("#banner")).to_be_hidden(timeout=30_000)
        store = connect_store(url)
        store.append(one, records[20:30], expected_seq=20)
        store.close()
        expect(page.locator("#now")).to_contain_text("event 30", timeout=30_000)
        other.goto(site + "/runs")
        expect(other.locator("tr[data-run]")).to_have_count(1)
        page.goto("about:blank")
