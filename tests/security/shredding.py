# SPDX-License-Identifier: Apache-2.0
"""Shredded projects, attacked with all that somebody may have kept, or plants.

What is kept: every object of the bucket from before, the index, a wrapped key and all
that a server may ask of Vault, Vault's storage of yesterday on a server of today. What
is planted: tombstones that would kill what lives, junk in the way of one, receipts of
what never was. Each attack begins with stores of its own.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import dsse, layout, shred_receipt, tombstone
from strongroom_server.core.scope import Scope
from strongroom_server.core.tombstone import Tombstone
from strongroom_server.ports import BlobVersion, WrappedKey
from strongroom_server.services.shredding import Approval
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.support.world import CALLER, World, memory_world

#: What a try is refused by, if what was planted changed nothing for anybody.
PASSED_OVER: Final = "PASSED_OVER"
DEAD: Final = ProjectName("dead")
GONE: Final = ArtifactName("dead", "model")
KEPT: Final = ArtifactName("kept", "model")
FILES: Final = {"weights": b"what was shredded" * 100}


@dataclass(frozen=True)
class Subject:
    """A store with a project that is shredded, and one that lives.

    Attributes:
        world: Its engine, after the shredding.
        before: Every version of every object from before it.
        keks: Vault's keys from before it.
        scope: The dead domain.
        wrapped: Its master key, as its slot held it.
        receipt: What the shredding was answered with.
    """

    world: World
    before: tuple[tuple[BlobVersion, bytes], ...]
    keks: dict[str, bytes]
    scope: Scope
    wrapped: str
    receipt: bytes

    def put_back(self, *prefixes: str) -> None:
        """Write again what lay below prefixes and is gone."""
        for item, data in self.before:
            gone = not self.world.keys(item.key)
            if gone and item.key.startswith(prefixes):
                self.world.bucket.put_new(item.key, data)

    def read(self) -> None:
        """Read what is dead, on a server that begins now, and one that has looked."""
        fresh = self.world.reopened()
        fresh.repository.shreds.refresh()
        fresh.pull("1", GONE)

    def plant(self, scope: Scope, data: bytes, number: int = 0) -> None:
        """Put bytes where a tombstone would lie."""
        self.world.bucket.put_new(layout.tombstone_key(scope.project, number), data)

    def living(self) -> Scope:
        """Return the domain of the project that lives."""
        return self.world.repository.projects.get(ProjectName("kept")).scope

    def use(self) -> None:
        """Read what lives, on a server that begins now and has looked."""
        fresh = self.world.reopened()
        fresh.repository.shreds.refresh()
        if fresh.pull("1", KEPT) != FILES:
            message = "other content was read"
            raise AssertionError(message)


def shred(world: World, project: ProjectName = DEAD) -> bytes:
    """Shred a project as an approved person does."""
    return world.shredding.shred(
        project,
        reason="a reason",
        request_id="request",
        caller=CALLER,
        approval=Approval("an-approval", ("operator:bob",)),
    )


@contextmanager
def subject() -> Iterator[Subject]:
    """Yield a store in which a project was shredded a moment ago."""
    with memory_world() as world:
        world.push(FILES, GONE)
        world.push(FILES, KEPT)
        scope = world.repository.projects.get(DEAD).scope
        key = layout.slot_key(scope.domain, 0, 0)
        data = next(data for item, data in world.bucket.objects() if item.key == key)
        slot, _ = world.repository.keyring.slots.open_bytes(scope, data)
        before = tuple(world.bucket.objects())
        keks = dict(world.key_service._keks)
        receipt = shred(world)
        yield Subject(world, before, keks, scope, slot.wrapped_master, receipt)


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


def _kept_bucket(found: Subject) -> None:
    bucket = MemoryBlobStore()
    for item, data in found.before:
        bucket.put_new(item.key, data)
    World(
        blobs=bucket,
        key_service=found.world.key_service,
        signer=found.world.signer,
        index=found.world.index,
        executor=found.world.executor,
    ).pull("1", GONE)


def _slots_again(found: Subject) -> None:
    found.put_back("keys/")
    found.read()


def _vault_of_yesterday(found: Subject) -> None:
    found.world.key_service._keks.update(found.keks)
    found.put_back("keys/")
    found.read()


def _kek_again(found: Subject) -> None:
    found.world.key_service.create_kek(found.scope.kek)
    found.put_back("keys/")
    found.read()


def _hidden_tombstone(found: Subject) -> None:
    for key in found.world.keys("shreds/"):
        found.world.bucket.add_delete_marker(key)
    found.read()


def _destroyed_tombstone(found: Subject) -> None:
    for item, _ in found.world.bucket.objects():
        if item.key.startswith("shreds/"):
            found.world.bucket.delete_version(item.key, item.version_id)
    found.put_back("keys/")
    found.read()


def _ask_vault(found: Subject, ask: str) -> None:
    keys, scope = found.world.key_service, found.scope
    wrapped = WrappedKey(scope.kek_context, found.wrapped)
    match ask:
        case "unwrap":
            keys.unwrap(scope.kek, scope.kek_context, found.wrapped)
        case "rewrap":
            keys.rewrap(scope.kek, [wrapped])
        case _:
            keys.create_kek(scope.kek)
            keys.unwrap(scope.kek, scope.kek_context, found.wrapped)


def _write_again(found: Subject) -> None:
    found.world.reopened().push({"a": b"again"}, GONE)


def _start_epoch(found: Subject) -> None:
    found.world.key_life.start_epoch(DEAD, after=0)


def _plant_and_use(found: Subject, data: Callable[[Subject], bytes]) -> None:
    found.plant(found.living(), data(found))
    found.use()
    raise RefusedError(PASSED_OVER)


def _genuine(found: Subject) -> bytes:
    return next(
        data
        for item, data in found.world.bucket.objects()
        if layout.is_tombstone(item.key)
    )


def _unsigned(found: Subject) -> bytes:
    made = Tombstone(found.living(), found.world.clock.now(), b"")
    return tombstone.format_tombstone(tombstone.format_payload(made), ())


def _signed_by_others(found: Subject) -> bytes:
    made = Tombstone(found.living(), found.world.clock.now(), b"")
    payload = tombstone.format_payload(made)
    with memory_world() as other:
        signatures = other.signer.sign(tombstone.signing_input(payload))
    return tombstone.format_tombstone(payload, signatures)


def _half_signed(found: Subject) -> bytes:
    made = Tombstone(found.living(), found.world.clock.now(), b"")
    payload = tombstone.format_payload(made)
    signatures = found.world.signer.sign(tombstone.signing_input(payload))
    return tombstone.format_tombstone(payload, signatures[:1])


def _signed_as_receipt(found: Subject) -> bytes:
    made = Tombstone(found.living(), found.world.clock.now(), b"")
    payload = tombstone.format_payload(made)
    signatures = found.world.signer.sign(shred_receipt.signing_input(payload))
    return tombstone.format_tombstone(payload, signatures)


def _in_the_way(found: Subject) -> None:
    scope = found.living()
    for number in range(3):
        found.plant(scope, b"junk", number)
        key = layout.receipt_key(scope.project, number)
        found.world.bucket.put_new(key, b"junk")
    shred(found.world.reopened(), ProjectName("kept"))
    found.world.reopened().pull("1", KEPT)


def _altered(found: Subject, field: str) -> None:
    envelope = json.loads(found.receipt)
    told = json.loads(base64.b64decode(envelope["payload"])) | {field: "x"}
    payload = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(payload).decode()
    data = json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()
    shred_receipt.verify_receipt(data, found.world.signer.public_keys())


def _made_up(found: Subject) -> None:
    payload, _ = dsse.parse_envelope(
        found.receipt, shred_receipt.PAYLOAD_TYPE, max_bytes=10**7
    )
    with memory_world() as other:
        signatures = other.signer.sign(shred_receipt.signing_input(payload))
    data = shred_receipt.format_receipt(payload, signatures)
    shred_receipt.verify_receipt(data, found.world.signer.public_keys())


def _of_other_keys(found: Subject) -> None:
    with memory_world() as other:
        shred_receipt.verify_receipt(found.receipt, other.signer.public_keys())


def _tombstone_as_receipt(found: Subject) -> None:
    keys = found.world.signer.public_keys()
    shred_receipt.verify_receipt(_genuine(found), keys)


def _held(found: Subject) -> None:
    found.world.retention.hold(
        KEPT, hold=True, reason="case", request_id="hold", caller=CALLER
    )
    shred(found.world, ProjectName("kept"))


@contextmanager
def _opened(_: bool) -> Iterator[tuple[Attack, ...]]:
    dead = reasons(Reason.KEY_SHREDDED)
    gone = reasons(Reason.KEY_SHREDDED, Reason.KEK_MISSING)
    unsigned = reasons(Reason.SIGNATURE_INVALID, Reason.RECORD_CORRUPT)
    plant = (_genuine, _unsigned, _signed_by_others, _half_signed)
    yield (
        _attack("the whole bucket from before, and the index", gone, _kept_bucket),
        _attack("slots from before, put back", dead, _slots_again),
        _attack("slots and Vault of yesterday", dead, _vault_of_yesterday),
        _attack("a KEK of the same name, made anew", dead, _kek_again),
        _attack("a tombstone hidden by a delete marker", dead, _hidden_tombstone),
        _attack(
            "a tombstone destroyed, and slots put back", gone, _destroyed_tombstone
        ),
        _attack(
            "a wrapped key, and all that Vault lets a server do",
            reasons(Reason.KEK_MISSING, Reason.KEY_SLOT_CORRUPT),
            *(partial(_ask_vault, ask=ask) for ask in ("unwrap", "rewrap", "make")),
        ),
        _attack("writing to the dead", dead, _write_again, _start_epoch),
        _attack(
            "planted tombstones",
            frozenset({PASSED_OVER}),
            *(
                partial(_plant_and_use, data=make)
                for make in (*plant, _signed_as_receipt)
            ),
        ),
        _attack("junk in a tombstone's way", dead, _in_the_way),
        _attack("a project under a legal hold", reasons(Reason.LEGAL_HOLD), _held),
        _attack(
            "an altered receipt",
            unsigned,
            *(
                partial(_altered, field=name)
                for name in ("project", "kek", "requester", "effective_time")
            ),
        ),
        _attack("a receipt that others signed", unsigned, _made_up, _of_other_keys),
        _attack("a tombstone as a receipt", unsigned, _tombstone_as_receipt),
    )


FAMILY: Final = Family("shredded projects", _opened)
