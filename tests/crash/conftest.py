# SPDX-License-Identifier: Apache-2.0
"""Says at the end how many interruptions were tried."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulation.swaps import quick

_TRIED: Counter[str] = Counter()


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
def tried() -> Counter[str]:
    """Count a case here."""
    return _TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts."""
    for name, count in sorted(_TRIED.items()):
        terminalreporter.write_line(f"crash: {name}: {count} interruptions")
    if _TRIED:
        # Other folders' failures may stand in the same report.
        reports = terminalreporter.stats.get("failed", [])
        failed = sum("tests/crash/" in report.nodeid for report in reports)
        terminalreporter.write_line(
            f"crash: {_TRIED.total()} interruptions in all, {failed} failures"
        )
