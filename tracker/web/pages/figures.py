"""What pages with curves have in common."""

from __future__ import annotations

from tracker.web.parameters import Parameter

LOG = Parameter("log", "Whether values are shown on a logarithmic scale.", "flag", False)
