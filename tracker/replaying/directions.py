"""Which way a metric is better, as far as a run tells: what callbacks of mode `auto` ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def model_metrics(model: Mapping[str, Any]) -> list[Any]:
    """What `model.metrics` was, as far as directions go: callbacks of mode `auto` look there."""
    from keras.src.trainers import compile_utils

    class Metrics(compile_utils.MetricsList):
        def __init__(self, metrics: list[Any]) -> None:
            self.metrics = metrics

    return [Metrics([one for item in _flat(model.get("metrics")) if (one := _metric(item))])]


def direction_of(metrics: Iterable[Any], monitor: str) -> str | None:
    """`up` or `down`, of what is monitored, where one of these metrics says so."""
    name = monitor.removeprefix("val_")
    if name == "loss":
        return "down"
    found = (one for several in metrics for one in getattr(several, "metrics", ()))
    return next((getattr(one, "_direction", None) for one in found if one.name == name), None)


def _flat(described: Any) -> Iterator[Any]:
    if isinstance(described, Mapping) and "class" not in described:
        described = list(described.values())
    if isinstance(described, list):
        for item in described:
            yield from _flat(item)
    elif described is not None:
        yield described


def _metric(described: Any) -> Any:
    """A metric of Keras's by its description; None where it is the user's own."""
    import keras

    class Named:
        def __init__(self, name: str, direction: Any) -> None:
            self.name, self._direction = name, direction

    name = described.get("class") if isinstance(described, Mapping) else described
    accuracies = {"accuracy", "acc"}
    if name in accuracies:
        return Named(str(name), "up")
    try:
        found = _made(str(name), described)
    except (ValueError, TypeError, KeyError):
        return None
    direction = getattr(found, "_direction", None)
    if direction is None and not isinstance(found, keras.metrics.Metric):
        direction = "down"  # a function that is a loss, too
    shown = described.get("name") if isinstance(described, Mapping) else None
    return Named(str(shown or (name if isinstance(described, str) else found.name)), direction)


def _made(name: str, described: Any) -> Any:
    import keras

    made = getattr(keras.metrics, name, None)
    if isinstance(made, type) and isinstance(described, Mapping):
        config = {key: value for key, value in described.items() if key != "class"}
        return made.from_config(config)  # type: ignore[attr-defined]
    return keras.metrics.get(name)
