# SPDX-License-Identifier: Apache-2.0
"""A witness at work: cosigns checkpoints of logs that go on where they ended.

It needs nothing of Strongroom's but the public keys of the logs, sees no entry, and
keeps one note a log. Whoever would rewind a log, or show it in two versions, has to
win over every witness, too.
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteKey,
    format_note,
    open_note,
    read_unverified,
)
from strongroom_server.core.witness import (
    WitnessAnswer,
    WitnessStatus,
    judge,
    origin_name,
    parse_submission,
    read_checkpoint,
)
from strongroom_server.ports import Clock, CosigningKeys, WitnessState

_LOG: Final = logging.getLogger("strongroom_server.witness")


class Witnessing:
    """One witness; safe to use from many threads."""

    def __init__(
        self,
        logs: Mapping[str, Sequence[NoteKey]],
        *,
        state: WitnessState,
        keys: CosigningKeys,
        clock: Clock,
    ) -> None:
        """Witness for logs.

        Args:
            logs: By origin, the public keys that must sign its checkpoints.
            state: What was cosigned before.
            keys: The witness's own.
            clock: Dates the signatures.
        """
        self._logs = logs
        self._origins = {origin_name(origin): origin for origin in logs}
        self._state = state
        self._keys = keys
        self._clock = clock
        # To compare with what is known, and to keep what is new, is one step.
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Answer a request to cosign; what is cosigned is kept before.

        Raises:
            UnavailableError: It cannot be kept (WITNESS_UNAVAILABLE).
            IntegrityError: What was kept before is damaged (AUDIT_CORRUPT).
        """
        try:
            submission = parse_submission(body)
            checkpoint = read_checkpoint(submission)
        except ValueError:
            return WitnessAnswer(WitnessStatus.MALFORMED)
        trusted = self._logs.get(checkpoint.origin)
        if trusted is None:
            return WitnessAnswer(WitnessStatus.UNKNOWN_LOG)
        try:
            open_note(submission.note, trusted)
        except IntegrityError:
            return WitnessAnswer(WitnessStatus.NOT_SIGNED)
        with self._lock:
            known = self._known(checkpoint.origin)
            status = judge(submission, checkpoint, known)
            if status is WitnessStatus.COSIGNED:
                return self._cosign(checkpoint, submission.note)
        size = known.size if known else 0
        self._tell(status, checkpoint, size)
        return WitnessAnswer(status, size=size)

    def newest(self, name: str) -> bytes | None:
        """Return the note cosigned last of the log that `origin_name` calls so.

        Raises:
            UnavailableError: It cannot be read (WITNESS_UNAVAILABLE).
            IntegrityError: It is damaged (AUDIT_CORRUPT).
        """
        origin = self._origins.get(name)
        return self._state.newest(origin) if origin else None

    def _known(self, origin: str) -> Checkpoint | None:
        note = self._state.newest(origin)
        return read_unverified(note) if note else None

    def _cosign(self, checkpoint: Checkpoint, note: bytes) -> WitnessAnswer:
        time_s = int(self._clock.now().timestamp())
        lines = self._keys.cosign(checkpoint, time_s=time_s)
        # Of the note, the lines of the log's own keys alone are kept.
        own = _lines_of(note, self._logs[checkpoint.origin])
        self._state.keep(checkpoint.origin, format_note(checkpoint, [own, lines]))
        return WitnessAnswer(WitnessStatus.COSIGNED, lines=lines)

    def _tell(self, status: WitnessStatus, checkpoint: Checkpoint, known: int) -> None:
        """Log what may be the sign of two views; a late server is one, too."""
        line = {
            "event": "not_cosigned",
            "status": int(status),
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "known_size": known,
        }
        _LOG.warning("%s", json.dumps(line))


def _lines_of(note: bytes, keys: Sequence[NoteKey]) -> bytes:
    """Return the lines of a note, which has been opened, that carry the keys' names."""
    names = {key.name.encode() for key in keys}
    _, _, lines = note.partition(b"\n\n")
    kept = [
        line for line in lines.splitlines(keepends=True) if line.split(b" ")[1] in names
    ]
    return b"".join(kept)
