# SPDX-License-Identifier: Apache-2.0
"""Vectors for chunks that writers name: ids, keys to cut by, tables of format 3."""

import hashlib
from dataclasses import replace
from typing import Any, Final

from strongroom_server.core import canonical, cobblestone
from strongroom_server.core.chunk import encrypt_chunk
from strongroom_server.core.codecs import Codec
from strongroom_server.core.filetable import format_page
from strongroom_server.core.index_segment import format_segment
from strongroom_server.core.suites import SUITES, DigestAlgorithm
from tests.support.samples import (
    ARTIFACT_ID,
    SALT,
    SCOPE,
    file_entry,
    filled,
    keys_of,
    raw_ref,
)
from tests.vectors.cases import make_case
from tests.vectors.key_cases import Case, scope_fields, text_of
from tests.vectors.table_cases import DELTA_801, plaintext, shown

WRITER: Final = "spiffe://strongroom.test/ns/a/sa/b/job/sidecar"
_OTHER: Final = "spiffe://strongroom.test/ns/a/sa/b/job/other"
_SUITE: Final = 0x0104
_OWN: Final = raw_ref(1, suite=_SUITE)
_DELTA: Final = replace(
    raw_ref(2, suite=_SUITE), codec=3, stored_bytes=300, base=raw_ref(7)
)
#: The server's delta to what a writer named.
_SERVERS: Final = replace(raw_ref(3), codec=3, stored_bytes=300, base=_OWN)
REFS: Final = (raw_ref(0), _OWN, _DELTA, _SERVERS)


def writer_names() -> list[Case]:
    """Return cases of what a domain's keys give a writer in an artifact."""
    keys = keys_of()
    cases = []
    for name, artifact, principal in (
        ("a writer", ARTIFACT_ID, WRITER),
        ("another writer", ARTIFACT_ID, _OTHER),
        ("another artifact", filled("another artifact", 18), WRITER),
    ):
        tag = keys.writer_tag(artifact, principal)
        result = {
            "tag": tag.hex(),
            "cut_key": keys.writer_cut_key(artifact, principal).hex(),
            "chunk_ids": {
                algorithm.value: keys.chunk_id(
                    bytes(32), 5, algorithm, writer=tag
                ).hex()
                for algorithm in DigestAlgorithm
            },
        }
        fields = {
            "scope": scope_fields(SCOPE),
            "artifact": artifact.hex(),
            "principal": principal,
        }
        cases.append(make_case(name, {**fields, "result": result}))
    short = scope_fields(SCOPE) | {"dedup": "00"}
    bad = {"scope": short, "artifact": ARTIFACT_ID.hex(), "principal": WRITER}
    return [*cases, make_case("a dedup key of one byte", bad, "ValueError")]


def writer_chunks() -> list[Case]:
    """Return cases of chunks whose ids begin with a writer's tag."""
    tag = keys_of().writer_tag(ARTIFACT_ID, WRITER)
    base = bytes([1]) * 801
    delta = _chunk(tag, DELTA_801, plaintext(), base)
    bad = {
        "a suite by which the server names": delta | {"suite": 0x0004},
        "another writer's tag": _chunk(tag, DELTA_801, plaintext(), base, lies=True),
        "a base with another id": delta | {"base_id": filled("other", 32).hex()},
        "an unknown suite": delta | {"suite": 0x0105},
    }
    cases = [make_case("a difference", delta)]
    for name, fields in bad.items():
        left = {key: value for key, value in fields.items() if key != "result"}
        cases.append(make_case(name, left, "CHUNK_CORRUPT"))
    return cases


def _chunk(
    tag: bytes, encoded: bytes, data: bytes, base: bytes, *, lies: bool = False
) -> Case:
    suite, keys = SUITES[_SUITE], keys_of()

    def id_of(content: bytes) -> bytes:
        return keys.chunk_id(
            suite.digest(content), len(content), suite.digest_algorithm, writer=tag
        )

    chunk_id = id_of(data)
    if lies:
        chunk_id = keys.writer_tag(ARTIFACT_ID, _OTHER) + chunk_id[8:]
    stored = bytearray(cobblestone.encrypted_size(len(encoded), suite.segment_bytes))
    encrypt_chunk(
        keys,
        suite,
        Codec.DELTA,
        chunk_id,
        encoded,
        plain_bytes=len(data),
        base_id=id_of(base),
        salt=SALT,
        buffer=memoryview(stored),
    )
    return {
        "scope": scope_fields(SCOPE),
        "suite": suite.number,
        "codec": int(Codec.DELTA),
        "chunk_id": chunk_id.hex(),
        "base_id": id_of(base).hex(),
        "base": text_of(base),
        "plain_bytes": len(data),
        "encoded": text_of(encoded),
        "stored": text_of(bytes(stored)),
        "result": hashlib.sha256(data).hexdigest(),
    }


def writer_segments() -> list[Case]:
    """Return cases of index segments of format 3."""
    body = format_segment(REFS)
    chunks: list[Any] = body["chunks"]
    without = body | {"chunks": chunks[:1]}
    unknown = [[*chunks[1][:7], 0x0105]]
    bad = {
        "format 1 with a writer's chunk": body | {"format": 1, "chunks": chunks[:2]},
        "format 2 with a writer's chunk": body | {"format": 2, "chunks": chunks[:2]},
        "format 2 with a writer's base": body | {"format": 2, "chunks": chunks[3:]},
        "format 3 without need": without | {"format": 3},
        "an unknown suite": body | {"chunks": unknown},
    }
    result = [shown(ref) for ref in REFS]
    return [
        make_case("writers' chunks", {"body": body, "result": result}),
        *[
            make_case(name, {"body": item}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "a later format", {"body": body | {"format": 4}}, "FORMAT_UNSUPPORTED"
        ),
    ]


def writer_pages() -> list[Case]:
    """Return cases of pages of format 3."""
    entries = [file_entry("a", _OWN, _DELTA), file_entry("b", raw_ref(0))]
    data = format_page(entries)
    body = canonical.decode_object(data, 10_000)
    plain = canonical.decode_object(format_page([entries[1]]), 10_000)
    result = [[entry.path, [shown(ref) for ref in entry.chunks]] for entry in entries]
    bad = {
        "format 1 with writers' chunks": body | {"format": 1},
        "format 2 with writers' chunks": body | {"format": 2},
        "format 3 without need": plain | {"format": 3},
    }
    return [
        make_case("writers' chunks", {"page": data.decode(), "result": result}),
        *[
            make_case(
                name, {"page": canonical.encode(item).decode()}, "MANIFEST_CORRUPT"
            )
            for name, item in bad.items()
        ],
    ]
