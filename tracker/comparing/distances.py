"""How far numbers are apart: whether they are the same, and by how much they are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def same_bits(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether all bits are the same; NaN is the same as NaN."""
    bits_x, bits_y = (np.ascontiguousarray(values).view(np.int64) for values in (x, y))
    same: NDArray[np.bool_] = bits_x == bits_y
    return same | (np.isnan(x) & np.isnan(y))


def gaps(x: Floats, y: Floats) -> Floats:
    """`|x - y|`; infinite where no double is as great, or either is no finite number."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(x - y)
    return np.where(np.isfinite(gap), gap, np.inf)


def within(x: Floats, y: Floats, rtol: float, atol: float) -> NDArray[np.bool_]:
    """Whether `|x - y| <= atol + rtol * max(|x|, |y|)`; nothing is near an infinity, or NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        greatest = np.maximum(np.abs(x), np.abs(y))
        gap = np.abs(x - y)
        near = gap <= atol + rtol * greatest
        # Half of any gap is a double; of the least ones a half is none, so not everywhere.
        near_by_halves = np.abs(x / 2 - y / 2) <= atol / 2 + rtol * (greatest / 2)
    close: NDArray[np.bool_] = np.where(np.isinf(gap), near_by_halves, near)
    return close & np.isfinite(x) & np.isfinite(y)


def distance(a: Any, b: Any) -> Mapping[str, Any]:
    """How far two floats are apart: `ulp`, of how many `bits`, and `relative`; nothing of others.

    Keras computes in 32 bits as a rule, and logs them as doubles: where both values are such, units
    in the last place are those of 32 bits. -0.0 and 0.0 are two of the numbers, next to each other.
    """
    if type(a) is not float or type(b) is not float:
        return {}
    if not (math.isfinite(a) and math.isfinite(b)):
        return {}
    with np.errstate(over="ignore"):
        single = float(np.float32(a)) == a and float(np.float32(b)) == b
    bits = 32 if single else 64
    of, as_integer = (np.float32, np.int32) if single else (np.float64, np.int64)
    numbers = [int(np.array(value, of).view(as_integer)) for value in (a, b)]
    # Bits of negative numbers grow with their size, from those of -0.0 on: the least integer.
    below = -(2 ** (bits - 1)) - 1
    ordered = [number if number >= 0 else below - number for number in numbers]
    return {"ulp": abs(ordered[0] - ordered[1]), "bits": bits, "relative": _relative(a, b)}


def _relative(a: float, b: float) -> float:
    greatest = max(abs(a), abs(b))
    if not greatest:
        return 0.0
    gap = abs(a - b)
    # A gap beyond all doubles is between numbers of two signs, whose quotients lose nothing.
    return gap / greatest if math.isfinite(gap) else abs(a / greatest - b / greatest)
