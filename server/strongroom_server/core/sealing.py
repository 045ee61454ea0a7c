# SPDX-License-Identifier: Apache-2.0
"""Control objects: canonical JSON, encrypted and bound to the place it lies at.

Projects, manifests, index segments and journal bodies share this envelope:
a 48-byte clear header that says which key opens it, then one Cobblestone-256
message whose context is the header, the store and the object's location.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import canonical, cobblestone
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import CONTROL_SUITE, find_suite

#: magic, kind, format, suite, project, domain, epoch, zero: 48 bytes
HEADER: Final = struct.Struct(">4sBBH18s18s3ss")
MAGIC: Final = b"SRO1"
FORMAT: Final = 1


class ObjectKind(IntEnum):
    """What a control object holds; each kind has a key of its own."""

    PROJECT = 1
    JOURNAL = 2
    MANIFEST = 3
    INDEX = 4
    NAME = 5
    SWEEP = 6
    UPLOAD = 7
    REPAIR = 8
    AUDIT = 9
    APPROVAL = 10
    SHRED = 11
    DRILL = 12


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """The clear header of a control object."""

    kind: ObjectKind
    suite: int
    scope: Scope


def seal_object(
    keys: DomainKeys,
    kind: ObjectKind,
    location: str,
    body: object,
    *,
    salt: bytes,
) -> bytes:
    """Return the bytes of a control object. `salt`: 24 random bytes."""
    header = HEADER.pack(
        MAGIC,
        kind,
        FORMAT,
        CONTROL_SUITE.number,
        keys.scope.project,
        keys.scope.domain,
        keys.scope.epoch.to_bytes(3, "big"),
        b"\0",
    )
    message = cobblestone.encrypt(
        keys.object_key(kind.name.lower()),
        canonical.encode(body),
        context=_context(header, keys.scope, location),
        salt=salt,
        segment_bytes=CONTROL_SUITE.segment_bytes,
    )
    return header + message


def parse_object_header(data: bytes, store: bytes, kind: ObjectKind) -> ObjectHeader:
    """Read which key opens a control object.

    Raises:
        IntegrityError: It is no control object of this kind (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    if len(data) < HEADER.size:
        raise object_error(kind)
    magic, found, version, suite, project, domain, epoch, zero = HEADER.unpack_from(
        data
    )
    if magic != MAGIC or found != kind or zero != b"\0":
        raise object_error(kind)
    if version != FORMAT:
        raise PreconditionError(
            f"a {kind.name.lower()} object has format {version}; "
            f"this release reads format {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=version,
        )
    scope = Scope(store, project, domain, int.from_bytes(epoch, "big"))
    return ObjectHeader(kind, suite, scope)


def open_object(
    keys: DomainKeys, kind: ObjectKind, location: str, data: bytes, *, max_bytes: int
) -> dict[str, Any]:
    """Return the body of a control object.

    Raises:
        IntegrityError: It does not authenticate at this location under these
            keys (RECORD_CORRUPT).
    """
    header = parse_object_header(data, keys.scope.store, kind)
    if header.scope != keys.scope:
        raise object_error(kind)
    try:
        suite = find_suite(header.suite)
        plaintext = cobblestone.decrypt(
            keys.object_key(kind.name.lower()),
            memoryview(data)[HEADER.size :],
            context=_context(data[: HEADER.size], keys.scope, location),
            segment_bytes=suite.segment_bytes,
        )
        return canonical.decode_object(plaintext, max_bytes)
    except (cobblestone.DecryptError, ValueError) as error:
        raise object_error(kind) from error


def object_error(kind: ObjectKind) -> IntegrityError:
    """Return the error for a control object that is damaged."""
    return IntegrityError(
        f"a stored {kind.name.lower()} object is damaged",
        reason=Reason.RECORD_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
        kind=kind.name.lower(),
    )


def _context(header: bytes, scope: Scope, location: str) -> bytes:
    return header + scope.store + location.encode()
