"""Lengths and points of time, as a filter's texts tell them."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, date, datetime, time, timedelta

_UNITS = {
    unit: seconds
    for units, seconds in (
        ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hr hrs hour hours", 3600),
        ("d day days", 86_400),
        ("w week weeks", 7 * 86_400),
    )
    for unit in units.split()
}
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def seconds_of(text: str) -> float | None:
    """The length of time that a text such as `1h 30m` tells."""
    total, end = 0.0, 0
    while match := _LENGTH.match(text, end):
        unit = _UNITS.get(match[2].lower())
        if unit is None:
            return None
        total, end = total + float(match[1]) * unit, match.end()
    return total if end == len(text) and end else None


def span_of(text: str) -> tuple[int, int] | None:
    """The time that a text tells, in microseconds: its first, and the first after it."""
    words, now = text.strip().lower(), datetime.now(UTC)
    try:
        if words in {"today", "yesterday"}:
            today = now.astimezone().date()
            return _day(today if words == "today" else today - timedelta(days=1))
        if words == "now" or words.endswith(" ago"):
            past = 0.0 if words == "now" else seconds_of(words.removesuffix(" ago"))
            return None if past is None else _instant(now - timedelta(seconds=past))
        with contextlib.suppress(ValueError):
            return _day(date.fromisoformat(text.strip()))
        return _instant(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError, OSError):  # of the system's calendar, too
        return None


def _day(day: date) -> tuple[int, int]:
    begin, end = (datetime.combine(one, time()) for one in (day, day + timedelta(days=1)))
    return _instant(begin)[0], _instant(end)[0]


def _instant(moment: datetime) -> tuple[int, int]:
    """A moment, of the local zone if it names none."""
    at = (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
    return at, at + 1
