# SPDX-License-Identifier: Apache-2.0
"""The ports of witnessing: a witness as a server sees it, and what a witness keeps."""

from collections.abc import Sequence
from typing import Protocol

from strongroom_server.core.signed_note import Checkpoint, NoteKey
from strongroom_server.core.witness import Submission, WitnessAnswer


class Witness(Protocol):
    """Somebody else who remembers how far the audit log had come.

    `UnavailableError` (WITNESS_UNAVAILABLE) if it cannot be reached, fails, is too
    slow, or answers what no witness would.
    """

    @property
    def name(self) -> str:
        """The name of its keys."""
        ...

    @property
    def keys(self) -> Sequence[NoteKey]:
        """Its public keys; of each algorithm one signs."""
        ...

    def add_checkpoint(self, submission: Submission) -> WitnessAnswer:
        """Ask for signatures; of those that come back nothing is checked."""
        ...

    def newest(self, origin: str) -> bytes | None:
        """Return the note that it cosigned last of a log, unchecked; None if none."""
        ...


class WitnessState(Protocol):
    """What a witness remembers: of each log the note that it cosigned last.

    `UnavailableError` (WITNESS_UNAVAILABLE) if the disk refuses.
    """

    def newest(self, origin: str) -> bytes | None:
        """Return the note of a log; None if none was ever kept.

        Raises:
            IntegrityError: What is kept there is damaged (AUDIT_CORRUPT).
        """
        ...

    def keep(self, origin: str, note: bytes) -> None:
        """Keep a note in place of the one before; durable on return, never torn."""
        ...


class CosigningKeys(Protocol):
    """The keys of a witness."""

    @property
    def keys(self) -> Sequence[NoteKey]:
        """The public ones, in signing order."""
        ...

    def cosign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """Return the lines of signatures of every key."""
        ...
