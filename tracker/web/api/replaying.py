"""What a callback would have done to a run."""

from __future__ import annotations

import os
from typing import Any

from tracker.store.sql import SqlStore
from tracker.web.api.runs import RUN
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter

#: The callbacks that can be asked about, and their arguments: a form, never code.
CALLBACKS: dict[str, tuple[str, ...]] = {
    "EarlyStopping": ("monitor", "patience", "min_delta", "mode", "baseline", "start_from_epoch"),
    "ReduceLROnPlateau": ("monitor", "patience", "min_delta", "mode", "factor", "cooldown"),
    "TerminateOnNaN": (),
}


def _what_if(
    store: SqlStore, run: str, callback: str, call: int | None, **arguments: Any
) -> dict[str, Any]:
    # Keras's own callbacks need no backend, and this one is there at once.
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    from tracker.replaying.driver import replay
    from tracker.replaying.named import named_callback

    wanted = {name: arguments[name] for name in CALLBACKS[callback] if arguments[name] is not None}
    verdict = replay(run, [named_callback(callback, **wanted)], call=call, store=store)
    facts = {name: getattr(verdict, name) for name in verdict.__dataclass_fields__}
    return {
        **facts,
        "acts": [one._asdict() for one in verdict.acts],
        "saved_epochs": verdict.saved_epochs,
        "exact": verdict.exact,
        "text": str(verdict),
    }


ENDPOINTS = (
    Endpoint(
        path="/runs/{run}/what-if",
        summary="What a callback of Keras's would have done",
        answer=_what_if,
        parameters=(
            RUN,
            Parameter("callback", "Which one.", choices=tuple(CALLBACKS), required=True),
            Parameter("call", "Which fit; default: the first.", "integer", least=1, most=2**31 - 1),
            Parameter("monitor", "The metric that is watched.", default="val_loss"),
            Parameter(
                "patience", "Epochs without getting better.", "integer", 0, least=0, most=10**6
            ),
            Parameter("min_delta", "What counts as better.", "number", least=0.0, most=1e9),
            Parameter(
                "mode", "Which end is better.", "text", "auto", choices=("auto", "min", "max")
            ),
            Parameter(
                "baseline", "It has to be better than this.", "number", least=-1e30, most=1e30
            ),
            Parameter(
                "start_from_epoch", "Epochs before it looks.", "integer", least=0, most=10**6
            ),
            Parameter(
                "factor", "Of the learning rate, below 1.", "number", least=0.0, most=0.999999
            ),
            Parameter("cooldown", "Epochs of rest after a cut.", "integer", least=0, most=10**6),
        ),
    ),
)
