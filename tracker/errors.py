"""Everything that can go wrong, one class per failure. Imports nothing.

Each message says what was wrong, what was expected and what to do. Classes that
correspond to a builtin exception inherit from it too, so ``except LookupError``
catches a missing run.
"""


class TrackerError(Exception):
    """Base of every error that the tracker raises on purpose."""


class InvalidArgument(TrackerError, ValueError):
    """An argument has a value that the tracker cannot use."""


class InvalidParams(TrackerError, TypeError):
    """A run parameter or tag cannot be stored as JSON."""


class UnknownKind(TrackerError, ValueError):
    """An event kind that does not exist was asked for."""


class UnknownColumn(TrackerError, ValueError):
    """A column that the frame does not have was asked for."""

    @classmethod
    def of_metric(cls, name: str, there: list[str]) -> "UnknownColumn":
        """Of a metric that nobody logged: which ones there are."""
        return cls(f"No metric {name!r} was logged. There are: {', '.join(there) or 'none'}.")


class NotEstimable(TrackerError, ValueError):
    """Values of single batches cannot be worked out from what was recorded."""


class InvalidFilter(TrackerError, ValueError):
    """A `--where`, a `--sort` or a column of `--columns` that cannot be understood."""


class InvalidQuery(TrackerError, ValueError):
    """SQL that is not run: it does not only read, or the database does not accept it."""


class QueryTimeout(TrackerError, TimeoutError):
    """A query took longer than it was given."""


class RunNotFound(TrackerError, LookupError):
    """No run of the store matches."""


class AmbiguousRun(TrackerError, LookupError):
    """More than one run of the store matches."""


class ModelNeeded(TrackerError, AttributeError):
    """A replayed callback needs something of the real model."""


class NothingInCommon(TrackerError, ValueError):
    """Two runs have no event in common."""


class RunExists(TrackerError, ValueError):
    """There is such a run already, and there should not be."""


class NameTaken(RunExists):
    """Another run has the name."""


class RunHidden(TrackerError):
    """The run is archived, and what was asked needs one that is not."""


class RunAlive(TrackerError):
    """The run's writer lives, and what was asked would take the run from it."""


class InvalidStoreURL(TrackerError, ValueError):
    """The store URL cannot be understood."""


class DriverMissing(TrackerError, ImportError):
    """The database driver that the store URL needs is not installed."""


class ExtraMissing(TrackerError, ImportError):
    """An optional dependency that what was asked needs is not installed."""


class StoreUnreachable(TrackerError, ConnectionError):
    """The database does not answer, or does not let us in."""


class StoreBusy(StoreUnreachable):
    """The database answered, and asked to try the transaction again."""


class StoreRaced(StoreBusy):
    """Another transaction changed the same rows first; nothing was written."""


class StoreReadOnly(TrackerError, PermissionError):
    """The database, or the folder it lies in, cannot be written."""


class StoreFull(TrackerError, OSError):
    """The disk under the database is full."""


class StoreCorrupt(TrackerError):
    """The database file is damaged, or is not a database."""


class StoreFailure(TrackerError):
    """The database refused a statement for a reason that trying again cannot cure."""


class SchemaMismatch(TrackerError):
    """The tables of the store are not those of this program."""


class SchemaMissing(SchemaMismatch):
    """The database has no tables of ours yet."""


class SchemaTooOld(SchemaMismatch):
    """The tables of the store are of an earlier revision."""


class SchemaTooNew(SchemaMismatch):
    """The tables of the store are of a later revision than this program knows."""


class ConcurrencyConflict(TrackerError):
    """Other events stand at these positions of the run."""


class WriterFenced(ConcurrencyConflict):
    """Another writer has taken the run over."""


class RunPurged(WriterFenced):
    """The run was erased for good."""


class IntegrityFailure(TrackerError):
    """History is not what was appended."""


class InvalidEvents(TrackerError, ValueError):
    """The events handed to the store are not a gapless piece of one stream."""


class StoreLostEvents(TrackerError):
    """The store has less of a run than it had before, and its journal cannot make up for it."""


class EventsTooNew(TrackerError):
    """The stored events are of a later vocabulary than this program knows."""


class JournalCorrupt(TrackerError):
    """A journal holds bytes that are not the records that were written."""


class JournalFailure(TrackerError, OSError):
    """The system refused to read or write a journal."""


class JournalLocked(TrackerError):
    """The journal belongs to a process that is alive."""


class JournalUnwritable(TrackerError, OSError):
    """No folder was found in which a journal can be kept."""
