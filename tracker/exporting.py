"""Events → a Parquet file, page by page, however long the run is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.errors import InvalidArgument
from tracker.frames import event_frame
from tracker.query import Store, event_pages, opened_store, run_of


def write_events(
    run: str | int,
    path: str | Path,
    *,
    kind: str | Sequence[str] | None = None,
    call: int | None = None,
    epoch: int | None = None,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
    store: Store = None,
) -> int:
    """Write a run's events to a Parquet file, in bounded memory.

    The file is that of `tracker.events(…, logs="json").to_parquet(path)`, in several row groups.
    It is there when it is whole; one that was there before stays until then.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        path: The file.
        kind: As the other choices, see `tracker.events`.
        call: See there.
        epoch: See there.
        after: See there.
        until: See there.
        limit: See there.
        progress: Called with the number of events that were written, after each page.
        store: The store.

    Returns:
        How many were written.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        InvalidArgument: The file cannot be written.
    """
    target = Path(path)
    schema = pa.Schema.from_pandas(event_frame([], "json"), preserve_index=False)
    written = 0
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        pages = event_pages(
            found, kind=kind, call=call, epoch=epoch, after=after, until=until, limit=limit,
            store=opened,
        )  # fmt: skip
        try:
            descriptor, name = tempfile.mkstemp(dir=target.parent or ".", prefix=f".{target.name}-")
            os.close(descriptor)
        except OSError as error:
            raise InvalidArgument(f"{path} cannot be written: {error.strerror}.") from error
        try:
            with pq.ParquetWriter(name, schema) as writer:
                for page in pages:
                    frame = event_frame(page, "json")
                    writer.write_table(
                        pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
                    )
                    written += len(page)
                    if progress:
                        progress(written)
            os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101 - as any other new file has it
            os.replace(name, target)  # noqa: PTH105
        except OSError as error:
            raise InvalidArgument(f"{path} cannot be written: {error.strerror}.") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108
    return written


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
