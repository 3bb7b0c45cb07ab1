"""The program: what is called, and every exit code."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import traceback

import typer

from tracker import errors
from tracker.masking import mask_text

from .application import application
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


def main() -> None:
    """Run the command line; the process ends with one of the exit codes of the help."""
    # Looking for cycles of garbage, while modules and rows load and once more at the end, would
    # take a fifth of a short command.
    gc.set_threshold(200_000, 20, 100)
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may have letters that it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        application(*sys.argv[1:3])(prog_name="tracker")
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
