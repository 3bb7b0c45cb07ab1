"""What an address may ask for: one description, by which requests are read and OpenAPI is told."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tracker.errors import InvalidArgument

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_LONGEST = 2_000


class Parameter(NamedTuple):
    """One parameter of an address."""

    name: str
    description: str
    kind: Literal["text", "integer", "number", "flag"] = "text"
    default: Any = None
    required: bool = False
    choices: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    #: It may stand there several times: its value is a list, of at most so many.
    many: int | None = None
    in_path: bool = False


def values_of(
    parameters: Sequence[Parameter], path: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The values of all parameters, defaults among them.

    Raises:
        InvalidArgument: One is unknown, repeated, missing, or no such value.
    """
    known = {one.name: one for one in parameters if not one.in_path}
    given: dict[str, list[str]] = {}
    for name, text in query:
        if name not in known:
            raise InvalidArgument(
                f"There is no parameter {name!r} here. There are: {', '.join(known) or 'none'}."
            )
        given.setdefault(name, []).append(text)
    return {
        one.name: _value(one, path[one.name])
        if one.in_path
        else _values(one, given.get(one.name, []))
        for one in parameters
    }


def schema_of(parameter: Parameter) -> dict[str, Any]:
    """The parameter as OpenAPI has it."""
    types = {"text": "string", "integer": "integer", "number": "number", "flag": "boolean"}
    schema: dict[str, Any] = {"type": types[parameter.kind]}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.kind == "text" and not parameter.choices:
        schema["maxLength"] = _LONGEST
        if parameter.required or parameter.in_path:
            schema["minLength"] = 1
    if parameter.least is not None:
        schema["minimum"] = parameter.least
    if parameter.most is not None:
        schema["maximum"] = parameter.most
    if parameter.many is not None:
        schema = {"type": "array", "items": schema, "maxItems": parameter.many}
        if parameter.required:
            schema["minItems"] = 1
    elif parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.required or parameter.in_path,
        "description": parameter.description,
        "schema": schema,
    }


def _values(one: Parameter, texts: list[str]) -> Any:
    if one.required and not any(texts):
        raise InvalidArgument(f"The parameter {one.name} is missing: {one.description}")
    if one.many is not None:
        if len(texts) > one.many:
            raise InvalidArgument(f"{one.name} may be given {one.many} times at most.")
        return [_value(one, text) for text in texts if text]
    if len(texts) > 1:
        raise InvalidArgument(f"{one.name} may be given once.")
    if not texts or not texts[0]:
        return one.default
    return _value(one, texts[0])


def _value(one: Parameter, text: str) -> Any:
    if one.kind == "text":
        if len(text) > _LONGEST:
            raise InvalidArgument(f"{one.name} is too long: {_LONGEST} characters at most.")
        if "\x00" in text:
            raise InvalidArgument(f"{one.name} has a NUL character, which no text here has.")
        if one.choices and text not in one.choices:
            raise InvalidArgument(
                f"{one.name} must be one of {', '.join(one.choices)}. Received: {text!r}."
            )
        return text
    if one.kind == "flag":
        if text not in ("true", "false"):
            raise InvalidArgument(f"{one.name} must be true or false. Received: {text!r}.")
        return text == "true"
    return _number(one, text)


def _number(one: Parameter, text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) and len(text) < 40 else math.nan
    whole = one.kind == "integer"
    wrong = not math.isfinite(value) or (whole and not _INTEGER.fullmatch(text))
    low = -math.inf if one.least is None else one.least
    high = math.inf if one.most is None else one.most
    if wrong or not low <= value <= high:
        what = "an integer" if whole else "a number"
        ends = "".join(
            f" {word} {end:g}"
            for word, end in (("from", one.least), ("to", one.most))
            if end is not None
        )
        raise InvalidArgument(f"{one.name} must be {what}{ends}. Received: {text[:40]!r}.")
    return int(text) if whole else value
