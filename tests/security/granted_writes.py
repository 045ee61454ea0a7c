# SPDX-License-Identifier: Apache-2.0
"""Writers by grant that lie: about bytes, the store, and about whose chunks they are.

Only what they wrote themselves may suffer, and it is found by whoever verifies.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Kind
from strongroom_server.core.write_grant import DeltaBase, PackedChunk
from strongroom_server.services.uploads.by_grant import WriterUpload
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.support.granted_writers import (
    OTHER,
    Packed,
    Writer,
    digest_of,
    sha256,
    written,
)
from tests.support.resumed import begin as begin_at_central
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World, memory_world

MIB: Final = 2**20
_REAL: Final = filled("what everybody has", MIB)
_LIE: Final = filled("something else", MIB)
_ELSEWHERE: Final = ArtifactName("demo", "elsewhere")
#: What tells that nothing of a lie was taken.
_UNTOUCHED: Final = "UNTOUCHED"

Act = Callable[[Writer, WriterUpload, Packed], object]


def _told(version_id: str) -> Act:
    """Return what tells that a pack is stored, under a version, and uses it."""

    def act(writer: Writer, granted: WriterUpload, packed: Packed) -> None:
        granted.stored(packed.number, version_id)
        _use(writer, granted)

    return act


def _planted(change: Callable[[bytes], bytes]) -> Act:
    """Return what puts other bytes under a pack's name, past its URL."""

    def act(writer: Writer, granted: WriterUpload, packed: Packed) -> None:
        key = layout.pack_key(packed.digest.hex())
        version = writer.world.blobs.put_new(key, change(packed.data))
        granted.stored(packed.number, version)
        _use(writer, granted)

    return act


def _use(writer: Writer, granted: WriterUpload) -> None:
    name = writer.chunk_name(granted, _LIE)
    granted.file(written("f", _LIE, [name]))
    granted.commit(file_count=1, digest=digest_of({"f": _LIE}))


def _unsealed(writer: Writer, granted: WriterUpload, _: Packed) -> None:
    name = writer.chunk_name(granted, _REAL)
    granted.file(written("f", _REAL, [name]))


def _not_put(writer: Writer, granted: WriterUpload, _: Packed) -> None:
    _use(writer, granted)


def _other_digest(_: Writer, granted: WriterUpload, packed: Packed) -> None:
    granted.put(packed.number, bytes(32), crc32=0)


def _delta_to(base: DeltaBase) -> Act:
    def act(writer: Writer, granted: WriterUpload, _: Packed) -> None:
        name = writer.chunk_name(granted, _LIE)
        granted.seal([PackedChunk(name, 1000, Codec.DELTA, base)])

    return act


def _empty_pack(_: Writer, granted: WriterUpload, __: Packed) -> None:
    granted.seal([])


def _wrong_length(writer: Writer, granted: WriterUpload, _: Packed) -> None:
    name = writer.chunk_name(granted, _LIE)
    granted.seal([PackedChunk(name, MIB, Codec.RAW)])


def _wrong_digest(writer: Writer, granted: WriterUpload, packed: Packed) -> None:
    granted.stored(packed.number, writer.put(packed))
    name = writer.chunk_name(granted, _LIE)
    granted.file(written("f", _LIE, [name]))
    granted.commit(file_count=1, digest=digest_of({"f": _REAL}))


_STORE: Final[tuple[tuple[str, tuple[Reason, ...], tuple[Act, ...]], ...]] = (
    (
        "a pack told to be stored that is not",
        (Reason.CHUNK_MISSING,),
        (_told("made-up"), _told("")),
    ),
    (
        "other bytes under the name of a pack",
        (Reason.CHUNK_MISSING,),
        (
            _planted(lambda data: data[:-1]),
            _planted(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
            _planted(lambda data: filled("other", len(data))),
            _planted(lambda _: b""),
        ),
    ),
    (
        "files of chunks that nobody stored",
        (Reason.ARGUMENT_INVALID, Reason.CHUNK_MISSING),
        (_unsealed, _not_put),
    ),
    (
        "packs that none can be, or another one than was told",
        (Reason.ARGUMENT_INVALID,),
        (_other_digest, _empty_pack, _wrong_length),
    ),
    (
        "a delta to what is no chunk of the newest version",
        (Reason.ARGUMENT_INVALID, Reason.PATH_MALFORMED),
        (
            _delta_to(DeltaBase(bytes(32), "f")),
            _delta_to(DeltaBase(bytes(31), "f")),
            _delta_to(DeltaBase(bytes(32), "none")),
            _delta_to(DeltaBase(bytes(32), "../f")),
        ),
    ),
    (
        "a commit of another content than was told",
        (Reason.DIGEST_MISMATCH,),
        (_wrong_digest,),
    ),
)


def _attacks(world: World) -> Iterator[Attack]:
    world.push({"f": _REAL}, kind=Kind.CHECKPOINT)
    count = len(world.versions())
    writer = Writer(world)

    def attempt(act: Act) -> None:
        try:
            with writer.begin() as granted:
                name = writer.chunk_name(granted, _LIE)
                act(writer, granted, writer.pack(granted, [(name, _LIE)]))
        finally:
            assert len(world.versions()) == count, "something was committed"

    def honest() -> None:
        # Elsewhere, so that what is tried finds nothing that is stored already.
        Writer(world).push({"f": _LIE}, _ELSEWHERE)

    for name, by, acts in _STORE:
        yield Attack(
            name, reasons(*by), honest, [partial(attempt, act) for act in acts]
        )


def _lies(world: World) -> Iterator[Attack]:
    liar, other = Writer(world), Writer(world, OTHER)
    liar.claim("f", _LIE, _REAL)

    def same(begin: Try) -> None:
        with begin() as upload:  # type: ignore[attr-defined]  # of a test
            upload.same_file(
                "f", size_bytes=MIB, executable=False, digest=sha256(_REAL)
            )

    def own() -> None:
        same(partial(liar.begin, base_version=1))

    yield Attack(
        "a file taken for what a liar said that it is",
        reasons(Reason.BASE_MISMATCH),
        own,
        [
            partial(same, partial(other.begin, base_version=1)),
            partial(same, partial(begin_at_central, world, base_version=1)),
        ],
    )
    yield Attack(
        "real content shared with a liar's, or not stored because of it",
        reasons(_UNTOUCHED),
        lambda: world.push({"honest": b"1"}, _ELSEWHERE),
        [
            partial(_untouched, world, lambda: other.push({"f": _REAL})),
            partial(_untouched, world, lambda: world.push({"f": _REAL})),
        ],
    )
    yield Attack(
        "a lie that nobody finds",
        reasons(Reason.CHUNK_CORRUPT, Reason.DIGEST_MISMATCH),
        partial(_verified, world, 2),
        [partial(_verified, world, 1)],
    )
    yield Attack(
        "keys of what is stored, and guesses of what others stored",
        reasons(_UNTOUCHED),
        lambda: None,
        [partial(_guessed, world, liar), partial(_guessed, world, other)],
    )


def _untouched(world: World, push: Try) -> None:
    before = len(world.versions())
    push()
    if len(world.versions()) == before or world.reopened().pull() != {"f": _REAL}:
        return
    raise RefusedError(_UNTOUCHED)


def _verified(world: World, number: int) -> None:
    findings, _ = world.reopened().verify(VersionName(ARTIFACT, str(number)))
    for finding in findings:
        if not finding.ok:
            raise IntegrityError(finding.message, reason=Reason(finding.reason))


def _guessed(world: World, writer: Writer) -> None:
    """Look that no key is of anything stored; central has this content as well."""
    with writer.begin(_ELSEWHERE) as granted:
        elsewhere = granted.name([writer.chunk_name(granted, _REAL)])
    with writer.begin() as granted:
        here = granted.name([writer.chunk_name(granted, _REAL)])
    artifact = world.repository.artifact(ARTIFACT)
    manifests = world.repository.manifests
    stored = set[bytes]()
    for version in artifact.history.versions:
        manifest = manifests.load(artifact.scope, artifact.journal.artifact, version)
        for entry in manifests.entries(artifact.scope, manifest):
            stored.update(ref.chunk_id for ref in entry.chunks)
    given = {item.chunk_id for item in (*elsewhere, *here) if item.key is not None}
    if elsewhere[0].key is None or given & stored:
        return
    raise RefusedError(_UNTOUCHED)


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with memory_world() as one, memory_world() as two:
        yield [*_attacks(one), *_lies(two)]


FAMILY: Final = Family("lying writers by grant", _opened)
