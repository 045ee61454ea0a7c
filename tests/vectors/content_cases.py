# SPDX-License-Identifier: Apache-2.0
"""Vectors for encrypted content: chunks in all suites, and packs of them."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import encrypt_chunk
from strongroom_server.core.codecs import Codec
from strongroom_server.core.pack import (
    ENTRY,
    FOOTER,
    FOOTER_MAGIC,
    PackEntry,
    format_header,
    format_trailer,
    padding_size,
)
from strongroom_server.core.suites import SUITES
from tests.support.damage import one_bit_flipped
from tests.support.samples import (
    CHUNK_ID,
    SALT,
    SCOPE,
    filled,
    keys_of,
    other_scopes,
)
from tests.vectors.key_cases import Case, scope_fields, text_of

#: Longer outputs are told by their digest.
_MAX_INLINE: Final = 256
#: 500 zeros as zstd wrote them once; a later release may compress otherwise.
ZEROS_500: Final = base64.b64decode("KLUv/WD0AE0AABAAAAEA7yrAAg==")


def chunks() -> list[Case]:
    """Return cases of chunks; `plaintext` is the SHAKE-256 of a label, cut to size."""
    cases = []
    for suite in SUITES.values():
        segment = suite.segment_bytes
        sizes = (0, 1, 15, 16, 17, 100, segment - 1, segment, segment + 1)
        cases += [
            _chunk_case(f"{size} bytes", size, Codec.RAW, suite.number)
            for size in sizes
        ]
        cases.append(_chunk_case("compressed", 500, Codec.ZSTD, suite.number))
    for name, changes in _bad_chunks(_chunk_case("x", 40, Codec.RAW, 1)):
        case = _chunk_case("x", 40, Codec.RAW, 1) | changes
        del case["result"]
        error = {"name": name, "expect": "invalid", "reason": name}
        cases.append(case | error | {"error": "CHUNK_CORRUPT"})
    return cases


def _chunk_case(name: str, size: int, codec: Codec, suite: int) -> Case:
    # What compresses is told as it is; what does not, by the label it follows from.
    label = f"plaintext of {size}"
    plaintext = bytes(size) if codec is Codec.ZSTD else filled(label, size)
    encoded = ZEROS_500 if codec is Codec.ZSTD else plaintext
    stored = bytearray(
        cobblestone.encrypted_size(len(encoded), SUITES[suite].segment_bytes)
    )
    encrypt_chunk(
        keys_of(),
        SUITES[suite],
        codec,
        CHUNK_ID,
        encoded,
        plain_bytes=size,
        salt=SALT,
        buffer=memoryview(stored),
    )
    case = {
        "name": f"suite {suite}: {name}",
        "expect": "valid",
        "reason": "well-formed",
        "scope": scope_fields(SCOPE),
        "chunk_id": CHUNK_ID.hex(),
        "suite": suite,
        "codec": int(codec),
        "plain_bytes": size,
        "label": "" if codec is Codec.ZSTD else label,
        "encoded": text_of(encoded) if codec is Codec.ZSTD else "",
        "salt": SALT.hex(),
        "result": hashlib.sha256(plaintext).hexdigest(),
        "stored_bytes": len(stored),
        "stored_sha256": hashlib.sha256(stored).hexdigest(),
    }
    return case | (
        {"stored": text_of(bytes(stored))} if len(stored) <= _MAX_INLINE else {}
    )


def _bad_chunks(good: Case) -> Iterator[tuple[str, Case]]:
    stored = base64.b64decode(good["stored"])
    flips = {"salt": 0, "commitment": 24, "ciphertext": 56, "tag": len(stored) - 1}
    for name, place in flips.items():
        yield f"another {name}", {"stored": text_of(one_bit_flipped(stored, place * 8))}
    yield "cut short", {"stored": text_of(stored[:-1])}
    yield "a byte too many", {"stored": text_of(stored + b"\0")}
    yield "cut to its prefix", {"stored": text_of(stored[:56]), "stored_bytes": 56}
    shorter = {"stored": text_of(stored[:-1]), "stored_bytes": len(stored) - 1}
    yield "cut short, and so is the reference", shorter
    yield "another suite", {"suite": 2}
    yield "an unknown suite", {"suite": 5}
    yield "another codec", {"codec": 1}
    yield "another length", {"plain_bytes": 41}
    yield "another chunk", {"chunk_id": filled("another", 32).hex()}
    for name, scope in other_scopes().items():
        yield f"another {name}", {"scope": scope_fields(scope)}


def packs() -> list[Case]:
    """Return cases of packs, and of how much padding a body gets."""
    first, second = (_chunk_case("x", size, Codec.RAW, 4) for size in (10, 20))
    bodies = [base64.b64decode(case["stored"]) for case in (first, second)]
    entries = [
        PackEntry(filled("one", 32), 64, len(bodies[0]), 10, 0),
        PackEntry(filled("two", 32), 64 + len(bodies[0]), len(bodies[1]), 20, 0),
    ]
    body = b"".join(bodies)
    good = _pack(body + bytes(padding_size(len(body))), entries)
    cases = [
        _pack_case("two chunks and padding", good, {"result": _shown(entries)}),
        _pack_case("no chunk", _pack(b"", []), {"result": []}),
    ]
    footer, directory = len(good) - FOOTER.size, len(good) - FOOTER.size - 100
    bad = {
        "another magic": b"SRP2" + good[4:],
        "another suite": good[:5] + b"\3" + good[6:],
        "another format": good[:7] + b"\2" + good[8:],
        "another store": one_bit_flipped(good, 8 * 8),
        "another project": one_bit_flipped(good, 8 * 24),
        "another domain": one_bit_flipped(good, 8 * 42),
        "another epoch": one_bit_flipped(good, 8 * 62),
        "a last byte of the header that is not zero": one_bit_flipped(good, 8 * 63),
        "another directory": one_bit_flipped(good, 8 * directory),
        "another length in the footer": one_bit_flipped(good, 8 * (footer + 3)),
        "a length that is beyond the pack": good[:-8] + FOOTER.pack(2**32 - 1, b"SRPE"),
        "another magic in the footer": good[:-1] + b"F",
        "cut short": good[:-1],
        "the header alone": good[:64],
        "an entry before the body": _hand_made((ENTRY_ID, 63, 1, 1, 0, bytes(3))),
        "an entry behind the body": _hand_made((ENTRY_ID, 64, 9, 1, 0, bytes(3))),
        "an entry whose last bytes are not zero": _hand_made(
            (ENTRY_ID, 64, 1, 1, 0, b"\0\0\1")
        ),
        "half an entry": _hand_made(b"x" * 24),
    }
    end = {"error": "CHUNK_CORRUPT"}
    cases += [_pack_case(name, data, end) for name, data in bad.items()]
    sizes = [0, 1, 2, 9, 100, 1000, 72_001, 2**20 + 1, 2**24 + 72, 2**25 - 1]
    padding = {str(size): padding_size(size) for size in sizes}
    return [*cases, _valid("padding") | {"padding": padding, "result": padding}]


ENTRY_ID: Final = filled("entry", 32)


def _valid(name: str) -> Case:
    return {"name": name, "expect": "valid", "reason": "well-formed"}


def _pack(body: bytes, entries: list[PackEntry]) -> bytes:
    header = format_header(SCOPE, 4)
    return header + body + format_trailer(keys_of(), header, entries, salt=SALT)


def _hand_made(entry: bytes | tuple[bytes, int, int, int, int, bytes]) -> bytes:
    header = format_header(SCOPE, 4)
    directory = cobblestone.encrypt(
        keys_of().object_key("pack"),
        entry if isinstance(entry, bytes) else ENTRY.pack(*entry),
        context=header + b"directory",
        salt=SALT,
    )
    return header + b"12345678" + directory + FOOTER.pack(len(directory), FOOTER_MAGIC)


def _shown(entries: list[PackEntry]) -> list[list[Any]]:
    return [
        [item.chunk_id.hex(), item.offset_bytes, item.stored_bytes, item.plain_bytes,
         item.codec]
        for item in entries
    ]  # fmt: skip


def _pack_case(name: str, data: bytes, end: Case) -> Case:
    return {
        "name": name,
        "expect": "valid" if "result" in end else "invalid",
        "reason": name,
        "scope": scope_fields(SCOPE),
        "pack": text_of(data),
        **end,
    }
