# SPDX-License-Identifier: Apache-2.0
"""The life of keys, attacked by whoever may write to the bucket.

Slots and epochs are planted and put back: to be read from, to lock a project out, to
have a version of a KEK retired that is still needed. Each attack begins with a store
of its own whose KEKs were rotated once.
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


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ExitStack() as stack:
        yield [
            _forged(stack),
            _planted(stack, thorough=thorough),
            _believed(stack),
            _retired_slot(stack),
            _second_master(stack),
        ]


FAMILY: Final = Family("key life", _opened)
