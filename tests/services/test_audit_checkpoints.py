# SPDX-License-Identifier: Apache-2.0
"""What the log holds is signed while a server runs and when it ends, or it alarms."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core.signed_note import Checkpoint, NoteKey, open_note
from strongroom_server.services.auditing import Checkpointer, checkpoints, open_trail
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_logs import opened
from tests.support.audit_worlds import AuditWorld
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.waiting import wait_until


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


class Refusing:
    """Keys of a Vault that is away."""

    def keys(self, name: str) -> Sequence[NoteKey]:
        return []

    def sign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        message = "Vault is sealed"
        raise UnavailableError(message, reason=Reason.KEY_SERVICE_SEALED)


def sizes(audits: AuditWorld) -> list[int]:
    keys = audits.signer.keys(audits.log().origin)
    return [open_note(note, keys).size for _, note in audits.log().checkpoints()]


def test_only_what_is_new_is_signed(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        server.checkpointer.sign()
        assert sizes(audits) == []
        server.record("0")
        server.checkpointer.sign()
        server.checkpointer.sign()
        server.record("1")
        server.record("2")
        server.checkpointer.sign()

    assert sizes(audits) == [1, 3]


def test_two_servers_may_sign_the_same_size(audits: AuditWorld) -> None:
    with audits.server("a") as first:
        first.record("0")
        with audits.server("b") as second:
            first.checkpointer.sign()
            second.checkpointer.sign()

    assert sizes(audits) == [1]
    assert audits.reader().check().signed_count == 1


def test_a_checkpoint_that_was_not_stored_is_signed_again(audits: AuditWorld) -> None:
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as server:
        server.record("0")
        blobs.queue("put_new", Fault.UNAVAILABLE)
        with pytest.raises(UnavailableError):
            server.checkpointer.sign()
        server.checkpointer.sign()

    assert sizes(audits) == [1]


def test_a_server_that_ends_ships_and_signs_its_last_events(
    audits: AuditWorld, tmp_path: Path
) -> None:
    with (
        opened(tmp_path / "a") as local,
        open_trail(local, audits.log(), audits.signer, clock=audits.clock) as trail,
    ):
        for _ in range(3):
            trail.append(audit_event())

    assert sizes(audits) == [3]


def test_events_that_stay_unsigned_are_an_alarm(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.01)
    clock = ManualClock()
    with audits.server("a") as server:
        server.record("0")
        refusing = Checkpointer(server.shipper, audits.log(), Refusing(), clock=clock)
        with refusing.running():
            wait_until(lambda: refusing._failing_since_s is not None)
            refusing.check_current()
            clock.advance(checkpoints.ALARM_S + 1)
            with pytest.raises(UnavailableError, match="not signed"):
                refusing.check_current()
