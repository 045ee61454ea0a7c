# SPDX-License-Identifier: Apache-2.0
"""Vectors for what came second: grouped chunks, deltas, and tables that name them."""

import base64
import hashlib
from dataclasses import replace
from typing import Any, Final

from strongroom_server.core import canonical, cobblestone
from strongroom_server.core.chunk import ChunkRef, encrypt_chunk
from strongroom_server.core.codecs import Codec
from strongroom_server.core.filetable import format_page, page_of
from strongroom_server.core.index_segment import format_segment
from strongroom_server.core.manifest import Manifest, format_manifest
from strongroom_server.core.pack import PackEntry, format_header, format_trailer
from strongroom_server.core.page_list import format_list
from strongroom_server.core.suites import DEFAULT_SUITE, DigestAlgorithm
from tests.support.samples import (
    ARTIFACT_ID,
    SALT,
    SCOPE,
    file_entry,
    filled,
    keys_of,
    raw_ref,
)
from tests.vectors.key_cases import Case, scope_fields, text_of

#: 400 numbers and a byte, as they were grouped once: `plaintext` has what they are.
GROUPED_801: Final = base64.b64decode(
    "AQIAAAAYAAAAEyi1L/1gkAB1AAA4AAIEBggKDAEAhlKLESi1L/1gkABNAAAQf38BAIsqwAIF"
)
#: The same numbers as their difference to 801 bytes of 1, of width 4.
DELTA_801: Final = base64.b64decode(
    "AQQAAAAXAAAAEgAAABcAAAASKLUv/SDIdQAAOAIGCg4ABAgBAD5RxQgotS/9IMhNAAAQfX0BAEMK"
    "YAEotS/9IMh1AAA4AAQIAgYKDgEAPlHFCCi1L/0gyE0AABB9fQEAQwpgAQQ="
)
_GROUPED: Final = replace(raw_ref(1), codec=2, stored_bytes=500)
_DELTA: Final = replace(raw_ref(2), codec=3, stored_bytes=300, base=raw_ref(7))
REFS: Final = (raw_ref(0), _GROUPED, _DELTA)


def plaintext() -> bytes:
    """Return what the grouped chunk holds: 0x3F80 to 0x3F86, again and again, and 5."""
    numbers = (0x3F80 + place % 7 for place in range(400))
    return b"".join(number.to_bytes(2, "little") for number in numbers) + b"\5"


def shown(ref: ChunkRef) -> dict[str, Any]:
    """Return a reference with all of its fields, its base's too."""
    fields = {name: getattr(ref, name) for name in ref.__slots__}
    base = None if ref.base is None else shown(ref.base)
    return fields | {"chunk_id": ref.chunk_id.hex(), "base": base}


def _case(name: str, fields: Case, error: str = "") -> Case:
    return {
        "name": name,
        "expect": "invalid" if error else "valid",
        "reason": name,
        **fields,
        **({"error": error} if error else {}),
    }


def delta_chunks() -> list[Case]:
    """Return cases of chunks that are grouped, as they are or as a difference."""
    raw_planes = bytes.fromhex("0102" + "00000003" * 2 + "000102" + "7f7f7f" + "ff")
    grouped = _chunk(Codec.GROUPED, GROUPED_801, plaintext())
    delta = _chunk(Codec.DELTA, DELTA_801, plaintext(), bytes([1]) * 801)
    three = bytes.fromhex("803f" + "80bf" + "813f" + "ff")
    cases = [
        _case("planes as they are", _chunk(Codec.GROUPED, raw_planes, three)),
        _case("planes that are compressed", grouped),
        _case("a difference", delta),
    ]
    long, short = GROUPED_801 + b"\0", GROUPED_801[:-1]
    bad = {
        "another version": _chunk(Codec.GROUPED, b"\2" + GROUPED_801[1:], plaintext()),
        "a width of 3": _chunk(Codec.GROUPED, b"\1\3" + GROUPED_801[2:], plaintext()),
        "a byte too many": _chunk(Codec.GROUPED, long, plaintext()),
        "a byte too few": _chunk(Codec.GROUPED, short, plaintext()),
        "no header": _chunk(Codec.GROUPED, b"\1", plaintext()),
        "a plane longer than its numbers": _chunk(
            Codec.GROUPED, bytes.fromhex("0101" + "00000002" + "0000"), b"\0"
        ),
        "a plane of another length": _chunk(
            Codec.GROUPED, GROUPED_801, plaintext() + bytes(2)
        ),
        "a delta without its base": delta | {"base": None, "base_id": ""},
        "a delta read as grouped": delta | {"codec": 2, "base": None, "base_id": ""},
        "grouped read as a delta": grouped
        | {"codec": 3, "base": delta["base"], "base_id": delta["base_id"]},
        "a base with another id": delta | {"base_id": filled("other", 32).hex()},
        "other bytes of the base": delta | {"base": text_of(bytes([2]) * 801)},
        "a shorter base": delta | {"base": text_of(bytes([1]) * 800)},
        "another plaintext than the id's": delta
        | _chunk(Codec.DELTA, DELTA_801, plaintext(), bytes([1]) * 801, wrong=True),
    }
    cases += [_case(name, fields, "CHUNK_CORRUPT") for name, fields in bad.items()]
    for case in cases:
        if case["expect"] == "invalid":
            del case["result"]
    return cases


def _chunk(
    codec: Codec,
    encoded: bytes,
    data: bytes,
    base: bytes | None = None,
    *,
    wrong: bool = False,
) -> Case:
    suite, keys = DEFAULT_SUITE, keys_of()

    def id_of(content: bytes) -> bytes:
        return keys.chunk_id(
            suite.digest(content), len(content), DigestAlgorithm.BLAKE3
        )

    chunk_id = id_of(data[::-1] if wrong else data)
    base_id = b"" if base is None else id_of(base)
    size = cobblestone.encrypted_size(len(encoded), suite.segment_bytes)
    stored = bytearray(size)
    encrypt_chunk(
        keys,
        suite,
        codec,
        chunk_id,
        encoded,
        plain_bytes=len(data),
        base_id=base_id,
        salt=SALT,
        buffer=memoryview(stored),
    )
    return {
        "scope": scope_fields(SCOPE),
        "suite": suite.number,
        "codec": int(codec),
        "chunk_id": chunk_id.hex(),
        "base_id": base_id.hex(),
        "base": None if base is None else text_of(base),
        "plain_bytes": len(data),
        "encoded": text_of(encoded),
        "stored": text_of(bytes(stored)),
        "result": hashlib.sha256(data).hexdigest(),
    }


def delta_segments() -> list[Case]:
    """Return cases of index segments of format 2."""
    body = format_segment(REFS)
    grouped = body | {"chunks": body["chunks"][:2]}
    delta: list[Any] = body["chunks"][2]
    base: list[Any] = delta[8]
    bad_deltas: dict[str, list[Any]] = {
        "a delta without a base": delta[:8],
        "a base that is none": [*delta[:8], None],
        "a delta with two bases": [*delta, base],
        "a base that is a delta": [*delta[:8], [*base[:5], 3, *base[6:]]],
        "a base that has a base": [*delta[:8], delta],
        "a base of another length": [*delta[:8], [*base[:4], 999, *base[5:]]],
        "a base in a pack that is not listed": [*delta[:8], [base[0], 9, *base[2:]]],
        "a base of something else": [*delta[:5], 2, *delta[6:]],
        "an unknown codec": [*delta[:5], 4, *delta[6:8]],
    }
    bad = {name: body | {"chunks": [item]} for name, item in bad_deltas.items()} | {
        "format 1 with a delta": body | {"format": 1},
        "format 1 with a grouped chunk": grouped | {"format": 1},
        "format 2 without need": body | {"chunks": body["chunks"][:1]},
    }
    return [
        _case("a delta", {"body": body, "result": [shown(ref) for ref in REFS]}),
        _case("grouped", {"body": grouped, "result": [shown(ref) for ref in REFS[:2]]}),
        *[_case(name, {"body": item}, "RECORD_CORRUPT") for name, item in bad.items()],
        _case("a later format", {"body": body | {"format": 4}}, "FORMAT_UNSUPPORTED"),
    ]


def delta_pages() -> list[Case]:
    """Return cases of pages of format 2."""
    entries = [file_entry("a", *REFS), file_entry("b", REFS[2])]
    data = format_page(entries)
    body = canonical.decode_object(data, 10_000)
    result = [[entry.path, [shown(ref) for ref in entry.chunks]] for entry in entries]
    plain = canonical.decode_object(format_page([file_entry("a", REFS[0])]), 10_000)
    one, later = body | {"format": 1}, body | {"format": 4}
    return [
        _case("deltas", {"page": data.decode(), "result": result}),
        _case("format 1 with deltas", _page(one), "MANIFEST_CORRUPT"),
        _case(
            "format 2 without need", _page(plain | {"format": 2}), "MANIFEST_CORRUPT"
        ),
        _case("a later format", _page(later), "FORMAT_UNSUPPORTED"),
    ]


def _page(body: Case) -> Case:
    return {"page": canonical.encode(body).decode()}


_ENTRIES: Final = [file_entry(name, raw_ref(3)) for name in "abcdef"]
_PAGES: Final = [
    page_of(_ENTRIES[start : start + 2], (raw_ref(start),)) for start in (0, 2, 4)
]
_SHOWN: Final = [
    [page.first_path, page.last_path, page.file_count, page.size_bytes]
    for page in _PAGES
]


def page_lists() -> list[Case]:
    """Return cases of lists of pages."""
    data = format_list(_PAGES)
    body = canonical.decode_object(data, 10_000)
    pages = body["pages"]
    bad = {
        "format 1": body | {"format": 1},
        "pages out of order": body | {"pages": pages[::-1]},
        "a page that comes twice": body | {"pages": [pages[0], *pages]},
        "a chunk too few": body | {"chunks": body["chunks"][:2]},
        "a chunk too many": body | {"chunks": [*body["chunks"], body["chunks"][0]]},
        "a field too many": body | {"more": 1},
        "a field too few": {"format": 2, "pages": [], "packs": []},
        "a negative count": body | {"pages": [[*pages[0][:2], -1, 0, 3]]},
    }
    later = {"list": canonical.encode(body | {"format": 3}).decode()}
    return [
        _case("three pages", {"list": data.decode(), "result": _SHOWN}),
        *[
            _case(name, {"list": canonical.encode(item).decode()}, "MANIFEST_CORRUPT")
            for name, item in bad.items()
        ],
        _case("a later format", later, "FORMAT_UNSUPPORTED"),
    ]


def manifests_of_lists() -> list[Case]:
    """Return cases of manifests of format 2."""
    digest = "sha256:" + filled("version", 32).hex()
    totals = (6, sum(entry.size_bytes for entry in _ENTRIES))
    lists = Manifest(ARTIFACT_ID, digest, *totals, (), tuple(_PAGES))
    grouped = replace(_PAGES[0], chunks=(_GROUPED,))
    pages = replace(lists, pages=(grouped, *_PAGES[1:]), lists=())
    body = format_manifest(lists)
    empty = format_manifest(replace(lists, file_count=0, size_bytes=0, lists=()))
    bad = {
        "without its level": {key: body[key] for key in body if key != "level"},
        "a level too high": body | {"level": 2},
        "a level that is a truth value": body | {"level": True},
        "pages in format 2 without need": body | {"level": 0},
        "lists in format 1": body | {"format": 1},
        "lists of nothing": empty | {"format": 2, "level": 1},
        "another count of files": body | {"file_count": 7},
    }
    fields = {"artifact": ARTIFACT_ID.hex()}
    return [
        _case("lists", {**fields, "body": body, "result": [[], _SHOWN]}),
        _case(
            "pages with a grouped chunk",
            {**fields, "body": format_manifest(pages), "result": [_SHOWN, []]},
        ),
        *[
            _case(name, {**fields, "body": item}, "MANIFEST_CORRUPT")
            for name, item in bad.items()
        ],
        _case(
            "a later format",
            {**fields, "body": body | {"format": 3}},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def packs_with_bases() -> list[Case]:
    """Return cases of packs of format 2."""
    entries = [
        PackEntry(filled("one", 32), 64, 100, 10, 0),
        PackEntry(filled("two", 32), 164, 50, 1000, 3, filled("base", 32)),
    ]
    header = format_header(SCOPE, 4, has_deltas=True)
    body = bytes(150)
    good = header + body + format_trailer(keys_of(), header, entries, salt=SALT)
    result = [
        [item.chunk_id.hex(), item.offset_bytes, item.codec, item.base_id.hex()]
        for item in entries
    ]
    wrong = [replace(entries[0], base_id=filled("base", 32)), entries[1]]
    bases = header + body + format_trailer(keys_of(), header, wrong, salt=SALT)
    first = format_header(SCOPE, 4)
    lost = first + body + format_trailer(keys_of(), first, entries, salt=SALT)
    bad = {
        "read as format 1": good[:7] + b"\1" + good[8:],
        "a later format": good[:7] + b"\3" + good[8:],
        "a base of what is no delta": bases,
        "a delta in format 1": lost,
    }
    scope = {"scope": scope_fields(SCOPE)}
    return [
        _case("a delta", {**scope, "pack": text_of(good), "result": result}),
        *[
            _case(name, {**scope, "pack": text_of(data)}, "CHUNK_CORRUPT")
            for name, data in bad.items()
        ],
    ]
