"""The application: groups, commands, and the options of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.models import CommandInfo

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


def application(group: str | None = None, command: str | None = None) -> typer.Typer:
    """The command line.

    What nobody asked for need not be loaded: Typer looks at each option of all that is there.

    Args:
        group: With this group only, if it is one.
        command: With this command of the group only, if it is one.
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
    if group is not None and group in _GROUPS:
        app.add_typer(_group(group, command), name=group)
        return app
    for name in _GROUPS:
        app.add_typer(_group(name), name=name)
    for module in _OTHERS:
        _module(module).add_to(app)
    return app


def _group(name: str, command: str | None = None) -> typer.Typer:
    first, *others = _GROUPS[name]
    group: typer.Typer = copy(_module(first).app)
    group.registered_commands = [*group.registered_commands]
    for module in others:
        if _named(group, command):
            break
        _module(module).add_to(group)
    group.registered_commands = _named(group, command) or group.registered_commands
    return group


def _named(group: typer.Typer, command: str | None) -> list[CommandInfo]:
    return [one for one in group.registered_commands if one.name == command]


def _module(name: str) -> Any:
    return import_module(f".{name}", __package__)


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
