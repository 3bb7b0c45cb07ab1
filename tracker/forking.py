"""Whether this process was forked from one that had loaded the tracker."""

from __future__ import annotations

import os


def in_child() -> bool:
    """Whether this process was forked from one that had loaded this module."""
    return _forked


_forked = False


def _after_in_child() -> None:
    global _forked  # noqa: PLW0603 - a fact of the process
    _forked = True


os.register_at_fork(after_in_child=_after_in_child)
