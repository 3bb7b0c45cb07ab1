"""Identities of runs: UUIDs that sort by time, and names that people can say."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(now_ms: int | None = None) -> str:
    """A UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 random.

    The standard library has one from Python 3.14 on.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = secrets.randbits(74)
    value = (now & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 62) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def readable_name() -> str:
    """A name such as `swift-otter-417`; the store adds a suffix in the rare case of a twin."""
    from coolname import generate_slug  # 50 ms of word lists, only for runs without a name

    return f"{generate_slug(2)}-{secrets.randbelow(1000):03d}"


def nth_name(name: str, n: int) -> str:
    """The name that the n-th run of a name gets: `name`, `name-2`, `name-3` …"""
    return name if n == 1 else f"{name}-{n}"
