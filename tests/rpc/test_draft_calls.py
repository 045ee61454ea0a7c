# SPDX-License-Identifier: Apache-2.0
"""Drafts over the wire: what a part may say, who may copy, what is audited."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from strongroom.v1 import transfer_service_pb2 as pb
from tests.rpc.authority import DEVELOPER, READER, TRAINER
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.running import ARTIFACT
from tests.rpc.serving import Served, Stubs, items, read, write, write_requests
from tests.support.access import make_authorizer
from tests.support.sweeps import digest_of
from tests.support.world import World

DRAFT = "0123456789abcdef"
WRITER = TRAINER.replace("trainer", "writer")


def part_requests(
    files: dict[str, bytes],
    *more: pb.TransferItem,
    start: dict[str, object] | None = None,
    digest: str = "",
) -> Iterator[pb.WriteVersionRequest]:
    """Yield the requests of a part: its files, then further items."""
    fields = {
        "parent": ARTIFACT,
        "request_id": str(uuid.uuid4()),
        "draft_id": DRAFT,
        **(start or {}),
    }
    yield pb.WriteVersionRequest(start=pb.WriteStart(**fields))  # type: ignore[arg-type]  # of a test
    for path in sorted(files):
        data = files[path]
        yield items(
            pb.TransferItem(start=pb.FileStart(path=path, size_bytes=-1)),
            pb.TransferItem(block=pb.Block(offset_bytes=0, data=data)),
            pb.TransferItem(end=pb.FileEnd(digest=digest_of(data))),
        )
    if more:
        yield items(*more)
    copies = sum(item.HasField("copy") for item in more)
    commit = pb.WriteCommit(file_count=len(files) + copies, digest=digest)
    yield pb.WriteVersionRequest(commit=commit)


def put(stubs: Stubs, requests: Iterator[pb.WriteVersionRequest]) -> pb.DraftPart:
    """Put a part; return what the server said of it."""
    *_, last = stubs.transfers.WriteVersion(requests, timeout=60)
    assert last.WhichOneof("part") == "draft_part"
    return last.draft_part


def copy_of(path: str, version: str = "1") -> pb.TransferItem:
    """Return the item that copies a file."""
    copy = pb.FileCopy(version=version, source_path=path, path=f"copy/{path}")
    return pb.TransferItem(copy=copy)


def test_parts_show_nowhere_until_they_are_committed(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests({"old": b"1"}))
    first = put(stubs, part_requests({"a": b"1"}))
    second = put(
        stubs,
        part_requests({"b": b"22"}, copy_of("old"), start={"after_part": 1}),
    )
    _, before = read(stubs, pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/latest"))

    answer = stubs.transfers.CommitDraft(
        pb.CommitDraftRequest(
            parent=ARTIFACT, draft_id=DRAFT, message="of two", expected_file_count=3
        ),
        timeout=60,
    )
    _, after = read(stubs, pb.ReadVersionRequest(name=answer.version.name))

    assert (first.number, first.file_count, first.size_bytes) == (0, 1, 1)
    assert (second.number, second.file_count, second.size_bytes) == (1, 2, 3)
    assert before == {"old": b"1"}
    assert after == {"a": b"1", "b": b"22", "copy/old": b"1"}
    assert (answer.version.number, answer.version.message) == (2, "of two")
    assert answer.version.creator == DEVELOPER


def test_drafts_are_audited_by_counts_and_never_by_names(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests({"secret-old": b"1"}))
    removal = pb.TransferItem(removal=pb.FileRemoval(path="secret-gone"))
    put(stubs, part_requests({"a-secret": b"12"}, copy_of("secret-old"), removal))
    request = pb.CommitDraftRequest(parent=ARTIFACT, draft_id=DRAFT)
    stubs.transfers.CommitDraft(request, timeout=60)

    *_, _, part, intent, outcome = served.server.audit.events()
    assert dict(part.detail) == {
        "bytes": "2",
        "copied_files": "1",
        "files": "1",
        "removed_paths": "1",
    }
    assert intent.action == outcome.action == "version.write"
    assert dict(outcome.detail) == {"version": "2"}
    lines = b"".join(served.server.audit.lines()) + str(served.server.lines).encode()
    assert b"secret" not in lines
    assert DRAFT.encode() not in lines


@pytest.mark.parametrize(
    "field",
    [
        {"message": "m"},
        {"metadata": {"a": "b"}},
        {"resumable": True},
        {"base_version": 1},
    ],
)
def test_a_part_says_nothing_of_its_version(
    stubs: Stubs, field: dict[str, object]
) -> None:
    failed = refused(lambda: put(stubs, part_requests({"a": b"1"}, start=field)))

    assert failed.reason == "ARGUMENT_INVALID"


@pytest.mark.parametrize(
    "requests",
    [
        lambda: part_requests({"a": b"1"}, digest=digest_of(b"1")),
        lambda: part_requests(
            {}, pb.TransferItem(same=pb.FileSame(path="a", digest=digest_of(b"1")))
        ),
        lambda: part_requests({}, pb.TransferItem()),
        lambda: iter(list(part_requests({"a": b"1"}))[:-1]),
        lambda: iter(list(part_requests({"a": b"1"}))[:1] * 2),
        lambda: part_requests({"a": b"1"}, start={"request_id": ""}),
        lambda: part_requests({"a": b"1"}, start={"request_id": "x" * 129}),
        lambda: part_requests({"a": b"1"}, start={"draft_id": "short"}),
    ],
)
def test_a_part_that_is_none_is_refused(
    served: Served, stubs: Stubs, requests: object
) -> None:
    failed = refused(lambda: put(stubs, requests()))  # type: ignore[operator]  # of the list

    assert failed.reason == "ARGUMENT_INVALID"
    assert served.world.keys("uploads/") == []


def test_the_size_of_a_file_is_known_outside_of_drafts(stubs: Stubs) -> None:
    start, commit = write_requests({})
    unknown = items(pb.TransferItem(start=pb.FileStart(path="a", size_bytes=-1)))

    failed = refused(lambda: write(stubs, iter([start, unknown, commit])))

    assert failed.reason == "ARGUMENT_INVALID"


@contextmanager
def blind_writer() -> Iterator[tuple[World, Stubs]]:
    """Serve an artifact of one version to somebody who may write and not read."""
    blind = make_authorizer(
        {"owner": ["*"], "writer": ["version.write"]},
        {
            "id": "owners",
            "principal": DEVELOPER,
            "roles": ["owner"],
            "resources": ["projects/*"],
        },
        {
            "id": "writers",
            "principal": WRITER,
            "roles": ["writer"],
            "resources": ["projects/*"],
        },
    )
    with serving_world(blind) as (world, server):
        served = Served(world, server)
        with server.channel() as channel:
            write(served.stubs(channel), write_requests({"a": b"1"}))
        with server.channel(served.issue(WRITER)) as channel:
            yield world, served.stubs(channel)


def test_nobody_copies_what_they_may_not_read() -> None:
    with blind_writer() as (world, stubs):
        put(stubs, part_requests({"b": b"1"}))
        failed = refused(lambda: put(stubs, part_requests({}, copy_of("a"))))

    assert failed.reason == "ACTION_NOT_ALLOWED"
    assert len(world.keys("uploads/")) == 1


@pytest.mark.parametrize("base", [{"base_newest": True}, {"base_version": 1}])
def test_nobody_builds_on_what_they_may_not_read(base: dict[str, Any]) -> None:
    with blind_writer() as (_, stubs):
        put(stubs, part_requests({"b": b"1"}))
        request = pb.CommitDraftRequest(parent=ARTIFACT, draft_id=DRAFT, **base)
        failed = refused(lambda: stubs.transfers.CommitDraft(request, timeout=60))
        assert failed.reason == "ACTION_NOT_ALLOWED"

        # What they wrote by themselves they may commit.
        request = pb.CommitDraftRequest(parent=ARTIFACT, draft_id=DRAFT)
        answer = stubs.transfers.CommitDraft(request, timeout=60)

    assert answer.version.file_count == 1


def test_a_part_of_another_principal_counts_and_names_it(
    served: Served, stubs: Stubs
) -> None:
    put(stubs, part_requests({"a": b"1"}))
    with served.server.channel(served.issue(TRAINER)) as channel:
        put(served.stubs(channel), part_requests({"b": b"2"}))
    request = pb.CommitDraftRequest(parent=ARTIFACT, draft_id=DRAFT)
    answer = stubs.transfers.CommitDraft(request, timeout=60)

    assert (answer.version.creator, answer.version.file_count) == (DEVELOPER, 2)
    actors = [event.principal for event in served.server.audit.events()]
    assert actors == [DEVELOPER] * 2 + [TRAINER] * 2 + [DEVELOPER] * 2


def test_who_may_only_read_puts_no_part(served: Served) -> None:
    with served.server.channel(served.issue(READER)) as channel:
        stubs = served.stubs(channel)
        part = refused(lambda: put(stubs, part_requests({"a": b"1"})))
        commit = refused(
            lambda: stubs.transfers.CommitDraft(
                pb.CommitDraftRequest(parent=ARTIFACT, draft_id=DRAFT), timeout=60
            )
        )
        discard = refused(
            lambda: stubs.transfers.DiscardDraft(
                pb.DiscardDraftRequest(parent=ARTIFACT, draft_id=DRAFT), timeout=60
            )
        )

    assert {part.reason, commit.reason, discard.reason} == {"ACTION_NOT_ALLOWED"}


@pytest.mark.parametrize("version", [-1, 7])
def test_a_base_that_is_no_version_is_refused(stubs: Stubs, version: int) -> None:
    write(stubs, write_requests({"a": b"1"}))
    put(stubs, part_requests({"b": b"1"}))
    request = pb.CommitDraftRequest(
        parent=ARTIFACT, draft_id=DRAFT, base_version=version
    )

    failed = refused(lambda: stubs.transfers.CommitDraft(request, timeout=60))

    assert failed.reason in {"ARGUMENT_INVALID", "VERSION_NOT_FOUND"}


def test_a_discarded_draft_is_over(stubs: Stubs) -> None:
    put(stubs, part_requests({"b": b"1"}))
    request = pb.DiscardDraftRequest(parent=ARTIFACT, draft_id=DRAFT)
    for _ in range(2):
        stubs.transfers.DiscardDraft(request, timeout=60)

    failed = refused(lambda: put(stubs, part_requests({"c": b"1"})))

    assert failed.reason == "DRAFT_CLOSED"
