# SPDX-License-Identifier: Apache-2.0
"""A sidecar reads the same bytes as central, for as long as it may, and no longer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from strongroom.errors import (
    CancelledError,
    ExhaustedError,
    InternalError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import VersionName
from strongroom_server.core import grant
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Kind
from strongroom_server.repository import grant_book
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_pages import Lease, page_of
from tests.support.clock import ManualClock
from tests.support.sidecars import (
    BIG,
    FILES,
    LIFETIME_S,
    MIB,
    ONE,
    MemoryGrant,
    MemoryGrants,
    Sidecar,
    sidecar_world,
)
from tests.support.waiting import wait_until
from tests.support.world import ARTIFACT

TWO = VersionName(ARTIFACT, "2")
LATEST = VersionName(ARTIFACT, "latest")


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with sidecar_world() as made:
        made.world.push(FILES)
        yield made


def test_the_same_bytes_come_through_a_sidecar(sidecar: Sidecar) -> None:
    assert sidecar.read(LATEST) == FILES
    assert sidecar.read(ONE, "small/") == {
        path: data for path, data in FILES.items() if path.startswith("small/")
    }


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (5, 100), (MIB - 1, 2), (16 * MIB - 3, 6), (20 * MIB - 1, 9), (7, 0)],
)
def test_ranges_come_through_a_sidecar(
    sidecar: Sidecar, offset: int, length: int
) -> None:
    end = offset + length if length else len(BIG)

    found = sidecar.read(ONE, "big.bin", offset=offset, length=length)

    assert found["big.bin"] == BIG[offset:end]


def test_deltas_come_through_a_sidecar(sidecar: Sidecar) -> None:
    changed = bytearray(BIG)
    changed[MIB] ^= 1
    with sidecar_world() as other:
        other.world.push({"a": BIG}, kind=Kind.CHECKPOINT)
        other.world.push({"a": bytes(changed)}, kind=Kind.CHECKPOINT)

        assert other.read(TWO) == {"a": bytes(changed)}

        entries = other.book.open(TWO, paths=()).entries
        assert Codec.DELTA in {ref.codec for item in entries for ref in item.chunks}


def test_a_version_that_is_open_is_opened_once(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    sidecar.read(ONE)
    sidecar.read(ONE, "small/001")
    sidecar.read(ONE, "big.bin", offset=5, length=9)

    assert sidecar.grants.opened == [("1", ())]


def test_what_a_ref_points_at_is_asked_anew(sidecar: Sidecar) -> None:
    sidecar.read(LATEST, "empty")
    sidecar.world.push({"empty": b"not any more"})

    assert sidecar.read(LATEST, "empty") == {"empty": b"not any more"}


def test_a_url_that_is_not_believed_is_renewed_once(sidecar: Sidecar) -> None:
    sidecar.packs.refusals = 1

    assert sidecar.read(ONE, "small/001") == {"small/001": FILES["small/001"]}
    assert len(sidecar.grants.opened) == 2

    sidecar.cache.drop(next(iter(sidecar.world.keys("packs/"))))
    with sidecar_world(cache_bytes=0) as other:
        other.world.push(FILES)
        other.packs.refusals = 100
        with pytest.raises(UnavailableError) as error:
            other.read(ONE, "small/001")
        assert error.value.reason is Reason.STORE_UNAVAILABLE


def test_what_is_open_goes_on_while_central_is_away_until_its_time_is_over(
    sidecar: Sidecar,
) -> None:
    sidecar.read(ONE)
    sidecar.grants.cut_off()
    sidecar.book.doubt([ONE])

    sidecar.clock.advance(LIFETIME_S - 1)
    assert sidecar.read(ONE) == FILES

    with pytest.raises(UnavailableError, match="central is away"):
        sidecar.read(TWO)
    with pytest.raises(UnavailableError, match="central is away"):
        sidecar.read(LATEST)

    sidecar.clock.advance(1)
    with pytest.raises(UnavailableError, match="central is away"):
        sidecar.read(ONE)


def test_a_reader_in_the_middle_is_stopped_when_the_time_is_over(
    sidecar: Sidecar,
) -> None:
    with sidecar.downloads.open(ONE, paths=["big.bin"], offset_bytes=1) as download:
        sidecar.grants.cut_off()
        sidecar.clock.advance(LIFETIME_S)
        with pytest.raises(UnavailableError, match="central is away"):
            list(download.items)


def test_keys_are_forgotten_at_the_end_even_if_nobody_asks(sidecar: Sidecar) -> None:
    opened = sidecar.book.open(ONE, paths=())
    [*entries] = opened.entries
    page = entries[0].chunks[0].page  # type: ignore[attr-defined]
    assert page.key(entries[0].chunks[0])

    sidecar.clock.advance(LIFETIME_S)
    sidecar.book.forget_old()

    assert page.key(entries[0].chunks[0]) is None
    assert page.url(entries[0].chunks[0]) is None


def test_a_lease_that_ages_is_renewed_before_its_end(sidecar: Sidecar) -> None:
    for _ in range(6):
        sidecar.read(ONE)
        sidecar.clock.advance(LIFETIME_S * 0.6)

    assert sidecar.read(ONE) == FILES


def test_what_is_revoked_is_refused_at_once(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    refusal = PreconditionError("shredded", reason=Reason.KEY_SHREDDED)
    with sidecar.downloads.open(ONE, paths=["big.bin"]) as download:
        items = download.items
        next(items)
        sidecar.book.revoke(ONE, refusal)

        with pytest.raises(PreconditionError, match="shredded"):
            list(items)
    assert sidecar.book.held() == []


def test_a_revoked_version_is_read_again_once_central_grants_it(
    sidecar: Sidecar,
) -> None:
    sidecar.read(ONE)
    sidecar.book.revoke(ONE, PreconditionError("deleted"))

    # Undeleted, say: central decides.
    assert sidecar.read(ONE) == FILES


def test_whoever_loses_the_right_is_refused_when_asked_again(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    sidecar.grants.refusal = PermissionDeniedError("not yours any more")
    sidecar.book.doubt([ONE])

    with pytest.raises(PermissionDeniedError):
        sidecar.read(ONE)
    # And what was opened is gone, also once central is away.
    sidecar.grants.cut_off()
    with pytest.raises(UnavailableError):
        sidecar.read(ONE)


def test_what_is_too_large_to_keep_is_read_through(
    monkeypatch: pytest.MonkeyPatch, sidecar: Sidecar
) -> None:
    monkeypatch.setattr(grant_book, "MAX_KEPT_AT_ONCE", 10)

    assert sidecar.read(ONE) == FILES
    assert sidecar.read(ONE) == FILES
    assert sidecar.grants.opened == [("1", ())] * 2
    assert sidecar.grants.open_count == 0


def test_no_representation_shows_a_key(sidecar: Sidecar) -> None:
    opened = sidecar.book.open(ONE, paths=["big.bin"])
    [entry] = opened.entries
    ref = entry.chunks[0]
    page = ref.page  # type: ignore[attr-defined]
    key = page.key(ref)

    shown = repr(entry) + repr(page) + repr(opened)

    assert repr(key)[2:-1] not in shown
    assert "memory://" not in shown


@pytest.mark.parametrize(
    "error",
    [
        ExhaustedError("too many calls"),
        CancelledError("cut"),
        InternalError("a bug"),
    ],
)
def test_a_busy_central_ends_no_read_whose_lease_is_good(
    sidecar: Sidecar, error: StrongroomError
) -> None:
    sidecar.read(ONE)
    sidecar.grants.refusal = error
    sidecar.book.doubt([ONE])
    assert sidecar.read(ONE) == FILES

    sidecar.clock.advance(LIFETIME_S)
    with pytest.raises(type(error)):
        sidecar.read(ONE)


def test_nobody_waits_for_who_renews_while_the_lease_is_good(sidecar: Sidecar) -> None:
    entry = next(iter(sidecar.book.open(ONE, paths=()).entries))
    page = entry.chunks[0].page  # type: ignore[attr-defined]
    sidecar.book.doubt([ONE])
    with page.renewing:
        assert sidecar.read(ONE) == FILES


def test_what_has_no_keys_any_more_is_not_held(sidecar: Sidecar) -> None:
    sidecar.read(ONE)
    assert sidecar.book.held() == [ONE]

    sidecar.clock.advance(LIFETIME_S)
    assert sidecar.book.held() == []

    sidecar.book.changed.clear()
    sidecar.read(ONE)
    assert sidecar.book.held() == [ONE]
    assert sidecar.book.changed.is_set()


class Delayed(MemoryGrants):
    """Central's pages, which are on their way for a while."""

    clock: ManualClock

    @contextmanager
    def open(self, name: VersionName, *, paths: Sequence[str]) -> Iterator[MemoryGrant]:
        with super().open(name, paths=paths) as opened:
            pages = list(opened.pages())
            self.clock.advance(LIFETIME_S - 10)
            yield MemoryGrant(opened.grant, iter(pages))


def test_the_life_of_a_page_does_not_wait_for_its_arrival(sidecar: Sidecar) -> None:
    source = Delayed(sidecar.world)
    source.clock = sidecar.clock
    book = GrantBook(source, clock=sidecar.clock, executor=sidecar.executor)
    entry = next(iter(book.open(ONE, paths=()).entries))
    page = entry.chunks[0].page  # type: ignore[attr-defined]

    assert page.lease(sidecar.clock.monotonic()) is Lease.AGING
    sidecar.clock.advance(10)
    assert page.lease(sidecar.clock.monotonic()) is Lease.OVER


def test_who_is_refused_a_url_while_another_one_renews_it_waits(
    sidecar: Sidecar,
) -> None:
    entry = next(iter(sidecar.book.open(ONE, paths=()).entries))
    page = entry.chunks[0].page  # type: ignore[attr-defined]
    sidecar.packs.refusals = 2
    with page.renewing:
        reading = sidecar.executor.submit(sidecar.read, ONE, "small/001")
        wait_until(lambda: bool(sidecar.packs.requests))
        with pytest.raises(TimeoutError):
            reading.result(timeout=0.3)
        sidecar.packs.refusals = 0

    assert reading.result(timeout=30) == {"small/001": FILES["small/001"]}


def test_all_pages_of_a_long_file_are_renewed_by_one_call(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant, "MAX_PAGE_BYTES", 1100)
    [entry] = sidecar.book.open(ONE, paths=["big.bin"]).entries
    pages = {page_of(ref): ref for ref in entry.chunks}
    assert len(pages) == len(entry.chunks) > 1
    sidecar.clock.advance(LIFETIME_S)
    sidecar.book.forget_old()
    assert not any(page.key(ref) for page, ref in pages.items())

    sidecar.book.key(page_of(entry.chunks[0]))

    now_s = sidecar.clock.monotonic()
    assert {page.lease(now_s) for page in pages} == {Lease.GOOD}
    assert all(page.key(ref) and page.url(ref) for page, ref in pages.items())
    # And each has its own, not the keys of the whole file.
    assert all(len(page._keys) == len(page.places) for page in pages)
    assert sum(len(page.places) for page in pages) == len(entry.chunks)
    assert len(sidecar.grants.opened) == 2
