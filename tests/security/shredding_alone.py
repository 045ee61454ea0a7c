# SPDX-License-Identifier: Apache-2.0
"""Artifacts shredded alone, attacked from within the project that lives on.

Whoever attacks has all that they may have kept, and still has rights on the project:
its key, its other artifacts, and what a server may ask of Vault. Each attack begins
with stores of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import Reason
from strongroom_server.core import layout
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobVersion, WrappedKey
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.support.exclusive import (
    ALONE,
    OTHER,
    PROJECT,
    SECRET,
    SHARED,
    exclusive_world,
    scope_of,
    shred_artifact,
)
from tests.support.shredding import APPROVAL
from tests.support.world import CALLER, World

#: What a try is refused by, if what was planted changed nothing for anybody.
PASSED_OVER: Final = "PASSED_OVER"


@dataclass(frozen=True)
class Subject:
    """A store in which an artifact was shredded alone.

    Attributes:
        world: Its engine, after the shredding.
        before: Every version of every object from before it.
        keks: Vault's keys from before it.
        scope: The dead domain.
        wrapped: Its master key, as its slot held it.
    """

    world: World
    before: tuple[tuple[BlobVersion, bytes], ...]
    keks: dict[str, bytes]
    scope: Scope
    wrapped: str

    def put_back(self) -> None:
        """Write the key slots again."""
        for item, data in self.before:
            if item.key.startswith("keys/") and not self.world.keys(item.key):
                self.world.bucket.put_new(item.key, data)

    def remove_tombstone(self) -> None:
        """Take away, for good, all that says what was shredded."""
        for item, _ in self.world.bucket.objects():
            if item.key.startswith("shreds/"):
                self.world.bucket.delete_version(item.key, item.version_id)

    def read(self) -> None:
        """Read what is dead, on a server that begins now, and has looked."""
        fresh = self.world.reopened()
        fresh.repository.shreds.refresh()
        fresh.pull("1", ALONE)

    def use(self) -> None:
        """Read what lives, on a server that begins now and has looked."""
        fresh = self.world.reopened()
        fresh.repository.shreds.refresh()
        for name in (OTHER, SHARED):
            if fresh.pull("1", name) != SECRET:
                message = "other content was read"
                raise AssertionError(message)


@contextmanager
def subject() -> Iterator[Subject]:
    """Yield a store in which an artifact was shredded a moment ago."""
    with exclusive_world() as world:
        scope = scope_of(world, ALONE)
        key = layout.slot_key(scope.domain, 0, 0)
        data = next(data for item, data in world.bucket.objects() if item.key == key)
        slot, _ = world.repository.keyring.slots.open_bytes(scope, data)
        before = tuple(world.bucket.objects())
        keks = dict(world.key_service._keks)
        shred_artifact(world)
        yield Subject(world, before, keks, scope, slot.wrapped_master)


def _attack(
    name: str, by: frozenset[str], *deeds: Callable[[Subject], object]
) -> Attack:
    def honest() -> None:
        with subject() as found:
            found.use()

    def attempt(deed: Callable[[Subject], object]) -> None:
        with subject() as found:
            deed(found)

    tries: list[Try] = [partial(attempt, deed) for deed in deeds]
    return Attack(name, by, honest, tries)


def _slots_again(found: Subject) -> None:
    found.put_back()
    found.read()


def _no_tombstone(found: Subject) -> None:
    found.put_back()
    found.remove_tombstone()
    found.read()


def _vault_of_yesterday(found: Subject) -> None:
    found.world.key_service._keks.update(found.keks)
    found.put_back()
    found.read()


def _same_kek_again(found: Subject) -> None:
    found.world.key_service.create_kek(found.scope.kek)
    found.put_back()
    found.remove_tombstone()
    found.read()


def _other_kek(found: Subject, kek: Callable[[Subject], str]) -> None:
    keys, wrapped = found.world.key_service, found.wrapped
    keys.unwrap(kek(found), found.scope.kek_context, wrapped)


def _rewrap_by_other(found: Subject, kek: Callable[[Subject], str]) -> None:
    wrapped = WrappedKey(found.scope.kek_context, found.wrapped)
    if found.world.key_service.rewrap(kek(found), [wrapped]) == [None]:
        raise RefusedError(Reason.KEY_SLOT_CORRUPT)


def _of_project(found: Subject) -> str:
    return scope_of(found.world, SHARED).kek


def _of_other(found: Subject) -> str:
    return scope_of(found.world, OTHER).kek


def _made_again(found: Subject) -> None:
    fresh = found.world.reopened()
    fresh.push({"a": b"again"}, ALONE, exclusive=True)


def _without_journal(found: Subject) -> None:
    """Take its journal away, and make it again at a server that has not looked."""
    journal = layout.project_journals_prefix(found.scope.project)
    kept = {
        layout.journal_prefix(place.project, place.artifact)
        for place in (
            found.world.repository.artifact(name).journal for name in (OTHER, SHARED)
        )
    }
    for item, _ in found.world.bucket.objects():
        if item.key.startswith(journal) and not item.key.startswith(tuple(kept)):
            found.world.bucket.delete_version(item.key, item.version_id)
    found.world.reopened().push({"a": b"again"}, ALONE, exclusive=True)


def _epoch(found: Subject) -> None:
    found.world.reopened().key_life.start_epoch(ALONE, after=0)


def _planted(found: Subject, place: Callable[[Subject], str]) -> None:
    genuine = next(
        data
        for item, data in found.world.bucket.objects()
        if layout.is_tombstone(item.key)
    )
    found.world.bucket.put_new(place(found), genuine)
    found.use()
    raise RefusedError(PASSED_OVER)


def _place_of_project(found: Subject) -> str:
    return layout.tombstone_key(found.scope.project, 0)


def _place_of_other(found: Subject) -> str:
    domain = scope_of(found.world, OTHER).domain
    return layout.tombstone_key(found.scope.project, 0, domain)


def _place_of_shared(found: Subject) -> str:
    domain = scope_of(found.world, SHARED).domain
    return layout.tombstone_key(found.scope.project, 0, domain)


def _shared(found: Subject) -> None:
    shred_artifact(found.world, SHARED)


def _held(found: Subject) -> None:
    found.world.retention.hold(
        OTHER, hold=True, reason="case", request_id="hold", caller=CALLER
    )
    shred_artifact(found.world, OTHER)


def _project_of_held(found: Subject) -> None:
    found.world.retention.hold(
        OTHER, hold=True, reason="case", request_id="hold", caller=CALLER
    )
    found.world.shredding.shred(
        PROJECT, reason="", request_id="r", caller=CALLER, approval=APPROVAL
    )


@contextmanager
def _opened(_: bool) -> Iterator[tuple[Attack, ...]]:
    dead, gone = reasons(Reason.KEY_SHREDDED), reasons(Reason.KEK_MISSING)
    unopened = reasons(Reason.KEY_SLOT_CORRUPT)
    yield (
        _attack("slots from before, put back", dead, _slots_again),
        _attack("slots put back, and no tombstone left", gone, _no_tombstone),
        _attack("slots and Vault of yesterday", dead, _vault_of_yesterday),
        _attack("a KEK of the same name, made anew", unopened, _same_kek_again),
        _attack(
            "its wrapped key under a KEK that lives",
            unopened,
            *(
                partial(ask, kek=kek)
                for ask in (_other_kek, _rewrap_by_other)
                for kek in (_of_project, _of_other)
            ),
        ),
        _attack("writing to the dead", dead, _made_again, _without_journal, _epoch),
        _attack(
            "its tombstone in the place of what lives",
            frozenset({PASSED_OVER}),
            *(
                partial(_planted, place=place)
                for place in (_place_of_project, _place_of_other, _place_of_shared)
            ),
        ),
        _attack(
            "shredding what shares its key", reasons(Reason.DOMAIN_SHARED), _shared
        ),
        _attack(
            "one under a legal hold",
            reasons(Reason.LEGAL_HOLD),
            _held,
            _project_of_held,
        ),
    )


FAMILY: Final = Family("artifacts shredded alone", _opened)
