# SPDX-License-Identifier: Apache-2.0
"""The replicator's program: what it says when it gives up, and of the primary."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.ports import BlobVersion
from strongroom_server.replica_program import _ask_primary, _replicate_once
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.replication import (
    Ends,
    Finding,
    Heads,
    Replicator,
    RoundReport,
)
from tests.support.clock import ManualClock


def report(
    *,
    entry_count: int = 0,
    is_more: bool = False,
    is_complete: bool = False,
    is_overtaken: bool = False,
    findings: tuple[Finding, ...] = (),
) -> RoundReport:
    heads = Heads((), 1, 9, is_more, 0.0, 0.0)
    count = len(findings)
    return RoundReport(
        0.0,
        heads,
        0,
        entry_count,
        0,
        is_complete,
        is_overtaken,
        0.0,
        findings,
        count,
        0,
    )


class Rounds:
    """Rounds that come to what a test says."""

    def __init__(self, *reports: RoundReport) -> None:
        self._reports = list(reports)

    def round(self) -> RoundReport:
        return self._reports.pop(0)


def once(*reports: RoundReport) -> list[str]:
    said: list[str] = []
    _replicate_once(cast("Replicator", Rounds(*reports)), said.append)
    return said


def test_more_than_ten_rounds_may_have_something_to_copy() -> None:
    more = [report(entry_count=50_000, is_more=True)] * 30

    [line] = once(*more, report(is_complete=True))
    told = json.loads(line)

    assert told["is_complete"]
    assert (told["message_type"], told["findings"]) == ("replicated", [])


def test_sweeps_that_overtake_each_round_are_told_as_that() -> None:
    overtaken = report(is_overtaken=True)
    more = report(entry_count=1, is_more=True)

    with pytest.raises(UnavailableError, match="10 rounds a sweep"):
        once(*[more, overtaken] * 10)


@pytest.mark.parametrize("is_more", [True, False])
def test_entries_that_wait_for_nothing_that_was_found_are_no_damage(
    is_more: bool,
) -> None:
    with pytest.raises(UnavailableError, match="nothing was found"):
        once(report(is_more=is_more))


def test_what_keeps_entries_back_is_named() -> None:
    with pytest.raises(IntegrityError, match="1 finding, the first of them packs/1"):
        once(report(findings=(Finding("packs/1", "rotten"),)))


def test_what_no_entry_waits_for_is_named_too_and_is_no_success() -> None:
    found = (Finding("packs/1", "rotten"), Finding("packs/2", "taken"))
    said: list[str] = []
    rounds = Rounds(report(is_complete=True, findings=found))

    with pytest.raises(IntegrityError, match="not every object") as caught:
        _replicate_once(cast("Replicator", rounds), said.append)

    told = json.loads(said[0])
    assert caught.value.exit_code == 14
    assert told["is_complete"]
    assert told["finding_count"] == len(told["findings"]) == 2
    assert told["findings"][0] == {"key": "packs/1", "problem": "rotten"}


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("S3 is silent", reason=Reason.STORE_UNAVAILABLE),
        PreconditionError("S3 refused us", reason=Reason.STORE_ACCESS_DENIED),
    ],
)
def test_a_primary_that_nobody_could_ask_is_told(
    error: UnavailableError | PreconditionError,
) -> None:
    class Silent(MemoryBlobStore):
        def subfolders(self, prefix: str) -> Iterator[str]:
            raise error

        def first_versions(
            self, prefix: str, *, start_after: str = ""
        ) -> Iterator[BlobVersion]:
            raise error

    clock = ManualClock()
    throttle = Throttle(clock)
    with ThreadPoolExecutor(1) as executor:
        buckets = (Silent(clock), MemoryBlobStore(clock))
        told = [
            _ask_primary(
                Ends(
                    source=source,
                    target=buckets[1],
                    clock=clock,
                    executor=executor,
                    throttle=throttle,
                )
            )
            for source in buckets
        ]

    assert told == [
        {"primary": "out of reach", "primary_problem": error.message},
        {"primary": "asked", "missing": 0},
    ]
