"""A callback as it is written on a command line: a constructor with literal arguments.

It is parsed and never evaluated: what somebody pastes cannot do more than make a callback of
Keras's. A file of the user's own is run, if they name one.
"""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
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


#: Arguments that name files or folders.
_PATHS = ("filename", "filepath", "log_dir")


def parsed_callback(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Class, positional and keyword arguments of an expression such as `EarlyStopping(patience=3)`.

    Raises:
        InvalidArgument: It is no such expression; the message shows where.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        offset, message = getattr(error, "offset", 1) or 1, getattr(error, "msg", str(error))
        raise _mistake(text, offset - 1, message) from None
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
        if one.arg in keywords:
            raise _mistake(text, one.col_offset, f"{one.arg} is given twice")
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
        _check_paths(name, inspect.signature(made).bind(*positional, **(keywords | more)))
        return made(*positional, **(keywords | more))
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"{name} cannot be made so: {error}. {_takes(made)}") from error


def callback_of_file(text: str) -> Callable[..., Any]:
    """What makes a callback of the user's own, of `FILE.py:NAME` or `FILE.py:NAME(patience=3)`.

    The file is run, once, with its folder first on the path, as Python would.

    Args:
        text: A file, and a class or function of it, with literal arguments.

    Returns:
        A function that takes more keyword arguments, in place of those that are written.

    Raises:
        InvalidArgument: There is no such file or name, the file fails, or NAME does not take these
            arguments; the message says where.
    """
    head, marker, expression = text.rpartition(".py:")
    if not marker or not expression.strip():
        raise InvalidArgument(
            f"{text!r} is no callback of a file. Expected FILE.py:NAME, such as "
            "callbacks.py:MyStopping or 'callbacks.py:MyStopping(patience=3)'."
        )
    name, positional, keywords = parsed_callback(expression)
    path = Path(f"{head}.py")
    defined = _run_file(path)
    made = defined.get(name)
    if not callable(made):
        near = get_close_matches(name, [one for one, value in defined.items() if callable(value)])
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InvalidArgument(f"{path} has no class or function {name}.{hint}")

    def make(**more: Any) -> Any:
        try:
            callback = made(*positional, **(keywords | more))
        except (Exception, SystemExit) as error:
            raise InvalidArgument(
                f"{name} of {path} cannot be made so: {_told(error, path)}. {_takes(made)}"
            ) from error
        if not hasattr(callback, "set_model"):
            raise InvalidArgument(f"{name} of {path} makes no Keras callback, but {callback!r}.")
        return callback

    return make


def _check_paths(name: str, given: inspect.BoundArguments) -> None:
    """Files are named: a number would be taken for an open one, such as the store's."""
    for argument in _PATHS:
        value = given.arguments.get(argument, "")
        if not isinstance(value, str):
            raise InvalidArgument(f"{argument} of {name} must be a text. Received: {value!r}.")


def _run_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidArgument(f"There is no file {path}.")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        raise InvalidArgument(f"{path} cannot be run: {_told(error, path)}.") from error


def _told(error: BaseException, path: Path) -> str:
    """An error of the user's code, with the last line of their file that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
    where = f", in line {lines[-1]}" if lines and lines[-1] else ""
    return f"{type(error).__name__}: {error}{where}"


def _takes(made: Callable[..., Any]) -> str:
    return f"It takes: {', '.join(inspect.signature(made).parameters) or 'nothing'}."


def _literal(text: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _mistake(
            text, node.col_offset, 'expected a literal: a number, a "text", True, False, None'
        ) from None


def _mistake(text: str, position: int, expected: str) -> InvalidArgument:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return InvalidArgument(
        f"The callback cannot be understood: {expected}.\n  {line}\n  {' ' * position}^"
    )
