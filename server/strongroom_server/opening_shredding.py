# SPDX-License-Identifier: Apache-2.0
"""Opens what projects are shredded with, and what hears of it."""

from contextlib import ExitStack
from dataclasses import dataclass

from strongroom_server.adapters.s3 import open_remover as open_s3_remover
from strongroom_server.config import ServerSettings
from strongroom_server.opening import open_own_role, s3_settings
from strongroom_server.ports import Entropy, KeyService
from strongroom_server.repository.repository import Repository
from strongroom_server.services.shredding import (
    BackupSlots,
    Shredding,
    ShredSettings,
    ShredWatch,
)


@dataclass(frozen=True, slots=True)
class ShreddingParts:
    """Shredding: what does it, and what hears of it."""

    use_case: Shredding
    watch: ShredWatch


def open_shredding(
    settings: ServerSettings,
    repository: Repository,
    keys: KeyService,
    entropy: Entropy,
    stack: ExitStack,
    *,
    backup_slots: BackupSlots | None = None,
) -> ShreddingParts:
    """Open what projects are shredded with, as far as this server may; and the watch.

    Args:
        settings: The server's.
        repository: The store.
        keys: The server's own, to see that a KEK is gone.
        entropy: For tokens.
        stack: Ends what was opened.
        backup_slots: What removes key slots from backups, too, if it may.

    Raises:
        UnavailableError: It cannot be told what is dead already.
    """
    vault, clock = settings.vault, repository.clock
    role_id = vault.key_destroyer_role_id_file
    secret_id = vault.key_destroyer_secret_id_file
    destroyer = remover = None
    if role_id is not None and secret_id is not None:
        session = open_own_role(settings, (role_id, secret_id), clock, entropy, stack)
        destroyer = session.key_destroyer
    path = settings.store.shredder_credentials_file
    if path is not None:
        remover = stack.enter_context(
            open_s3_remover(s3_settings(settings, path), clock)
        )
    watch = ShredWatch(repository, interval_s=settings.store.shred_watch_s)
    stack.enter_context(watch.running())
    rules = ShredSettings(vault.snapshot_days, settings.grants.lifetime_s)
    shredding = Shredding(
        repository, keys, destroyer, remover, rules, backup_slots=backup_slots
    )
    return ShreddingParts(shredding, watch)
