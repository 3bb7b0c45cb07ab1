"""A training loop of your own, its hooks driven through `keras.callbacks.CallbackList`.

python examples/custom_loop.py
"""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits

from tracker import TrackerCallback

EPOCHS, BATCH = 3, 64


def main() -> None:
    """Train a linear classifier by hand, with a test phase in each epoch."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype("float32") / 16
    train = tf.data.Dataset.from_tensor_slices((images[:1500], labels[:1500])).batch(BATCH)
    test = tf.data.Dataset.from_tensor_slices((images[1500:], labels[1500:])).batch(BATCH)

    model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10)])
    optimizer = keras.optimizers.Adam(0.01)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss_mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()

    tracker_callback = TrackerCallback(experiment="custom-loop", params={"batch": BATCH})
    callbacks = keras.callbacks.CallbackList(
        [tracker_callback], model=model, epochs=EPOCHS, steps=len(train), verbose=0
    )
    callbacks.on_train_begin()
    logs: dict[str, float] = {}
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        loss_mean.reset_state()
        for batch, (x, y) in enumerate(train):
            callbacks.on_train_batch_begin(batch)
            with tf.GradientTape() as tape:
                loss = loss_function(y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            loss_mean.update_state(loss)
            callbacks.on_train_batch_end(batch, {"loss": float(loss_mean.result())})
        callbacks.on_test_begin()
        accuracy.reset_state()
        for batch, (x, y) in enumerate(test):
            callbacks.on_test_batch_begin(batch)
            accuracy.update_state(y, model(x))
            callbacks.on_test_batch_end(batch, {"accuracy": float(accuracy.result())})
        callbacks.on_test_end({"accuracy": float(accuracy.result())})
        logs = {"loss": float(loss_mean.result()), "val_accuracy": float(accuracy.result())}
        callbacks.on_epoch_end(epoch, logs)
        print(f"epoch {epoch}: {logs}")
    callbacks.on_train_end(logs)


if __name__ == "__main__":
    main()
