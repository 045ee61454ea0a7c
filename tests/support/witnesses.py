# SPDX-License-Identifier: Apache-2.0
"""Witnesses for tests: the real one at work, in this process and without HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_witness import (
    MemoryCosigningKeys,
    MemoryWitnessState,
)
from strongroom_server.core.signed_note import NoteKey
from strongroom_server.core.witness import (
    Submission,
    WitnessAnswer,
    format_submission,
    origin_name,
)
from strongroom_server.ports import Clock, Witness
from strongroom_server.services.witnessing import Witnessing


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
