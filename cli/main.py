"""The application: command groups, global options, and every exit code."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import traceback
from typing import Annotated

import typer

from tracker import errors
from tracker.masking import mask_text

from . import (
    care,
    db,
    diff,
    events,
    experiments,
    facts,
    journal,
    metrics,
    replay,
    runs,
    sql,
    timing,
    ui,
    watch,
)
from .options import StoreOption, choose_store
from .output import complain

#: Set to see where a fault of the tracker itself happened.
DEBUG_VARIABLE = "TRACKER_DEBUG"

# The first class that an error is an instance of decides.
_EXIT_CODES: tuple[tuple[type[errors.TrackerError], int], ...] = (
    (errors.RunNotFound, 3),
    (errors.AmbiguousRun, 3),
    (errors.StoreCorrupt, 6),
    (errors.JournalCorrupt, 6),
    (errors.IntegrityFailure, 6),
    (errors.SchemaMismatch, 5),
    (errors.EventsTooNew, 5),
    (errors.StoreUnreachable, 4),
    (errors.DriverMissing, 4),
    (errors.StoreReadOnly, 4),
    (errors.StoreFull, 4),
    (errors.InvalidArgument, 2),
    (errors.InvalidFilter, 2),
    (errors.InvalidQuery, 2),
    (errors.InvalidStoreURL, 2),
    (errors.UnknownKind, 2),
    (errors.UnknownColumn, 2),
    (errors.NotEstimable, 2),
    (errors.NothingInCommon, 2),
    (errors.ModelNeeded, 2),
)
_FAILED, _INTERRUPTED = 1, 130

app = typer.Typer(
    name="tracker",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 no such run or more than one, 4 store "
    "unreachable, 5 schema needs an upgrade, 6 damaged, 130 interrupted.",
)
app.add_typer(runs.app, name="runs")
app.add_typer(events.app, name="events")
app.add_typer(metrics.app, name="metrics")
app.add_typer(experiments.app, name="experiments")
app.add_typer(db.app, name="db")
app.add_typer(journal.app, name="journal")
facts.add_to(runs.app)
timing.add_to(runs.app)
diff.add_to(runs.app)
watch.add_to(runs.app)
replay.add_to(app)
care.add_to(app)
sql.add_to(app)
ui.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tracker {version('keras-event-tracker')}")
        raise typer.Exit


@app.callback()
def options(
    store: StoreOption = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Lists and queries the runs that a TrackerCallback recorded.

    RUN is a name, an id, a unique beginning of a name or UUID, @last, or @last~2.
    """
    choose_store(store)


def main() -> None:
    """Run the command line; the process ends with one of the exit codes of the help."""
    # Looking for cycles of garbage, while modules and rows load and once more at the end, would
    # take a fifth of a short command.
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may have letters that it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="tracker")
    except errors.TrackerError as error:
        complain(str(error))
        code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), _FAILED)
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, which is its right. Python would complain at exit
        # about what it could not flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for users
        if os.environ.get(DEBUG_VARIABLE):
            typer.echo(mask_text(traceback.format_exc()), err=True)
        complain(
            f"A fault of the tracker: {type(error).__name__}: {mask_text(str(error))}. "
            f"Set {DEBUG_VARIABLE}=1 to see where, and please report it."
        )
        sys.exit(_FAILED)
