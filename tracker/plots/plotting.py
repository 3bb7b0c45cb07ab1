"""`tracker.plot`, and what it returns."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import ExtraMissing, InvalidArgument
from tracker.plots.curves import make_figure
from tracker.plots.figure import Figure
from tracker.plots.reading import Axis, Source
from tracker.query import Store, opened_store

_ENDINGS = (".png", ".svg", ".html")


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves that display themselves in notebooks, and can be saved or printed."""

    figure: Figure

    def save(self, path: str | Path) -> Path:
        """Write to a file; its ending says what: `.png`, `.svg` or `.html`.

        Args:
            path: The file. A page carries plotly's script (some MB) and needs no network.

        Returns:
            The file.

        Raises:
            InvalidArgument: The ending is another, or the file cannot be written.
            ExtraMissing: The extra `plots` is not installed.
        """
        file = Path(path)
        ending = file.suffix.lower()
        if ending not in _ENDINGS:
            raise InvalidArgument(f"A plot is written as .png, .svg or .html. Received: {file}.")
        with _the_extra():
            data = self._page() if ending == ".html" else self._image(ending.removeprefix("."))
        try:
            file.write_bytes(data)
        except OSError as error:
            raise InvalidArgument(f"{file} cannot be written: {error.strerror}.") from error
        return file

    def text(self, width: int = 80, height: int = 20, *, colour: bool = False) -> str:
        """The curves in characters.

        Args:
            width: Columns, 30 at least.
            height: Lines of the plot, 8 at least; legend and notes come below.
            colour: With ANSI codes; else each line is drawn with a character of its own.
        """
        from tracker.plots.terminal import drawn

        return drawn(self.figure, width, height, colour=colour)

    def __str__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        """Interactive where the notebook knows plotly, else an image, else text."""
        shown: dict[str, Any] = {"text/plain": self.text()}
        try:
            from tracker.plots.html import bundle
        except ImportError:
            return shown
        shown["application/vnd.plotly.v1+json"] = bundle(self.figure)
        with suppress(ImportError):
            shown["image/png"] = b64encode(self._image("png")).decode()
        return shown

    def _image(self, format: Any) -> bytes:
        from tracker.plots.image import image

        return image(self.figure, format)

    def _page(self) -> bytes:
        from tracker.plots.html import page

        return page(self.figure).encode()


def plot(
    runs: str | int | Iterable[str | int],
    metric: str | Sequence[str] | None = None,
    *,
    x: Axis = "epoch",
    source: Source = "epoch",
    smooth: float = 0.0,
    log: bool = False,
    store: Store = None,
) -> Plot:
    """Curves of metrics, of one run or several.

    Of several runs each has a colour, and each metric a style of line; of one run each metric has
    a colour. NaN and infinities are gaps, which a note counts.

    Args:
        runs: A RUN (see `tracker.events`), or several.
        metric: One or several; by default `loss` and `val_loss`, or the first two that there are.
            `test_loss` is an evaluate's. With `source="batch"`, `val_loss` has the loss of
            validation batches.
        x: `"epoch"` (of batches: between their epoch and the next), `"step"` (training batches
            since the run began) or `"time"` (seconds since the run began).
        source: Values at the ends of epochs and of evaluates, or of batches.
        smooth: Weight of the past in an exponential moving mean: 0 (none) to less than 1.
        log: Whether the y axis is logarithmic; values not above 0 are gaps then.
        store: The store.

    Returns:
        A `Plot`: displays itself in a notebook; has `save(path)` and `text(width, height)`.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        UnknownColumn: None of the runs logged a metric; the message lists those that there are.
        InvalidArgument: `x`, `source` or `smooth` is wrong, or no run is given.
    """
    asked = [runs] if isinstance(runs, str | int) else list(runs)
    wanted = [metric] if isinstance(metric, str) else metric
    with opened_store(store) as opened:
        figure = make_figure(
            asked, wanted, x=x, source=source, smooth=smooth, log=log, store=opened
        )
    return Plot(figure)


@contextmanager
def _the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(
            f"Plots in files need {error.name}. "
            "Install it: pip install 'keras-event-tracker[plots]'"
        ) from error
