"""decode(encode(logs)) == logs, to the bit."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given

from tests import strategies
from tracker.logs import ArraySummary, Opaque, decode, decode_many, encode


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, floats to the bit, any NaN like any other."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True)
        )
    return bool(a == b)


@given(strategies.logs)
def test_logs_come_back_as_they_went_in(logs: dict[str, Any]) -> None:
    """Every value and type comes back, in the same order of keys."""
    assert same(decode(encode(logs)), logs)


@given(strategies.logs)
def test_encoded_logs_are_strict_json(logs: dict[str, Any]) -> None:
    """The text is JSON to the letter: no bare NaN, and encoding what was decoded repeats it."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = encode(logs)
    assert isinstance(json.loads(text, parse_constant=refuse), dict)
    assert encode(decode(text)) == text


@given(strategies.arrays)
def test_full_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    """Under outputs="full" an array keeps its shape, dtype and every value."""
    back = decode(encode({"outputs": array}, "full"))["outputs"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    again = back[np.isfinite(back)] if array.dtype.kind == "f" else back
    assert again.tobytes() == finite.tobytes()


@given(strategies.arrays)
def test_summaries_tell_what_numpy_tells(array: np.ndarray[Any, Any]) -> None:
    """A summary's figures are numpy's, over the finite values."""
    summary = decode(encode({"outputs": array}))["outputs"]
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    assert summary.shape == array.shape
    assert summary.dtype == str(array.dtype)
    assert summary.nonfinite == array.size - finite.size
    if finite.size:
        assert summary.min == finite.min()
        assert summary.max == finite.max()
        with np.errstate(over="ignore"):
            assert summary.mean == finite.mean(dtype="float64")
    else:
        assert summary.min is summary.max is summary.mean is None


def test_no_outputs_keeps_shape_and_dtype() -> None:
    """Under outputs="none" nothing but the shape and dtype of an array is kept."""
    array = np.arange(6, dtype="int32").reshape(2, 3)
    assert decode(encode({"outputs": array}, "none"))["outputs"] == ArraySummary((2, 3), "int32")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array(2.5), 2.5),
        (tf.constant(2.5), 2.5),
        (tf.constant(3), 3),
        (tf.constant(1.5, dtype=tf.bfloat16), 1.5),
        (tf.Variable(4.0), 4.0),
        (tf.constant("text"), b"text"),
    ],
)
def test_scalars_of_libraries_become_pythons(value: Any, expected: Any) -> None:
    """Scalars of numpy and TensorFlow are stored as Python's."""
    assert same(decode(encode({"x": value}))["x"], expected)


def test_tensors_are_arrays() -> None:
    """A TensorFlow vector is summarised, or kept in full, like numpy's; bfloat16 too."""
    assert decode(encode({"x": tf.constant([1.0, 3.0])}))["x"].mean == 2.0
    full = decode(encode({"x": tf.constant([1.0, 3.0], tf.bfloat16)}, "full"))["x"]
    assert full.tolist() == [1.0, 3.0]
    nested = decode(encode({"outputs": [tf.constant([[1.0]]), tf.constant([[2.0]])]}))
    assert [one.shape for one in nested["outputs"]] == [(1, 1), (1, 1)]


def test_strange_objects_never_raise() -> None:
    """What JSON has no form for is kept as its type and a shortened repr."""

    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    loop: list[Any] = []
    loop.append(loop)
    deep: Any = 1.0
    for _ in range(500):
        deep = {"x": deep}
    for value in (Rude(), loop, deep, object(), {Rude(): 1}, np.zeros(2, dtype="V4"), {1, 2}):
        back = decode(encode({"x": value}))["x"]
        assert encode(back)
    rude = decode(encode({"x": Rude()}))["x"]
    assert isinstance(rude, Opaque)
    assert rude.type.endswith("Rude")


def test_logs_that_are_no_dict() -> None:
    """A hook that is called by hand with something else than a dict is recorded too."""
    assert decode(encode(None)) == {}
    assert decode(encode([1.0, math.nan]))["value"][0] == 1.0
    assert decode(encode("text")) == {"value": "text"}


@given(strategies.logs, strategies.logs)
def test_many_decode_like_one_by_one(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Decoding in bulk gives the same as decoding one by one."""
    texts = [encode(a), encode(b)]
    assert same(decode_many(texts), [decode(text) for text in texts])
