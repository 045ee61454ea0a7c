# SPDX-License-Identifier: Apache-2.0
"""What a restore would do: bytes, objects, time, keys. Changes nothing."""

from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import islice
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    StrongroomError,
)
from strongroom_server.core import layout, slots, stored_objects
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.restore_records import (
    NeededKek,
    RestorePlan,
    Selection,
)
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    KeyService,
)
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.services.restoring.choosing import (
    chosen_rows,
    chosen_versions,
)
from strongroom_server.services.restoring.stores import (
    check_room,
    check_store_target,
    check_target,
)

#: Packs that are read, together, to see how fast that is.
_SAMPLE_PACKS: Final = 8
#: Where nothing could be measured.
_USUAL_BYTES_PER_S: Final = 50_000_000.0


def plan_folder(
    engine: BackupEngine,
    selection: Selection,
    *,
    key_service: KeyService,
    executor: Executor,
) -> RestorePlan:
    """Return what restoring to a folder would do; errors as `chosen_versions`."""
    versions = files = size = 0
    for chosen in chosen_versions(engine, selection, _pass_over):
        versions += 1
        files += chosen.version.file_count
        size += chosen.version.size_bytes
    return _plan(
        engine, key_service, executor, counts=(versions, files, size, 0, 0), left=size
    )


def plan_store(
    engine: BackupEngine,
    selection: Selection,
    target: BlobStore,
    *,
    key_service: KeyService,
    executor: Executor,
) -> RestorePlan:
    """Return what restoring into a bucket would do; errors as `StoreRestore.run`."""
    check_store_target(engine, selection)
    check_target(engine, target)
    is_chosen = chosen_rows(engine, selection, _pass_over)
    check_room(engine, is_chosen)
    there = _Merged(target.first_versions(""))
    objects = size = there_count = left = 0
    for row in engine.view.rows.after(""):
        if not is_chosen(row):
            continue
        objects += 1
        size += row.size_bytes
        if there.has(row):
            there_count += 1
        else:
            left += row.size_bytes
    versions = sum(1 for _ in chosen_versions(engine, selection, _pass_over))
    return _plan(
        engine,
        key_service,
        executor,
        counts=(versions, 0, size, objects, there_count),
        left=left,
    )


class _Merged:
    """A listing that is walked beside rows of the same order."""

    def __init__(self, listed: Iterator[BlobVersion]) -> None:
        self._listed = listed
        self._next = next(listed, None)

    def has(self, row: StoredObject) -> bool:
        """Return whether an object of a row's key and size is listed."""
        while self._next is not None and self._next.key < row.key:
            self._next = next(self._listed, None)
        item = self._next
        return item is not None and (item.key, item.size_bytes) == (
            row.key,
            row.size_bytes,
        )


def _plan(
    engine: BackupEngine,
    key_service: KeyService,
    executor: Executor,
    *,
    counts: tuple[int, int, int, int, int],
    left: int,
) -> RestorePlan:
    saved = engine.saved
    versions, files, size, objects, there = counts
    rate = _rate(engine, executor) if left else _USUAL_BYTES_PER_S
    return RestorePlan(
        backup=saved.number,
        root_digest=saved.root_digest,
        create_time=saved.root.create_time,
        recovery_point=saved.root.newest_commit_time,
        protected_until=saved.protected_until,
        is_held=saved.is_held,
        version_count=versions,
        file_count=files,
        size_bytes=size,
        object_count=objects,
        there_count=there,
        estimated_s=left / rate,
        keks=needed_keks(engine, key_service),
        is_part=not saved.root.is_whole,
    )


def _rate(engine: BackupEngine, executor: Executor) -> float:
    """Return at how many bytes a second some packs of the backup can be read."""
    rows = list(islice(engine.view.rows.after(layout.PACKS), _SAMPLE_PACKS))
    clock = engine.repository.clock

    def read(row: StoredObject) -> int:
        try:
            limit = stored_objects.max_bytes(row.key)
            data = engine.view.get(row.key, version_id=row.version_id, max_bytes=limit)
        except (IntegrityError, BlobNotFoundError):
            return 0  # The restore itself tells of damage.
        return len(data)

    start_s = clock.monotonic()
    size_bytes = sum(executor.map(read, rows))
    seconds = clock.monotonic() - start_s
    return size_bytes / seconds if size_bytes and seconds else _USUAL_BYTES_PER_S


def needed_keks(engine: BackupEngine, key_service: KeyService) -> tuple[NeededKek, ...]:
    """Return the KEKs that the backup's key slots name, and what Vault lacks of them.

    Raises:
        UnavailableError: Vault or the backup bucket cannot be reached.
    """
    versions: dict[str, set[int]] = {}
    domains: dict[str, set[bytes]] = {}
    for row in engine.view.rows.after(layout.KEYS):
        try:
            data = engine.view.get(
                row.key, version_id=row.version_id, max_bytes=slots.MAX_SLOT_BYTES
            )
            scope = stored_objects.slot_scope(data, row.key, engine.saved.root.store)
            slot = slots.parse_slot(data, scope)
        except (IntegrityError, BlobNotFoundError):
            continue  # Opening the domain tells.
        versions.setdefault(slot.kek, set()).add(slot.kek_version)
        domains.setdefault(slot.kek, set()).add(scope.domain)
    return tuple(
        NeededKek(
            kek,
            tuple(sorted(versions[kek])),
            len(domains[kek]),
            _problem(key_service, kek, max(versions[kek])),
        )
        for kek in sorted(versions)
    )


def _problem(key_service: KeyService, kek: str, version: int) -> str:
    try:
        state = key_service.kek_state(kek)
    except PreconditionError as error:
        return error.message
    if state.newest < version:
        return (
            f"Vault has it up to version {state.newest}, and the backup needs "
            f"{version}: restore a newer backup of Vault"
        )
    return ""


def _pass_over(_what: str, _error: StrongroomError) -> None:
    """Leave damage to the restore itself, which tells it."""
