"""Fixtures of the fault tests; all of them bear the marker `faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.ledger import LEDGER, Ledger


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def ledger() -> Ledger:
    """The account of the session."""
    return LEDGER


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long variants were asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def kills(long: bool) -> int:
    """How many trainers are killed in a storm."""
    return 200 if long else 20
