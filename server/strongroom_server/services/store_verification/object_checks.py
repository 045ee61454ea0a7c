# SPDX-License-Identifier: Apache-2.0
"""Checking stored objects one by one, and mending those that a copy has whole."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.relocation import parse_relocations
from strongroom_server.core.sealing import (
    ObjectKind,
    object_error,
    open_object,
    parse_object_header,
)
from strongroom_server.core.stored_objects import (
    MANIFESTS,
    PACKS,
    ChainLink,
    digest_name,
)
from strongroom_server.ports import BlobNotFoundError, BlobVersion
from strongroom_server.repository.copies import Copies
from strongroom_server.repository.mended import MendedPacks
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.store import parse_store

#: Objects that are read ahead of what is being judged.
AHEAD: Final = 4
#: What a domain without its KEK, or an object that rot made look newer, is to a
#: verification: damage.
_DAMAGE: Final = frozenset(
    {Reason.FORMAT_UNSUPPORTED, Reason.KEK_MISSING, Reason.KEK_ACCESS_DENIED}
)
_SEALED: Final = {
    "index/": ObjectKind.INDEX,
    layout.UPLOADS: ObjectKind.UPLOAD,
    layout.SWEEP: ObjectKind.SWEEP,
    layout.REPAIRS: ObjectKind.REPAIR,
    layout.DRILLS: ObjectKind.DRILL,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one object.

    Attributes:
        key: Its key.
        size_bytes: How many bytes were read for it.
        error: What is wrong with it; None if it is whole, or was mended before.
        repaired: Whether it was mended now.
        mended: Whether it is a pack that was mended before, chunk by chunk.
        link: Its place in its chain, if it is a journal entry, or a sweep record,
            that can be read.
    """

    key: str
    size_bytes: int
    error: IntegrityError | None = None
    repaired: bool = False
    mended: bool = False
    link: ChainLink | None = None


class ObjectChecks:
    """Says whether stored objects are what they were. Safe to use from many threads."""

    def __init__(
        self, repository: Repository, copies: Copies | None, *, with_keys: bool
    ) -> None:
        """`copies` are what is mended from; nothing is mended without."""
        self._repository = repository
        self._copies = copies
        self._with_keys = with_keys
        self._mended = MendedPacks(repository)
        self._store = repository.keyring.store

    def is_opaque(self, key: str) -> bool:
        """Return whether a link of a chain cannot be read: sweep records, keyless."""
        return key.startswith(layout.SWEEP) and not self._with_keys

    def check_all(self, items: Iterator[BlobVersion]) -> Iterator[Checked]:
        """Check objects, a few at a time; yield what became of each, in order.

        Raises:
            UnavailableError: S3, Vault or a copy cannot be reached.
        """
        budget, executor = self._repository.read_budget, self._repository.executor
        ahead: deque[tuple[Future[Checked], int]] = deque()
        try:
            for item in items:
                size = min(item.size_bytes, stored_objects.max_bytes(item.key))
                while ahead and (len(ahead) == AHEAD or not budget.try_take(size)):
                    yield _next(ahead, budget.give_back)
                if ahead or budget.try_take(size):
                    ahead.append((executor.submit(self.check, item), size))
                else:  # Others hold everything: go on alone.
                    yield self.check(item)
            while ahead:
                yield _next(ahead, budget.give_back)
        finally:
            for future, size in ahead:
                future.cancel()
                budget.give_back(size)

    def check(
        self, item: BlobVersion, *, if_gone: IntegrityError | None = None
    ) -> Checked:
        """Check one object, and mend it if it is damaged and a copy has it whole.

        Args:
            item: The object; it may be gone since it was listed.
            if_gone: What that means, if something points at it.
        """
        limit = stored_objects.max_bytes(item.key)
        data = b""
        try:
            data = self._repository.blobs.get(
                item.key, version_id=item.version_id, max_bytes=limit
            )
            return Checked(item.key, len(data), link=self.judge(item.key, data))
        except BlobNotFoundError:
            if if_gone is None:  # A sweep is at work.
                return Checked(item.key, 0)
            return self.recover(item.key, if_gone)
        except IntegrityError as error:
            if item.key.startswith(stored_objects.CHAINED):
                # What belongs there is told by its neighbours only: see `Chains`.
                return Checked(item.key, len(data), error)
            checked = self.recover(item.key, error, size_bytes=len(data))
            return self._with_statement(checked, data)

    def recover(self, key: str, error: IntegrityError, size_bytes: int = 0) -> Checked:
        """Return what becomes of an object that is damaged or gone.

        Whole, if it was mended before; else mended now, if that can be done. Not
        for links of chains: see `Chains`, which mends what copies of them are of.
        """
        original = _original(key)
        judge = partial(self.judge, original)
        limit = stored_objects.max_bytes(original)
        for data in self.twins(key):
            size_bytes += len(data)
            try:
                return Checked(key, size_bytes, link=judge(data))
            except IntegrityError:
                continue
        is_link = original.startswith(stored_objects.CHAINED)
        if self._copies is not None and not is_link:
            found = self._copies.find(original, max_bytes=limit, check=judge)
            if found is not None:
                self._repository.repairs.add_copy(original, found)
                return Checked(key, size_bytes, error, repaired=True, link=judge(found))
        return Checked(key, size_bytes, error)

    def _with_statement(self, checked: Checked, data: bytes) -> Checked:
        """Return what becomes of an object, once what was stated of it is heard."""
        if checked.error is None or checked.repaired or not data:
            return checked
        name = digest_name(checked.key) if checked.key.startswith(PACKS) else ""
        mended = bool(name) and self._mended.is_mended(name, data)
        return replace(checked, mended=mended)

    def twins(self, key: str) -> Iterator[bytes]:
        """Yield what else holds the bytes of an object: copies of it, or its origin."""
        original = _original(key)
        limit = stored_objects.max_bytes(original)
        if original != key:
            for item in self._repository.blobs.first_versions(original):
                if item.key == original and item.size_bytes <= limit:
                    yield self._repository.blobs.get(
                        original, version_id=item.version_id, max_bytes=limit
                    )
        yield from self._repository.repairs.copies(original, max_bytes=limit)

    def judge(self, key: str, data: bytes) -> ChainLink | None:
        """Check bytes against their key; return their link, if they are one's.

        A sweep record's is known with keys only.

        Raises:
            IntegrityError: They are not what was stored there.
        """
        try:
            return self._judge(key, data)
        except PreconditionError as error:
            if error.reason is Reason.KEY_SHREDDED:
                # What can be told without keys was in order; nobody can tell more.
                return None
            if error.reason not in _DAMAGE:
                raise
            raise IntegrityError(
                error.message, reason=error.reason, hint=error.hint
            ) from error

    def _judge(self, key: str, data: bytes) -> ChainLink | None:
        folder = key[: key.find("/") + 1]
        if key.startswith(layout.REPAIRED_OBJECTS):
            original = layout.copied_key(key)
            return None if original.startswith(folder) else self._judge(original, data)
        if key.startswith(layout.MENDED):
            self._repository.repairs.statement(key, data)
            return None
        if folder == layout.JOURNALS:
            keys = self._repository.journals.public_keys()
            return stored_objects.check_entry(data, key, self._store, keys)
        judges: dict[str, Callable[[str, bytes], object]] = {
            "": self._judge_store,
            layout.KEYS: self._judge_slot,
            layout.PROJECTS: self._judge_project,
            MANIFESTS: self._judge_digest,
            PACKS: self._judge_digest,
            layout.SHREDS: self._repository.shreds.check_stored,
            layout.RELOCATIONS: lambda _key, found: parse_relocations(found),
            **dict.fromkeys(_SEALED, self._judge_sealed),
        }
        if folder in judges:
            judges[folder](key, data)
        if folder == layout.SWEEP and self._with_keys:
            body = self._open(ObjectKind.SWEEP, key, data)
            return stored_objects.record_link(data, key, body)
        return None

    def _judge_store(self, key: str, data: bytes) -> None:
        if key == layout.STORE and parse_store(data) != self._store:
            raise IntegrityError(
                "strongroom.json names another store", reason=Reason.RECORD_CORRUPT
            )

    def _judge_slot(self, key: str, data: bytes) -> None:
        scope = stored_objects.slot_scope(data, key, self._store)
        if self._with_keys:
            self._repository.keyring.check_slot(scope, data)

    def _judge_project(self, key: str, data: bytes) -> None:
        stored_objects.check_project(data, key, self._store)
        if self._with_keys:
            self._open(ObjectKind.PROJECT, key, data)

    def _judge_digest(self, key: str, data: bytes) -> None:
        name = digest_name(key)
        if name and key.startswith(PACKS):
            stored_objects.check_pack(data, name, self._store)
        elif name:
            stored_objects.check_manifest(data, name, self._store)

    def _judge_sealed(self, key: str, data: bytes) -> None:
        kind = _SEALED[key[: key.find("/") + 1]]
        parse_object_header(data, self._store, kind)
        if self._with_keys and kind is not ObjectKind.SWEEP:
            self._open(kind, key, data)

    def _open(self, kind: ObjectKind, key: str, data: bytes) -> dict[str, Any]:
        header = parse_object_header(data, self._store, kind)
        limit = stored_objects.max_bytes(key)
        try:
            keys = self._repository.keyring.open(header.scope)
        except IntegrityError as error:
            # The header is not authentic yet, so it is not the slot that is blamed.
            raise object_error(kind) from error
        return open_object(keys, kind, key, data, max_bytes=limit)


def retold(error: IntegrityError) -> IntegrityError:
    """Return an error that says the same and may be kept.

    One that was raised holds on to whatever its frames held: a whole pack each.
    """
    return IntegrityError(
        error.message, reason=error.reason, hint=error.hint, **error.metadata
    )


def _next(
    ahead: deque[tuple[Future[Checked], int]], give_back: Callable[[int], None]
) -> Checked:
    future, size = ahead[0]
    checked = future.result()
    ahead.popleft()
    give_back(size)
    return checked


def _original(key: str) -> str:
    """Return the key of the object that an object is, or is a copy of."""
    is_copy = key.startswith(layout.REPAIRED_OBJECTS)
    return layout.copied_key(key) if is_copy else key
