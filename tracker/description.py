"""What a Keras model and a call of it say of themselves, by duck typing.

Everything here is cheap: `to_json` and the full configuration take 100 ms for a large
model, so they are left out. What a model cannot say, because it is subclassed, not built or
not compiled, is left out too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from tracker.logs import from_plain, to_plain

_MOST_LAYERS = 1_000
_LONGEST_TEXT = 200
_DEEPEST = 12

#: Arguments of fit, evaluate and predict that are recorded as they were passed.
_ARGUMENTS = (
    "epochs",
    "initial_epoch",
    "steps_per_epoch",
    "steps",
    "validation_split",
    "validation_freq",
    "validation_steps",
    "validation_batch_size",
    "shuffle",
)

#: How the modules of Keras's own callbacks begin.
KERAS_CALLBACKS = ("keras.src.callbacks.", "tf_keras.src.callbacks.")


def describe_model(model: Any, *, compute: bool = True) -> dict[str, Any]:
    """A model's facts, as JSON can carry them; never raises.

    Args:
        model: The model.
        compute: Whether the backend may be asked for values: the optimizer's configuration has
            those of variables. TensorFlow crashes at this in a forked child.

    Returns:
        `name`, `class`, `parameters` and `trainable_parameters` (where built), `layers` (name
        and class of each, at most 1,000), `input_shape`, `output_shape`, `dtype`, `optimizer`
        (class and configuration), `loss`, `metrics`, `steps_per_execution`, `jit_compile`,
        `run_eagerly`; those of them that are known.
    """
    if model is None:
        return {}
    probes: dict[str, Callable[[], Any]] = {
        "name": lambda: model.name,
        "class": lambda: type(model).__qualname__,
        "parameters": lambda: int(model.count_params()) if model.built else None,
        "trainable_parameters": lambda: _trainable(model) if model.built else None,
        "layer_count": lambda: len(model.layers),
        "layers": lambda: [
            [layer.name, type(layer).__name__] for layer in model.layers[:_MOST_LAYERS]
        ],
        "input_shape": lambda: model.input_shape,
        "output_shape": lambda: model.output_shape,
        "dtype": lambda: model.dtype_policy.name,
        "optimizer": lambda: _configured(model.optimizer) if compute else _class(model.optimizer),
        "loss": lambda: _named(model.loss),
        "metrics": lambda: _named(model._compile_config.config.get("metrics")),  # noqa: SLF001
        "steps_per_execution": lambda: model.steps_per_execution,
        "jit_compile": lambda: model.jit_compile,
        "run_eagerly": lambda: model.run_eagerly,
    }
    return _probed(probes)


def describe_call(
    arguments: Mapping[str, Any],
    method: str,
    *,
    model: Mapping[str, Any] | None = None,
    compute: bool = True,
) -> dict[str, Any]:
    """What is known of a call from the variables of Keras's own `fit`, `evaluate`, `predict`.

    Args:
        arguments: Its local variables when the begin hook is called.
        method: Its name.
        model: What `describe_model` said of the run's model.
        compute: Whether the backend may be asked for values; see `describe_model`.

    Returns:
        Its arguments that are not None, and `batch_size` and, of a fit, the `learning_rate` that
        it begins with, the classes of its `callbacks`, and `metrics` and `optimizer` where those
        of the model are not what `model` says; as far as they are known.
    """
    probes: dict[str, Callable[[], Any]] = {
        name: (lambda name=name: arguments[name])  # type: ignore[misc]
        for name in _ARGUMENTS
        if name in arguments and not (method != "fit" and name == "epochs")
    }
    probes["batch_size"] = lambda: _batch_size(arguments)
    probes["class_weight"] = lambda: True if arguments.get("class_weight") else None
    if method == "fit" and compute:
        probes["learning_rate"] = lambda: float(arguments["self"].optimizer.learning_rate)
    if method == "fit":
        probes["callbacks"] = lambda: [_home(one) for one in arguments["callbacks"].callbacks]
        if model is not None:
            probes["metrics"] = lambda: _other_metrics(arguments["self"], model)
        if model is not None and compute:
            probes["optimizer"] = lambda: _other_optimizer(arguments["self"], model)
    return _probed(probes)


def _home(callback: Any) -> str:
    """The class of a callback, Keras's own by their public name."""
    made = type(callback)
    keras = made.__module__.startswith(KERAS_CALLBACKS)
    return f"{'keras.callbacks' if keras else made.__module__}.{made.__qualname__}"


def _other_metrics(model: Any, known: Mapping[str, Any]) -> Any:
    """The compiled metrics, if they are not the known ones; none are an empty list."""
    found = _plain(_named(model._compile_config.config.get("metrics"))) or []  # noqa: SLF001
    return None if found == (known.get("metrics") or []) else found


def _other_optimizer(model: Any, known: Mapping[str, Any]) -> Any:
    """The optimizer, if it is not the known one; earlier fits may have changed a learning rate."""
    found = _plain(_configured(model.optimizer))
    return None if _without_rate(found) == _without_rate(known.get("optimizer")) else found


def _without_rate(optimizer: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in (optimizer or {}).items()
        if name != "learning_rate" or isinstance(value, Mapping)
    }


def describe_trial(callbacks: Any) -> dict[str, Any]:
    """What a tuner's callback beside ours knows of its trial, as keras-tuner's does.

    Args:
        callbacks: The callbacks of the call.

    Returns:
        `trial`, its id, and `params`, its hyperparameters; nothing where there is no tuner.
    """
    for one in getattr(callbacks, "callbacks", None) or ():
        trial = values = None
        with contextlib.suppress(Exception):  # anybody's callback: a property of it may raise
            trial = getattr(one, "trial", None)
            values = getattr(getattr(trial, "hyperparameters", None), "values", None)
        if isinstance(values, Mapping):
            probes: dict[str, Callable[[], Any]] = {
                "trial": lambda trial=trial: str(trial.trial_id),  # type: ignore[misc]
                "params": lambda values=values: dict(values),  # type: ignore[misc]
            }
            return _probed(probes)
    return {}


def _probed(probes: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    known = {}
    for name, probe in probes.items():
        try:
            value = probe()
        except Exception:  # noqa: BLE001, S112 - the model does not say, or not yet
            continue
        if value is not None:
            known[name] = _plain(value)
    return known


def _trainable(model: Any) -> int:
    return sum(_size(variable.shape) for variable in model.trainable_variables)


def _size(shape: Any) -> int:
    size = 1
    for length in shape:
        size *= int(length)
    return size


def _batch_size(arguments: Mapping[str, Any]) -> int | None:
    given = arguments.get("batch_size")
    if given is None:
        given = arguments["epoch_iterator"].data_adapter.batch_size
    return None if given is None else int(given)


def _configured(thing: Any) -> Any:
    """An optimizer, loss or metric: its class and configuration."""
    if thing is None:
        return None
    return _class(thing) | _plain(thing.get_config())


def _class(thing: Any) -> Any:
    return None if thing is None else {"class": type(thing).__name__}


def _named(thing: Any) -> Any:
    """A loss, a metric, or lists and dicts of them, by name or by class and configuration."""
    if isinstance(thing, list | tuple):
        return [_named(item) for item in thing]
    if isinstance(thing, Mapping):
        if "class_name" in thing:  # serialized by Keras
            return {"class": thing["class_name"], **_plain(thing.get("config") or {})}
        return {str(key): _named(item) for key, item in thing.items()}
    if thing is None or isinstance(thing, str):
        return thing
    if hasattr(thing, "get_config"):
        return _configured(thing)
    return getattr(thing, "__name__", None) or type(thing).__name__


def _plain(value: Any, depth: int = 0) -> Any:
    """Dicts, lists, numbers and texts; everything else as a shortened text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    scalar = from_plain(to_plain(value, "none"))
    return scalar if isinstance(scalar, bool | int | float) else str(value)[:_LONGEST_TEXT]
