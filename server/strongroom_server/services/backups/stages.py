# SPDX-License-Identifier: Apache-2.0
"""The stages of a backup: which objects, in commit order, journals at the end.

Everything but journals is listed after their heads were read, so that whatever an
entry at a head needs is there. Uploads, leases and approvals are left out: they are of
what is under way, and end by themselves. What the store has lost, and never lets go of
by itself, is taken over from earlier backups.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import chain
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core import layout
from strongroom_server.core.scope import Scope, format_id, store_scope
from strongroom_server.core.stored_objects import MANIFESTS, PACKS, link_number
from strongroom_server.ports import BlobVersion, LockedBlobs
from strongroom_server.repository.copying import Task, in_order
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.swept_objects import packs_of_segment
from strongroom_server.services.backups.bases import Bases
from strongroom_server.services.backups.heads import Heads
from strongroom_server.services.backups.lost_projects import is_dead_project
from strongroom_server.services.backups.placing import Wanted
from strongroom_server.services.backups.reach import PinnedMarks

#: What a backup without it would be none; of what is listed.
_NEEDED: Final = (layout.PROJECTS, layout.SWEEP, layout.STORE)
#: Of the whole store only: they are about everybody.
_SHARED: Final = (layout.AUDIT, layout.DRILLS)
#: In this order; journals and what is named by digest come by themselves.
_LISTED: Final = (
    layout.REPAIRS,
    layout.SHREDS,
    layout.SWEEP,
    layout.KEYS,
    layout.PROJECTS,
    layout.STORE,
    layout.AUDIT,
    layout.DRILLS,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: in words, and its objects in order of key."""

    label: str
    items: Iterator[Wanted]
    total_count: int = 0


class Listing:
    """What lies under keys, which are asked for in ascending order."""

    def __init__(self, items: Iterable[BlobVersion]) -> None:
        self._items = iter(items)
        self._next: BlobVersion | None = next(self._items, None)

    def at(self, key: str) -> tuple[BlobVersion, ...]:
        """Return what lies under a key."""
        found = []
        while self._next is not None and self._next.key <= key:
            if self._next.key == key:
                found.append(self._next)
            self._next = next(self._items, None)
        return tuple(found)


class Stages:
    """Says what a backup holds. Used by one thread.

    Attributes:
        notes: What was left out, and why.
    """

    def __init__(
        self,
        repository: Repository,
        bucket: LockedBlobs,
        bases: Bases,
        heads: Heads,
        marks: PinnedMarks,
        *,
        lost: frozenset[str] = frozenset(),
    ) -> None:
        """`lost` are keys of what the store has no more, or not whole."""
        self._lost = lost
        self._repository = repository
        self._bucket = bucket
        self._bases = bases
        self._heads = heads
        self._marks = marks
        self._keys = sorted(bases.rows)
        self._domains = {
            format_id(item.domain.scope.domain): item.domain.scope
            for item in heads.domains
        }
        own = store_scope(repository.keyring.store)
        # A project's record, and names in it, are under the project's own keys.
        projects = {item.domain.project.scope.domain for item in heads.domains}
        self._slots = {*self._domains, *map(format_id, {own.domain, *projects})}
        self._projects = {
            format_id(item.domain.project.scope.project) for item in heads.domains
        }
        self.notes: list[str] = []

    def all(self) -> Iterator[Stage]:
        """Yield the stages; each is to be done before the next is asked for."""
        yield self._named("packs", PACKS, self._marks.packs)
        yield self._named("manifests", MANIFESTS, self._marks.manifests)
        for domain in sorted(self._domains):
            yield Stage("index segments", self._segments(self._domains[domain]))
        for prefix in _LISTED:
            if self._heads.is_whole or prefix not in _SHARED:
                yield Stage("records and key slots", self._listed(prefix))
        total = sum(len(state.history.entries) for state in self._heads.states)
        yield Stage("journals", self._journals(), total)

    def _named(self, label: str, prefix: str, digests: set[bytes]) -> Stage:
        return Stage(label, self._marked(prefix, digests), len(digests))

    def _marked(self, prefix: str, digests: set[bytes]) -> Iterator[Wanted]:
        listed = Listing(self._repository.blobs.first_versions(prefix))
        here = Listing(self._bucket.versions(prefix))
        for digest in sorted(digests):
            name = digest.hex()
            key = f"{prefix}{name[:2]}/{name}"
            yield Wanted(
                key,
                _only(listed.at(key)),
                self._bases.rows.get(key),
                here.at(key),
                self._marks.pins_of(digest),
            )

    def _segments(self, scope: Scope) -> Iterator[Wanted]:
        """Yield the index segments that lead to nothing but what the backup holds.

        Others would have a restored store share chunks that it has not.
        """
        prefix = layout.index_prefix(scope.domain)
        here = Listing(self._bucket.versions(prefix))
        blobs, executor = self._repository.blobs, self._repository.executor
        tasks = (
            Task(partial(self._look, scope, item), item.size_bytes)
            for item in blobs.first_versions(prefix)
        )
        for item, is_whole in in_order(tasks, executor=executor):
            if is_whole:
                row = self._bases.rows.get(item.key)
                found = here.at(item.key)
                yield Wanted(item.key, item, row, found, is_needed=False)

    def _look(self, scope: Scope, item: BlobVersion) -> tuple[BlobVersion, bool]:
        try:
            packs = packs_of_segment(self._repository, scope, item)
            if packs is None:
                return item, False
            return item, all(self._marks.needs_pack(pack) for pack in packs)
        except (IntegrityError, PreconditionError):
            return item, False  # It costs little, and `verify` tells about it.

    def _listed(self, prefix: str) -> Iterator[Wanted]:
        """Yield what lies below a prefix, or did when it was last backed up."""
        there = self._repository.blobs.first_versions(prefix)
        before = (BlobVersion(key, "", 0, 0.0) for key in self._known(prefix))
        here = Listing(self._bucket.versions(prefix))
        last: BlobVersion | None = None
        # What is in both comes from the store first: the merge is stable.
        merged: Iterator[BlobVersion] = merge(there, before, key=_key)
        for item in chain(merged, (None,)):
            if last is not None and item is not None and item.key == last.key:
                continue
            if last is not None and self._is_meant(last.key):
                yield Wanted(
                    last.key,
                    last if last.version_id and last.key not in self._lost else None,
                    self._bases.rows.get(last.key),
                    here.at(last.key),
                    is_needed=self._is_needed(last.key),
                )
            last = item

    def _is_needed(self, key: str) -> bool:
        return key.startswith(_NEEDED) and not self._is_dead(key)

    def _is_dead(self, key: str) -> bool:
        return is_dead_project(self._repository, key)

    def _journals(self) -> Iterator[Wanted]:
        states = {
            layout.journal_prefix(state.journal.project, state.journal.artifact): state
            for state in self._heads.states
        }
        blobs, is_whole = self._repository.blobs, self._heads.is_whole
        # Of the whole store, one listing has them all, in the same order.
        all_listed = Listing(blobs.first_versions(layout.JOURNALS) if is_whole else ())
        all_here = Listing(self._bucket.versions(layout.JOURNALS) if is_whole else ())
        for prefix in sorted(states):
            state, listed, here = states[prefix], all_listed, all_here
            if not is_whole:
                listed = Listing(blobs.first_versions(prefix))
                here = Listing(self._bucket.versions(prefix))
            for entry in state.history.entries:
                key = layout.journal_key(
                    state.journal.project, state.journal.artifact, entry.number
                )
                yield Wanted(
                    key,
                    _only(listed.at(key)),
                    self._bases.rows.get(key),
                    here.at(key),
                    sha256=entry.digest.hex(),
                )

    def _known(self, prefix: str) -> Iterator[str]:
        place = bisect_left(self._keys, prefix)
        for key in self._keys[place:]:
            if not key.startswith(prefix):
                return
            yield key

    def _is_meant(self, key: str) -> bool:
        """Return whether an object belongs to what is backed up."""
        if key.startswith(layout.REPAIRED_OBJECTS):
            original = layout.copied_key(key)
            return not original.startswith(layout.REPAIRS) and self._is_meant(original)
        if key.startswith(layout.MENDED):
            return self._is_marked(key.split("/")[2])
        folder, _, rest = key.partition("/")
        owner, is_whole = rest.partition("/")[0], self._heads.is_whole
        meant = {
            layout.PACKS: self._is_named(key),
            layout.MANIFESTS: self._is_named(key),
            layout.KEYS: owner in self._slots,
            layout.INDEX: owner in self._domains,
            layout.REPAIRS: owner in self._domains,
            # Those that are in no head have no key slots here: they came meanwhile,
            # or nothing is left of them.
            layout.PROJECTS: owner in self._projects
            or (is_whole and self._is_dead(key)),
            layout.JOURNALS: is_whole or owner in self._projects,
            layout.SWEEP: 0 <= link_number(key) < self._heads.sweep_count,
            layout.SHREDS: True,
            layout.AUDIT: is_whole,
            layout.DRILLS: is_whole,
        }
        return meant.get(folder + "/", key == layout.STORE)

    def _is_named(self, key: str) -> bool:
        return layout.is_named_by_digest(key) and self._marks.needs(key)

    def _is_marked(self, pack: str) -> bool:
        try:
            return self._marks.needs_pack(pack)
        except ValueError:
            return False  # No pack has such a name.


def _only(found: tuple[BlobVersion, ...]) -> BlobVersion | None:
    return found[0] if found else None


def _key(item: BlobVersion) -> str:
    return item.key
