"""A callback as it is written on a command line: a constructor of Keras's, with literal arguments.

It is parsed and never evaluated: what somebody pastes cannot do more than make such a callback.
"""

from __future__ import annotations

import ast
import inspect
from difflib import get_close_matches
from typing import Any

from tracker.errors import InvalidArgument

#: Those that do more than watch, or need what no replay has.
_REFUSED = {
    "BackupAndRestore": "it needs the real model",
    "Callback": "it does nothing",
    "CallbackList": "it is no callback",
    "LambdaCallback": "it takes functions: use tracker.replay in Python",
    "LearningRateScheduler": "it takes a function: use tracker.replay in Python",
    "OrbaxCheckpoint": "it needs the real model",
    "RemoteMonitor": "it sends what it gets to another machine",
    "SwapEMAWeights": "it needs the real model",
}


def parsed_callback(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Class, positional and keyword arguments of an expression such as `EarlyStopping(patience=3)`.

    Raises:
        InvalidArgument: It is no such expression; the message shows where.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _mistake(text, (error.offset or 1) - 1, error.msg) from None
    if isinstance(node, ast.Name):
        return node.id, [], {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _mistake(
            text, node.col_offset, "expected a callback such as EarlyStopping(patience=3)"
        )
    keywords = {}
    for one in node.keywords:
        if one.arg is None:
            raise _mistake(text, one.value.col_offset, "expected name=value, not **")
        keywords[one.arg] = _literal(text, one.value)
    return node.func.id, [_literal(text, one) for one in node.args], keywords


def made_callback(text: str, **more: Any) -> Any:
    """A new callback of `keras.callbacks` by its expression.

    Args:
        text: The expression.
        more: Arguments that take the place of its own.

    Raises:
        InvalidArgument: There is no such callback, or it does not take these arguments.
    """
    import keras

    name, positional, keywords = parsed_callback(text)
    names = [
        one
        for one, value in vars(keras.callbacks).items()
        if isinstance(value, type) and issubclass(value, keras.callbacks.Callback)
    ]
    if name in _REFUSED:
        raise InvalidArgument(f"{name} cannot be replayed here: {_REFUSED[name]}.")
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        known = ", ".join(sorted(set(names) - set(_REFUSED)))
        raise InvalidArgument(f"keras.callbacks has no {name}.{hint} There are: {known}.")
    made = getattr(keras.callbacks, name)
    try:
        return made(*positional, **(keywords | more))
    except (TypeError, ValueError) as error:
        takes = ", ".join(list(inspect.signature(made).parameters))
        raise InvalidArgument(f"{name} cannot be made so: {error} It takes: {takes}.") from None


def _literal(text: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise _mistake(
            text, node.col_offset, 'expected a literal: a number, a "text", True, False, None'
        ) from None


def _mistake(text: str, position: int, expected: str) -> InvalidArgument:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return InvalidArgument(
        f"The callback cannot be understood: {expected}.\n  {line}\n  {' ' * position}^"
    )
