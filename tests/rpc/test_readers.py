# SPDX-License-Identifier: Apache-2.0
"""Who reads a version now: streams while they run, grants until they are over."""

from datetime import timedelta

import pytest

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import readers as readers_module
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.identity import Peer
from strongroom_server.rpc.methods import METHODS
from strongroom_server.rpc.readers import Readers
from strongroom_server.rpc.targets import Target
from tests.support.clock import ManualClock

READ = METHODS["/strongroom.v1.TransferService/ReadVersion"]
OPEN = METHODS["/strongroom.v1.GrantService/OpenVersion"]
WATCH = METHODS["/strongroom.v1.GrantService/WatchGrants"]
LOOK = METHODS["/strongroom.v1.ArtifactService/GetVersion"]
ARTIFACT = ArtifactName("demo", "minilm")
ALICE, BOB = "spiffe://test/ns/a/sa/alice/job/1", "spiffe://test/ns/a/sa/bob/job/1"


def version(selector: int | str) -> VersionName:
    return VersionName(ARTIFACT, str(selector))


class Calls:
    """Calls by people, as the guard makes them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readers = Readers(self.clock, grant_lifetime_s=900)
        self._number = 0

    def call(self, principal: str, number: int | None = None) -> Call:
        self._number += 1
        peer = Peer(principal=principal, tls_version="", key_exchange="")
        call = Call("m", "a", str(self._number), "t", 0.0, peer=peer)
        if number is not None:
            call.detail["version"] = number
        return call

    def opened(self, principal: str, number: int) -> None:
        """Have somebody granted a version, by the ref `prod`."""
        call = self.call(principal, number)
        with self.readers.reading(call, OPEN, targets(version("prod"))):
            pass

    def of(self, number: int) -> list[tuple[str, bool, int]]:
        found = self.readers.of(version(number))
        return [
            (item.principal, item.until is None, item.count) for item in found.readers
        ]


def targets(*names: VersionName) -> tuple[Target, ...]:
    return tuple(Target(name.resource, name.artifact.resource) for name in names)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_who_reads_through_the_server_reads_while_the_call_lasts(calls: Calls) -> None:
    call = calls.call(ALICE)
    with calls.readers.reading(call, READ, targets(version("prod"))):
        before = calls.of(3)
        call.detail["version"] = 3
        during, other = calls.of(3), calls.of(2)

    assert before == other == [], "what the ref resolved to is not known yet"
    assert during == [(ALICE, True, 1)]
    assert calls.of(3) == []


def test_a_grant_opens_something_until_it_is_over(calls: Calls) -> None:
    calls.opened(ALICE, 3)

    assert calls.of(3) == [(ALICE, False, 1)]
    calls.clock.advance(899)
    assert calls.of(3) == [(ALICE, False, 1)]
    calls.clock.advance(2)
    assert calls.of(3) == []


def test_grants_of_one_reader_are_told_once(calls: Calls) -> None:
    calls.opened(ALICE, 3)
    calls.clock.advance(600)
    calls.opened(ALICE, 3)
    calls.opened(BOB, 3)
    (alice, _) = calls.readers.of(version(3)).readers

    assert calls.of(3) == [(ALICE, False, 2), (BOB, False, 1)]
    assert alice.until == calls.clock.now() + timedelta(seconds=900)
    assert alice.since == calls.clock.now() - timedelta(seconds=600)


def test_a_grant_behind_one_that_is_over_is_the_first_again(calls: Calls) -> None:
    calls.opened(ALICE, 3)
    calls.clock.advance(1000)
    calls.opened(ALICE, 3)

    assert calls.of(3) == [(ALICE, False, 1)]


def test_a_sidecar_that_watches_holds_keys_of_all_that_it_names(calls: Calls) -> None:
    names = targets(version(1), version(2))
    with calls.readers.reading(calls.call(BOB), WATCH, names):
        assert calls.of(1) == calls.of(2) == [(BOB, True, 1)]
        assert calls.of(3) == []


def test_who_only_looks_reads_nothing(calls: Calls) -> None:
    assert LOOK.action is not AccessAction.VERSION_READ
    with calls.readers.reading(calls.call(ALICE, 3), LOOK, targets(version(3))):
        assert calls.of(3) == []


def test_a_call_that_fails_reads_no_more(calls: Calls) -> None:
    def fail() -> None:
        with calls.readers.reading(calls.call(ALICE, 3), READ, targets(version(3))):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert calls.of(3) == []


def test_more_than_can_be_remembered_is_said_to_be_incomplete(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers_module, "MAX_GRANTS", 2)
    for number in (1, 2):
        calls.opened(ALICE, number)
    assert calls.readers.of(version(1)).is_complete

    calls.opened(ALICE, 3)

    assert calls.of(1) == []
    assert not calls.readers.of(version(3)).is_complete


def test_more_readers_than_an_answer_holds_are_left_out(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers_module, "MAX_READERS", 1)
    calls.opened(ALICE, 3)
    calls.opened(BOB, 3)

    found = calls.readers.of(version(3))

    assert [item.principal for item in found.readers] == [ALICE]
    assert not found.is_complete
