# SPDX-License-Identifier: Apache-2.0
"""Writing content without an upload around it, and reading it back."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from strongroom.format.digest import path_order
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.repository.content_writer import ContentWriter, StoredContent
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.sweeps import SweepView
from tests.support.samples import ARTIFACT_ID, committed
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024


def keys_of(world: World) -> DomainKeys:
    """The keys of the world's only artifact."""
    if not world.keys("projects/"):
        world.push({"seed": b"of the project"})
    return world.repository.keyring.open(world.repository.artifact(ARTIFACT).scope)


def writer_of(
    world: World,
    choice: CodecChoice = CodecChoice.RAW,
    *,
    parent: Manifest | None = None,
    view: SweepView | None = None,
    remembers_entries: bool = False,
) -> ContentWriter:
    """A writer of a version in the world's artifact."""
    keys = keys_of(world)
    files = None
    if parent is not None:
        files = ParentFiles(world.repository, keys.scope, parent)
    return ContentWriter(
        world.repository,
        keys,
        ARTIFACT_ID,
        view=view or SweepView(),
        choice=choice,
        parent=files,
        remembers_entries=remembers_entries,
    )


def send(writer: ContentWriter, path: str, data: bytes, *, start: int = 0) -> None:
    """Send a file's bytes from an offset on, and end it."""
    if not start:
        writer.start_file(path, size_bytes=len(data), executable=False)
    for offset in range(start, len(data), MIB):
        block = data[offset : min(offset + MIB, len(data))]
        writer.write(block, offset_bytes=offset)
    writer.end_file("sha256:" + hashlib.sha256(data).hexdigest())


def store(writer: ContentWriter, files: Mapping[str, bytes]) -> StoredContent:
    """Write files as a version, and make them durable."""
    for path in sorted(files, key=path_order):
        send(writer, path, files[path])
    return writer.finish()


def load(world: World, content: StoredContent) -> Manifest:
    """The manifest of stored content, read from the store."""
    version: Committed = replace(
        committed(),
        digest=content.digest,
        manifest=content.manifest,
        manifest_version=content.manifest_version,
        file_count=content.file_count,
        size_bytes=content.size_bytes,
    )
    manifests = world.repository.manifests
    return manifests.load_stored(keys_of(world).scope, ARTIFACT_ID, version)


def entries(world: World, manifest: Manifest) -> list[FileEntry]:
    """The files of a manifest."""
    return list(world.repository.manifests.entries(keys_of(world).scope, manifest))


def read(world: World, manifest: Manifest) -> dict[str, bytes]:
    """The bytes of all files of a manifest."""
    scope, chunks = keys_of(world).scope, world.repository.chunks
    return {
        entry.path: b"".join(chunks.read(scope, ref) for ref in entry.chunks)
        for entry in entries(world, manifest)
    }


def refs_of(world: World, manifest: Manifest) -> list[ChunkRef]:
    """The chunks of all files of a manifest."""
    return [ref for entry in entries(world, manifest) for ref in entry.chunks]


def remove_pack(world: World, pack: str) -> None:
    """Delete a pack, as an operator's mistake does."""
    for item, _ in world.bucket.objects():
        if item.key == layout.pack_key(pack):
            world.bucket.delete_version(item.key, item.version_id)
