"""The example that guides to custom callbacks use: one fit, one evaluate, one predict.

Its 58 hooks are 22 of fit (4 batches of training, 4 of validation), 18 of evaluate and 18 of
predict (8 batches each).

    python examples/guide.py
"""

import keras
import numpy as np

from tracker import TrackerCallback


def main() -> None:
    """Run the three calls with the callback attached."""
    random = np.random.default_rng(0)
    x = random.random((1024, 784), dtype="float32")
    y = random.random(1024, dtype="float32")

    model = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(1)])
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.1),
        loss="mean_squared_error",
        metrics=["mean_absolute_error"],
    )
    callback = TrackerCallback(experiment="guide")
    model.fit(x, y, batch_size=128, epochs=1, validation_split=0.5, verbose=0, callbacks=[callback])
    model.evaluate(x, y, batch_size=128, verbose=0, callbacks=[callback])
    model.predict(x, batch_size=128, verbose=0, callbacks=[callback])


if __name__ == "__main__":
    main()
