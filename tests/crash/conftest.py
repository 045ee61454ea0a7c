# SPDX-License-Identifier: Apache-2.0
"""Counts how many interruptions were tried; `make crash` says so at its end."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import CASES
from tests.simulation.swaps import quick


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, so that port calls come in the same order every time."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """Thousands of cases: an HMAC stands for the signature algorithms."""
    with quick():
        yield


@pytest.fixture
def tried(
    record_property: Callable[[str, object], None],
) -> Iterator[Counter[str]]:
    """Count a case here."""
    cases: Counter[str] = Counter()
    yield cases
    named = [(f"crash: {name}", n) for name, n in cases.items()]
    record_property(CASES, named)
