"""The application: groups, commands, and the options of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from .options import StoreOption, choose_store

#: The modules with the commands of each group; the first has the group itself.
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "runs": ("runs", "facts", "timing", "diff", "watch"),
    "events": ("events",),
    "metrics": ("metrics",),
    "experiments": ("experiments",),
    "db": ("db",),
    "journal": ("journal",),
}
#: The modules of the other commands.
_OTHERS = ("replay", "care", "sql", "ui")


def application(group: str | None = None) -> typer.Typer:
    """The command line.

    Args:
        group: With the commands of this group only, if it is one: what nobody asked for need not
            be loaded. Typer looks at each option of all that is there.
    """
    app = typer.Typer(
        name="tracker",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 no such run or more than one, 4 store "
        "unreachable, 5 schema needs an upgrade, 6 damaged, 130 interrupted.",
    )
    app.callback()(options)
    chosen = [group] if group in _GROUPS else None
    for name in chosen or _GROUPS:
        app.add_typer(_group(name), name=name)
    for module in _OTHERS if chosen is None else ():
        import_module(f".{module}", __package__).add_to(app)
    return app


@cache
def _group(name: str) -> typer.Typer:
    first, *others = (import_module(f".{module}", __package__) for module in _GROUPS[name])
    group: typer.Typer = first.app
    for module in others:
        module.add_to(group)
    return group


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tracker {version('keras-event-tracker')}")
        raise typer.Exit


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
