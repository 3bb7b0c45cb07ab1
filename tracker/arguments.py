"""Checks of what users pass in: a clear error before anything is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from tracker.errors import InvalidArgument, InvalidParams
from tracker.logs import to_plain

_LONGEST_NAME = 200

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

T = TypeVar("T")

#: Whether a run may be resumed, has to be, or must not be.
Resume = Literal["allow", "must", "never"]


def check_text(argument: str, value: str | None) -> str | None:
    """A name: one line, not blank, of at most 200 characters; or None."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidArgument(
            f"{argument} must be a printable text that is not blank. Received: {value!r}."
        )
    if value.startswith("@") or len(value) > _LONGEST_NAME:
        raise InvalidArgument(
            f"{argument} must have at most {_LONGEST_NAME} characters and not begin with '@', "
            f"which stands for runs such as @last. Received: {value[:50]!r}."
        )
    if _UUID.fullmatch(value.strip().lower()):
        raise InvalidArgument(
            f"{argument} must not be a UUID, which means a run. Received: {value}."
        )
    return value.strip()


def check_choice(argument: str, value: T, choices: Sequence[T]) -> T:
    """One of `choices`."""
    if value in choices:
        return value
    expected = ", ".join(map(repr, choices))
    raise InvalidArgument(f"{argument} must be one of {expected}. Received: {value!r}.")


def check_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters as JSON can carry them; scalars of numpy become Python's.

    Raises:
        InvalidParams: With the path of the first value that JSON has no form for.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise InvalidParams(
            f"params must be a dict of names and values. Received: {type(params).__name__}."
        )
    plain = to_plain(dict(params), "full")
    for path, wrapper in _wrappers(plain, "params"):
        raise InvalidParams(
            f"{path} cannot be stored: JSON has no form for it ({wrapper}). Expected numbers, "
            "strings, booleans, None, and lists and dicts of them with strings as keys. Pass "
            "str(value), or leave it out."
        )
    return dict(params)


def check_tags(tags: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Tags as a dict; those of a list have the empty value."""
    if tags is None:
        return {}
    if isinstance(tags, str):
        raise InvalidArgument(
            f"tags must be a list or a dict. Received: {tags!r}; did you mean [{tags!r}]?"
        )
    pairs = tags.items() if isinstance(tags, Mapping) else [(tag, "") for tag in tags]
    checked = {}
    for key, value in pairs:
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidArgument(f"tags must be texts. Received: {key!r}: {value!r}.")
        if not key.strip() or not key.isprintable() or len(key) > _LONGEST_NAME:
            raise InvalidArgument(
                f"A tag must be printable, not blank, and have at most {_LONGEST_NAME} characters. "
                f"Received: {key[:50]!r}."
            )
        checked[key] = value
    return checked


def check_resume(
    run: str | int | None, resume: Resume | None, name: str | None
) -> tuple[str | None, Resume]:
    """The run to resume, if any, as text, and how."""
    checked: Resume = check_choice("resume", resume or "allow", ("allow", "must", "never"))
    if run is None:
        if resume is not None:
            raise InvalidArgument(
                f"resume={resume!r} needs a run to resume: run='name-or-id'. To begin a new one, "
                "leave resume out."
            )
        return None, checked
    if name is not None:
        raise InvalidArgument(
            f"Give run or name, not both. Received: run={run!r}, name={name!r}. A new run that "
            "resume='allow' begins is called as run says."
        )
    text = str(run).strip()
    if not text.startswith("@last") and not _UUID.fullmatch(text.lower()):
        check_text("run", text)
    return text, checked


def _wrappers(plain: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths and kinds of the wrappers for what params may not hold."""
    if isinstance(plain, list):
        for index, item in enumerate(plain):
            yield from _wrappers(item, f"{path}[{index}]")
    elif isinstance(plain, dict):
        for key, item in plain.items():
            if key == "$tuple":
                yield from _wrappers(item, path)
            elif key in {"$object", "$bytes", "$array", "$complex", "$dict"}:
                what = item.get("type", key[1:]) if isinstance(item, dict) else key[1:]
                yield path, what
            elif not key.startswith("$"):
                yield from _wrappers(item, f"{path}[{key!r}]")
