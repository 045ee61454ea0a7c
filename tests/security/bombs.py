# SPDX-License-Identifier: Apache-2.0
"""Bytes that want to be more than they look: in the bucket, and on the wire.

Each is refused before it takes memory: what a try may take is measured.
"""

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from backports import zstd

from strongroom.errors import Reason
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core import canonical, cobblestone, dsse, journal, slots
from strongroom_server.core.chunk import ChunkRef, decrypt_chunk, encrypt_chunk
from strongroom_server.core.codecs import Codec, decode, encode
from strongroom_server.core.journal import verify_entry
from strongroom_server.core.sealing import HEADER, ObjectKind, open_object, seal_object
from strongroom_server.core.suites import DEFAULT_SUITE
from strongroom_server.rpc.wire import (
    BATCHES,
    COLUMNS,
    FLAT,
    MAX_FIELDS,
    check_field_count,
)
from tests.rpc.test_wire import nested
from tests.security.attacks import Attack, Family, Try, reasons
from tests.support.samples import (
    CHUNK_ID,
    SALT,
    SCOPE,
    filled,
    keys_of,
    place_of,
    raw_ref,
    signer,
)

Buffer = bytes | bytearray | memoryview
_MIB: Final = 1024 * 1024
_MAX_TAKEN_BYTES: Final = 24 * _MIB


def bounded(act: Try) -> None:
    """Run a try, which may take little memory.

    Raises:
        AssertionError: It took much.
    """
    tracemalloc.start()
    try:
        act()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < _MAX_TAKEN_BYTES, f"{peak} bytes of memory were taken"


def _bounded(*tries: Try) -> list[Try]:
    return [partial(bounded, act) for act in tries]


def _stored(codec: Codec, data: Buffer, plain_bytes: int) -> Try:
    """Return what reads a chunk of these bytes, which only a writer can make."""
    suite, encoded = DEFAULT_SUITE, bytes(data)
    size = cobblestone.encrypted_size(len(encoded), suite.segment_bytes)
    buffer = bytearray(size)
    base = raw_ref(plain_bytes=plain_bytes) if codec is Codec.DELTA else None
    encrypt_chunk(
        keys_of(),
        suite,
        codec,
        CHUNK_ID,
        encoded,
        plain_bytes=plain_bytes,
        base_id=base.chunk_id if base else b"",
        salt=SALT,
        buffer=memoryview(buffer),
    )
    place = ("p", "v", 0, size, plain_bytes)
    ref = ChunkRef(CHUNK_ID, suite.number, codec, 0, *place, base)
    origin = memoryview(filled("base", plain_bytes)) if base else None
    return lambda: decrypt_chunk(keys_of(), ref, memoryview(buffer), origin)


def _codecs() -> Iterator[Attack]:
    by = reasons(Reason.CHUNK_CORRUPT)
    zeros = zstd.compress(bytes(100))
    bomb = zstd.compress(bytes(256 * _MIB))
    many = zeros * 10_000
    wide = {int(zstd.CompressionParameter.window_log): 27}
    yield Attack(
        "a Zstandard chunk that unpacks to more than it says",
        by,
        _stored(Codec.ZSTD, zeros, 100),
        _bounded(
            _stored(Codec.ZSTD, bomb, 100),
            _stored(Codec.ZSTD, bomb, _MIB),
            _stored(Codec.ZSTD, many, 100),
            _stored(Codec.ZSTD, many, 100 * 10_000),
            _stored(Codec.ZSTD, zeros, 99),
            _stored(Codec.ZSTD, zeros, 101),
            _stored(Codec.ZSTD, zeros[:-1], 100),
            _stored(Codec.ZSTD, zeros + b"\0", 100),
            _stored(Codec.ZSTD, b"", 0),
            _stored(Codec.ZSTD, zstd.compress(bytes(64 * _MIB), options=wide), 100),
        ),
    )
    grouped = encode(Codec.GROUPED, bytes(100), width=4)
    base = filled("base", 100)
    delta = encode(Codec.DELTA, base, width=4, base=base)
    yield Attack(
        "a grouped chunk that unpacks to more than it says",
        by,
        _stored(Codec.GROUPED, grouped, 100),
        _bounded(
            *(
                _stored(Codec.GROUPED, data, size)
                for data in (grouped, encode(Codec.GROUPED, bytes(16 * _MIB), width=4))
                for size in (0, 99, 101, _MIB)
            ),
            *(_stored(Codec.GROUPED, grouped[:end], 100) for end in range(5)),
            _stored(Codec.GROUPED, bytes(grouped) + b"\0", 100),
        ),
    )
    yield Attack(
        "a delta that unpacks to more than it says",
        by,
        lambda: decode(Codec.DELTA, delta, 100, base),
        _bounded(
            *(_stored(Codec.DELTA, delta, size) for size in (99, 101, _MIB)),
            *(_stored(Codec.DELTA, delta[:end], 100) for end in range(5)),
            # Of its own length, but not of the id that it is stored under.
            _stored(Codec.DELTA, delta, 100),
        ),
    )


def _hostile_json() -> list[bytes]:
    """Return JSON that is none of ours: deep, huge, ambiguous."""
    deep = 100_000
    return [
        b"[" * deep,
        b"[" * deep + b"]" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":9007199254740993}',
        b'{"a":1e400}',
        b'{"a":1.0}',
        b'{"a":NaN}',
        b'{"a":-0}',
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{ "a":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\u0061"}',
        b'{"a":"\xff"}',
        b'{"a":1}\n',
        b'{"a":1}\0',
        b"[" + b"0," * 1_000_000 + b"0]",
        json.dumps({str(number): {} for number in range(200_000)}).encode(),
        b"null",
        b"",
    ]


def _records() -> Iterator[Attack]:
    hostile = _hostile_json()
    good_slot = slots.make_slot(keys_of(), "w", salt=SALT)
    yield Attack(
        "a key slot of hostile JSON",
        reasons(Reason.KEY_SLOT_CORRUPT),
        lambda: slots.parse_slot(good_slot, SCOPE),
        _bounded(*(partial(slots.parse_slot, data, SCOPE) for data in hostile)),
    )
    keys, place = signer(), place_of()
    payload = journal.format_payload(place, b"x")
    entry = journal.format_entry(payload, keys.sign(journal.signing_input(payload)))
    many = dsse.format_envelope(
        journal.PAYLOAD_TYPE, payload, list(keys.sign(b"x")) * 60
    )
    yield Attack(
        "a journal entry of hostile JSON, or of very many signatures",
        reasons(Reason.JOURNAL_CORRUPT, Reason.SIGNATURE_INVALID),
        lambda: verify_entry(entry, place, keys.public_keys()),
        _bounded(
            *(
                partial(verify_entry, data, place, keys.public_keys())
                for data in (*hostile, many)
            )
        ),
    )
    yield Attack(
        "a sealed record of hostile JSON, by one who has the key",
        reasons(Reason.RECORD_CORRUPT),
        lambda: _open_sealed(canonical.encode({"a": 1})),
        _bounded(*(partial(_open_sealed, data) for data in hostile)),
    )


def _open_sealed(plaintext: bytes) -> dict[str, Any]:
    """Open a control object that holds any bytes."""
    keys, kind = keys_of(), ObjectKind.MANIFEST
    header = seal_object(keys, kind, "a", {}, salt=SALT)[: HEADER.size]
    message = cobblestone.encrypt(
        keys.object_key("manifest"),
        plaintext,
        context=header + SCOPE.store + b"a",
        salt=SALT,
    )
    return open_object(keys, kind, "a", header + message, max_bytes=_MIB)


def _messages() -> Attack:
    """Return the attack of messages that decode to much more than they weigh."""
    many = MAX_FIELDS + 1
    flat = [
        b"\x12\x00" * many,
        b"\x18\x01" * many,
        b"\x1b\x1c" * many,
        b"\x1d\x00\x00\x00\x00" * many,
        b"\x12\x00" * (2 * _MIB),
    ]
    batches = [
        nested(2, inner=b"\x0a\x00" * many),
        nested(2, inner=b"\x0a\x00" * (2 * _MIB - 8)),
        nested(2, 1, inner=b"\x0a\x00\x12\x00" * many),
        nested(1, inner=b"\x22\x00" * many),
        nested(2, inner=b"\x0a\x00" * 1000) * (many // 1000 + 1),
    ]
    inputs = [
        nested(1, 12, inner=b"\x12\x00" * many),
        nested(1, 12, inner=b"\x12\x00" * (2 * _MIB - 8)),
    ]
    block = pb.TransferItem(block=pb.Block(data=bytes(_MIB)))
    good = pb.WriteVersionRequest(items=pb.TransferItems(items=[block]))
    return Attack(
        "a request of very many fields",
        reasons(Reason.ARGUMENT_INVALID),
        lambda: check_field_count(good.SerializeToString(), depth=BATCHES),
        _bounded(
            *(partial(check_field_count, data, depth=FLAT) for data in flat),
            *(partial(check_field_count, data, depth=BATCHES) for data in batches),
            *(partial(check_field_count, data, depth=COLUMNS) for data in inputs),
        ),
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield [*_codecs(), *_records(), _messages()]


FAMILY: Final = Family("bombs", _opened)
