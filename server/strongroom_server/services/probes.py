# SPDX-License-Identifier: Apache-2.0
"""The store probe: what the bucket really enforces, found out with real requests.

S3-compatible stores differ. A store that fails a check would lose or rewind data
one day, so the server refuses it and names the check.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core.records import CheckResult
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    Clock,
    Entropy,
)
from strongroom_server.repository.probing import Check, run_checks, unsuitable

_RACERS: Final = 8
_SIZE: Final = 3000
#: Signatures are refused at 15 minutes; long before that, times mislead people.
MAX_SKEW_S: Final = 300.0
CLOCK: Final = "store.clock"


class StoreProbe:
    """Proves what the repository relies on. Writes below `probe/` only."""

    def __init__(
        self, *, blobs: BlobStore, clock: Clock, entropy: Entropy, executor: Executor
    ) -> None:
        self._blobs = blobs
        self._clock = clock
        self._entropy = entropy
        self._executor = executor

    def run(self) -> tuple[CheckResult, ...]:
        """Run every check; a failed one does not stop the others."""
        return tuple(result for result, _ in self._results())

    def require(self) -> None:
        """Check that the store keeps every promise.

        Raises:
            PreconditionError: It does not; names the check (STORE_UNSUITABLE).
            UnavailableError: It cannot be asked (STORE_UNAVAILABLE).
        """
        for result, cause in self._results():
            if isinstance(cause, UnavailableError):
                raise cause
            # Nothing but what people read off times rests on a clock.
            if not result.ok and result.check != CLOCK:
                raise PreconditionError(
                    f"the store fails check {result.check}: {result.detail}",
                    reason=Reason.STORE_UNSUITABLE,
                    hint=result.hint,
                    check=result.check,
                )

    def _results(self) -> Iterator[tuple[CheckResult, StrongroomError | None]]:
        checks: list[Check] = [
            ("store.versioning", self._versioning, "Enable versioning on the bucket."),
            ("store.conditional_write", self._conditional_write, _OTHER_STORE),
            ("store.conditional_race", self._conditional_race, _OTHER_STORE),
            ("store.pinned_read", self._pinned_read, _OTHER_STORE),
            ("store.exact_range", self._exact_range, _OTHER_STORE),
            ("store.listing", self._listing, _OTHER_STORE),
            (CLOCK, self._clock_agrees, "Mend the clock that is wrong (NTP)."),
        ]
        return run_checks(checks, self._entropy)

    def _versioning(self, key: str) -> str:
        version = self._blobs.put_new(key, b"1")
        if version in {"", "null"}:
            raise unsuitable("a write gets no version id")
        return "every write gets a version id"

    def _conditional_write(self, key: str) -> str:
        self._blobs.put_new(key, b"first")
        try:
            self._blobs.put_new(key, b"second")
        except BlobExistsError:
            return "a second write under a key is refused"
        raise unsuitable("a second write under a key is let through")

    def _conditional_race(self, key: str) -> str:
        futures = [
            self._executor.submit(self._try_put, key, b"%d" % racer)
            for racer in range(_RACERS)
        ]
        winners = sum(future.result() for future in futures)
        if winners != 1:
            raise unsuitable(f"{winners} of {_RACERS} concurrent writes won")
        return f"one of {_RACERS} concurrent writes won"

    def _pinned_read(self, key: str) -> str:
        data = self._entropy.token_bytes(_SIZE)
        version = self._blobs.put_new(key, data)
        found = self._blobs.get(key, version_id=version, max_bytes=_SIZE)
        if hashlib.sha256(found).digest() != hashlib.sha256(data).digest():
            raise unsuitable("a version reads back with other bytes")
        return "a version reads back by its id"

    def _exact_range(self, key: str) -> str:
        data = self._entropy.token_bytes(_SIZE)
        version = self._blobs.put_new(key, data)
        buffer = bytearray(1000)
        self._blobs.read_into(
            key, version_id=version, offset_bytes=777, buffer=memoryview(buffer)
        )
        if bytes(buffer) != data[777:1777]:
            raise unsuitable("a range reads other bytes than it names")
        try:
            self._blobs.read_into(
                key,
                version_id=version,
                offset_bytes=_SIZE - 10,
                buffer=memoryview(buffer),
            )
        except (BlobNotFoundError, IntegrityError):
            return "ranges are exact"
        raise unsuitable("a range past the end reads bytes")

    def _listing(self, key: str) -> str:
        written = [
            (f"{key}/{number}", self._blobs.put_new(f"{key}/{number}", b"x"))
            for number in range(3)
        ]
        if self._listed(f"{key}/") != written:
            raise unsuitable("a listing does not show what was just written")
        if self._listed(f"{key}/", start_after=written[0][0]) != written[1:]:
            raise unsuitable("a listing does not begin behind the key it is given")
        folder = f"{key}/"
        if list(self._blobs.subfolders(key)) != [folder]:
            raise unsuitable("a listing does not tell folders")
        return "a listing shows what was just written, from any key on"

    def _listed(self, prefix: str, start_after: str = "") -> list[tuple[str, str]]:
        found = self._blobs.first_versions(prefix, start_after=start_after)
        return [(item.key, item.version_id) for item in found]

    def _clock_agrees(self, _key: str) -> str:
        skew_s = self._blobs.time_s() - self._clock.now().timestamp()
        if abs(skew_s) > MAX_SKEW_S:
            raise unsuitable(
                f"its clock is {abs(skew_s):.0f} seconds "
                f"{'ahead of' if skew_s > 0 else 'behind'} this server's"
            )
        return f"its clock and this server's are {abs(skew_s):.1f} seconds apart"

    def _try_put(self, key: str, data: bytes) -> bool:
        try:
            self._blobs.put_new(key, data)
        except BlobExistsError:
            return False
        return True


_OTHER_STORE: Final = "Use a store that passes; docs/operations.md lists them."
