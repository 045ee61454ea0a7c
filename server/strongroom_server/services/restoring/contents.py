# SPDX-License-Identifier: Apache-2.0
"""What a backup holds, by name: what people choose from before they restore."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from strongroom_server.core.restore_records import Selection
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.services.restoring.choosing import Damage, chosen_versions


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """A version that a backup can give back.

    Attributes:
        name: `project/artifact@number`.
        digest: Of its content.
        create_time: When it was committed.
        actor: By whom.
        message: What they said.
        file_count: Its files.
        size_bytes: Their bytes.
        refs: What pointed at it in the backup, `latest` first.
    """

    name: str
    digest: str
    create_time: datetime
    actor: str
    message: str
    file_count: int
    size_bytes: int
    refs: tuple[str, ...]


def held_versions(
    engine: BackupEngine, selection: Selection, damage: Damage
) -> Iterator[HeldVersion]:
    """Yield what can be restored of a backup, as far as Vault's keys show names.

    Args:
        engine: The backup.
        selection: What of it.
        damage: Told what cannot be shown, where not everything hangs on it.

    Raises:
        NotFoundError: The backup has no such thing.
        IntegrityError: What was asked for by name is damaged.
    """
    for chosen in chosen_versions(engine, selection, damage):
        version = chosen.version
        yield HeldVersion(
            chosen.told,
            version.digest,
            version.info.time,
            version.info.actor,
            version.message,
            version.file_count,
            version.size_bytes,
            chosen.artifact.history.refs_at(version.version),
        )
