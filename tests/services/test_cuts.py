# SPDX-License-Identifier: Apache-2.0
"""Where files are cut is the artifact's policy: aligned, fixed or by content."""

import hashlib
import itertools
import uuid
from dataclasses import replace

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.chunking import CHUNK_BYTES
from strongroom.format.names import ArtifactName
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.policy import Cuts
from strongroom_server.core.records import DEFAULT_POLICY, Kind
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.open_file import OpenPosition
from tests.support.numbers import weights, weights_file
from tests.support.samples import committed, filled
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, CALLER, World

MIB = 1024 * 1024
OTHER_PROJECT = ArtifactName("other", ARTIFACT.artifact)


def set_cuts(
    world: World, cuts: str, artifact: ArtifactName = ARTIFACT, *, codec: str = "raw"
) -> None:
    """Make the artifact, if need be, and set where its files are cut."""
    if not world.keys("projects/") or artifact is not ARTIFACT:
        world.push({"seed": b"of the artifact"}, artifact)
    world.retention.set_policy(
        artifact,
        replace(DEFAULT_POLICY, codec=codec, cuts=cuts),
        reason="a test",
        request_id=str(uuid.uuid4()),
        validate_only=False,
        caller=CALLER,
    )


def chunks(world: World, artifact: ArtifactName = ARTIFACT) -> list[ChunkRef]:
    """The chunks of the newest version's files."""
    repository = world.repository
    stored = repository.artifact(artifact)
    version = stored.history.newest
    assert version is not None
    manifest = repository.manifests.load(stored.scope, stored.journal.artifact, version)
    entries = repository.manifests.entries(stored.scope, manifest)
    return [ref for entry in entries for ref in entry.chunks]


def sizes(world: World, artifact: ArtifactName = ARTIFACT) -> list[int]:
    """How long they are."""
    return [ref.plain_bytes for ref in chunks(world, artifact)]


def test_by_content_an_insertion_at_the_front_stores_few_chunks_again(
    world: World,
) -> None:
    data = filled("base", 64 * MIB)
    set_cuts(world, "content")
    world.push({"a.bin": data})
    before = {ref.chunk_id for ref in chunks(world)}

    world.push({"a.bin": b"one more line\n" + data})
    after = chunks(world)

    fresh = [ref for ref in after if ref.chunk_id not in before]
    assert len(after) >= 5
    assert len(fresh) <= 2
    assert world.pull() == {"a.bin": b"one more line\n" + data}


def test_aligned_an_insertion_at_the_front_stores_all_again(world: World) -> None:
    data = filled("base", 33 * MIB)
    set_cuts(world, "aligned")
    world.push({"a.bin": data})
    before = {ref.chunk_id for ref in chunks(world)}

    world.push({"a.bin": b"one more line\n" + data})

    assert before.isdisjoint(ref.chunk_id for ref in chunks(world))


def test_another_project_cuts_the_same_content_elsewhere(world: World) -> None:
    data = filled("base", 40 * MIB)
    for artifact in (ARTIFACT, OTHER_PROJECT):
        set_cuts(world, "content", artifact)
        world.push({"a.bin": data}, artifact)

    assert sizes(world) != sizes(world, OTHER_PROJECT)
    assert sum(sizes(world)) == sum(sizes(world, OTHER_PROJECT))


def test_by_content_tensors_keep_their_own_cuts(world: World) -> None:
    tensors = {name: filled(name, size) for name, size in _TENSORS.items()}
    file = safetensors_file(tensors)
    world.push({"m.safetensors": file})
    aligned = sizes(world)
    set_cuts(world, "content")

    world.push({"m.safetensors": file, "more": b"so that it is another version"})

    assert sizes(world)[: len(aligned)] == aligned


def test_fixed_cuts_know_no_tensors(world: World) -> None:
    tensors = {name: filled(name, size) for name, size in _TENSORS.items()}
    file = safetensors_file(tensors)
    set_cuts(world, "fixed")

    world.push({"m.safetensors": file})

    assert sizes(world) == [16 * MIB, len(file) - 16 * MIB]
    assert world.pull() == {"m.safetensors": file}


@pytest.mark.parametrize("cuts", ["fixed", "content"])
def test_deltas_find_their_base_under_every_rule(world: World, cuts: str) -> None:
    first, second, third = (
        weights_file({"w": weights(3 * MIB, seed=1, steps=steps)}) for steps in range(3)
    )
    world.push({"m.safetensors": first}, kind=Kind.CHECKPOINT)
    set_cuts(world, cuts, codec="auto")
    world.push({"m.safetensors": second})

    world.push({"m.safetensors": third})

    assert any(ref.base for ref in chunks(world))
    assert world.reopened().pull() == {"m.safetensors": third}


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.permutations(Cuts, 2)), ids=str
)
def test_a_file_goes_on_under_another_rule(
    world: World, before: Cuts, after: Cuts
) -> None:
    data = filled("base", 40 * MIB)
    set_cuts(world, "aligned")
    position = _interrupted(world, before, data)
    second = _writer(world, after)
    for _ in second.resume_file(position):
        pass
    start = second.open_offset

    _send(second, data, start)
    resumed = _chunk_ids(world, second)

    whole = _writer(world, after)
    whole.start_file("a.bin", size_bytes=len(data), executable=False)
    _send(whole, data, 0)
    # These two cut such a file alike. A cut by content falls where the key says,
    # now and then at the end of a chunk of full size, as the others do.
    if {before, after} == {Cuts.ALIGNED, Cuts.FIXED}:
        assert start == 32 * MIB
    assert start % (16 * MIB) == 0
    assert _chunk_ids(world, whole) == resumed


def test_by_content_a_file_goes_on_behind_its_durable_chunks(world: World) -> None:
    data = filled("base", 40 * MIB)
    set_cuts(world, "content")
    position = _interrupted(world, Cuts.CONTENT, data)
    second = _writer(world, Cuts.CONTENT)
    for _ in second.resume_file(position):
        pass
    start = second.open_offset

    _send(second, data, start)
    resumed = _chunk_ids(world, second)

    whole = _writer(world, Cuts.CONTENT)
    whole.start_file("a.bin", size_bytes=len(data), executable=False)
    _send(whole, data, 0)
    assert start == sum(ref.plain_bytes for ref in position.chunks) > 16 * MIB
    assert _chunk_ids(world, whole) == resumed


def _writer(world: World, cuts: Cuts) -> ContentWriter:
    artifact = world.repository.artifact(ARTIFACT)
    keys = world.repository.keyring.open(artifact.scope)
    return ContentWriter(world.repository, keys, artifact.journal.artifact, cuts=cuts)


def _send(writer: ContentWriter, data: bytes, start: int) -> None:
    for offset in range(start, len(data), MIB):
        block = data[offset : min(offset + MIB, len(data))]
        writer.write(block, offset_bytes=offset)
    writer.end_file("sha256:" + hashlib.sha256(data).hexdigest())


def _chunk_ids(world: World, writer: ContentWriter) -> list[bytes]:
    content = writer.finish()
    artifact = world.repository.artifact(ARTIFACT)
    version = replace(
        committed(),
        digest=content.digest,
        manifest=content.manifest,
        manifest_version=content.manifest_version,
        file_count=content.file_count,
        size_bytes=content.size_bytes,
    )
    manifests, scope = world.repository.manifests, artifact.scope
    manifest = manifests.load_stored(scope, artifact.journal.artifact, version)
    [entry] = manifests.entries(scope, manifest)
    return [ref.chunk_id for ref in entry.chunks]


def _interrupted(world: World, cuts: Cuts, data: bytes) -> OpenPosition:
    """Send most of a file, and stop once all of its whole chunks are stored."""
    writer = _writer(world, cuts)
    writer.start_file("a.bin", size_bytes=len(data), executable=False)
    for offset in range(0, 36 * MIB, MIB):
        writer.write(data[offset : offset + MIB], offset_bytes=offset)
    writer.send_off()
    while True:
        position = writer.open_file_position()
        assert position is not None
        stored = sum(ref.plain_bytes for ref in position.chunks)
        if stored > 36 * MIB - CHUNK_BYTES:
            writer.abort()
            return position


def test_cuts_that_nobody_knows_are_refused(world: World) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        set_cuts(world, "square")

    assert caught.value.reason is Reason.ARGUMENT_INVALID
    assert "aligned, fixed, content" in str(caught.value)


_TENSORS = {"a": 3 * MIB, "b": 5 * MIB, "c": 10 * MIB}
