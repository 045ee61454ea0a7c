# SPDX-License-Identifier: Apache-2.0
"""Drafts on an engine: parts put by hand, and their commit."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import strongroom
from strongroom.errors import PreconditionError, Reason
from strongroom.format.digest import path_order
from strongroom.format.names import ArtifactName
from strongroom_server.services.uploads import (
    CommitResult,
    DraftCommitStart,
    DraftPart,
    PartResult,
    PartStart,
)
from tests.support.samples import filled
from tests.support.sweeps import digest_of
from tests.support.world import ARTIFACT, CALLER, World

DRAFT = "draft-0123456789abcdef"
_BLOCK_BYTES = 1024 * 1024


def begin(
    world: World,
    *,
    draft_id: str = DRAFT,
    artifact: ArtifactName = ARTIFACT,
    replaces: bool = False,
    request_id: str = "",
    after_part: int = 0,
    exclusive: bool = False,
) -> DraftPart:
    """Begin a part, to go on by hand."""
    start = PartStart(
        artifact,
        draft_id,
        request_id or str(uuid.uuid4()),
        replaces=replaces,
        after_part=after_part,
        may_create_project=True,
        exclusive=exclusive,
    )
    return world.drafts.begin_part(start, caller=CALLER)


def send(part: DraftPart, files: Mapping[str, bytes], *, sized: bool = True) -> None:
    """Send whole files."""
    for path in sorted(files, key=path_order):
        data = files[path]
        part.start_file(
            path,
            size_bytes=len(data) if sized else None,
            executable=path.endswith(".sh"),
        )
        for offset in range(0, len(data), _BLOCK_BYTES):
            part.write(data[offset : offset + _BLOCK_BYTES], offset_bytes=offset)
        part.end_file(digest_of(data))


def put(
    world: World,
    files: Mapping[str, bytes],
    *,
    removed: tuple[str, ...] = (),
    sized: bool = True,
    draft_id: str = DRAFT,
    artifact: ArtifactName = ARTIFACT,
    replaces: bool = False,
    request_id: str = "",
    after_part: int = 0,
    exclusive: bool = False,
) -> PartResult:
    """Put files into a draft, and remove some, as one part."""
    with begin(
        world,
        draft_id=draft_id,
        artifact=artifact,
        replaces=replaces,
        request_id=request_id,
        after_part=after_part,
        exclusive=exclusive,
    ) as part:
        for path in removed:
            part.remove(path)
        send(part, files, sized=sized)
        return part.finish(file_count=len(files))


def commit(
    world: World,
    *,
    draft_id: str = DRAFT,
    artifact: ArtifactName = ARTIFACT,
    base_version: int = 0,
    base_newest: bool = False,
    expected: int | None = None,
    after_part: int = 0,
    message: str = "",
) -> CommitResult:
    """Make a version of a draft."""
    start = DraftCommitStart(
        artifact,
        draft_id,
        message=message,
        base_version=base_version,
        base_newest=base_newest,
        expected_file_count=expected,
        after_part=after_part,
    )
    return world.drafts.commit(start, caller=CALLER)


def discard(world: World, draft_id: str = DRAFT) -> None:
    """End a draft without a version."""
    world.drafts.discard(ARTIFACT, draft_id, caller=CALLER)


def prepare(world: World) -> None:
    """Push a version, and put one part of two."""
    world.push({"a": b"1", "kept": b"kept" * 100, "z/empty": b""})
    put(world, {"a": b"2" * 100, "y": b"new"}, request_id="part-1")


def finish(world: World) -> object:
    """Put the other part, unless the draft has ended; commit on the newest version."""
    files = {"big": filled("big", 4 * 1024 * 1024)}
    try:
        put(world, files, removed=("z/",), request_id="part-2")
    except PreconditionError as error:
        # Whoever was interrupted while committing had put it.
        if error.reason is not Reason.DRAFT_CLOSED:
            raise
    return commit(world, base_newest=True).version


def use_drafts(config_file: Path, artifact: str) -> None:
    """Make a version in parts, read it, and leave another draft, with the SDK."""
    with strongroom.connect(config_file=config_file) as client:
        draft = client.draft(artifact, base="latest")
        draft.put("drafted", b"of a draft")
        draft.commit()
        with client.reader(artifact) as reader:
            assert reader.read("drafted") == b"of a draft"
        left = client.draft(artifact)
        left.put("drafted", b"never seen")
        left.discard()
