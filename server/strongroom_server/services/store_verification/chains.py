# SPDX-License-Identifier: Apache-2.0
"""Mending links of chains: journal entries and sweep records.

A valid signature, or a seal, tells only that some server of this store wrote an
object, and a copy of the store on which somebody ran a server has others under the
same keys. What belongs at a number is told by what follows it, by what this server
has verified before, or, where nothing tells, by all copies alike.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.stored_objects import ChainLink
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, BlobVersion
from strongroom_server.repository.copies import Copies
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.repository import Repository
from strongroom_server.services.store_verification.object_checks import (
    Checked,
    ObjectChecks,
)

#: Links behind a damaged one that are looked at for one that can be read.
MAX_RUN: Final = 1000


@dataclass(frozen=True, slots=True)
class _Fit:
    """What a link's bytes must be to belong where they are put.

    Attributes:
        key: Where.
        prev: What they have to name as the link before; None if it is not known.
        digest: Their own digest; None if nothing tells.
    """

    key: str
    prev: bytes | None
    digest: bytes | None


class Chains:
    """Says which bytes belong at a place of a chain. Used by one thread."""

    def __init__(
        self, repository: Repository, checks: ObjectChecks, copies: Copies | None
    ) -> None:
        """`copies` are what is mended from; nothing is mended without."""
        self._repository = repository
        self._checks = checks
        self._copies = copies
        self._digests: dict[str, bytes | None] = {}

    def mend(self, checked: Checked, *, prev: bytes | None) -> Checked:
        """Return what becomes of a link that is damaged.

        Whole, if it was mended before; else mended now, beside it, if that can be.

        Args:
            checked: What was found.
            prev: The digest of the link before, if that is known.
        """
        if checked.error is None:
            return checked
        key, size_bytes = checked.key, checked.size_bytes
        if self._checks.is_opaque(key):
            return self._checks.recover(key, checked.error, size_bytes)
        fit = _Fit(key, prev, self._digest_at(key))
        found = self._only(fit, self._checks.twins(key))
        if found is not None:
            return Checked(key, size_bytes, link=found[1])
        found = self._only(fit, self._sources(key))
        if found is None:
            return checked
        self._repository.repairs.add_copy(key, found[0])
        return Checked(key, size_bytes, checked.error, repaired=True, link=found[1])

    def restore(
        self, key: str, gone: IntegrityError, *, prev: bytes | None, may_agree: bool
    ) -> Checked:
        """Put a link back that is gone: it is read by key, and nothing lies there.

        That cannot be undone, so only if it is known which bytes lay there.

        Args:
            key: Where.
            gone: What that means.
            prev: The digest of the link before, if that is known.
            may_agree: Whether it is enough, if nothing follows, that all copies
                agree: a sweep record condemns, and never removes by itself.
        """
        digest = self._digest_at(key)
        found = None
        if digest is not None or may_agree:
            found = self._only(_Fit(key, prev, digest), self._sources(key))
        if found is None:
            return Checked(key, 0, gone)
        # If another server was first, it judged by the same rules.
        with contextlib.suppress(BlobExistsError):
            self._repository.blobs.put_new(key, found[0])
        return Checked(key, len(found[0]), gone, repaired=True, link=found[1])

    def _only(
        self, fit: _Fit, candidates: Iterator[bytes]
    ) -> tuple[bytes, ChainLink] | None:
        """Return what fits: the first, if its digest is known; else the only one."""
        found: dict[bytes, tuple[bytes, ChainLink]] = {}
        for data in candidates:
            try:
                link = self._checks.judge(fit.key, data)
            except IntegrityError:
                continue
            if link is None or fit.prev not in {None, link.prev}:
                continue
            if fit.digest is None:
                found[link.digest] = data, link
            elif fit.digest == link.digest:
                return data, link
        return next(iter(found.values())) if len(found) == 1 else None

    def _sources(self, key: str) -> Iterator[bytes]:
        """Yield what may be put at a key: of this server's memory, and of copies."""
        if self._copies is None:
            return
        place = self._entry(key)
        if place is not None:
            remembered = self._repository.journals.remembered(*place)
            if remembered is not None:
                yield remembered
        limit = stored_objects.max_bytes(key)
        yield from self._copies.each(key, max_bytes=limit)

    def _digest_at(self, key: str) -> bytes | None:
        """Return the digest that a link had; None if nothing tells."""
        if key not in self._digests:
            self._digests.clear()  # of another run of damaged links, now passed
            self._learn(key)
        return self._digests[key]

    def _learn(self, key: str) -> None:
        """Learn the digests from here to the next link that can be read."""
        prefix, first = key[: key.rfind("/") + 1], stored_objects.link_number(key)
        last, digest = first, None
        for item in self._repository.blobs.first_versions(prefix, start_after=key):
            number = stored_objects.link_number(item.key)
            if not first < number <= first + MAX_RUN:
                break
            link = self._read(item)
            if link is not None:
                last, digest = number - 1, link.prev
                break
            last = number
        for number in range(last, first - 1, -1):
            at = f"{prefix}{number:0{layout.NUMBER_DIGITS}d}"
            digest = digest or self._remembered_digest(at)
            self._digests[at] = digest
            if number > first:
                digest = self._prev_of(_Fit(at, None, digest))

    def _prev_of(self, fit: _Fit) -> bytes | None:
        """Return what a damaged link names as the one before it."""
        found = self._only(fit, self._checks.twins(fit.key))
        found = found or self._only(fit, self._sources(fit.key))
        return found[1].prev if found is not None else None

    def _read(self, item: BlobVersion) -> ChainLink | None:
        limit = stored_objects.max_bytes(item.key)
        try:
            data = self._repository.blobs.get(
                item.key, version_id=item.version_id, max_bytes=limit
            )
            return self._checks.judge(item.key, data)
        except (BlobNotFoundError, IntegrityError):
            return None

    def _remembered_digest(self, key: str) -> bytes | None:
        """Return the digest that this server knows a journal entry by."""
        place = self._entry(key)
        if place is None:
            return None
        digest = self._repository.journals.remembered_digest(*place)
        if digest is not None:
            return digest
        data = self._repository.journals.remembered(*place)
        try:
            link = None if data is None else self._checks.judge(key, data)
        except IntegrityError:
            return None  # The index is a cache.
        return link.digest if link is not None else None

    def _entry(self, key: str) -> tuple[JournalId, int] | None:
        if not key.startswith(layout.JOURNALS):
            return None
        place = stored_objects.entry_place(key, self._repository.keyring.store)
        return JournalId(place.project, place.artifact), place.number
