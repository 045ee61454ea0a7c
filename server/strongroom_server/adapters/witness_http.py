# SPDX-License-Identifier: Apache-2.0
"""A witness over HTTP, as C2SP's tlog-witness has it: bounded in time and size."""

import http.client
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom.errors import Reason, UnavailableError
from strongroom_server.bounded_http import HttpAnswer, HttpRequest, exchange, told
from strongroom_server.core.signed_note import MAX_NOTE_BYTES, NoteKey
from strongroom_server.core.witness import (
    ADD_CHECKPOINT,
    MAX_ANSWER_BYTES,
    SIZE_TYPE,
    Submission,
    WitnessAnswer,
    WitnessStatus,
    checkpoint_path,
    format_submission,
    parse_conflict,
)
from strongroom_server.ports import Witness

#: Of a whole exchange: whoever drips holds up the other witnesses for so long.
TIMEOUT_S: Final = 10.0
_STATUSES: Final = frozenset(WitnessStatus) - {WitnessStatus.UNAVAILABLE}
_BODY: Final = {"Content-Type": "application/octet-stream"}


class HttpWitness:
    """The `Witness` port over HTTP. Safe to use from many threads."""

    def __init__(
        self, url: str, keys: Sequence[NoteKey], *, ca_file: Path | None = None
    ) -> None:
        """Prepare requests to a witness; none is made yet.

        Args:
            url: What stands before `/add-checkpoint`.
            keys: The witness's public keys, all of one name.
            ca_file: Certificates to trust; the machine's own if None.
        """
        self._url = url.rstrip("/")
        self._keys = tuple(keys)
        self._ca_file = ca_file

    def __repr__(self) -> str:
        return f"HttpWitness({self.name}, {self._url})"

    @property
    def name(self) -> str:
        """See `Witness`."""
        return self._keys[0].name

    @property
    def keys(self) -> Sequence[NoteKey]:
        """See `Witness`."""
        return self._keys

    def add_checkpoint(self, submission: Submission) -> WitnessAnswer:
        """See `Witness`."""
        url = self._url + ADD_CHECKPOINT
        request = HttpRequest("POST", url, format_submission(submission), _BODY)
        answer = self._exchange(request, MAX_ANSWER_BYTES)
        if answer.status not in _STATUSES:
            raise self._unavailable(f"it answers with status {answer.status}")
        status = WitnessStatus(answer.status)
        if status is WitnessStatus.COSIGNED:
            return WitnessAnswer(status, lines=answer.body)
        if status is not WitnessStatus.CONFLICT:
            return WitnessAnswer(status)
        if answer.content_type != SIZE_TYPE:
            # The old size was right: then the root is another one.
            return WitnessAnswer(status, size=submission.old_size)
        try:
            return WitnessAnswer(status, size=parse_conflict(answer.body))
        except ValueError as error:
            raise self._unavailable("its answer cannot be understood") from error

    def newest(self, origin: str) -> bytes | None:
        """See `Witness`."""
        request = HttpRequest("GET", self._url + checkpoint_path(origin))
        answer = self._exchange(request, MAX_NOTE_BYTES)
        if answer.status == WitnessStatus.UNKNOWN_LOG:
            return None
        if answer.status != WitnessStatus.COSIGNED:
            raise self._unavailable(f"it answers with status {answer.status}")
        return answer.body

    def _exchange(self, request: HttpRequest, max_bytes: int) -> HttpAnswer:
        is_plain = request.url.startswith("http://")  # On loopback; settings see to it.
        try:
            tls = None if is_plain else ssl.create_default_context(cafile=self._ca_file)
            return exchange(request, tls=tls, timeout_s=TIMEOUT_S, max_bytes=max_bytes)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unavailable(told(error)) from error

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"the witness {self.name} cannot be asked: {why}",
            reason=Reason.WITNESS_UNAVAILABLE,
            hint=f"See that {self._url} is served; `strongroom-server witness serve`.",
            witness=self.name,
        )


_witness: type[Witness] = HttpWitness
