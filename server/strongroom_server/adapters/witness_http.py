# SPDX-License-Identifier: Apache-2.0
"""A witness over HTTP, as C2SP's tlog-witness has it: bounded in time and size."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from strongroom.errors import Reason, StrongroomError, UnavailableError
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
from strongroom_server.ports import Clock, Witness

_CONNECT_TIMEOUT_S: Final = 3.0
#: Of the whole exchange, and of each wait for bytes.
TIMEOUT_S: Final = 10.0
_STATUSES: Final = frozenset(WitnessStatus) - {WitnessStatus.UNAVAILABLE}
_PIECE_BYTES: Final = 8192


class HttpWitness:
    """The `Witness` port over HTTP. One thread at a time uses it."""

    def __init__(
        self,
        url: str,
        keys: Sequence[NoteKey],
        *,
        clock: Clock,
        ca_file: Path | None = None,
    ) -> None:
        """Prepare requests to a witness; none is made yet.

        Args:
            url: What stands before `/add-checkpoint`.
            keys: The witness's public keys, all of one name.
            clock: For deadlines.
            ca_file: Certificates to trust; the public ones if None.
        """
        self._url = url.rstrip("/")
        self._keys = tuple(keys)
        self._clock = clock
        self._session = requests.Session()
        # No proxy, CA bundle or .netrc from the environment: settings alone decide.
        self._session.trust_env = False
        self._session.verify = str(ca_file) if ca_file else True

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

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def add_checkpoint(self, submission: Submission) -> WitnessAnswer:
        """See `Witness`."""
        code, headers, body = self._exchange(
            "POST", ADD_CHECKPOINT, format_submission(submission), MAX_ANSWER_BYTES
        )
        if code not in _STATUSES:
            raise self._unavailable(f"it answers with status {code}")
        status = WitnessStatus(code)
        if status is WitnessStatus.COSIGNED:
            return WitnessAnswer(status, lines=body)
        if status is not WitnessStatus.CONFLICT:
            return WitnessAnswer(status)
        if headers.get("Content-Type", "").partition(";")[0] != SIZE_TYPE:
            # The old size was right: then the root is another one.
            return WitnessAnswer(status, size=submission.old_size)
        try:
            return WitnessAnswer(status, size=parse_conflict(body))
        except ValueError as error:
            raise self._unavailable("its answer cannot be understood") from error

    def newest(self, origin: str) -> bytes | None:
        """See `Witness`."""
        code, _, body = self._exchange(
            "GET", checkpoint_path(origin), None, MAX_NOTE_BYTES
        )
        if code == WitnessStatus.UNKNOWN_LOG:
            return None
        if code != WitnessStatus.COSIGNED:
            raise self._unavailable(f"it answers with status {code}")
        return body

    def _exchange(
        self, method: str, path: str, body: bytes | None, max_bytes: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        deadline = self._clock.monotonic() + TIMEOUT_S
        with (
            self._errors(),
            self._session.request(
                method,
                self._url + path,
                data=body,
                headers={"Content-Type": "application/octet-stream"} if body else None,
                timeout=(_CONNECT_TIMEOUT_S, TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            data = bytearray()
            for piece in response.iter_content(_PIECE_BYTES):
                data += piece
                if len(data) > max_bytes:
                    raise self._unavailable("its answer is too long")
                if self._clock.monotonic() > deadline:
                    raise self._unavailable("its answer takes too long")
            return response.status_code, response.headers, bytes(data)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except StrongroomError:
            raise
        except OSError as error:  # all of requests' errors, and a CA file's
            raise self._unavailable(type(error).__name__) from error

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"the witness {self.name} cannot be asked: {why}",
            reason=Reason.WITNESS_UNAVAILABLE,
            hint=f"See that {self._url} is served; `strongroom-server witness serve`.",
            witness=self.name,
        )


_witness: type[Witness] = HttpWitness
