"""A callback of Keras's by its name, with arguments that are values already."""

from __future__ import annotations

from typing import Any

from tracker.errors import ExtraMissing, InvalidArgument


def named_callback(name: str, **arguments: Any) -> Any:
    """A new callback of `keras.callbacks`.

    Args:
        name: Its class.
        arguments: What it is made with.

    Raises:
        ExtraMissing: Keras is not installed.
        InvalidArgument: There is no such callback, or it does not take these.
    """
    try:
        from keras import callbacks
    except ImportError as error:
        raise ExtraMissing(
            "What a callback would have done is asked of Keras's own, which is not installed "
            "here. Do: pip install 'keras-event-tracker[keras]'"
        ) from error
    made = getattr(callbacks, name, None)
    if not (isinstance(made, type) and issubclass(made, callbacks.Callback)):
        raise InvalidArgument(f"keras.callbacks has no {name}.")
    try:
        return made(**arguments)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{name} cannot be made so: {error}") from error
