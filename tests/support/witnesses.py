# SPDX-License-Identifier: Apache-2.0
"""Witnesses for tests: the real one at work, in this process and without HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_witness import (
    MemoryCosigningKeys,
    MemoryWitnessState,
)
from strongroom_server.core import layout
from strongroom_server.core.signed_note import NoteKey, read_unverified
from strongroom_server.core.witness import (
    Submission,
    WitnessAnswer,
    format_submission,
    origin_name,
)
from strongroom_server.ports import Clock, Witness
from strongroom_server.services.witnessing import Witnessing
from tests.support.audit_worlds import AuditWorld


@dataclass
class DirectWitness:
    """The `Witness` port over a witness in memory.

    Attributes:
        logs: The logs that it knows, by origin.
        name: Of its keys.
        is_away: Whether it cannot be reached.
        is_mute: Whether it shows nothing, as the specification allows.
        asked: What it was sent.
    """

    logs: dict[str, Sequence[NoteKey]]
    name: str = "witness.test/w1"
    clock: Clock = field(default_factory=SystemClock)
    is_away: bool = False
    is_mute: bool = False
    asked: list[Submission] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = MemoryWitnessState()
        self.private = MemoryCosigningKeys(self.name, entropy=SystemEntropy())
        self.witnessing = Witnessing(
            self.logs, state=self.state, keys=self.private, clock=self.clock
        )

    @property
    def keys(self) -> Sequence[NoteKey]:
        """See `Witness`."""
        return self.private.keys

    def add_checkpoint(self, submission: Submission) -> WitnessAnswer:
        """See `Witness`."""
        self._reach()
        self.asked.append(submission)
        return self.witnessing.add_checkpoint(format_submission(submission))

    def newest(self, origin: str) -> bytes | None:
        """See `Witness`."""
        self._reach()
        return None if self.is_mute else self.witnessing.newest(origin_name(origin))

    def _reach(self) -> None:
        if self.is_away:
            message = f"the witness {self.name} cannot be asked: it is away"
            raise UnavailableError(message, reason=Reason.WITNESS_UNAVAILABLE)


_witness: type[Witness] = DirectWitness


def witnessed(audits: AuditWorld, name: str = "witness.test/w1") -> DirectWitness:
    """Give the servers of a world a witness more."""
    origin = audits.log().origin
    made = DirectWitness({origin: audits.signer.keys(origin)}, name)
    audits.witnesses = [*audits.witnesses, made]
    return made


def size_at(witness: DirectWitness) -> int:
    """Return how many entries a witness has cosigned."""
    [origin] = witness.logs
    note = witness.state.newest(origin)
    return read_unverified(note).size if note else 0


def forget(audits: AuditWorld, *, after: int = 0, keep_notes: bool = False) -> None:
    """Remove batches and what is signed, from a number on: rewind the log."""
    bucket = audits.world.bucket
    prefixes = [layout.audit_batches_prefix("main")]
    if not keep_notes:
        prefixes += [
            layout.audit_checkpoints_prefix("main"),
            layout.audit_cosigned_prefix("main"),
        ]
    for item, _ in list(bucket.objects()):
        if item.key.startswith(tuple(prefixes)):
            number = layout.upload_key_number(item.key)
            is_note = not item.key.startswith(prefixes[0])
            if number >= after or (is_note and number > after):
                bucket.delete_version(item.key, item.version_id)


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(IntegrityError, match=match) as error:
        call()
    assert error.value.reason is Reason.AUDIT_CORRUPT
