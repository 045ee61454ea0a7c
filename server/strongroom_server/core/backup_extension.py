# SPDX-License-Identifier: Apache-2.0
"""Extensions of backups: signed word that what was locked away stays for longer.

An extension lies beside the root that it names. It can hold a backup whatever its
date, and end that; a date of its own only adds to what others say: see `protection`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom_server.core import canonical, dsse
from strongroom_server.core.backup_root import BackupRoot, root_error
from strongroom_server.core.clear_fields import (
    body_of,
    number_of,
    second_of,
    sha256_of,
    show_time,
    store_of,
    time_of,
)
from strongroom_server.core.layout import MAX_BACKUP_NUMBER
from strongroom_server.core.signatures import PublicKey, Signature

EXTENSION_TYPE: Final = "application/vnd.strongroom.backup-extension.v1"
TYPE: Final = "backup-extension"
FORMAT: Final = 1
MAX_EXTENSION_BYTES: Final = 64 * 1024
_FIELDS: Final = frozenset(
    {
        "create_time", "extension", "format", "held", "number", "protected_until",
        "root", "store", "type",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extension:
    """What became of a backup's locks after it was made.

    Attributes:
        store: Of which store.
        number: Of the backup.
        root: SHA-256 of its root, in hex.
        extension: Which one it is, from 1.
        protected_until: Until when every object is locked now; whole seconds.
        create_time: When this was said.
        held: Whether a legal hold is on every object from now on; None: as before.
    """

    store: bytes
    number: int
    root: str
    extension: int
    protected_until: datetime
    create_time: datetime
    held: bool | None = None


def protection(
    root: BackupRoot, extensions: Iterable[Extension]
) -> tuple[datetime, bool]:
    """Return until when a backup is locked, and whether it is held.

    Args:
        root: Of the backup.
        extensions: Of this root, in order of their numbers.
    """
    until, is_held = root.protected_until, False
    for item in extensions:
        until = max(until, item.protected_until)
        is_held = is_held if item.held is None else item.held
    return until, is_held


def format_extension(extension: Extension) -> bytes:
    """Return the bytes of an extension that are signed, before DSSE's own encoding.

    Raises:
        IntegrityError: It says what no extension can say (RECORD_CORRUPT).
    """
    payload = canonical.encode(
        {
            "create_time": show_time(extension.create_time),
            "extension": extension.extension,
            "format": FORMAT,
            "held": extension.held,
            "number": extension.number,
            "protected_until": show_time(extension.protected_until),
            "root": extension.root,
            "store": extension.store.hex(),
            "type": TYPE,
        }
    )
    _parse_extension(payload)
    return payload


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(EXTENSION_TYPE, payload)


def seal_extension(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return an extension as it is stored."""
    return dsse.format_envelope(EXTENSION_TYPE, payload, signatures)


def verify_extension(data: bytes, keys: Mapping[str, PublicKey]) -> Extension:
    """Return what a stored extension says; otherwise as `verify_root`."""
    try:
        payload = dsse.open_envelope(
            data, EXTENSION_TYPE, keys, max_bytes=MAX_EXTENSION_BYTES
        )
    except ValueError as error:
        raise root_error() from error
    return _parse_extension(payload)


def _parse_extension(payload: bytes) -> Extension:
    try:
        body = body_of(
            payload,
            TYPE,
            _FIELDS,
            newest=FORMAT,
            max_bytes=MAX_EXTENSION_BYTES,
        )
        held = body["held"]
        if held is not None and type(held) is not bool:
            raise root_error()
        return Extension(
            store_of(body["store"]),
            number_of(body["number"], MAX_BACKUP_NUMBER),
            sha256_of(body["root"]),
            number_of(body["extension"], MAX_BACKUP_NUMBER),
            second_of(body["protected_until"]),
            time_of(body["create_time"]),
            held,
        )
    except ValueError as error:
        raise root_error() from error
