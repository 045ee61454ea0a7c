# SPDX-License-Identifier: Apache-2.0
"""Which epochs of a key domain were begun, as Vault remembers it.

An epoch is begun because a master key may have leaked. Its slots lie in the bucket,
and whoever may delete there could take them away, so that the leaked key is used
again. So each begun epoch has a mark where nobody deletes: a key in Vault that does
nothing, and whose name says the epoch.
"""

from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.scope import MAX_EPOCH, Scope, format_id
from strongroom_server.ports import KeyService
from strongroom_server.repository.cache import Cache

#: Marks are never taken back, so what is known of so many domains stays true.
_REMEMBERED: Final = 10_000


class EpochMarks:
    """Sets and finds the marks of epochs. Safe to use from many threads."""

    def __init__(self, key_service: KeyService) -> None:
        self._key_service = key_service
        self._known: Cache[str, int] = Cache(_REMEMBERED)

    def newest(self, scope: Scope) -> int:
        """Return the newest epoch of a domain that is marked; 0 if none is.

        Marks are without gaps; one request to Vault for each that is not known yet,
        and one more.

        Raises:
            UnavailableError: Vault cannot be reached.
            PreconditionError: Vault refuses.
        """
        known = epoch = self._known.get(scope.kek) or 0
        while epoch < MAX_EPOCH and self._is_marked(scope.at_epoch(epoch + 1)):
            epoch += 1
        if epoch > known:
            self._keep(scope, epoch)
        return epoch

    def mark(self, scope: Scope, *, after: int) -> None:
        """Mark a scope's epoch, and those since `after`; errors as `newest`.

        The newest first: whoever is killed in between has marked nothing, since a
        mark counts only if there is one of each epoch before it.
        """
        for epoch in range(scope.epoch, after, -1):
            self._key_service.create_kek(scope.at_epoch(epoch).epoch_mark)
        self._keep(scope, scope.epoch)

    def _is_marked(self, scope: Scope) -> bool:
        try:
            self._key_service.kek_state(scope.epoch_mark)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            return False
        return True

    def _keep(self, scope: Scope, epoch: int) -> None:
        self._known.put(scope.kek, epoch, weight=1, unless=lambda kept: kept > epoch)


def epoch_lost(scope: Scope, error: IntegrityError) -> IntegrityError:
    """Return the error for an epoch that was begun and of which no slot opens."""
    domain = format_id(scope.domain)
    return IntegrityError(
        f"epoch {scope.epoch} of domain {domain} was begun, and its key slots are "
        "gone or damaged",
        reason=error.reason,
        hint="Restore the objects below keys/ from a backup; find out who deleted "
        "them. If they are gone for good, as are the artifacts written to under them: "
        f"`strongroom keys epoch PROJECT --after {scope.epoch}`.",
        domain=domain,
        epoch=scope.epoch,
    )
