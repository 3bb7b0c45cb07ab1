"""Handwritten digits: a small convolutional network, every hook of its training recorded.

python examples/digits.py --learning-rate 0.01
"""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tracker import TrackerCallback


def main() -> None:
    """Train, evaluate and predict once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    train_x, test_x, train_y, test_y = train_test_split(images, labels, random_state=0)

    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(arguments.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    callback = TrackerCallback(experiment="digits", params=vars(arguments))
    model.fit(
        train_x,
        train_y,
        epochs=arguments.epochs,
        validation_split=0.2,
        callbacks=[callback],
        verbose=2,
    )
    model.evaluate(test_x, test_y, callbacks=[callback], verbose=2)
    model.predict(test_x, callbacks=[callback], verbose=0)


if __name__ == "__main__":
    main()
