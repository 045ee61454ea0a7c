# SPDX-License-Identifier: Apache-2.0
"""What a thief of one of our S3 credentials tries in a real backup bucket."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from strongroom.errors import Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3.locked import (
    S3LockAttempts,
    S3LockedBlobs,
    open_lock_attempts,
    open_locked,
)
from strongroom_server.dev.backup_store import BACKUP_SHREDDER, BACKUP_WRITER
from strongroom_server.dev.seaweed import ADMIN
from strongroom_server.ports import Lock, LockMode
from tests.security.attacks import Attack, Family, reasons
from tests.support.backup_weed import BackupWeed, running_backup_weed

LOCK_S: Final = 3600
DENIED: Final = reasons(Reason.STORE_ACCESS_DENIED)
SLOTS: Final = ("keys/d/0.0", "repairs/objects/keys/d/0.0/ab")
OTHERS: Final = (
    *("packs/ab/c", "manifests/ab/c", "journals/a/b/0", "backups/1/0", "audit/m/0"),
    *("projects/a", "shreds/a/tombstone-0", "repairs/objects/packs/ab/c", "keys.json"),
)

#: A version, by its key, id and lock.
Place = tuple[str, str, Lock]


class _Bucket:
    """The bucket, as each of its users."""

    def __init__(self, weed: BackupWeed, stack: ExitStack) -> None:
        clock = SystemClock()
        self.weed = weed
        self.blobs = stack.enter_context(open_locked(weed.settings(), clock))
        self.writer, self.shredder, self.admin = (
            stack.enter_context(open_lock_attempts(weed.settings(user), clock))
            for user in (BACKUP_WRITER, BACKUP_SHREDDER, ADMIN)
        )
        stranger = replace(weed.settings(), access_key="f" * 20, secret_key="nobody's")
        self.stranger: S3LockedBlobs = stack.enter_context(open_locked(stranger, clock))
        self.until_s = float(int(self.blobs.time_s()) + LOCK_S)

    def put(self, key: str, mode: LockMode) -> Place:
        lock = Lock(mode, self.until_s)
        return key, self.blobs.put_over(key, b"1", lock=lock), lock

    def places(
        self, keys: Sequence[str], modes: Sequence[LockMode] = tuple(LockMode)
    ) -> list[Place]:
        return [self.put(key, mode) for key in keys for mode in modes]


def _removals(who: S3LockAttempts, places: Sequence[Place]) -> list[Callable[[], None]]:
    return [
        partial(who.delete, key, version_id=version_id, may_bypass=may_bypass)
        for key, version_id, _ in places
        for may_bypass in (False, True)
    ]


def _weaker(who: S3LockAttempts, places: Sequence[Place]) -> list[Callable[[], None]]:
    tries: list[Callable[[], None]] = []
    for key, version_id, lock in places:
        locks = [replace(lock, until_s=lock.until_s - 60)]
        if lock.mode is LockMode.COMPLIANCE:
            locks.append(replace(lock, mode=LockMode.GOVERNANCE))
        tries += [
            partial(
                who.relock, key, version_id=version_id, lock=one, may_bypass=may_bypass
            )
            for one in locks
            for may_bypass in (False, True)
        ]
    return tries


def _hides(who: S3LockAttempts, keys: Sequence[str]) -> list[Callable[[], None]]:
    return [partial(who.delete, key) for key in keys]


def _attacks(bucket: _Bucket, *, thorough: bool) -> Iterator[Attack]:
    keys = (*SLOTS, *OTHERS) if thorough else (SLOTS[0], *OTHERS[:2])
    places = bucket.places(keys)
    writer, shredder, admin = bucket.writer, bucket.shredder, bucket.admin
    spare_key, spare, lock = bucket.put("packs/ff/spare", LockMode.GOVERNANCE)
    slot_key, slot, _ = bucket.put("keys/s/0.0", LockMode.GOVERNANCE)
    extended = partial(
        bucket.blobs.extend, spare_key, version_id=spare, until_s=lock.until_s + 60
    )
    removed = partial(admin.delete, spare_key, version_id=spare, may_bypass=True)
    shredded = partial(shredder.delete, slot_key, version_id=slot, may_bypass=True)
    yield Attack("the writer weakens a lock", DENIED, extended, _weaker(writer, places))
    yield Attack("the writer deletes", DENIED, removed, _removals(writer, places))
    yield Attack(
        "the writer hides objects under delete markers",
        DENIED,
        partial(admin.delete, "packs/ff/hidden"),
        _hides(writer, keys),
    )
    yield Attack(
        "the writer changes how the bucket is kept",
        DENIED,
        admin.keep_versions,
        [writer.keep_versions, shredder.keep_versions],
    )
    kept = [item for item in places if item[0] not in SLOTS]
    strict = [item for item in places if item[2].mode is LockMode.COMPLIANCE]
    yield Attack(
        "the shredder deletes what is no key slot, or is locked by compliance",
        DENIED,
        shredded,
        _removals(shredder, [*kept, *strict]),
    )
    yield Attack(
        "the shredder changes locks, and hides",
        DENIED,
        partial(bucket.blobs.check_ready),
        [*_weaker(shredder, places), *_hides(shredder, keys)],
    )
    yield Attack(
        "the bucket's administrator gets at compliance",
        DENIED,
        partial(bucket.blobs.check_ready),
        [*_removals(admin, strict), *_weaker(admin, strict)],
    )
    yield Attack(
        "a credential of another place reads and writes",
        DENIED,
        bucket.blobs.check_ready,
        [
            bucket.stranger.check_ready,
            partial(bucket.stranger.get, spare_key, version_id=spare, max_bytes=1),
            partial(bucket.stranger.put_over, spare_key, b"2", lock=lock),
        ],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[list[Attack]]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="own-"))
        weed = stack.enter_context(running_backup_weed(Path(folder)))
        yield list(_attacks(_Bucket(weed, stack), thorough=thorough))


FAMILY: Final = Family("locked backups", _opened, real=True)
