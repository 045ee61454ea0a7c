# SPDX-License-Identifier: Apache-2.0
"""Journals that are rewound, forked, reordered or forged, and replayed requests."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from strongroom.errors import Reason
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore, MemoryIndex
from strongroom_server.core import layout
from strongroom_server.core.journal import (
    format_entry,
    format_payload,
    signing_input,
    verify_entry,
)
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.signatures import Signature
from strongroom_server.ports import Index
from tests.security.attacks import Attack, Family, Try, reasons
from tests.security.changes import (
    Change,
    Stored,
    append,
    append_again,
    copied,
    cut,
    exchange,
    put,
    remove,
    stored_below,
)
from tests.support.damage import some_bits_flipped
from tests.support.samples import filled, place_of, signer
from tests.support.sweeps import delete, hold, set_policy, undelete
from tests.support.world import ARTIFACT, World

_OTHER: Final = ArtifactName("demo", "other")
_REWOUND: Final = reasons(Reason.JOURNAL_REWOUND)
_CORRUPT: Final = reasons(Reason.JOURNAL_CORRUPT)
_FORGED: Final = reasons(Reason.SIGNATURE_INVALID)
_EITHER: Final = _CORRUPT | _FORGED


class Stores:
    """Makes stores that have three versions and a ref that was moved."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._first = self.with_bucket(MemoryBlobStore())
        for number in range(1, 4):
            self._first.push({"a": str(number).encode()})
        self._first.move("prod", "2")
        self._first.push({"b": b"1"}, _OTHER)

    def with_bucket(
        self,
        blobs: MemoryBlobStore,
        *,
        like: World | None = None,
        index: Index | None = None,
    ) -> World:
        """Return an engine on a bucket, with the keys of another one."""
        index = index or MemoryIndex()
        if like is None:
            return World(blobs=blobs, executor=self._executor, index=index)
        return World(
            blobs=blobs,
            key_service=like.key_service,
            signer=like.signer,
            executor=self._executor,
            index=index,
        )

    def fresh(self) -> World:
        """Return an engine on a bucket of its own, that has read everything."""
        world = self.with_bucket(copied(self._first.bucket), like=self._first)
        world.pull()
        return world


def entries(world: World) -> list[Stored]:
    """Return key, version id and bytes of the artifact's entries, oldest first."""
    journal = world.repository.artifact(ARTIFACT).journal
    prefix = layout.journal_prefix(journal.project, journal.artifact)
    return stored_below(world.bucket, prefix)


class _Journals:
    def __init__(self, stores: Stores, *, thorough: bool) -> None:
        self._stores = stores
        self._thorough = thorough

    def attacks(self) -> Iterator[Attack]:
        """Yield what somebody does to a journal who holds the bucket."""
        count = len(entries(self._stores.fresh()))
        for number in range(1, count + 1):
            name = f"the newest {number} of {count} entries cut off"
            yield self._warm(f"{name}, at a server that saw them", cut(number))
            yield self._kept(f"{name}, at a server that kept its index", cut(number))
        yield self._cold(
            "an entry taken out of the middle", map(remove, range(count - 1))
        )
        pairs = itertools.combinations(range(count), 2)
        yield self._cold(
            "two entries that change places", itertools.starmap(exchange, pairs)
        )
        yield self._cold(
            "an older entry played again as the next one",
            [append_again(at) for at in range(count)],
        )
        yield self._cold("junk as the next entry", [append(lambda _: b"junk")])
        yield self._cold("an entry emptied", [put(at, b"") for at in range(count)])
        stored = entries(self._stores.fresh())
        for number in (0, count - 1) if self._thorough else (2,):
            yield self._cold(
                f"a bit of entry {number} flipped",
                [put(number, data) for data in self._flipped(stored[number][2])],
                by=_EITHER | reasons(Reason.FORMAT_UNSUPPORTED),
            )
        yield self._of_another_artifact()
        yield self._forked()
        yield self._by_strangers()

    def _flipped(self, data: bytes) -> Iterable[bytes]:
        return some_bits_flipped(data, 400 if self._thorough else 40)

    def _attack(self, name: str, by: frozenset[str], tries: Iterable[Try]) -> Attack:
        return Attack(name, by, lambda: self._stores.fresh().reopened().pull(), tries)

    def _warm(self, name: str, change: Change) -> Attack:
        def attempt(act: Callable[[World], object]) -> None:
            world = self._stores.fresh()
            change(world.bucket, entries(world))
            act(world)

        acts: list[Callable[[World], object]] = [
            lambda world: world.pull(),
            lambda world: world.pull("prod"),
            lambda world: world.push({"a": b"4"}),
            lambda world: world.move("prod", "1"),
            lambda world: delete(world, 1),
        ]
        return self._attack(name, _REWOUND, [partial(attempt, act) for act in acts])

    def _kept(self, name: str, change: Change) -> Attack:
        def attempt() -> None:
            world = self._stores.fresh()
            change(world.bucket, entries(world))
            self._stores.with_bucket(world.bucket, like=world, index=world.index).pull()

        return self._attack(name, _REWOUND, [attempt])

    def _cold(
        self, name: str, changes: Iterable[Change], by: frozenset[str] = _CORRUPT
    ) -> Attack:
        def attempt(change: Change) -> None:
            world = self._stores.fresh()
            change(world.bucket, entries(world))
            world.reopened().pull()

        return self._attack(name, by, [partial(attempt, change) for change in changes])

    def _of_another_artifact(self) -> Attack:
        def attempt(number: int) -> None:
            world = self._stores.fresh()
            mine = entries(world)
            keys = {key for key, _, _ in mine}
            theirs = [
                data
                for item, data in world.bucket.objects()
                if item.key.startswith("journals/") and item.key not in keys
            ]
            world.bucket.corrupt(*mine[number][:2], theirs[number])
            world.reopened().pull()

        tries = [partial(attempt, number) for number in range(2)]
        return self._attack("an entry of another artifact's journal", _CORRUPT, tries)

    def _forked(self) -> Attack:
        """Return the attack of one who shows two servers different histories.

        Both histories are signed: two writers were shown one half each.
        """

        def attempt() -> None:
            ours = self._stores.fresh()
            bucket = copied(ours.bucket)
            theirs = self._stores.with_bucket(bucket, like=ours)
            ours.push({"a": b"ours"})
            theirs.push({"a": b"theirs"})
            theirs.push({"a": b"theirs again"})
            known = len(entries(ours))
            folder = entries(ours)[0][0].rpartition("/")[0]
            data = entries(theirs)[known][2]
            ours.bucket.put_new(f"{folder}/{known:020d}", data)
            ours.pull()

        return self._attack("a fork of the history joined to ours", _CORRUPT, [attempt])

    def _by_strangers(self) -> Attack:
        def attempt() -> None:
            world = self._stores.fresh()
            World(
                blobs=world.blobs,
                key_service=world.key_service,
                signer=signer(),
                executor=world.executor,
            ).pull()

        return self._attack("a journal signed by keys not in Vault", _FORGED, [attempt])


def _signatures() -> Iterator[Attack]:
    """Yield forgeries of the signatures of one entry."""
    keys, strangers = signer(), signer()
    strangers.rotate()
    public, place = keys.public_keys(), place_of()
    payload = format_payload(place, filled("sealed body", 200))
    message = signing_input(payload)
    good = list(keys.sign(message))
    by_stranger, bare = list(strangers.sign(message)), list(keys.sign(payload))
    of_other = list(keys.sign(signing_input(payload + b"x")))

    def attempt(signatures: Sequence[Signature]) -> object:
        return verify_entry(format_entry(payload, signatures), place, public)

    def altered(at: int, value: bytes) -> list[Signature]:
        changed = list(good)
        changed[at] = replace(good[at], value=value)
        return changed

    forgeries: dict[str, list[list[Signature]]] = {
        "an entry without signatures": [[]],
        "an entry with one signature of two": [[item] for item in good],
        "an entry with a signature twice": [
            made for item in good for made in ([item, item], [*good, item])
        ],
        "an entry signed by a key not in Vault": [
            by_stranger,
            [good[0], by_stranger[1]],
            [by_stranger[0], good[1]],
        ],
        "an entry with another one's signatures": [
            of_other,
            [good[0], of_other[1]],
            [of_other[0], good[1]],
        ],
        "an entry signed without its type": [bare],
        "an entry whose signatures change places": [
            [
                replace(good[0], value=good[1].value),
                replace(good[1], value=good[0].value),
            ],
            [
                replace(good[0], key_id=good[1].key_id),
                replace(good[1], key_id=good[0].key_id),
            ],
        ],
        "an entry with a signature altered": [
            altered(at, data)
            for at, item in enumerate(good)
            for data in (
                b"",
                item.value[:-1],
                item.value + b"\0",
                *some_bits_flipped(item.value, 20),
            )
        ],
    }
    for name, many in forgeries.items():
        tries = [partial(attempt, signatures) for signatures in many]
        yield Attack(name, _EITHER, partial(attempt, good), tries)


class _Replays:
    """Makes attacks with requests that come again."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def attack(
        self,
        name: str,
        honest: Callable[[World], object],
        *tries: Callable[[World], object],
    ) -> Attack:
        """Return the attack of requests that come after an honest one."""

        def attempt(act: Callable[[World], object]) -> None:
            world = self._stores.fresh()
            honest(world)
            # The same again changes nothing.
            count = len(entries(world))
            honest(world.reopened())
            assert len(entries(world)) == count, "it was done twice"
            act(world.reopened())

        return Attack(
            name,
            reasons(Reason.ARGUMENT_INVALID),
            lambda: attempt(honest),
            [partial(attempt, act) for act in tries],
        )


def _replays(stores: Stores) -> Iterator[Attack]:
    """Yield requests that come again under an id that has done something else."""
    attack = _Replays(stores).attack
    request: dict[str, Any] = {"request_id": "r"}
    yield attack(
        "a push under the request id of other content",
        lambda world: world.push({"a": b"new"}, **request),
        lambda world: world.push({"a": b"newer"}, **request),
        lambda world: world.push({}, **request),
        lambda world: world.push(
            {"a": b"new"}, executables=frozenset({"a"}), **request
        ),
    )
    yield attack(
        "a move under the request id of another move",
        lambda world: world.move("prod", "1", **request),
        lambda world: world.move("prod", "3", **request),
    )
    yield attack(
        "a deletion under the request id of another one",
        lambda world: delete(world, 1, **request),
        lambda world: delete(world, 3, **request),
    )
    yield attack(
        "an undeletion under the request id of another one",
        lambda world: (
            delete(world, 1, request_id="d"),
            delete(world, 3, request_id="e"),
            undelete(world, 1, **request),
        ),
        lambda world: undelete(world, 3, **request),
    )
    yield attack(
        "a hold lifted under the request id that set it",
        lambda world: hold(world, 1, **request),
        lambda world: hold(world, 1, lift=True, **request),
        lambda world: hold(world, 3, **request),
        lambda world: hold(world, 0, **request),
    )
    yield attack(
        "a policy under the request id of another one",
        lambda world: set_policy(world, ArtifactPolicy(keep_last=2), **request),
        lambda world: set_policy(world, ArtifactPolicy(keep_last=3), **request),
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ThreadPoolExecutor(4) as executor:
        journals = _Journals(Stores(executor), thorough=thorough)
        yield [*journals.attacks(), *_signatures()]


@contextmanager
def _opened_replays(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ThreadPoolExecutor(4) as executor:
        yield list(_replays(Stores(executor)))


JOURNALS: Final = Family("journals", _opened)
REPLAYS: Final = Family("replayed requests", _opened_replays)
