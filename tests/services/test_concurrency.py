# SPDX-License-Identifier: Apache-2.0
"""Several engines on one store: whatever was acknowledged is there, once."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from strongroom.errors import ConflictError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.ports import BlobStore, BlobVersion
from tests.support.faulty import FaultyBlobStore
from tests.support.world import ARTIFACT, World, memory_world


def engines(world: World, count: int) -> list[World]:
    return [world.reopened() for _ in range(count)]


def test_concurrent_pushes_of_several_engines_are_all_there_once() -> None:
    with memory_world() as world, ThreadPoolExecutor(6) as pool:

        def push(job: tuple[World, int]) -> tuple[int, bytes]:
            engine, number = job
            data = b"%d" % number
            result = engine.push({"a": data, "shared": b"s" * 1000})
            assert not result.unchanged
            return result.version.number, data

        jobs = [
            (engine, 100 * index + number)
            for index, engine in enumerate(engines(world, 6))
            for number in range(5)
        ]
        random.Random(1).shuffle(jobs)
        acknowledged = dict(pool.map(push, jobs))

        assert len(acknowledged) == len(jobs)
        fresh = world.reopened()
        assert fresh.versions() == list(range(30, 0, -1))
        for number, data in acknowledged.items():
            assert fresh.pull(str(number))["a"] == data
        assert all(finding.ok for finding in fresh.verify()[0])


def test_the_first_pushes_of_several_engines_agree_on_project_and_artifact() -> None:
    for _ in range(10):
        with memory_world() as world, ThreadPoolExecutor(4) as pool:

            def push(engine: World) -> int:
                data = b"%d" % id(engine)
                return engine.push({"a": data}).version.number

            numbers = pool.map(push, engines(world, 4))

            assert sorted(numbers) == [1, 2, 3, 4]
            page = world.reopened().artifacts.list_projects(page_size=0, page_token="")
            assert [record.name for record in page.items] == [ProjectName("demo")]


class Meanwhile(FaultyBlobStore):
    """A store in which others act between a listing and its answer, once."""

    def __init__(
        self, store: BlobStore, prefix: str, act: Callable[[], object]
    ) -> None:
        super().__init__(store)
        self._prefix = prefix
        self._acts = [act]

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        found = list(super().first_versions(prefix, start_after=start_after))
        if prefix.startswith(self._prefix) and self._acts:
            self._acts.pop()()
        yield from found


def test_a_push_whose_project_was_made_meanwhile_goes_on() -> None:
    with memory_world() as world:
        theirs = world.reopened()
        store = Meanwhile(
            world.blobs, "projects/", lambda: theirs.push({"b": b"theirs"})
        )

        mine = world.reopened(blobs=store)

        assert mine.push({"a": b"mine"}).version.number == 2
        assert world.pull("1") == {"b": b"theirs"}


def test_a_push_behind_whose_back_others_push_takes_the_next_number() -> None:
    with memory_world() as world:
        world.push({"a": b"0"})
        store = Meanwhile(
            world.blobs, "journals/", lambda: world.push({"b": b"theirs"})
        )

        assert world.reopened(blobs=store).push({"a": b"mine"}).version.number == 3
        assert world.pull("2") == {"b": b"theirs"}


def test_the_same_request_at_the_same_time_makes_one_version() -> None:
    with memory_world() as world, ThreadPoolExecutor(5) as pool:
        world.push({"a": b"0"})

        def push(engine: World) -> int:
            return engine.push({"a": b"1"}, request_id="r").version.number

        assert set(pool.map(push, engines(world, 5))) == {2}
        assert world.versions() == [2, 1]


def test_of_conditional_moves_at_the_same_time_one_wins() -> None:
    with memory_world() as world, ThreadPoolExecutor(5) as pool:
        world.push({"a": b"0"})
        etag = world.move("prod", "1").etag

        def move(engine: World) -> str:
            try:
                engine.move("prod", "1", etag=etag)
            except ConflictError as error:
                return error.reason.value
            return "won"

        outcomes = Counter(pool.map(move, engines(world, 5)))

        assert outcomes == {"won": 1, Reason.REF_MOVED.value: 4}


def test_moves_and_pushes_of_several_artifacts_do_not_disturb_each_other() -> None:
    with memory_world() as world, ThreadPoolExecutor(4) as pool:
        world.push({"a": b"0"})

        def work(job: tuple[World, int]) -> None:
            engine, number = job
            name = ArtifactName("demo", f"a{number % 3}")
            engine.push({"a": b"%d" % number}, name)
            engine.move("prod", "1", name)

        jobs = [(engine, n) for n, engine in enumerate(engines(world, 6) * 2)]
        list(pool.map(work, jobs))

        fresh = world.reopened()
        for number in range(3):
            name = ArtifactName("demo", f"a{number}")
            assert fresh.versions(name) == [4, 3, 2, 1]
            entries = fresh.artifacts.list_journal(name, page_size=0, page_token="")
            assert [item.number for item in entries.items] == list(range(8, -1, -1))
        assert fresh.versions(ARTIFACT) == [1]
