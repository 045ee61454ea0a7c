# SPDX-License-Identifier: Apache-2.0
"""The key slots of what is dead, in the backup bucket: removed there, too.

They are locked by governance, so that a credential of its own may remove them and
nothing else there. It is not what kills: no key opens them any more. So a backup
bucket that cannot be reached keeps nobody from shredding.
"""

from collections.abc import Sequence
from typing import Final

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.core.scope import Scope
from strongroom_server.core.shred_receipt import InBackups
from strongroom_server.ports import BlobRemover, BlobVersion, LockedBlobs
from strongroom_server.services.shredding.previews import slot_prefixes

#: Somebody who writes slots while they are removed is not followed for ever.
_MAX_PASSES: Final = 10
#: Over all of them: a backup under way may put what it had read into the first, while
#: the last are removed.
_LOOKS: Final = 2


class BackupSlots:
    """Removes key slots from the backup bucket. Safe to use from many threads.

    Args:
        bucket: Where they are listed.
        remover: With the credential of the backup's shredder.
    """

    def __init__(self, bucket: LockedBlobs, remover: BlobRemover) -> None:
        self._bucket = bucket
        self._remover = remover

    def remove(self, scopes: Sequence[Scope]) -> InBackups:
        """Remove every version of every slot of these domains, as far as it goes.

        For slots that the store has lost by now; backups would copy others again.
        """
        removed, locked = set[str](), set[str]()
        problem = ""
        try:
            for _ in range(_LOOKS):
                for scope in scopes:
                    for prefix in slot_prefixes(scope):
                        self._empty(prefix, removed, locked)
        except (PreconditionError, UnavailableError) as error:
            problem = error.message
        gone = removed - locked
        return InBackups(tuple(sorted(gone)), tuple(sorted(locked)), problem)

    def _empty(self, prefix: str, removed: set[str], locked: set[str]) -> None:
        for _ in range(_MAX_PASSES):
            left = [
                item for item in self._bucket.versions(prefix) if item.key not in locked
            ]
            if not left:
                return
            for item in left:
                done = removed if self._removed(item) else locked
                done.add(item.key)
        locked |= {item.key for item in self._bucket.versions(prefix)}

    def _removed(self, item: BlobVersion) -> bool:
        """Remove a version; return False if it is held, or that is not allowed."""
        try:
            self._remover.remove(item.key, version_id=item.version_id)
        except PreconditionError as error:
            if error.reason is not Reason.STORE_ACCESS_DENIED:
                raise
            return False
        return True
