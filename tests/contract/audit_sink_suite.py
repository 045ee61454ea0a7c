# SPDX-License-Identifier: Apache-2.0
"""What every `AuditSink` must do, whoever makes it.

A subclass gives two fixtures: `sink`, empty and for this test alone, and `lines`,
which reads the log back.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from strongroom_server.core.audit import (
    AuditEvent,
    Phase,
    line_digest,
    verify_lines,
)
from strongroom_server.ports import AuditSink

Lines = Callable[[], list[bytes]]


def audit_event(action: str = "version.read", **detail: str) -> AuditEvent:
    """Return an event like those of the server."""
    return AuditEvent(
        time="2026-11-01T12:00:00.000000Z",
        phase=Phase.INTENT,
        call_id="1" * 32,
        principal="spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/local",
        action=action,
        method="/strongroom.v1.TransferService/ReadVersion",
        resource_id="2" * 32,
        sealed_resource="c2VhbGVk",
        decision="allow",
        policy="binding-1",
        outcome="",
        reason="",
        trace_id="3" * 32,
        detail=tuple(detail.items()),
    )


class AuditSinkSuite:
    """The contract of `strongroom_server.ports.AuditSink`, as tests."""

    def test_receipts_number_the_events_from_zero(self, sink: AuditSink) -> None:
        receipts = [sink.append(audit_event()) for _ in range(3)]

        assert [receipt.number for receipt in receipts] == [0, 1, 2]
        assert len({receipt.log_id for receipt in receipts}) == 1
        assert len(receipts[0].log_id) == 8
        assert receipts[2].audit_id == f"{receipts[2].log_id}-2"

    def test_a_receipt_names_the_digest_of_its_line(
        self, sink: AuditSink, lines: Lines
    ) -> None:
        receipt = sink.append(audit_event(bytes="17"))

        assert [line_digest(line) for line in lines()] == [receipt.digest]

    def test_the_chain_holds(self, sink: AuditSink, lines: Lines) -> None:
        receipts = [sink.append(audit_event(turn=str(turn))) for turn in range(20)]

        assert list(verify_lines(lines())) == [
            (receipt.number, receipt.digest) for receipt in receipts
        ]

    def test_events_of_many_threads_are_each_there_once(
        self, sink: AuditSink, lines: Lines
    ) -> None:
        def work(worker: int) -> list[tuple[int, bytes]]:
            found = []
            for turn in range(25):
                mark = f"{worker}/{turn}"
                found.append(
                    (sink.append(audit_event(mark=mark)).number, mark.encode())
                )
            return found

        with ThreadPoolExecutor(16) as pool:
            marks = dict(item for items in pool.map(work, range(16)) for item in items)

        written = lines()
        assert len(list(verify_lines(written))) == 400
        assert sorted(marks) == list(range(400))
        assert all(b'"' + marks[number] + b'"' in written[number] for number in marks)
