# SPDX-License-Identifier: Apache-2.0
"""Writing content: compression, packs, memory, and lists of pages."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Codec
from tests.support.content import (
    MIB,
    entries,
    keys_of,
    load,
    read,
    refs_of,
    send,
    store,
    writer_of,
)
from tests.support.samples import filled
from tests.support.world import World


def test_text_is_compressed_and_noise_is_not(world: World) -> None:
    files = {"noise": filled("noise", 300_000), "text": b"a line of text\n" * 20_000}

    manifest = load(world, store(writer_of(world, CodecChoice.COMPACT), files))

    assert [ref.codec for ref in refs_of(world, manifest)] == [Codec.RAW, Codec.ZSTD]
    assert read(world, manifest) == files


def test_a_large_chunk_that_becomes_small_shares_a_pack(world: World) -> None:
    files = {name: bytes([number]) * 5 * MIB for number, name in enumerate("abc")}

    manifest = load(world, store(writer_of(world, CodecChoice.COMPACT), files))

    assert len({ref.pack for ref in refs_of(world, manifest)}) == 1
    assert read(world, manifest) == files


def test_memory_for_open_files_is_given_back(world: World) -> None:
    budget = world.repository.open_budget
    free = budget.free_bytes
    for end in ("finish", "abort", "open"):
        writer = writer_of(world, CodecChoice.COMPACT)
        send(writer, "a", filled(f"a {end}", 3 * MIB))
        send(writer, "b", filled(f"b {end}", 18 * MIB))
        if end == "finish":
            writer.finish()
        elif end == "open":
            writer.start_file("c", size_bytes=9 * MIB, executable=False)
            writer.write(bytes(MIB), offset_bytes=0)
        assert end == "finish" or budget.free_bytes < free
        writer.abort()
        assert budget.free_bytes == free
        assert world.repository.write_budget.free_bytes == free


def test_many_files_make_lists_and_one_change_costs_little(world: World) -> None:
    files = {f"folder/{number:06d}": b"%d" % number for number in range(20_000)}
    first = load(world, store(writer_of(world), files))
    changed = files | {"folder/012345": b"changed"}

    content = store(writer_of(world), changed)
    second = load(world, content)

    assert first.lists
    assert not first.pages
    shared = set(first.lists) & set(second.lists)
    assert len(shared) == len(first.lists) - 1
    assert content.stored_bytes < 100 * 1024
    found = {entry.path: entry.size_bytes for entry in entries(world, second)}
    assert found == {path: len(data) for path, data in changed.items()}
    scope = keys_of(world).scope
    manifests = world.repository.manifests
    for path in ("folder/000000", "folder/012345", "folder/019999"):
        [entry] = manifests.entries(scope, second, path=path)
        assert entry.path == path
        after = next(manifests.entries(scope, second, after=path), None)
        assert (after is None) == (path == "folder/019999")
    assert list(manifests.entries(scope, second, path="folder/02")) == []
    pages = list(manifests.pages(scope, second, stored=True))
    table = list(manifests.table_refs(scope, second))
    assert sum(page.file_count for page in pages) == 20_000
    assert len(table) == len(pages) + len(second.lists)


class CountingBlobStore(MemoryBlobStore):
    """Counts how often each object is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """Count, and read."""
        self.reads[key] += 1
        super().read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )


def test_packs_that_come_again_are_asked_for_once_and_before_their_turn() -> None:
    blobs = CountingBlobStore()
    with ThreadPoolExecutor(4) as executor:
        world = World(blobs=blobs, executor=executor)
        noise = filled("noise", 12 * 5 * MIB)
        first = load(world, store(writer_of(world), {"m": noise, "n": b"1"}))
        packs = {layout.pack_key(ref.pack) for ref in refs_of(world, first)}
        blobs.reads.clear()

        writer = writer_of(world, parent=first)
        writer.start_file("m", size_bytes=len(noise), executable=False)
        world.executor.submit(lambda: None).result()
        assert sum(blobs.reads[key] for key in packs) > 0
        writer.abort()
        blobs.reads.clear()
        content = store(writer_of(world, parent=first), {"m": noise, "n": b"1"})

        assert content.stored_bytes < 10_000
        assert [blobs.reads[key] for key in packs] == [1] * len(packs)
