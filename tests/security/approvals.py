# SPDX-License-Identifier: Apache-2.0
"""Approvals, attacked: by the requester, by approvers, and in the bucket.

Each try has a store of its own with two servers; alice asks, bob and carol approve
with security keys in software that say whatever the attack wants said.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.core import layout
from strongroom_server.core.approvals import Assertion
from strongroom_server.services.approving import Approving
from tests.security.approval_consents import consent_attacks
from tests.security.approval_desk import (
    ALICES,
    BOBS,
    BOBS_OTHER,
    CAROLS,
    FORGED,
    OTHER_METHOD,
    ROBOT,
    Desk,
    approve_and_run,
    desk_attack,
    give_approval,
    opened_desk,
    then,
)
from tests.security.attacks import Attack, Family, RefusedError
from tests.support.security_keys import (
    ALICE,
    BASTION,
    BOB,
    CAROL,
    PRESENT,
    REQUEST,
    VERIFIED,
    KnownKeys,
    TestKey,
    asked,
)


def _oneself() -> Attack:
    def over_the_programs_connection(desk: Desk) -> None:
        desk.approval = asked(desk.book, requester=BASTION)
        desk.approve(BOBS)

    def with_a_key_of_two_names(desk: Desk) -> None:
        desk.approve(BOBS, who=ALICE)

    return desk_attack(
        "who asked approves, as a person or over the program's connection",
        Reason.APPROVAL_INVALID,
        give_approval,
        [
            lambda desk: desk.approve(ALICES),
            lambda desk: desk.approve(ALICES, who=BOB),
            over_the_programs_connection,
            with_a_key_of_two_names,
        ],
    )


def _same_person() -> Attack:
    return desk_attack(
        "one person approves twice, with one security key or with two",
        Reason.APPROVAL_INVALID,
        then(give_approval, lambda desk: desk.approve(CAROLS)),
        [
            then(give_approval, lambda desk: desk.approve(BOBS)),
            then(give_approval, lambda desk: desk.approve(BOBS_OTHER)),
        ],
    )


def _foreign_keys() -> Attack:
    def withdrawn(desk: Desk) -> None:
        desk.keys.keys = KnownKeys(CAROLS).keys
        desk.approve(BOBS)

    return desk_attack(
        "a security key that is not the person's, unknown, withdrawn or a program's",
        Reason.APPROVAL_INVALID,
        give_approval,
        [
            lambda desk: desk.approve(CAROLS, who=BOB),
            lambda desk: desk.approve(TestKey("stranger", BOB)),
            lambda desk: desk.approve(FORGED),
            lambda desk: desk.approve(ROBOT),
            withdrawn,
        ],
    )


def _withdrawn() -> Attack:
    def run(desk: Desk) -> None:
        desk.approve(BOBS)
        desk.keys.keys = KnownKeys(CAROLS).keys
        desk.run()

    def between(desk: Desk) -> None:
        desk.approve(BOBS)
        approved = desk.check()
        desk.keys.keys = KnownKeys(CAROLS).keys
        desk.book.use(approved)

    return desk_attack(
        "what a security key signed that is believed no more",
        Reason.APPROVAL_REQUIRED,
        approve_and_run,
        [run, between],
    )


def _signatures(*, thorough: bool) -> Attack:
    def of_another_approval(desk: Desk) -> None:
        second = asked(desk.book, reason="another")
        desk.approve(BOBS, challenge=second.request.challenge)

    def of_another_store(desk: Desk) -> None:
        foreign = replace(desk.approval.request, store="0" * 32)
        desk.approve(BOBS, challenge=foreign.challenge)

    def swapped(desk: Desk, **other: str) -> None:
        changed = replace(desk.approval.request, **other)  # type: ignore[arg-type]
        desk.approve(BOBS, challenge=changed.challenge)

    def flipped(desk: Desk, part: str, place: int) -> None:
        def change(said: Assertion) -> Assertion:
            data = bytearray(getattr(said, part))
            data[place % len(data)] ^= 1
            return replace(said, **{part: bytes(data)})

        desk.approve(BOBS, change=change)

    places = range(0, 200, 7 if thorough else 60)
    parts = ("authenticator_data", "client_data", "signature", "credential_id")
    return desk_attack(
        "a signature of something else: another approval, store, request, challenge, "
        "origin, or a bit less",
        Reason.APPROVAL_INVALID,
        give_approval,
        [
            of_another_approval,
            of_another_store,
            partial(swapped, requester=CAROL),
            partial(swapped, method=OTHER_METHOD),
            partial(swapped, request_sha256="0" * 64),
            partial(swapped, reason="something harmless"),
            lambda desk: desk.approve(BOBS, challenge=b"x" * 32),
            lambda desk: desk.approve(BOBS.saying(origin="https://evil.test")),
            lambda desk: desk.approve(BOBS.saying(relying_party="evil.test")),
            lambda desk: desk.approve(BOBS.saying(kind="webauthn.create")),
            *(partial(flipped, part=part, place=at) for part in parts for at in places),
        ],
    )


def _unverified() -> Attack:
    return desk_attack(
        "a security key whose person is not verified, or not there",
        Reason.APPROVAL_INVALID,
        give_approval,
        [
            lambda desk: desk.approve(BOBS.saying(flags=PRESENT)),
            lambda desk: desk.approve(BOBS.saying(flags=VERIFIED)),
            lambda desk: desk.approve(BOBS.saying(flags=0)),
        ],
    )


def _other_request(*, thorough: bool) -> Attack:
    def changed(desk: Desk, place: int) -> None:
        desk.approve(BOBS)
        data = bytearray(REQUEST)
        data[place] ^= 1
        desk.check(request=bytes(data))

    def asking(desk: Desk, **other: object) -> None:
        desk.approve(BOBS)
        desk.check(**other)  # type: ignore[arg-type]

    return desk_attack(
        "another request, method or caller under an approval",
        Reason.APPROVAL_INVALID,
        approve_and_run,
        [
            *(
                partial(changed, place=at)
                for at in range(0, len(REQUEST), 1 if thorough else 5)
            ),
            partial(asking, request=REQUEST + b"\x10\x05"),
            partial(asking, request=REQUEST[:-1]),
            partial(asking, request=b""),
            partial(asking, method=OTHER_METHOD),
            partial(asking, requester=BOB),
            partial(asking, requester=CAROL),
            partial(asking, requester=BASTION),
            partial(asking, name="00000000-0000000000"),
            partial(asking, name="../../projects/x"),
        ],
    )


def _while_it_runs(desk: Desk) -> None:
    desk.approve(BOBS)
    desk.book.use(desk.check())
    desk.run(desk.other)


def _checked_before(desk: Desk) -> None:
    desk.approve(BOBS)
    approved = desk.check(desk.other)
    desk.run()
    desk.other.use(approved)


def _at_once(desk: Desk) -> None:
    desk.approve(BOBS)
    books = (desk.book, desk.other) * 3
    approved, begin = desk.check(), threading.Barrier(len(books))
    refusals: list[str] = []

    def use(book: Approving) -> None:
        begin.wait()
        try:
            book.use(approved)
        except PermissionDeniedError as error:
            refusals.append(error.reason)

    threads = [threading.Thread(target=use, args=[book]) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if refusals == [Reason.APPROVAL_USED] * (len(books) - 1):
        raise RefusedError(Reason.APPROVAL_USED)


def _twice() -> Attack:
    return desk_attack(
        "an approval used twice: later, elsewhere, while it runs, six times at once",
        Reason.APPROVAL_USED,
        approve_and_run,
        [
            then(approve_and_run, lambda desk: desk.run()),
            then(approve_and_run, lambda desk: desk.run(desk.other)),
            _while_it_runs,
            _checked_before,
            _at_once,
        ],
    )


def _too_late() -> Attack:
    def wait(desk: Desk) -> None:
        desk.clock.advance(900)

    def checked_in_time(desk: Desk) -> None:
        desk.approve(BOBS)
        approved = desk.check()
        wait(desk)
        desk.book.use(approved)

    return desk_attack(
        "an approval after its time: given, looked at, used",
        Reason.APPROVAL_EXPIRED,
        then(lambda desk: desk.clock.advance(899), approve_and_run),
        [
            then(wait, give_approval),
            then(give_approval, wait, lambda desk: desk.run()),
            then(give_approval, wait, lambda desk: desk.run(desk.other)),
            checked_in_time,
        ],
    )


def _denied() -> Attack:
    def deny(desk: Desk) -> None:
        desk.other.deny(desk.name, "no", principal=CAROL, audit_id="log-2")

    return desk_attack(
        "an approval that somebody denied: used, or approved after all",
        Reason.APPROVAL_DENIED,
        approve_and_run,
        [
            then(give_approval, deny, lambda desk: desk.run()),
            then(deny, give_approval),
            then(deny, deny),
        ],
    )


def _put(desk: Desk, number: int, data: bytes) -> None:
    desk.world.blobs.put_new(layout.approval_key(desk.name, number), data)


def _stored(desk: Desk, name: str, number: int) -> bytes:
    key = layout.approval_key(name, number)
    return next(data for item, data in desk.world.bucket.objects() if item.key == key)


def _remove(desk: Desk, number: int) -> None:
    key = layout.approval_key(desk.name, number)
    for item, _ in list(desk.world.bucket.objects()):
        if item.key == key:
            desk.world.bucket.delete_version(item.key, item.version_id)


def _moved_consent(desk: Desk) -> None:
    first = desk.approval
    desk.approve(BOBS)
    desk.approval = asked(desk.book, reason="another")
    _put(desk, 1, _stored(desk, first.request.approval_id, 1))
    desk.run()


def _moved_whole(desk: Desk) -> None:
    desk.approve(BOBS)
    name = "ffffffff-0000000000"
    for number in (0, 1):
        data = _stored(desk, desk.name, number)
        desk.world.blobs.put_new(layout.approval_key(name, number), data)
    desk.check(name=name)


def _unused(desk: Desk) -> None:
    approve_and_run(desk)
    _remove(desk, 2)
    desk.run()


def _bucket() -> Attack:
    return desk_attack(
        "records planted, moved to another approval, or one removed between others",
        Reason.RECORD_CORRUPT,
        approve_and_run,
        [
            then(lambda desk: _put(desk, 1, b"garbage"), lambda desk: desk.run()),
            then(lambda desk: _put(desk, 1, b""), lambda desk: desk.run()),
            _moved_consent,
            _moved_whole,
            _unused,
        ],
    )


def _foreign_store() -> Attack:
    def copied(desk: Desk) -> None:
        desk.approve(BOBS)
        with opened_desk() as elsewhere:
            for item, data in desk.world.bucket.objects():
                if item.key.startswith(layout.APPROVALS):
                    elsewhere.world.blobs.put_new(item.key, data)
            elsewhere.check(name=desk.name)

    return desk_attack(
        "an approval of another store, object by object",
        Reason.RECORD_CORRUPT,
        approve_and_run,
        [copied],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield [
        _oneself(),
        _same_person(),
        _foreign_keys(),
        _withdrawn(),
        _signatures(thorough=thorough),
        _unverified(),
        _other_request(thorough=thorough),
        _twice(),
        _too_late(),
        _denied(),
        _bucket(),
        _foreign_store(),
        *consent_attacks(),
    ]


FAMILY: Final = Family("approvals", _opened)
