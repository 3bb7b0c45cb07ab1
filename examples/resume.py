"""A training that may be killed at any time: start it again, and it goes on where it was.

python examples/resume.py --die-in-epoch 3
python examples/resume.py
"""

import argparse
import os
import signal
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from tracker import TrackerCallback


def main() -> None:
    """Train for eight epochs, with weights backed up after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="digits-resumed")
    parser.add_argument("--backup", default="backup", type=Path)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--die-in-epoch", type=int, help="As if the machine were taken away.")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(1)

    x, y = load_digits(return_X_y=True)
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(arguments.learning_rate),
        loss="sparse_categorical_crossentropy",
    )
    epoch_now = [0]

    def note_epoch(epoch: int, logs: object) -> None:  # noqa: ARG001 - Keras's signature
        epoch_now[0] = epoch

    def die(batch: int, logs: object) -> None:  # noqa: ARG001 - Keras's signature
        if epoch_now[0] == arguments.die_in_epoch and batch == 20:
            os.kill(os.getpid(), signal.SIGKILL)

    model.fit(
        x / 16,
        y,
        epochs=8,
        validation_split=0.2,
        verbose=0,
        callbacks=[
            keras.callbacks.BackupAndRestore(arguments.backup),
            TrackerCallback(
                experiment="digits",
                run=arguments.run,
                resume="allow",
                params={"learning_rate": arguments.learning_rate},
            ),
            keras.callbacks.LambdaCallback(on_epoch_begin=note_epoch, on_train_batch_end=die),
        ],
    )


if __name__ == "__main__":
    main()
