# SPDX-License-Identifier: Apache-2.0
"""The extensions of a backup, among what others put beside them.

Extensions take the first free number, so that true ones lie behind whatever was
planted before. Each true one is read once, and is there from then on; what is none is
read by and by: so many each time.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import backup_extension, backup_root, layout
from strongroom_server.core.backup_extension import MAX_EXTENSION_BYTES, Extension
from strongroom_server.core.backup_root import BackupRoot
from strongroom_server.core.signatures import PublicKey
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.signed_records import SignedRecords, is_plausible

#: So many extensions of one backup that are none are fetched at once, at most 32 MiB.
MAX_PLANTED: Final = 500
#: So many true ones are remembered, of all backups; some 1,000 bytes each.
MAX_KNOWN: Final = 20_000

_Known = Cache[tuple[str, str, str, frozenset[str]], Extension]


class SignedExtensions:
    """Reads the extensions of backups. Safe to use from many threads."""

    def __init__(self, signed: SignedRecords) -> None:
        self._signed = signed
        self._known: _Known = Cache(MAX_KNOWN)

    def read(
        self,
        items: Sequence[BlobVersion],
        root: BackupRoot,
        digest: str,
        keys: Mapping[str, PublicKey],
    ) -> tuple[tuple[Extension, ...], int]:
        """Return the extensions of a root, in order, and how many were not read yet.

        Args:
            items: What lies where they do, in order of key.
            root: Of the backup.
            digest: SHA-256 of the stored root, in hex.
            keys: The public keys of now, by their ids.

        Raises:
            UnavailableError: S3 cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        reading = _Reading(self._signed, self._known, root, digest, keys)
        doubted, unread_count = [], 0
        # The newest first: what was planted long ago does not hide what came since.
        for item in filter(_may_be_one, reversed(items)):
            if reading.find(item):
                continue
            if self._signed.is_refused(item, keys):
                if self._signed.refusal(item, keys) is None:
                    doubted.append(item)
            elif reading.planted_count < MAX_PLANTED:
                reading.read(item)
            else:
                unread_count += 1
        for item in doubted:  # With what is left, refusals are looked at again.
            if reading.planted_count >= MAX_PLANTED:
                break
            reading.read(item)
        found = sorted(reading.found, key=lambda extension: extension.extension)
        return tuple(found), unread_count


class _Reading:
    """One look at the extensions of a root.

    Attributes:
        found: Those that are signed, in no order.
        planted_count: How many were read that are none.
    """

    def __init__(
        self,
        signed: SignedRecords,
        known: _Known,
        root: BackupRoot,
        digest: str,
        keys: Mapping[str, PublicKey],
    ) -> None:
        self.found: list[Extension] = []
        self.planted_count = 0
        self._signed = signed
        self._known = known
        self._root = root
        self._digest = digest
        self._keys = keys
        self._key_ids = frozenset(keys)

    def find(self, item: BlobVersion) -> bool:
        """Add an extension that was read before; return whether it was."""
        known = self._known.get(self._place(item))
        if known is not None:
            self.found.append(known)
        return known is not None

    def read(self, item: BlobVersion) -> None:
        """Read what may be an extension; add it if it is one."""
        try:
            _, found = self._signed.read(
                item, self._keys, MAX_EXTENSION_BYTES, partial(self._verify, item.key)
            )
        except (IntegrityError, PreconditionError) as error:
            # Planted, or of a later release: nothing ends sooner without it.
            is_newer = error.reason is Reason.FORMAT_UNSUPPORTED
            if isinstance(error, PreconditionError) and not is_newer:
                raise
            self.planted_count += 1
        else:
            self.found.append(self._known.put(self._place(item), found, weight=1))

    def _verify(
        self, key: str, data: bytes, keys: Mapping[str, PublicKey]
    ) -> Extension:
        found = backup_extension.verify_extension(data, keys)
        says = (found.store, found.root, found.number, found.extension)
        if says != (self._root.store, self._digest, *(layout.backup_place(key) or ())):
            raise backup_root.root_error()
        return found

    def _place(self, item: BlobVersion) -> tuple[str, str, str, frozenset[str]]:
        return self._digest, item.key, item.version_id, self._key_ids


def _may_be_one(item: BlobVersion) -> bool:
    """Return whether something lies, and is as long, as an extension may be."""
    place = layout.backup_place(item.key)
    is_extension = place is not None and place[1] > 0
    return is_extension and is_plausible(item, MAX_EXTENSION_BYTES)
