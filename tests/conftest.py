# SPDX-License-Identifier: Apache-2.0
"""The whole suite in several processes at once: what begins first, what is summed up.

`make test` gives each process files of tests; a file stays whole, so that what its
tests share is made once. One process, or a run without xdist, works as well.
"""

from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.turns import Turns

_TURNS: Final = pytest.StashKey[Turns]()
#: The property of a test's report that counts its cases, by what they are of.
CASES: Final = "cases"
#: Seconds that `slow` stands for, beside the limits that files set themselves.
_SLOW_S: Final = 150.0


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Begin with the files that may take longest: nobody is to wait for one of them.

    Last come those that nothing else may run beside. One process alone takes all
    files in order, as ever.
    """
    if not hasattr(config, "workerinput"):
        return
    limits_s: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        limits_s[item.path] = max(limits_s[item.path], _limit_s(item))
    alone = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: (item.path in alone, -limits_s[item.path]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have no other process test anything while a test is marked `alone`.

    Around everything else: who waits for a turn uses up no time of the test.
    """
    config = item.config
    if not hasattr(config, "workerinput"):
        return (yield)
    if _TURNS not in config.stash:
        # The folder of all processes of this run; each has its own below it.
        folder = config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
        config.stash[_TURNS] = Turns(folder)
    is_alone = item.get_closest_marker("alone") is not None
    with config.stash[_TURNS].take(alone=is_alone):
        return (yield)


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
        counted: Any = dict(report.user_properties).get(CASES, ())
        if report.when == "teardown" and counted:
            cases.update(dict(counted))
            files.add(_file_of(report))
    for name, count in sorted(cases.items()):
        terminalreporter.write_line(f"{name}: {count} cases")
    if cases:
        # Other files' failures may stand in the same report.
        failed = sum(report.failed and _file_of(report) in files for report in reports)
        terminalreporter.write_line(f"{cases.total()} cases in all, {failed} failures")


def _file_of(report: pytest.TestReport) -> str:
    return report.nodeid.partition("::")[0]
