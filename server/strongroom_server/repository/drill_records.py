# SPDX-License-Identifier: Apache-2.0
"""Reports of drills as stored: numbered, encrypted, believed by their signatures.

Whoever may write to the bucket may plant an object at any number. It is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core import canonical, drill_report, layout
from strongroom_server.core.drill import DrillReport
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.ports import BlobNotFoundError, BlobStore, Signer
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import first_version, put_numbered

#: Numbers that are tried when others are taken.
_MAX_TRIES: Final = 1000
#: What encryption adds to a report, and to spare.
_MAX_STORED_BYTES: Final = drill_report.MAX_REPORT_BYTES + 4096
#: A number beyond is nobody's: one at the greatest would leave room for no other.
MAX_DRILL_NUMBER: Final = 10**9


@dataclass(frozen=True, slots=True)
class SavedDrill:
    """A report that is kept.

    Attributes:
        report: What it says.
        data: The signed report itself, to be handed out.
    """

    report: DrillReport
    data: bytes


class DrillRecords:
    """Reads and writes reports. Safe to use from many threads."""

    def __init__(self, blobs: BlobStore, keyring: Keyring, signer: Signer) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._signer = signer

    def numbers(self, *, after: int = 0) -> list[int]:
        """Return the numbers behind one at which something lies, ascending.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        start_after = layout.drill_key(after) if after else ""
        found = [
            layout.drill_number(item.key)
            for item in self._blobs.first_versions(
                layout.DRILLS, start_after=start_after
            )
        ]
        return [number for number in found if after < number <= MAX_DRILL_NUMBER]

    def load(self, number: int) -> SavedDrill:
        """Return a report, checked.

        Raises:
            NotFoundError: There is none (DRILL_NOT_FOUND).
            IntegrityError: What lies there is damaged, or none of ours
                (RECORD_CORRUPT, SIGNATURE_INVALID).
            UnavailableError: S3 or Vault cannot be reached.
        """
        key = layout.drill_key(number)
        item = first_version(self._blobs, key)
        if item is None:
            raise _not_found(number)
        try:
            sealed = self._blobs.get(
                key, version_id=item.version_id, max_bytes=_MAX_STORED_BYTES
            )
        except BlobNotFoundError as error:
            raise _not_found(number) from error
        data = self._open(key, sealed)
        report = drill_report.verify_report(data, self._signer.public_keys())
        if report.number != number or report.store != self._keyring.store:
            raise drill_report.report_error()
        return SavedDrill(report, data)

    def newest(self, *, before: int = MAX_DRILL_NUMBER + 1) -> Iterator[SavedDrill]:
        """Yield reports, the newest first; what is none of ours is passed over.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        for number in reversed(self.numbers()):
            if number >= before:
                continue
            try:
                yield self.load(number)
            except (IntegrityError, NotFoundError):
                continue  # Planted, or damaged; verification tells about it.
            except PreconditionError as error:
                if error.reason is not Reason.FORMAT_UNSUPPORTED:
                    raise

    def write(self, report: DrillReport) -> SavedDrill:
        """Number, sign and store a report; return it as it was stored.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        newest = next(self.newest(), None)
        first = newest.report.number + 1 if newest is not None else 1
        taken = set(self.numbers(after=first - 1))
        free = (number for number in range(first, MAX_DRILL_NUMBER + 1))
        for number in (number for number in free if number not in taken):
            if number - first > _MAX_TRIES:
                break
            payload = drill_report.format_payload(replace(report, number=number))
            signatures = self._signer.sign(drill_report.signing_input(payload))
            data = drill_report.format_report(payload, signatures)
            key = layout.drill_key(number)
            if put_numbered(self._blobs, key, self._seal(key, data)):
                return SavedDrill(drill_report.parse_payload(payload), data)
        raise UnavailableError(
            f"{_MAX_TRIES} objects below {layout.DRILLS} are in the way",
            hint="Find out who else writes to the bucket.",
        )

    def _seal(self, key: str, data: bytes) -> bytes:
        return seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.DRILL,
            key,
            canonical.decode_object(data, drill_report.MAX_REPORT_BYTES),
            salt=self._keyring.salt(),
        )

    def _open(self, key: str, sealed: bytes) -> bytes:
        body = self._keyring.open_object(
            self._keyring.open_store_domain(),
            ObjectKind.DRILL,
            key,
            sealed,
            max_bytes=drill_report.MAX_REPORT_BYTES,
        )
        return canonical.encode(body)


def _not_found(number: int) -> NotFoundError:
    return NotFoundError(
        f"there is no drill {number}",
        reason=Reason.DRILL_NOT_FOUND,
        hint="See `strongroom drill ls`.",
        drill=number,
    )
