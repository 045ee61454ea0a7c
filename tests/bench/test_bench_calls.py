# SPDX-License-Identifier: Apache-2.0
"""The bench of calls: what it makes of figures, and one short run on real parts."""

import re
from pathlib import Path

import pytest

from tests.bench import bench_calls
from tests.bench.call_report import CallReport, Figures, print_report


def report_of(*, access_us: float) -> CallReport:
    """Return a report of two rounds, the second on a machine twice as slow."""
    report = CallReport()
    costs = {
        "both on": access_us + 500,
        "access only": access_us,
        "audit only": 500,
        "both off": 0,
    }
    for slow in (1, 2):
        for server, cost in costs.items():
            micros = [slow * (1000 + int(cost))] * 99 + [50_000]
            figures = Figures.of(micros, seconds=0.5, cpu_us=slow * (800.0 + cost))
            report.add("info", 1, server, figures)
    return report


def test_figures_are_what_the_calls_of_a_run_say() -> None:
    figures = Figures.of(list(range(1, 201)), seconds=2.0, cpu_us=7.0)

    assert figures == Figures(rate=100.0, p50=101.0, p99=199.0, cpu=7.0)


def test_what_a_part_adds_is_the_difference_within_a_round() -> None:
    report = report_of(access_us=100)

    assert report.access_us() == 150.0
    assert report.added("info", 1, "audit only", "both off", "p50") == 750.0
    assert report.added("info", 1, "both on", "both off", "cpu") == 900.0


@pytest.mark.parametrize(("access_us", "verdict"), [(100, "kept"), (101, "MISSED")])
def test_an_aim_that_is_missed_is_called_missed(
    access_us: int, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report_of(access_us=access_us))

    assert capsys.readouterr().out.rstrip().endswith(verdict)


def test_without_the_call_that_it_is_about_nothing_is_said_of_the_aim() -> None:
    assert CallReport().access_us() is None


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_run_measures_every_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_calls, "CLIENTS", (1, 2))

    code = bench_calls.main(
        ["--rounds", "1", "--seconds", "0.2", "--calls", "info", "change"]
    )

    told = capsys.readouterr()
    assert code == 0, told.err
    rows = re.findall(r"^(\w+) +(\d+)  (\w+ \w+) +([1-9]\d*) ", told.out, re.MULTILINE)
    assert len(rows) == len({row[:3] for row in rows}) == 2 * 2 * 4
    assert "access adds" in told.out


def test_the_product_knows_no_way_to_leave_access_or_audit_out() -> None:
    """What the bench leaves out, it leaves out by replacing names of `app`."""
    source = Path(bench_calls.__file__).with_name("call_server.py").read_text()
    replaced = re.findall(r'setattr\(app, "(\w+)"', source)

    assert sorted(replaced) == ["CallAudit", "ReloadingAuthorizer", "open_audit_trail"]
