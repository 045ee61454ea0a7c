# SPDX-License-Identifier: Apache-2.0
"""A sidecar hears of what ended while it holds it, and doubts what it cannot hear."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import (
    PermissionDeniedError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.core.grant import MAX_WATCHED, Revoked
from strongroom_server.repository.granted_pages import Lease
from strongroom_server.services.leasing import LeaseWatch, watch
from tests.support.shredding import shred
from tests.support.sidecars import Sidecar, sidecar_world
from tests.support.waiting import wait_until
from tests.support.world import ARTIFACT, CALLER

ONE = VersionName(ARTIFACT, "1")
TWO = VersionName(ARTIFACT, "2")
DATA = b"weights" * 100_000


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with sidecar_world() as made:
        made.world.push({"a": DATA})
        made.world.push({"a": DATA + b"2"})
        leases = LeaseWatch(made.book, made.grants, made.kept)
        with leases.running():
            yield made


def refusal_of(read: Callable[[], object]) -> Reason | None:
    try:
        read()
    except (PreconditionError, PermissionDeniedError) as error:
        return error.reason
    return None


def watched_now(sidecar: Sidecar) -> set[str]:
    """Return the versions that a watch listens for."""
    return {
        name.selector
        for item in tuple(sidecar.grants.watches)
        if item.is_on
        for name in item.names
    }


def test_what_is_opened_is_watched(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    wait_until(lambda: ("1",) in sidecar.grants.watched)
    sidecar.read(TWO)

    wait_until(lambda: ("1", "2") in sidecar.grants.watched)


def test_a_shredding_ends_what_is_open_and_empties_the_cache(sidecar: Sidecar) -> None:
    opened = sidecar.book.open(ONE, paths=())
    [entry] = opened.entries
    ref = entry.chunks[0]
    page = ref.page  # type: ignore[attr-defined]
    sidecar.read(ONE)
    wait_until(lambda: bool(sidecar.grants.watched))
    shred(sidecar.world, ProjectName(ARTIFACT.project))

    wait_until(lambda: page.key(ref) is None)
    assert page.url(ref) is None
    assert refusal_of(lambda: sidecar.read(ONE)) is Reason.KEY_SHREDDED
    wait_until(lambda: not sidecar.cache.drop(ref.pack))
    # Nor does it help that central goes away.
    sidecar.grants.cut_off()
    with pytest.raises((UnavailableError, PreconditionError)):
        sidecar.read(ONE)


def test_a_deletion_ends_one_version_and_not_the_other(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    sidecar.read(TWO)
    wait_until(lambda: ("1", "2") in sidecar.grants.watched)
    sidecar.world.retention.delete(
        ONE, reason="why", request_id=str(uuid.uuid4()), caller=CALLER
    )
    # The world's clock stands still: a look is due once it goes on.
    sidecar.clock.advance(1)

    wait_until(lambda: ONE not in sidecar.book.held())
    assert refusal_of(lambda: sidecar.read(ONE)) is Reason.VERSION_DELETED
    assert sidecar.read(TWO) == {"a": DATA + b"2"}


def test_who_loses_the_right_hears_it_by_the_end_of_the_watch(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    wait_until(lambda: bool(sidecar.grants.watches))
    denied = PermissionDeniedError("not yours any more")
    sidecar.grants.refusal = denied
    sidecar.grants.watches[-1].break_off(denied)

    wait_until(
        lambda: refusal_of(lambda: sidecar.read(ONE)) is Reason.ACTION_NOT_ALLOWED
    )


def test_while_central_is_away_what_is_open_goes_on(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    wait_until(lambda: bool(sidecar.grants.watches))
    sidecar.grants.cut_off()
    sidecar.grants.watches[-1].break_off(UnavailableError("gone"))

    assert sidecar.read(ONE) == {"a": DATA}
    sidecar.grants.refusal = None
    before = len(sidecar.grants.watches)
    wait_until(lambda: len(sidecar.grants.watches) > before)
    assert sidecar.read(ONE) == {"a": DATA}


def test_many_versions_are_watched_in_groups(sidecar: Sidecar) -> None:
    for number in range(MAX_WATCHED + 2):
        sidecar.world.push({"a": b"%d" % number})
        sidecar.read(VersionName(ARTIFACT, str(number + 3)))

    wait_until(
        lambda: (
            {len(names) for names in sidecar.grants.watched[-2:]} == {MAX_WATCHED, 2}
        )
    )


def test_no_version_that_is_held_goes_unwatched(sidecar: Sidecar) -> None:
    count = 5 * MAX_WATCHED
    for number in range(count):
        sidecar.world.push({"a": b"%d" % number})
        sidecar.read(VersionName(ARTIFACT, str(number + 3)))

    wanted = {str(number + 3) for number in range(count)}
    wait_until(lambda: wanted <= watched_now(sidecar))


def test_what_nobody_watches_is_asked_for_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "MAX_GROUPS", 0)
    with sidecar_world() as sidecar:
        sidecar.world.push({"a": DATA})
        leases = LeaseWatch(sidecar.book, sidecar.grants, sidecar.kept)
        [entry] = sidecar.book.open(ONE, paths=()).entries
        page = entry.chunks[0].page  # type: ignore[attr-defined]
        with leases.running():
            wait_until(lambda: page.lease(sidecar.clock.monotonic()) is Lease.DOUBTED)

        assert sidecar.grants.watched == []
        sidecar.read(ONE)
        assert sidecar.grants.opened == [("1", ()), ("1", ("a",))]


def test_a_version_that_is_lost_leaves_those_beside_it_watched(
    sidecar: Sidecar,
) -> None:
    sidecar.read(ONE)
    sidecar.read(TWO)
    wait_until(lambda: ("1", "2") in sidecar.grants.watched)
    denied = PermissionDeniedError("not yours any more")
    sidecar.grants.denied["1"] = denied
    sidecar.grants.watches[-1].break_off(denied)

    # Nobody reads it, and it is not asked for again and again.
    wait_until(lambda: ONE not in sidecar.book.held())
    wait_until(lambda: watched_now(sidecar) == {"2"})
    assert sidecar.read(TWO) == {"a": DATA + b"2"}
    assert refusal_of(lambda: sidecar.read(ONE)) is Reason.ACTION_NOT_ALLOWED


def test_a_version_that_ended_and_is_opened_again_is_watched_again(
    sidecar: Sidecar,
) -> None:
    sidecar.read(ONE)
    for times in range(1, 3):
        wait_until(lambda: watched_now(sidecar) == {"1"})
        sidecar.world.retention.delete(
            ONE, reason="why", request_id=str(uuid.uuid4()), caller=CALLER
        )
        sidecar.clock.advance(1)
        wait_until(
            lambda: refusal_of(lambda: sidecar.read(ONE)) is Reason.VERSION_DELETED
        )
        sidecar.world.retention.undelete(
            ONE, reason="why", request_id=str(uuid.uuid4()), caller=CALLER
        )
        assert sidecar.read(ONE) == {"a": DATA}, times


def test_who_tells_of_an_end_says_nothing_of_the_others() -> None:
    with sidecar_world() as sidecar:
        sidecar.world.push({"a": DATA})
        sidecar.world.push({"a": DATA + b"2"})
        [entry] = sidecar.book.open(TWO, paths=()).entries
        page = entry.chunks[0].page  # type: ignore[attr-defined]
        page.doubt()
        leases = LeaseWatch(sidecar.book, sidecar.grants, sidecar.kept)
        ended = Revoked(ONE.resource, "KEY_SHREDDED", "shredded")

        leases._hear([ONE, TWO], [ended])
        assert page.lease(sidecar.clock.monotonic()) is Lease.DOUBTED

        leases._hear([TWO], [])
        assert page.lease(sidecar.clock.monotonic()) is Lease.GOOD
