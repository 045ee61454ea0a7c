# SPDX-License-Identifier: Apache-2.0
"""A limit that is missed is called missed, in the worst round of all."""

import pytest

from tests.bench.dedup_report import Report, print_report
from tests.bench.measuring import Usage

PLAIN = 1000_000


def usage(wall_s: float) -> Usage:
    return Usage(
        wall_s=wall_s,
        client_cpu_s=1.0,
        server_cpu_s=1.0,
        store_cpu_s=1.0,
        foreign=0.0,
        client_peak_bytes=1,
        server_peak_bytes=1,
        out="",
    )


def good_report() -> Report:
    """Two rounds in which everything is kept."""
    report = Report()
    report.plain = {f"checkpoint v{number}": PLAIN for number in (1, 2, 3)}
    report.plain |= {"dataset v1": PLAIN, "dataset v2": PLAIN, "weights": PLAIN}
    report.tensor_bytes = PLAIN - 100
    report.moved_bytes = [5000, 6000]
    report.moved_shared = [PLAIN - 100, PLAIN - 100]
    report.file_count, report.changed_bytes = 20_000, 1000
    for _ in range(2):
        for version, added in (("v1", 660_000), ("v2", 40_000), ("v3", 190_000)):
            report.add("checkpoint", version, "strongroom", usage(1.0), added)
            report.add("checkpoint", version, "restic", usage(4.0), PLAIN)
            report.add("checkpoint", version, "s5cmd", usage(5.0), PLAIN)
        report.add("trained", "v1", "strongroom", usage(1.0), 660_000)
        report.add("dataset", "v2", "strongroom", usage(1.0), 100_000)
        report.add("read", "v3", "strongroom raw", usage(1.0), 0)
    return report


def test_a_report_without_a_miss_meets_its_limits_and_gates() -> None:
    report = good_report()

    assert report.bytes_are_met
    assert all(gate.met for gate in report.gates())


@pytest.mark.parametrize(
    ("version", "added"), [("v1", 700_001), ("v2", 50_001), ("v3", 220_001)]
)
def test_one_round_above_its_share_misses_the_limit(version: str, added: int) -> None:
    report = good_report()
    report.add("checkpoint", version, "strongroom", usage(1.0), added)

    missed = [limit.text for limit in report.limits() if not limit.met]

    assert not report.bytes_are_met
    assert missed == [f"checkpoint {version}: stored / plaintext"]


def test_a_trained_version_above_its_share_misses_the_limit() -> None:
    report = good_report()
    report.add("trained", "v1", "strongroom", usage(1.0), 700_001)

    assert not report.bytes_are_met


def test_a_byte_of_an_unchanged_tensor_stored_anew_misses_the_limit() -> None:
    report = good_report()
    report.moved_shared.append(PLAIN - 101)

    assert not report.bytes_are_met


def test_records_of_more_than_64_kib_miss_the_limit() -> None:
    report = good_report()
    report.moved_bytes.append(64 * 1024 + 1)

    assert not report.bytes_are_met


def test_a_changed_file_may_add_itself_and_256_kib() -> None:
    report = good_report()
    report.add("dataset", "v2", "strongroom", usage(1.0), 1000 + 256 * 1024)
    assert report.bytes_are_met

    report.add("dataset", "v2", "strongroom", usage(1.0), 1001 + 256 * 1024)
    assert not report.bytes_are_met


def test_times_are_told_and_fail_nothing() -> None:
    report = good_report()
    report.samples["checkpoint", "v1"]["s5cmd"] = [
        sample.__class__(usage(0.5), sample.added_bytes)
        for sample in report.samples["checkpoint", "v1"]["s5cmd"]
    ]

    missed = [gate for gate in report.gates() if not gate.met]

    assert [gate.text for gate in missed] == ["P3 put v1: times faster than s5cmd"]
    assert [gate.found for gate in missed] == ["0.50"]
    assert report.bytes_are_met


def test_a_peer_that_is_not_here_has_no_gates() -> None:
    report = good_report()
    for tools in report.samples.values():
        tools.pop("restic", None)

    assert not [gate for gate in report.gates() if "restic" in gate.text]
    assert report.bytes_are_met


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    report = good_report()
    tools = report.samples["checkpoint", "v1"]
    tools["strongroom"].append(tools["strongroom"][0])
    tools["restic"].append(tools["restic"][0].__class__(usage(100.0), PLAIN))

    assert report.ratios("checkpoint", "v1", "restic") == [4.0, 4.0, 100.0]


def test_the_printed_report_says_what_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = good_report()
    report.moved_bytes.append(10**6)
    print_report(report)

    lines = capsys.readouterr().out.splitlines()

    assert [line for line in lines if line.endswith("MISSED")] == [
        line for line in lines if "records" in line
    ]
    assert sum(line.startswith("strongroom") for line in lines) == 6


def test_the_record_has_every_sample_and_limit() -> None:
    report = good_report()
    record = report.as_record()

    assert isinstance(record["samples"], list)
    assert len(record["samples"]) == 12
    assert isinstance(record["limits"], list)
    assert len(record["limits"]) == len(report.limits())
