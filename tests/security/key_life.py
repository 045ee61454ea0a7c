# SPDX-License-Identifier: Apache-2.0
"""The life of keys, attacked by whoever may write to the bucket.

Slots and epochs are planted, put back and deleted: to be read from, to lock a project
out, to have a version of a KEK retired that is still needed, to have an old master key
used again. Each attack begins with a store of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import canonical, layout
from strongroom_server.core.scope import Scope
from strongroom_server.services.keys import RetireReport, RewrapReport
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.support.world import World, memory_world

#: What a try is refused by, if what was planted changed nothing for anybody.
PASSED_OVER: Final = "PASSED_OVER"
#: What a try is refused by, if a KEK was left alone.
HELD: Final = "HELD"
FILES: Final = {"weights": b"of one project"}
DEMO: Final = ProjectName("demo")
OTHER: Final = ArtifactName("other", "x")
_NUMBERS: Final = (1, 999, layout.MAX_SLOT_NUMBER)
_SLOT_BYTES: Final = 20_000

Forge = Callable[["Subject"], bytes]


@dataclass(frozen=True)
class Subject:
    """A store with two projects.

    Attributes:
        world: Its engine.
        scope: Of the project that is attacked.
        good: The project's first slot, which counts before a re-wrap.
    """

    world: World
    scope: Scope
    good: bytes

    def changed(self, **fields: object) -> bytes:
        """Return the good slot with other fields."""
        body = canonical.decode_object(self.good, _SLOT_BYTES)
        return canonical.encode(body | fields)

    def others(self) -> bytes:
        """Return the other project's slot."""
        scope = self.world.repository.projects.get(ProjectName("other")).scope
        return slot_at(self.world, layout.slot_key(scope.domain, 0, 0))

    def plant(self, epoch: int, number: int, data: bytes) -> None:
        """Put an object where a slot would lie."""
        key = layout.slot_key(self.scope.domain, epoch, number)
        self.world.bucket.put_new(key, data)

    def use(self) -> None:
        """Read, write and read again, on a server that knows nothing yet."""
        fresh = self.world.reopened()
        read = fresh.pull("1")
        if read != FILES:
            message = f"other content was read: {read}"
            raise AssertionError(message)
        fresh.push({"more": b"content"})
        if self.world.reopened().pull("2") != {"more": b"content"}:
            message = "what was written does not read back"
            raise AssertionError(message)


def slot_at(world: World, key: str) -> bytes:
    """Return the bytes of a stored slot."""
    return next(data for item, data in world.bucket.objects() if item.key == key)


_FORGED: Final[Mapping[str, Forge]] = {
    "garbage": lambda _: b"garbage",
    "nothing": lambda _: b"",
    "another project's": lambda subject: subject.others(),
    "another domain's name": lambda subject: subject.changed(domain="a" * 29),
    "the store's KEK": lambda subject: subject.changed(kek="sr.store"),
    "a made-up key": lambda subject: subject.changed(
        wrapped_dmk="memory:v1:" + "A" * 80
    ),
    "a version that is not there": lambda subject: subject.changed(
        wrapped_dmk="memory:v9:" + "A" * 80
    ),
    "another dedup key": lambda subject: subject.changed(sealed_ddk="A" * 96),
}


def _subject(stack: ExitStack) -> Subject:
    world = stack.enter_context(memory_world())
    world.push(FILES)
    world.push({"x": b"of the other"}, OTHER)
    scope = world.repository.projects.get(DEMO).scope
    return Subject(world, scope, slot_at(world, layout.slot_key(scope.domain, 0, 0)))


def _rewrapped(world: World) -> RewrapReport:
    *_, report = world.key_life.rewrap(None)
    assert isinstance(report, RewrapReport)
    return report


def _retired(world: World) -> RetireReport:
    *_, report = world.key_life.retire(None)
    assert isinstance(report, RetireReport)
    return report


def _open(subject: Subject, data: bytes) -> None:
    subject.world.repository.keyring.slots.open_bytes(subject.scope, data)


def _forged(stack: ExitStack) -> Attack:
    subject = _subject(stack)
    return Attack(
        "a key slot that no server wrote",
        reasons(Reason.KEY_SLOT_CORRUPT, Reason.KEK_MISSING),
        partial(_open, subject, subject.good),
        [partial(_open, subject, forge(subject)) for forge in _FORGED.values()],
    )


def _planted(stack: ExitStack, *, thorough: bool) -> Attack:
    def plant(forge: Forge, epoch: int, number: int) -> None:
        with ExitStack() as own:
            subject = _subject(own)
            subject.plant(epoch, number, forge(subject))
            subject.use()
        raise RefusedError(PASSED_OVER)

    places = [(0, number) for number in _NUMBERS] + [(1, 0), (2**24 - 1, 0)]
    tries: list[Try] = [
        partial(plant, forge, epoch, number)
        for forge in _FORGED.values()
        for epoch, number in (places if thorough else places[1:2])
    ]
    return Attack(
        "a planted slot or epoch, to lock a project out",
        reasons(PASSED_OVER),
        _subject(stack).use,
        tries,
    )


def _believed(stack: ExitStack) -> Attack:
    """Return the attack on a retirement that believes what slots say."""

    def retire(version: int) -> None:
        with ExitStack() as own:
            subject = _subject(own)
            list(subject.world.key_life.rotate(None, older_than_s=0))
            claim = subject.changed(wrapped_dmk=f"memory:v{version}:" + "A" * 80)
            subject.plant(0, 5, claim)
            report = _retired(subject.world)
            subject.use()
            raise RefusedError(HELD if report.held_count else "RETIRED")

    def honest() -> None:
        world = _subject(stack).world
        list(world.key_life.rotate(None, older_than_s=0))
        assert _rewrapped(world).proof.is_complete
        assert _retired(world).retired_count == len(world.key_service._keks)

    return Attack(
        "a slot that claims the newest version, so that the true one is retired",
        reasons(HELD),
        honest,
        [partial(retire, version) for version in (2, 3, 999_999_999)],
    )


def _retired_slot(stack: ExitStack) -> Attack:
    subject = _subject(stack)
    list(subject.world.key_life.rotate(None, older_than_s=0))
    _rewrapped(subject.world)
    _retired(subject.world)
    newest = slot_at(subject.world, layout.slot_key(subject.scope.domain, 0, 1))
    return Attack(
        "a slot from before its version was retired",
        reasons(Reason.KEK_ACCESS_DENIED),
        partial(_open, subject, newest),
        [partial(_open, subject, subject.good)],
    )


def _second_master(stack: ExitStack) -> Attack:
    """Return the attack on an epoch that exists: to get it a second master key."""

    def start(epoch: int) -> None:
        with ExitStack() as own:
            subject = _subject(own)
            subject.plant(epoch, 7, subject.changed(epoch=epoch))
            fresh = subject.world.reopened()
            made = fresh.key_life.start_epoch(DEMO, after=0)
            subject.use()
            if made == epoch:
                message = "an epoch with a slot was taken"
                raise AssertionError(message)
            try:
                fresh.repository.keyring.open(subject.scope.at_epoch(epoch))
            except IntegrityError as error:
                raise RefusedError(PASSED_OVER) from error

    def honest() -> None:
        world = _subject(stack).world
        assert world.key_life.start_epoch(DEMO, after=0) == 1

    return Attack(
        "a planted slot at the next epoch, so that it gets two master keys",
        reasons(PASSED_OVER),
        honest,
        [partial(start, epoch) for epoch in (1, 2, 2**24 - 1)],
    )


def _flood(stack: ExitStack, *, thorough: bool) -> Attack:
    """Return the attack with more slots than anybody would try one by one."""

    def plant(count: int, epochs: Sequence[int]) -> None:
        with ExitStack() as own:
            subject = _subject(own)
            for epoch in epochs:
                claim = subject.changed(
                    wrapped_dmk="memory:v1:" + "A" * 80, epoch=epoch
                )
                for number in range(1, count + 1):
                    subject.plant(epoch, number, claim)
            subject.use()
        raise RefusedError(PASSED_OVER)

    counts = (150, 1500) if thorough else (150,)
    return Attack(
        "planted slots and epochs by the hundred, to lock a project out",
        reasons(PASSED_OVER),
        _subject(stack).use,
        [
            *(partial(plant, count, [0]) for count in counts),
            partial(plant, 1, range(1, 151)),
        ],
    )


def _delete_newest(subject: Subject) -> None:
    for item, _ in subject.world.bucket.objects():
        if layout.slot_place(item.key) == (subject.scope.domain, 1, 0):
            subject.world.bucket.delete_version(item.key, item.version_id)


def _swap_newest(subject: Subject) -> None:
    _delete_newest(subject)
    subject.plant(1, 0, subject.changed(epoch=1))
    subject.plant(2, 0, subject.changed(epoch=2))


def _crowd(subject: Subject) -> None:
    for epoch in range(2, 152):
        subject.plant(epoch, 0, subject.changed(epoch=epoch))


def _old_master(stack: ExitStack) -> Attack:
    """Return the attack on a new epoch: to have the leaked key used again."""

    def write(attack: Callable[[Subject], None]) -> None:
        with ExitStack() as own:
            subject = _subject(own)
            subject.world.key_life.start_epoch(DEMO, after=0)
            attack(subject)
            fresh = subject.world.reopened()
            fresh.push({"more": b"content"})
            used = fresh.repository.keyring.open_newest(subject.scope).scope.epoch
            raise RefusedError(PASSED_OVER if used == 1 else f"epoch {used}")

    def honest() -> None:
        world = _subject(stack).world
        world.key_life.start_epoch(DEMO, after=0)
        world.reopened().push({"more": b"content"})

    return Attack(
        "the slots of the newest epoch deleted, so that the old master key is used",
        reasons(Reason.KEY_SLOT_MISSING, Reason.KEY_SLOT_CORRUPT, PASSED_OVER),
        honest,
        [partial(write, attack) for attack in (_delete_newest, _swap_newest, _crowd)],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ExitStack() as stack:
        yield [
            _forged(stack),
            _planted(stack, thorough=thorough),
            _believed(stack),
            _retired_slot(stack),
            _second_master(stack),
            _flood(stack, thorough=thorough),
            _old_master(stack),
        ]


FAMILY: Final = Family("key life", _opened)
