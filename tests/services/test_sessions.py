# SPDX-License-Identifier: Apache-2.0
"""Sessions: what is asked for comes in order, verified, and within bounds."""

import random
from collections.abc import Iterable, Iterator, Sequence

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import (
    ExhaustedError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.core import filetable
from strongroom_server.core.filetable import PAGE_FILES
from strongroom_server.core.records import FileStarted
from strongroom_server.core.selection import MAX_PATHS
from strongroom_server.services.downloads import (
    DownloadSource,
    Found,
    Part,
    Session,
    granted,
    sessions,
)
from tests.support.shredding import shred
from tests.support.sidecars import sidecar_world
from tests.support.world import ARTIFACT, World, memory_world

MIB = 1024 * 1024
ONE = VersionName(ARTIFACT, "1")
BIG = random.Random(11).randbytes(20 * MIB + 7)
FILES = {
    "big.bin": BIG,
    "empty": b"",
    "wide/é": b"wide",
    **{f"small/{number:03d}": b"%d" % number * 9000 for number in range(60)},
}


@pytest.fixture(params=["central", "sidecar", "sidecar by paths"])
def source(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DownloadSource]:
    """Whatever opens versions, of the same files."""
    if request.param == "central":
        with memory_world() as world:
            world.push(FILES)
            yield world.downloads
        return
    if request.param == "sidecar by paths":
        monkeypatch.setattr(granted, "MAX_WHOLE_FILES", 40)
    with sidecar_world() as sidecar:
        sidecar.world.push(FILES)
        yield sidecar.downloads


def collect(answers: Iterable[Found], lane: Lane | None = None) -> list[bytes]:
    """Put files together; look into shared memory if there is a lane."""
    files: list[bytes] = []
    begun = b""
    for found in answers:
        pieces: list[bytes]
        if found.shared is None:
            assert sum(found.lengths) <= MIB + MAX_PATHS
            pieces = [bytes(item) for item in found.data]
        else:
            assert lane is not None
            assert not found.data
            memory = lane.segment(found.shared.segment)
            pieces = [
                bytes(memory[offset : offset + length])
                for offset, length in zip(
                    found.shared.offsets, found.lengths, strict=True
                )
            ]
        assert [len(piece) for piece in pieces] == found.lengths
        ended = 0
        for index, piece in enumerate(pieces):
            begun += piece
            if index not in found.unfinished:
                files.append(begun)
                begun = b""
                ended += 1
        assert ended == found.file_count
    assert not begun
    return files


def ask(session: Session, *parts: Part) -> list[bytes]:
    session.ask(parts)
    return collect(session.answers())


def whole(paths: Iterable[str]) -> list[Part]:
    return [Part(path) for path in paths]


def test_files_come_in_the_order_asked(source: DownloadSource) -> None:
    paths = [*FILES, *FILES]
    random.Random(3).shuffle(paths)
    with source.open_session(ONE) as session:
        assert session.version.name == ONE
        assert ask(session, *whole(paths)) == [FILES[path] for path in paths]
        assert ask(session, Part("empty")) == [b""]


def test_digests_are_those_of_files_wanted_as_a_whole(source: DownloadSource) -> None:
    wanted = [Part("big.bin", 0, 5), Part("empty"), Part("big.bin"), Part("small/001")]
    with source.open_session(ONE) as session:
        session.ask(wanted)
        digests = [digest for found in session.answers() for digest in found.digests]
    with source.open(ONE, paths=["big.bin", "empty", "small/001"]) as download:
        known = [
            item.digest for item in download.items if isinstance(item, FileStarted)
        ]
    assert digests == [known[1], known[0], known[2]]


def test_ranges_are_what_slices_are(source: DownloadSource) -> None:
    places = random.Random(4)
    parts = [
        Part("big.bin", places.randrange(len(BIG)), 1 + places.randrange(MIB))
        for _ in range(40)
    ]
    parts += [
        Part("big.bin", 16 * MIB - 1, 2),
        Part("big.bin", len(BIG)),
        Part("big.bin", len(BIG) - 1, 99),
        Part("small/010", 17),
    ]
    with source.open_session(ONE) as session:
        found = ask(session, *parts)
    assert found == [
        FILES[part.path][part.offset_bytes :][: part.length_bytes or None]
        for part in parts
    ]


def test_several_requests_are_answered_one_after_another(
    source: DownloadSource,
) -> None:
    batches = [["big.bin"], ["small/001", "empty"], ["wide/é"], ["big.bin"]]
    with source.open_session(ONE) as session:
        for batch in batches:
            assert session.may_ask
            session.ask(whole(batch))
        assert not session.may_ask
        found = collect(session.answers())
        assert found == [FILES[path] for batch in batches for path in batch]
        assert session.may_ask


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([Part("none")], NotFoundError),
        ([Part("zzz")], NotFoundError),
        ([Part("small/")], NotFoundError),
        ([Part("small")], NotFoundError),
        ([Part("empty"), Part("small/001x")], NotFoundError),
        ([Part("empty", 1)], OutOfRangeError),
        ([Part("empty", -1)], InvalidArgumentError),
        ([Part("empty", 0, -1)], InvalidArgumentError),
        ([], InvalidArgumentError),
        ([Part("empty")] * (MAX_PATHS + 1), InvalidArgumentError),
    ],
)
def test_what_cannot_be_read_is_refused(
    source: DownloadSource, parts: Sequence[Part], error: type[StrongroomError]
) -> None:
    with source.open_session(ONE) as session:
        with pytest.raises(error):
            session.ask(parts)
        assert ask(session, Part("wide/é")) == [b"wide"]


def test_memory_that_others_hold_only_makes_a_session_slow(world: World) -> None:
    world.push(FILES)
    budget = world.repository.read_budget
    taken = budget.free_bytes
    assert budget.try_take(taken)
    with world.downloads.open_session(ONE) as session:
        assert ask(session, *whole(FILES)) == list(FILES.values())
    budget.give_back(taken)
    assert budget.free_bytes == taken


def test_all_memory_comes_back_wherever_a_session_ends(world: World) -> None:
    world.push(FILES)
    free = world.repository.read_budget.free_bytes
    for count in range(1, 8):
        with world.downloads.open_session(ONE) as session:
            session.ask(whole(["big.bin", *FILES]))
            answers = session.answers()
            for _ in range(count):
                next(answers)
            assert world.repository.read_budget.free_bytes < free
            del answers
        assert world.repository.read_budget.free_bytes == free


def test_neighbours_are_fetched_by_few_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sidecar_world(cache_bytes=0) as sidecar:
        sidecar.world.push(
            {f"f{number:03}": b"%d" % number * 900 for number in range(90)}
        )
        paths = [f"f{number:03}" for number in range(90)]
        random.Random(1).shuffle(paths)
        with sidecar.downloads.open_session(ONE) as session:
            before = len(sidecar.packs.requests)
            ask(session, *whole(paths))
        assert len(sidecar.packs.requests) - before <= 2


def test_a_small_version_is_granted_once_and_a_large_one_by_its_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sidecar_world() as sidecar:
        sidecar.world.push(FILES)
        for _ in range(2):
            with sidecar.downloads.open_session(ONE) as session:
                ask(session, *whole(["empty", "small/003"]))
        assert sidecar.grants.opened == [("1", ())]
        monkeypatch.setattr(granted, "MAX_WHOLE_FILES", 40)
        sidecar.world.push({**FILES, "more": b"more"})
        with sidecar.downloads.open_session(VersionName(ARTIFACT, "2")) as session:
            ask(session, *whole(["empty", "small/003", "empty"]))
            ask(session, *whole(["small/003", "more"]))
        assert sidecar.grants.opened[1:] == [
            ("2", ()),
            ("2", ("empty", "small/003")),
            ("2", ("more",)),
        ]
        assert sidecar.grants.open_count == 0


def test_a_version_of_many_pages_is_found_through(world: World) -> None:
    files = {f"{number * 7919 % 4000:05}": b"%d" % number for number in range(4000)}
    assert len(files) > 8 * PAGE_FILES
    world.push(files)
    paths = random.Random(6).sample(sorted(files), 900)
    world.repository.manifests.forget()
    with world.downloads.open_session(ONE) as session:
        assert ask(session, *whole(paths)) == [files[path] for path in paths]
        assert ask(session, *whole(paths[:9])) == [files[path] for path in paths[:9]]
        for path in ("", "0", "00000x", "99999"):
            with pytest.raises(NotFoundError):
                session.ask([Part(path)])


def test_what_was_fetched_ahead_of_a_revocation_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sidecar_world() as sidecar:
        sidecar.world.push(FILES)
        refusal = PermissionDeniedError("no more")
        with sidecar.downloads.open_session(ONE) as session:
            session.ask(whole(["big.bin"] * 3))
            answers = session.answers()
            next(answers)
            sidecar.book.revoke(ONE, refusal)
            with pytest.raises(PermissionDeniedError):
                next(answers)


def test_what_was_fetched_ahead_of_a_shredding_is_not_handed_out(
    world: World,
) -> None:
    world.push(FILES)
    with world.downloads.open_session(ONE) as session:
        session.ask(whole(["big.bin"] * 3))
        answers = session.answers()
        next(answers)
        shred(world, ProjectName(ARTIFACT.project))
        with pytest.raises(PreconditionError) as caught:
            next(answers)
    assert caught.value.reason is Reason.KEY_SHREDDED


def test_a_window_is_bounded_whatever_is_asked_for(world: World) -> None:
    world.push(FILES)
    with world.downloads.open_session(ONE) as session:
        for _ in range(sessions.MAX_WAITING):
            session.ask(whole(["big.bin"] * 100))
        answers = session.answers()
        free = []
        for _ in range(40):
            next(answers)
            free.append(world.repository.read_budget.free_bytes)
    most = sessions.AHEAD_WINDOWS * 17 * MIB
    assert world.repository.read_budget.free_bytes - min(free) <= most


def test_small_ranges_keep_no_more_than_themselves(source: DownloadSource) -> None:
    parts = [Part("big.bin", 1 + number, 10) for number in range(20)]
    parts += [Part("small/007", 5, 10)]
    with source.open_session(ONE) as session:
        session.ask(parts)
        found = [piece for item in session.answers() for piece in item.data]
    assert [bytes(piece) for piece in found[-2:]] == [BIG[20:30], b"7" * 10]
    assert sum(len(memoryview(piece.obj)) for piece in found) == 21 * 10


def test_files_of_very_many_chunks_are_not_found_together(
    source: DownloadSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filetable, "MAX_FOUND_CHUNKS", 1)
    monkeypatch.setattr(sessions, "MAX_FOUND_CHUNKS", 1)
    with source.open_session(ONE) as session:
        session.ask([Part("big.bin"), Part("big.bin", 5, 5)])
        may_ask = [session.may_ask]
        assert collect(session.answers()) == [BIG, BIG[5:10]]
        may_ask.append(session.may_ask)
        assert may_ask == [False, True], "while many chunks are in memory"
        with pytest.raises(ExhaustedError) as caught:
            session.ask([Part("big.bin"), Part("wide/é")])
    assert caught.value.reason is Reason.TOO_LARGE
