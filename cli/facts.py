"""The commands of `tracker runs` that state something of runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    ChosenRunsArgument,
    RunArgument,
    StoreOption,
    WhereOption,
    chosen_runs,
    reading_store,
)
from .output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracker.store.port import Run

#: Runs that a question lists; of more, how many.
_NAMED = 10

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to a group."""
    for name, command in _COMMANDS.items():
        app.command(name)(command)


def tag(
    run: RunArgument,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="WORD, or KEY=VALUE.")],
    store: StoreOption = None,
) -> None:
    """Give a run tags.

    Example: tracker runs tag @last paper dataset=digits
    """
    from tracker.facts import tag_run

    pairs = {key: value for key, _, value in (text.partition("=") for text in tags)}
    tagged = tag_run(run, pairs, store=reading_store(store))
    say(f"Run {tagged.name} has the tags: {_tags(tagged)}.")


def untag(
    run: RunArgument,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="WORD or KEY.")],
    store: StoreOption = None,
) -> None:
    """Take tags from a run.

    Example: tracker runs untag @last paper
    """
    from tracker.facts import untag_run

    untagged = untag_run(run, tags, store=reading_store(store))
    say(f"Run {untagged.name} has the tags: {_tags(untagged)}.")


def note(
    run: RunArgument,
    text: Annotated[str, typer.Argument(help="The note; an empty one removes it.")],
    store: StoreOption = None,
) -> None:
    """Write a run's note, in place of the one before.

    Example: tracker runs note @last "the learning rate was too high"
    """
    from tracker.facts import note_run

    noted = note_run(run, text, store=reading_store(store))
    say(f"Run {noted.name} has {'this note' if noted.state.note else 'no note'}.")


def rename(
    run: RunArgument,
    name: Annotated[str, typer.Argument(help="The new name, which no other run has.")],
    store: StoreOption = None,
) -> None:
    """Give a run another name.

    Example: tracker runs rename @last baseline
    """
    from tracker.facts import rename_run
    from tracker.query import run_of

    opened = reading_store(store)
    before = run_of(run, store=opened)
    say(f"Run {before.name} is called {rename_run(before.uuid, name, store=opened).name}.")


def archive(
    runs: ChosenRunsArgument = None, where: WhereOption = None, store: StoreOption = None
) -> None:
    """Hide runs from listings; nothing is erased.

    Example: tracker runs archive --where 'status = "failed"'
    """
    from tracker.facts import archive_run

    opened = reading_store(store)
    for one in chosen_runs(runs, where, opened):
        say(f"Run {archive_run(one.uuid, store=opened).name} is archived.")


def restore(
    runs: ChosenRunsArgument = None, where: WhereOption = None, store: StoreOption = None
) -> None:
    """Show archived runs again.

    Example: tracker runs restore baseline
    """
    from tracker.facts import restore_run

    opened = reading_store(store)
    for one in chosen_runs(runs, where, opened):
        say(f"Run {restore_run(one.uuid, store=opened).name} is shown again.")


def close(
    run: RunArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Although its process seems to live: shut it out.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """State that a lost run will not go on: it has crashed.

    Example: tracker runs close @last
    """
    from tracker.facts import close_run

    closed = close_run(run, force=force, store=reading_store(store))
    say(f"Run {closed.name} is {closed.state.status}.")


def purge(
    runs: ChosenRunsArgument = None,
    where: WhereOption = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only those whose last event is older, such as 30d."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also runs whose processes live: shut them out.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Erase runs for good: events, params, tags, metrics, journals. It cannot be undone.

    Example: tracker runs purge --where 'archived' --older-than 30d --dry-run
    """
    from tracker.facts import refuse_living
    from tracker.maintenance import purge_runs

    opened = reading_store(store)
    doomed = chosen_runs(runs, where, opened, older_than=older_than)
    for one in doomed if not force else ():
        refuse_living(one, "purged")
    events = sum(one.state.last_seq - one.state.dropped for one in doomed)
    what = f"{_count(doomed)} with {events} events"
    if dry_run:
        say(f"Would be erased for good: {what}: {_names(doomed)}.")
        return
    _ask(f"Erase for good {what}: {_names(doomed)}?", yes=yes)
    purge_runs([one.uuid for one in doomed], force=force, store=opened)
    say(f"Erased: {what}.")


def prune(
    runs: ChosenRunsArgument = None,
    where: WhereOption = None,
    batches: Annotated[
        bool, typer.Option("--batches", help="Drop events of batches: all but each epoch's last.")
    ] = False,
    keep_every: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Keep each N-th batch, too.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Drop batch events of runs that have ended; epochs, metrics and facts stay.

    Example: tracker runs prune --batches --where 'started < "30 days ago"' -y
    """
    from tracker.errors import InvalidArgument
    from tracker.maintenance import prune_runs, refuse_unfinished, store_stats

    if not batches:
        raise InvalidArgument("What is to be dropped? There is one kind so far: --batches.")
    opened = reading_store(store)
    chosen = chosen_runs(runs, where, opened)
    refuse_unfinished(chosen)
    if dry_run or not yes:  # only people need to know before
        stats = store_stats(store=opened)
        stats = stats[stats["run"].isin([one.name for one in chosen])]
        most = int(stats["prunable_events"].sum())
        what = f"{'up to ' if keep_every else ''}{most} batch events of {_count(chosen)}"
        if dry_run:
            say(f"Would be dropped: {what}: {_names(chosen)}.")
            return
        _ask(f"Drop {what}: {_names(chosen)}?", yes=yes)
    dropped = prune_runs([one.uuid for one in chosen], every=keep_every, store=opened)
    for name, count in dropped.items():
        say(f"Run {name}: {count} batch events dropped.")


def _ask(question: str, *, yes: bool) -> None:
    """Have a person confirm what cannot be undone.

    Raises:
        InvalidArgument: There is nobody to ask, and `yes` was not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        from tracker.errors import InvalidArgument

        raise InvalidArgument(f"{question} There is no terminal to ask on: give --yes.")
    if not typer.confirm(question, err=True):
        say("Nothing was done.")
        raise typer.Exit(1)


def _names(runs: Sequence[Run]) -> str:
    named = ", ".join(run.name for run in runs[:_NAMED])
    return named + (f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else "")


def _count(runs: Sequence[Run]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _tags(run: Run) -> str:
    tags = run.state.tags.items()
    return ", ".join(f"{key}={value}" if value else key for key, value in tags) or "none"


_COMMANDS: dict[str, Callable[..., None]] = {
    "tag": tag,
    "untag": untag,
    "note": note,
    "rename": rename,
    "archive": archive,
    "restore": restore,
    "close": close,
    "prune": prune,
    "purge": purge,
}
