# SPDX-License-Identifier: Apache-2.0
"""The whole suite in several processes at once: what begins first, what is summed up.

`make test` gives each process files of tests; a file stays whole, so that what its
tests share is made once. One process, or a run without xdist, works as well.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import pytest

#: The property of a test's report that counts its cases, by what they are of.
CASES: Final = "cases"
#: Seconds that `slow` stands for, beside the limits that files set themselves.
_SLOW_S: Final = 150.0


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Begin with the files that may take longest: nobody is to wait for one of them.

    One process alone takes all files in order, as ever.
    """
    if not hasattr(config, "workerinput"):
        return
    limits_s: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        limits_s[item.path] = max(limits_s[item.path], _limit_s(item))
    items.sort(key=lambda item: -limits_s[item.path])


def _limit_s(item: pytest.Item) -> float:
    timeout = item.get_closest_marker("timeout")
    limit_s = float(timeout.args[0]) if timeout is not None else 0.0
    return max(limit_s, _SLOW_S) if item.get_closest_marker("slow") else limit_s


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up the cases that tests of all processes have counted."""
    reports = [
        report
        for category in terminalreporter.stats.values()
        for report in category
        if isinstance(report, pytest.TestReport)
    ]
    cases: Counter[str] = Counter()
    files: set[str] = set()
    for report in reports:
        if report.when == "teardown":
            for name, count in dict(report.user_properties).get(CASES, ()):
                cases[name] += count
                files.add(_file_of(report))
    for name, count in sorted(cases.items()):
        terminalreporter.write_line(f"{name}: {count} cases")
    if cases:
        # Other files' failures may stand in the same report.
        failed = sum(report.failed and _file_of(report) in files for report in reports)
        terminalreporter.write_line(f"{cases.total()} cases in all, {failed} failures")


def _file_of(report: pytest.TestReport) -> str:
    return report.nodeid.partition("::")[0]
