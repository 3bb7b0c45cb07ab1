"""Which of the values that Keras logs are means over batches, as far as a model's description says.

Between two batches only a mean gives back what it was in the second one. The area under a curve,
a precision or a root do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tracker.errors import NotEstimable

#: Whether a logged value is a mean since the epoch began; unknown: the description does not say.
Standing = Literal["mean", "other", "unknown"]

_INFINITE = float("inf")

#: Keras's metrics and losses that are means over samples, and the range of their values.
_MEANS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        "acc accuracy binaryaccuracy categoricalaccuracy sparsecategoricalaccuracy "
        "topkcategoricalaccuracy sparsetopkcategoricalaccuracy".split(),
        (0.0, 1.0),
    ),
    **dict.fromkeys(
        "mse meansquarederror mae meanabsoluteerror mape meanabsolutepercentageerror msle "
        "meansquaredlogarithmicerror logcosh logcosherror huber huberloss hinge squaredhinge "
        "categoricalhinge crossentropy ce bce binarycrossentropy categoricalcrossentropy "
        "sparsecategoricalcrossentropy binaryfocalcrossentropy "
        "categoricalfocalcrossentropy".split(),
        (0.0, _INFINITE),
    ),
    **dict.fromkeys(
        "cosinesimilarity kld kldivergence kullbackleiblerdivergence poisson pearsoncorrelation "
        "concordancecorrelation mean meanmetricwrapper".split(),
        (-_INFINITE, _INFINITE),
    ),
}

#: Keras's metrics that are no means over samples.
_OTHERS = frozenset(
    "auc precision recall truepositives truenegatives falsepositives falsenegatives "
    "sensitivityatspecificity specificityatsensitivity precisionatrecall recallatprecision "
    "rootmeansquarederror rmse r2score f1score fbetascore iou binaryiou meaniou onehotiou "
    "onehotmeaniou sum".split()
)

#: Classes of models whose `train_step` is Keras's own: it logs running means.
_PLAIN = ("Sequential", "Functional", "Model")


def standing(name: str, model: Mapping[str, Any]) -> Standing:
    """Whether a logged value is a running mean.

    Args:
        name: As it was logged, without `val_`.
        model: What the run began with: see `tracker.description.describe_model`.
    """
    described = _described(name, model)
    found = _class_standing(described)
    if found == "unknown" and described is None and _plain(name) in _OTHERS:
        found = "other"
    if found == "other":
        return "other"
    if model.get("class") not in _PLAIN:
        return "unknown"
    is_loss = name == "loss" or (name.endswith("_loss") and name[:-5] in _outputs(model))
    return "mean" if is_loss and described is None else found


def check_means(
    run: str, names: Sequence[str], model: Mapping[str, Any], *, named: bool, by_hand: bool
) -> None:
    """Refuse values that are not known to be running means.

    Args:
        run: The run's name, for the message.
        names: The metrics that are wanted.
        model: What the run began with.
        named: Whether the user named them, who knows where the description does not tell.
        by_hand: Whether a loop of the user's own logged them, which may log anything.

    Raises:
        NotEstimable: Some are not; the message says which are.
    """
    standings = {name: standing(name, model) for name in names}
    if by_hand:
        standings = {n: "unknown" if its == "mean" else its for n, its in standings.items()}
    means = [name for name, its in standings.items() if its == "mean"]
    others = [name for name, its in standings.items() if its == "other"]
    unknown = [name for name, its in standings.items() if its == "unknown" and not named]
    texts = []
    if others:
        texts.append(f"{', '.join(others)}: no mean over batches.")
    if unknown:
        texts.append(
            f"{', '.join(unknown)}: the run does not tell that it is a mean over batches; name it "
            "if it is."
        )
    if texts:
        texts.append(f"Known to be means: {', '.join(means) or 'none'}. Choose with names.")
        raise NotEstimable(f"Batches of run {run!r} cannot be estimated. {' '.join(texts)}")


def bounds(name: str, model: Mapping[str, Any]) -> tuple[float, float]:
    """What a value of one batch can be, at the least and at the most.

    Args:
        name: As it was logged.
        model: What the run began with.
    """
    described = _described(name, model)
    if described is None and name == "loss":
        described = model.get("loss")
    return _MEANS.get(_plain(_identity(described)), (-_INFINITE, _INFINITE))


def _described(name: str, model: Mapping[str, Any]) -> Any:
    """The metric that was compiled and logs under a name, or None."""
    outputs = _outputs(model)
    for output, metric in _compiled(model.get("metrics")):
        own = metric.get("name") if isinstance(metric, Mapping) else metric
        prefixes = outputs if output is None else [output]
        if name == own or any(name == f"{prefix}_{own}" for prefix in prefixes):
            return metric
    return None


def _compiled(metrics: Any, output: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """The metrics that were compiled, each with the output that it is of, where that is said."""
    if isinstance(metrics, Mapping) and "class" not in metrics:
        for key, value in metrics.items():
            yield from _compiled(value, key)
    elif isinstance(metrics, list):
        for value in metrics:
            yield from _compiled(value, output)
    elif metrics is not None:
        yield output, metrics


def _outputs(model: Mapping[str, Any]) -> list[str]:
    """What names of metrics may have in front, where there are several outputs."""
    names = [str(layer[0]) for layer in model.get("layers") or ()]
    for thing in (model.get("loss"), model.get("metrics")):
        if isinstance(thing, Mapping) and "class" not in thing:
            names += map(str, thing)
    return names


def _class_standing(described: Any) -> Standing:
    identity = _plain(_identity(described))
    return "mean" if identity in _MEANS else "other" if identity in _OTHERS else "unknown"


def _identity(described: Any) -> str:
    if isinstance(described, Mapping):
        return str(described.get("class", ""))
    return described if isinstance(described, str) else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").rpartition(">")[2]
