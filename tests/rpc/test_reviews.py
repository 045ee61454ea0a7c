# SPDX-License-Identifier: Apache-2.0
"""Running calls of those who lose their right: ended, with the reason, and soon."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc
import pytest

from strongroom.errors import PermissionDeniedError, Reason
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.access import AccessAction, CallFacts, Decision
from strongroom_server.core.revocation import Revocations, parse_revocations
from strongroom_server.ports import Authorizer
from strongroom_server.rpc.identity import IdentityRules
from strongroom_server.rpc.reviews import INTERVAL_S, Reviews
from strongroom_server.rpc.watchdog import GRACE_S, Watchdog
from strongroom_server.rpc.watchdog import INTERVAL_S as WATCH_S
from tests.rpc.authority import DEVELOPER, READER, TRUST_DOMAIN
from tests.rpc.roles import AUTHORIZER
from tests.rpc.running import VERSION, Running, read_failure, running_server
from tests.support.clock import ManualClock
from tests.support.waiting import wait_until

READ = transfer_pb.ReadVersionRequest(name=VERSION)


@dataclass
class Changing:
    """An `Authorizer` that takes rights away, and a list of revocations."""

    denied: set[str] = field(default_factory=set)
    revoked: Revocations = field(default_factory=Revocations)

    def decide(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        if principal in self.denied:
            return Decision(allowed=False)
        return AUTHORIZER.decide(principal, action, resource, facts)

    def __getattr__(self, name: str) -> object:
        return getattr(AUTHORIZER, name)

    @contextmanager
    def serving(self) -> Iterator[Running]:
        rules = IdentityRules(TRUST_DOMAIN, revoked=lambda: self.revoked)
        authorizer = cast("Authorizer", self)
        with running_server(authorizer=authorizer, rules=rules) as server:
            server.script.responses = 1_000_000
            yield server


@pytest.fixture
def changing() -> Changing:
    return Changing()


def take(responses: Iterator[object], count: int) -> None:
    for _ in range(count):
        next(responses)


def drain(responses: Iterator[object]) -> grpc.RpcError:
    """Read until the stream breaks off; blocks may be under way."""
    with pytest.raises(grpc.RpcError) as caught:
        take(responses, 100)
    return caught.value


def is_stuck(server: Running) -> bool:
    """Tell whether the only call has waited half a second for its caller."""
    [watch] = server.watchdog._watches
    since = watch._waiting_since
    return since is not None and watch._clock.monotonic() - since > 0.5


def test_who_loses_the_right_has_the_running_stream_ended_with_the_reason(
    changing: Changing,
) -> None:
    with changing.serving() as server, server.transfers() as stub:
        responses = stub.ReadVersion(READ, timeout=60)
        take(responses, 20)
        server.reviews.review()
        take(responses, 20)

        changing.denied.add(DEVELOPER)
        server.reviews.review()
        failed = read_failure(drain(responses))
        server.wait_for_entries(2)

        assert (failed.code, failed.reason) == (
            "PERMISSION_DENIED",
            "ACTION_NOT_ALLOWED",
        )
        assert failed.audit_id
        assert server.script.closed.wait(10)
        intent, outcome = server.audit.events()
        assert (intent.decision, outcome.decision) == ("allow", "deny")
        assert outcome.reason == "ACTION_NOT_ALLOWED"


def test_who_is_revoked_has_the_running_stream_ended_too(changing: Changing) -> None:
    with changing.serving() as server, server.transfers() as stub:
        responses = stub.ReadVersion(READ, timeout=60)
        take(responses, 1)

        changing.revoked = parse_revocations(DEVELOPER)
        server.reviews.review()

        failed = read_failure(drain(responses))
        assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "IDENTITY_REVOKED")


def test_others_streams_go_on(changing: Changing) -> None:
    with (
        changing.serving() as server,
        server.transfers() as stub,
        server.transfers(server.authority.issue(READER)) as other,
    ):
        stream, others = stub.ReadVersion(READ), other.ReadVersion(READ)
        take(stream, 1)
        take(others, 1)

        changing.denied.add(DEVELOPER)
        server.reviews.review()

        drain(stream)
        take(others, 100)
        others.cancel()
        wait_until(lambda: not server.reviews._reviewed)


def test_a_writer_is_stopped_at_its_next_message(changing: Changing) -> None:
    def requests() -> Iterator[transfer_pb.WriteVersionRequest]:
        start = transfer_pb.WriteStart(parent=VERSION.partition("/versions")[0])
        yield transfer_pb.WriteVersionRequest(start=start)
        wait_until(lambda: server.script.requests == 1)
        changing.denied.add(DEVELOPER)
        server.reviews.review()
        while True:
            yield transfer_pb.WriteVersionRequest()

    with changing.serving() as server, server.transfers() as stub:
        failed = read_failure(drain(stub.WriteVersion(requests(), timeout=60)))

    assert failed.reason == "ACTION_NOT_ALLOWED"
    assert server.script.requests == 1


def test_who_takes_nothing_is_cancelled_by_the_watchdog(changing: Changing) -> None:
    with changing.serving() as server, server.transfers() as stub:
        responses = stub.ReadVersion(READ, timeout=60)
        next(responses)
        wait_until(lambda: is_stuck(server))
        changing.denied.add(DEVELOPER)
        server.reviews.review()
        assert not server.script.closed.wait(GRACE_S / 2), "it looks at nothing"
        assert server.script.closed.wait(GRACE_S + 3 * WATCH_S)
        server.wait_for_entries(2)

        assert server.outcomes()[-1] == (
            "outcome",
            "ReadVersion",
            "PERMISSION_DENIED",
            "ACTION_NOT_ALLOWED",
        )
        responses.cancel()


def test_reviews_have_a_thread_of_their_own() -> None:
    watchdog, reviews = Watchdog(clock=ManualClock(), stall_s=9), Reviews(interval_s=0)
    gone: list[str] = []

    def look() -> None:
        message = "no longer"
        raise PermissionDeniedError(message)

    cancel = gone.append
    with (
        reviews.running(),
        watchdog.watch(lambda: cancel("x"), deadline_s=100) as watch,
        reviews.reviewing(watch, look),
    ):
        wait_until(lambda: watch.refusal is not None)

    assert watch.refusal is not None
    assert watch.refusal.reason is Reason.ACTION_NOT_ALLOWED
    assert gone == []


def test_a_right_that_cannot_be_looked_at_is_none() -> None:
    reviews = Reviews()
    watchdog = Watchdog(clock=ManualClock(), stall_s=9)

    def look() -> None:
        message = "a bug"
        raise ValueError(message)

    with (
        watchdog.watch(lambda: None, deadline_s=100) as watch,
        reviews.reviewing(watch, look),
    ):
        reviews.review()

    assert watch.refusal is not None
    assert watch.refusal.code == "INTERNAL"
    assert "a bug" not in watch.refusal.message


def test_the_longest_way_is_well_within_a_minute() -> None:
    policies_are_looked_at_s = 5
    assert policies_are_looked_at_s + INTERVAL_S + GRACE_S + WATCH_S < 30
