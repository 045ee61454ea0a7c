# SPDX-License-Identifier: Apache-2.0
"""Listing and finding: complete, in order, page by page."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import pytest

from strongroom.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.records import (
    Action,
    ArtifactRecord,
    Page,
    ProjectRecord,
)
from strongroom_server.ports import BlobVersion
from tests.support.clock import ManualClock
from tests.support.world import ARTIFACT, CALLER, World, memory_world

Item = TypeVar("Item")
#: In what one journal lies below: `journals/<project>/<artifact>/`.
JOURNAL_SLASHES = 3


def create(world: World, project: str, request_id: str = "r") -> ProjectRecord:
    return world.artifacts.create_project(project, caller=CALLER, request_id=request_id)


def paged(list_page: Callable[[str], Page[Item]]) -> list[list[Item]]:
    """All pages of a listing."""
    pages: list[list[Item]] = []
    token = ""
    while True:
        page = list_page(token)
        pages.append(list(page.items))
        token = page.next_page_token
        if not token:
            return pages


def test_a_project_is_created_once_and_found_again(world: World) -> None:
    record = create(world, "demo")

    assert create(world, "demo") == record
    assert create(world.reopened(), "demo") == record
    with pytest.raises(AlreadyExistsError) as caught:
        create(world.reopened(), "demo", "another")
    assert caught.value.reason is Reason.PROJECT_EXISTS


@pytest.mark.parametrize("project", ["", "Demo", "1a", "a" * 64, "a-", "a/b"])
def test_a_project_with_a_malformed_name_is_refused(world: World, project: str) -> None:
    with pytest.raises(InvalidArgumentError):
        create(world, project)


@pytest.mark.parametrize("request_id", ["", "r" * 129, "r" * 100_000])
def test_a_request_id_of_no_sane_length_is_refused(
    world: World, request_id: str
) -> None:
    with pytest.raises(InvalidArgumentError):
        create(world, "demo", request_id)

    page = world.artifacts.list_projects(page_size=0, page_token="")
    assert page.items == ()


def test_projects_and_artifacts_are_listed_by_name_page_by_page(world: World) -> None:
    names = ["b", "a", "d", "c", "e"]
    for name in names:
        create(world, name)
        world.push({"a": b"1"}, ArtifactName("demo", name))
    reopened = world.reopened()

    projects = paged(
        lambda token: reopened.artifacts.list_projects(page_size=2, page_token=token)
    )
    artifacts = paged(
        lambda token: reopened.artifacts.list_artifacts(
            ProjectName("demo"), page_size=2, page_token=token
        )
    )

    found = [[record.name.project for record in page] for page in projects]
    assert found == [["a", "b"], ["c", "d"], ["demo", "e"]]
    shown = [[record.name.artifact for record in page] for page in artifacts]
    assert shown == [["a", "b"], ["c", "d"], ["e"]]


def test_a_page_of_artifacts_costs_what_it_returns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = ProjectName("many")
    for number in range(12):
        world.push({"f": b"%d" % number}, ArtifactName("many", f"a{number:02}"))
    reopened = world.reopened()
    listed: list[str] = []
    first_versions = MemoryBlobStore.first_versions

    def watched(
        store: MemoryBlobStore, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        if prefix.count("/") == JOURNAL_SLASHES:
            listed.append(prefix)
        return first_versions(store, prefix, start_after=start_after)

    monkeypatch.setattr(MemoryBlobStore, "first_versions", watched)

    def page(token: str, size: int = 3) -> Page[ArtifactRecord]:
        listed.clear()
        return reopened.artifacts.list_artifacts(
            project, page_size=size, page_token=token
        )

    first = page("")
    of_first = len(listed)
    second = page(first.next_page_token)
    of_second = len(listed)
    world.push({"f": b"new"}, ArtifactName("many", "a99"))
    last = page("a10")
    of_last = len(listed)

    assert [item.name.artifact for item in first.items] == ["a00", "a01", "a02"]
    assert [item.name.artifact for item in second.items] == ["a03", "a04", "a05"]
    assert [item.name.artifact for item in last.items] == ["a11", "a99"]
    assert of_first == 12 + 3, "the names are not known at first"
    assert of_second == 3
    assert of_last == 2 + 1, "one that is new is read once for its name"


def test_a_page_shows_artifacts_as_they_are_now(world: World) -> None:
    world.push({"f": b"1"})
    listing = world.artifacts.list_artifacts
    listing(ProjectName("demo"), page_size=0, page_token="")
    world.reopened().push({"f": b"2"})

    [record] = listing(ProjectName("demo"), page_size=0, page_token="").items

    assert record.latest_version == 2


def test_what_is_not_visible_is_not_listed(world: World) -> None:
    for name in ("a", "b", "c"):
        world.push({"a": b"1"}, ArtifactName(name, name))

    projects = world.artifacts.list_projects(
        page_size=1, page_token="", visible=lambda item: item.name.project != "a"
    )
    artifacts = world.artifacts.list_artifacts(
        ProjectName("a"), page_size=0, page_token="", visible=lambda _: False
    )

    assert [item.name.project for item in projects.items] == ["b"]
    assert projects.next_page_token == "b"
    assert artifacts.items == ()


def test_versions_and_entries_are_listed_newest_first_page_by_page(
    world: World,
) -> None:
    for number in range(5):
        world.push({"a": str(number).encode()})
    listing = world.reopened().artifacts

    versions = paged(
        lambda token: listing.list_versions(ARTIFACT, page_size=2, page_token=token)
    )
    entries = paged(
        lambda token: listing.list_journal(ARTIFACT, page_size=4, page_token=token)
    )

    numbers = [[record.number for record in page] for page in versions]
    assert numbers == [[5, 4], [3, 2], [1]]
    places = [[record.number for record in page] for page in entries]
    assert places == [[5, 4, 3, 2], [1, 0]]


def test_a_journal_says_who_did_what(world: World) -> None:
    result = world.push({"a": b"1"})

    page = world.artifacts.list_journal(ARTIFACT, page_size=0, page_token="")

    commit, create_entry = page.items
    assert (create_entry.action, commit.action) == (Action.CREATE, Action.COMMIT)
    assert (commit.version, commit.digest) == (1, result.version.digest)
    assert (commit.actor, commit.trace_id) == (CALLER.principal, CALLER.trace_id)
    assert (commit.audit_id, commit.reason) == (CALLER.audit_id, "a message")
    assert len(commit.key_ids) == 2


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "9" * 21, "9" * 5000, "²"])
def test_a_page_token_that_no_list_gave_is_refused(world: World, token: str) -> None:
    world.push({"a": b"1"})

    with pytest.raises(InvalidArgumentError):
        world.artifacts.list_versions(ARTIFACT, page_size=0, page_token=token)
    with pytest.raises(InvalidArgumentError):
        world.artifacts.list_journal(ARTIFACT, page_size=0, page_token=token)


def test_a_negative_page_size_is_refused(world: World) -> None:
    world.push({"a": b"1"})

    with pytest.raises(InvalidArgumentError):
        world.artifacts.list_projects(page_size=-1, page_token="")
    with pytest.raises(InvalidArgumentError):
        world.artifacts.list_files(
            VersionName(ARTIFACT, "1"), path="", page_size=-1, page_token=""
        )


TREE = {path: path.encode() for path in ["a", "b-", "b/1", "b/2/x", "b0", "c/d", "ü/é"]}


def list_files(world: World, path: str, size: int = 0) -> list[list[str]]:
    name = VersionName(ARTIFACT, "latest")
    pages = paged(
        lambda token: world.artifacts.list_files(
            name, path=path, page_size=size, page_token=token
        )[1]
    )
    return [[record.path for record in page] for page in pages]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 0])
def test_files_are_listed_in_byte_order_page_by_page(world: World, size: int) -> None:
    world.push(TREE)

    pages = list_files(world, "", size)

    assert [path for page in pages for path in page] == list(TREE)
    assert all(len(page) == size for page in pages[:-1])
    assert 0 < len(pages[-1]) <= (size or 7)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", ["a"]),
        ("b/", ["b/1", "b/2/x"]),
        ("b/2/", ["b/2/x"]),
        ("ü/é", ["ü/é"]),
    ],
)
def test_files_are_listed_by_path_or_folder(
    world: World, path: str, expected: list[str]
) -> None:
    world.push(TREE)

    assert list_files(world, path) == [expected]
    assert [*chain(*list_files(world, path, 1))] == expected


@pytest.mark.parametrize("path", ["b", "z/", "a/"])
def test_a_path_with_nothing_below_it_is_not_found(world: World, path: str) -> None:
    world.push(TREE)

    with pytest.raises(NotFoundError) as caught:
        list_files(world, path)

    assert caught.value.reason is Reason.PATH_NOT_FOUND


def test_folders_are_found_across_pages_of_the_file_table(world: World) -> None:
    files = {f"{folder}/{n:04d}": b"" for folder in "xyz" for n in range(700)}
    world.push(files)
    fresh = world.reopened()

    for folder in "xyz":
        found = [*chain(*list_files(fresh, f"{folder}/", 300))]
        assert found == [path for path in files if path.startswith(folder)]


def test_a_listed_file_has_size_digest_and_mode(world: World) -> None:
    world.push({"a": b"123", "b": b""}, executables=frozenset({"b"}))

    version, page = world.artifacts.list_files(
        VersionName(ARTIFACT, "1"), path="", page_size=0, page_token=""
    )

    assert version.number == 1
    assert [(item.size_bytes, item.executable) for item in page.items] == [
        (3, False),
        (0, True),
    ]


def test_selectors_find_versions_of_a_real_journal() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        digests = []
        for number in range(3):
            digests.append(world.push({"a": str(number).encode()}).version.digest)
            clock.advance(60)
        world.move("prod", "1")
        world.move("prod", "2")

        def find(selector: str) -> int:
            return world.artifacts.get_version(VersionName(ARTIFACT, selector)).number

        assert [find("latest"), find("latest~1"), find("prod"), find("prod~1")] == [
            3, 2, 2, 1,
        ]  # fmt: skip
        assert [find(digest) for digest in digests] == [1, 2, 3]
        assert find(digests[1][:20]) == 2
        assert find("{2026-11-01T12:01:30Z}") == 2
        with pytest.raises(NotFoundError):
            find("{2026-11-01T11:59Z}")


def test_a_version_says_which_refs_point_at_it(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"})
    world.move("prod", "1")

    page = world.artifacts.list_versions(ARTIFACT, page_size=0, page_token="")

    assert [item.refs for item in page.items] == [("latest",), ("prod",)]
    assert page.items[0].name == VersionName(ARTIFACT, "2")
