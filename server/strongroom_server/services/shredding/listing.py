# SPDX-License-Identifier: Apache-2.0
"""What was shredded, as tombstones tell it: whatever a shredded project was called."""

from dataclasses import dataclass
from datetime import UTC, datetime

from strongroom.errors import IntegrityError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.tombstone import ShredOrder, Tombstone
from strongroom_server.repository.shreds import Shreds

#: After every tombstone's time.
_LATE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ShreddedRecord:
    """Something that was shredded, or is being shredded.

    Attributes:
        name: What it was; None if its tombstone's encrypted half is damaged.
        time: When that was decided.
        requester: Who asked for it; "" without a name.
        reason: Why; "" without a name.
        finished: Whether the receipt is written.
        kek: The KEK's name in Vault.
    """

    name: ProjectName | ArtifactName | None
    time: datetime
    requester: str
    reason: str
    finished: bool
    kek: str

    @property
    def project(self) -> ProjectName | None:
        """The project that it was, or was in."""
        if isinstance(self.name, ArtifactName):
            return ProjectName(self.name.project)
        return self.name


def list_shredded(shreds: Shreds) -> tuple[ShreddedRecord, ...]:
    """Return what was shredded, whichever server did it, the newest first.

    Raises:
        UnavailableError: S3 or Vault cannot be reached.
    """
    shreds.refresh()
    unfinished = {tombstone.prefix for tombstone in shreds.unfinished(_LATE)}
    found = [
        _record(shreds, item, finished=item.prefix not in unfinished)
        for item in shreds.known()
    ]
    return tuple(sorted(found, key=lambda item: item.time, reverse=True))


def _record(shreds: Shreds, tombstone: Tombstone, *, finished: bool) -> ShreddedRecord:
    name: ProjectName | ArtifactName | None = None
    requester = reason = ""
    try:
        order = shreds.order(tombstone)
    except IntegrityError:
        pass  # Dead all the same; only what it was cannot be told.
    else:
        name, requester, reason = _named(order), order.requester, order.reason
    return ShreddedRecord(
        name, tombstone.time, requester, reason, finished, tombstone.scope.kek
    )


def _named(order: ShredOrder) -> ProjectName | ArtifactName:
    if order.artifact:
        return ArtifactName(order.project, order.artifact)
    return ProjectName(order.project)
