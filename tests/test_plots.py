"""Plots: what is drawn, what is not, and that it can be looked at."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.image import imread

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tests.test_metrics import losses, store_run
from tracker.errors import ExtraMissing, InvalidArgument, UnknownColumn
from tracker.plots.bands import smoothed
from tracker.store.opening import open_store

NAN = math.nan


def test_the_lines(home: Path) -> None:
    """One a run and metric; a run keeps its colour, a metric its style; gaps stay gaps."""
    store_run("a", [{"loss": 2.0, "val_loss": 3.0}, {"loss": 1.0, "val_loss": NAN}])
    store_run("b", [{"loss": 1.5, "val_loss": math.inf}, {"loss": 1.0, "val_loss": 2.0}], 2)
    figure = tracker.plot(["a", "b", "a"]).figure
    assert [(line.label, line.colour, line.dash) for line in figure.series] == [
        ("a loss", 0, 0), ("a val_loss", 0, 1), ("b loss", 1, 0), ("b val_loss", 1, 1),
    ]  # fmt: skip
    assert figure.series[1].y.tolist() == pytest.approx([3.0, NAN], nan_ok=True)
    assert figure.series[3].y.tolist() == pytest.approx([NAN, 2.0], nan_ok=True)
    assert figure.notes == ("2 values are not finite, or too great: not drawn.",)
    assert tracker.plot("a", "loss", x="step").figure.series[0].x.tolist() == [2.0, 4.0]
    assert tracker.plot("a", "loss", x="time").figure.series[0].x.tolist() == [0.004, 0.006]


def test_batches(home: Path) -> None:
    """Validation batches are a line of their own, between their epoch and the next."""
    store = open_store(create=True)
    store.append(identity("made"), fit_stream(name="made"), expected_seq=0)
    store.close()
    train, validation = tracker.plot("made", source="batch").figure.series
    assert (train.metric, validation.metric) == ("loss", "val_loss")
    # Between two epochs is a gap, in which the validation was.
    assert train.x.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 5 / 6, 1, 4 / 3, 5 / 3])
    assert np.flatnonzero(np.isnan(train.y)).tolist() == [3]
    assert validation.y.tolist() == pytest.approx([0.5, NAN, 0.5], nan_ok=True)


def test_smoothing() -> None:
    """As TensorBoard does it: unbiased from the first value on, NaN aside."""
    assert smoothed(np.array([1.0, NAN, 3.0]), 0.5).tolist() == pytest.approx(
        [1.0, NAN, (0.25 + 1.5) / 0.75], nan_ok=True
    )


def test_many_batches_are_a_mean_and_a_band(home: Path, tmp_path: Path) -> None:
    """No extreme is lost, whatever draws it; fits stay apart, and gaps stay gaps."""
    stream = Stream()
    stream.add("run_began", {"version": 2, "name": "long"})
    for call in (1, 2):
        stream.add("call_began", {"phase": "train"}, call=call)
        stream.add("train_begin", call=call)
        for batch in range(20_000):
            value = 9.0 if batch == 12_345 and call == 2 else math.sin(batch / 50)
            stream.add("train_batch_end", {"loss": value}, call=call, epoch=0, batch=batch)
        stream.add("epoch_end", {"loss": 0.5}, call=call, epoch=0)
    store = open_store(create=True)
    store.append(identity("long"), stream.records, expected_seq=0)
    store.close()
    plot = tracker.plot("long", "loss", source="batch", x="epoch")
    (line,) = plot.figure.series
    assert line.low is not None
    assert line.high is not None
    assert len(line.x) == len(line.y) == len(line.low) == len(line.high) < 5_000
    assert np.nanmax(line.high) == 9.0
    assert np.nanmin(line.low) == pytest.approx(-1, abs=1e-3)
    assert np.nanmax(line.y) < 5
    back = np.flatnonzero(np.diff(line.x) < 0)
    assert len(back) == 1
    assert np.isnan(line.y[back[0] : back[0] + 2]).any()
    for ending in ("png", "svg", "html"):
        assert plot.save(tmp_path / f"c.{ending}").stat().st_size > 0
    assert "tonexty" in (tmp_path / "c.html").read_text()
    steps = tracker.plot("long", "loss", source="batch", x="step").figure.series[0].x
    assert steps[-1] == pytest.approx(40_000, abs=30)


def test_values_that_are_too_great(home: Path, tmp_path: Path) -> None:
    """What has no room on an axis of doubles is left out with a note; nothing fails over it."""
    records: list[dict[str, Any]] = [
        {"loss": 10**400},
        {"loss": 1e308},
        {"loss": -1e308},
        {"loss": 1.0},
        {"loss": 2.0},
    ]
    store_run("great", records)
    plot = tracker.plot("great")
    assert plot.figure.notes == ("3 values are not finite, or too great: not drawn.",)
    assert "great" in str(plot)
    for ending in ("png", "svg", "html"):
        assert plot.save(tmp_path / f"c.{ending}").stat().st_size > 0
    for arguments in (
        ("metrics", "best"), ("metrics", "list"), ("metrics", "plot"), ("runs", "show"),
        ("replay", "--speed", "max"),
    ):  # fmt: skip
        command(*arguments, "great")


@pytest.mark.parametrize(
    "values", [(1e300, 5e-324), (1.0, 1e300), (1e300,), (5e-324, 5e-324), (1e308, 5e-324)]
)
def test_a_logarithmic_axis_at_the_ends_of_doubles(
    home: Path, tmp_path: Path, values: tuple[float, ...]
) -> None:
    """It is drawn, by whatever draws it: no end and no tick is beyond all doubles."""
    store_run("great", losses(*values))
    plot = tracker.plot("great", "val_loss", log=True)
    labels = [float(one) for one in re.findall(r"│ (\S+)$", str(plot), re.MULTILINE)]
    drawn = [value for value in values if value <= 1e300]
    assert labels == sorted(labels, reverse=True)
    assert labels[0] >= min(drawn)
    for ending in ("png", "svg", "html"):
        assert plot.save(tmp_path / f"c.{ending}").stat().st_size > 0


def test_wrong_arguments(home: Path) -> None:
    """Each error says what was expected."""
    store_run("made", losses(1.0))
    with pytest.raises(UnknownColumn, match=r"No metric 'mae'.*There are: val_loss"):
        tracker.plot("made", "mae")
    for smooth in (-0.1, 1.0, NAN):
        with pytest.raises(InvalidArgument, match="at least 0 and less than 1"):
            tracker.plot("made", smooth=smooth)
    with pytest.raises(InvalidArgument, match="at least one"):
        tracker.plot([])
    with pytest.raises(InvalidArgument, match=r"\.png, \.svg or \.html"):
        tracker.plot("made").save("curve.pdf")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        tracker.plot("made").save("no/such/curve.svg")


def test_files(home: Path, tmp_path: Path) -> None:
    """PNG has pixels, SVG and HTML have the names escaped; no other host is asked."""
    store_run("<script>x</script>", losses(3.0, 2.0, 1.0))
    store_run("_$a$\x1b[31m", losses(3.0, NAN, 1.5), 2)
    plot = tracker.plot([1, 2])
    pixels = imread(plot.save(tmp_path / "c.png"))
    assert pixels.shape[:2] == (675, 1200)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10
    svg = plot.save(tmp_path / "c.svg").read_text()
    texts = [text.strip() for text in ET.fromstring(svg).itertext()]
    assert "<script>x</script>" in texts
    assert "_$a$\\x1b[31m" in texts
    html = plot.save(tmp_path / "c.html").read_text()
    assert "<script>x" not in html
    assert "[3.0,null,1.5]" in html
    assert "<script src" not in html
    assert "<link" not in html


def test_the_terminal(home: Path) -> None:
    """As wide and high as asked, no colours off a terminal, names without control characters."""
    store_run("\x1b[31mred", losses(3.0, 2.0, 1.0))
    store_run("flat", losses(2.0, 2.0, 2.0), 2)
    done = command("metrics", "plot", "1", "2", "--width", "60", "--height", "12")
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert len(lines) == 1 + 12 + 2
    assert max(map(len, lines)) <= 60
    assert lines[-2:] == ["  ++ \\x1b[31mred", "  xx flat"]
    coloured = command("metrics", "plot", "1", "2", FORCE_COLOR="1").stdout
    assert "\x1b[34m" in coloured
    assert "\x1b[31m" not in coloured
    assert "\x1b" not in command("metrics", "plot", "1", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_nothing_finite(home: Path, tmp_path: Path) -> None:
    """NaN everywhere is no error: a note, whatever draws it."""
    store_run("lost", losses(NAN, NAN))
    plot = tracker.plot("lost")
    assert "There is nothing to draw." in str(plot)
    assert "2 values are not finite" in str(plot)
    for ending in ("png", "svg", "html"):
        assert plot.save(tmp_path / f"c.{ending}").stat().st_size > 0
    store_run("below", losses(-1.0, 10.0), 2)
    assert "1 value is not finite, too great, or not above 0" in str(
        tracker.plot("below", log=True)
    )


def test_the_command_writes_files(home: Path, tmp_path: Path) -> None:
    """`-o` writes by the ending; mistakes end with 2."""
    store_run("made", losses(1.0, 0.5))
    done = command("metrics", "plot", "made", "-o", "c.svg", "--smooth", "0.6", "--log")
    assert done.stdout == ""
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")
    command("metrics", "plot", "made", "-o", "c.gif", code=2)
    command("metrics", "plot", "made", "--metric", "mae", code=2)
    command("metrics", "plot", "made", "--smooth", "1", code=2)


def test_in_a_notebook(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interactive, else an image, else text; a file without the extra names the command."""
    store_run("<b>made</b>", losses(1.0, 0.5))
    plot = tracker.plot("@last")
    bundle = plot._repr_mimebundle_(include=None, exclude=None)
    assert bundle["image/png"].startswith("iVBOR")
    assert "<b>" not in json.dumps(bundle["application/vnd.plotly.v1+json"]["data"])
    monkeypatch.delitem(sys.modules, "tracker.plots.image", raising=False)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib", None)
        assert list(plot._repr_mimebundle_()) == ["text/plain", "application/vnd.plotly.v1+json"]
    for name in ("tracker.plots.html", "tracker.plots.image"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("plotly", "plotly.graph_objects", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert list(plot._repr_mimebundle_()) == ["text/plain"]
    with pytest.raises(ExtraMissing, match=r"pip install 'keras-event-tracker\[plots\]'"):
        plot.save("c.png")
