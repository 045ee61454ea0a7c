# SPDX-License-Identifier: Apache-2.0
"""What is swapped in the real code while a seed runs: sizes, and two primitives.

Chunks, packs and pages are tiny, so that a push of some hundred bytes has several of
each. An HMAC stands for both signature algorithms; how signatures are used is the real
code. Functions that only compute (base32, HKDF, a key schedule, a message's key
material and its decryption, the checks of canonical JSON and of key slots) remember
their results: the seeds begin with the same stores, and each server reads what the
others wrote. The rest is the real code.
"""

import base64
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from typing import Any, Final
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.format import parts
from strongroom_server.adapters import memory_keys
from strongroom_server.core import (
    canonical,
    chunk,
    cobblestone,
    codec_choice,
    derivation,
    filetable,
    journal,
    page_list,
    slots,
)
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.journal import EntryPlace, StoredEntry
from strongroom_server.core.signatures import PublicKey
from strongroom_server.repository import packs
from strongroom_server.services.uploads import progress as upload_progress
from tests.simulation.signing import PUBLIC_KEYS, hmac_signatures

_SIZES: Final[tuple[tuple[Any, str, int], ...]] = (
    (parts, "CHUNK_BYTES", 100),
    (packs, "OWN_PACK_BYTES", 90),
    (codec_choice, "MIN_BYTES", 32),
    (codec_choice, "MIN_DELTA_BYTES", 64),
    (filetable, "MAX_PAGE_FILES", 2),
    (page_list, "MAX_FLAT_PAGES", 1),
    (upload_progress, "RECORD_BYTES", 100),
    (upload_progress, "FILE_BYTES", 0),
)


@contextmanager
def swapped() -> Iterator[None]:
    """Swap all of it; may be entered more than once."""
    with ExitStack() as stack:
        for module, name, size in _holders():
            stack.enter_context(patch.object(module, name, size))
        stack.enter_context(quick())
        yield


@contextmanager
def quick() -> Iterator[None]:
    """Swap what is swapped for speed alone."""
    with ExitStack() as stack:
        stack.enter_context(hmac_signatures())
        for module, name, function in _REMEMBERING:
            stack.enter_context(patch.object(module, name, function))
        yield


@cache
def _holders() -> list[tuple[Any, str, int]]:
    """Return what holds each size: where it is defined, and who has imported it."""
    ours = [
        module for name, module in sys.modules.items() if name.startswith("strongroom")
    ]
    return [
        (module, name, size)
        for origin, name, size in _SIZES
        for module in ours
        if vars(module).get(name) is vars(origin)[name]
    ]


@lru_cache(maxsize=5000)
def _decode(data: bytes, max_bytes: int) -> object:
    return _real_decode(data, max_bytes)


def _decode_anew(data: bytes, max_bytes: int) -> object:
    value = _decode(bytes(data), max_bytes)
    # Whoever asked may take out what it has read.
    return dict(value) if isinstance(value, dict) else value


@lru_cache(maxsize=20_000)
def _decrypt(
    input_key: bytes, ciphertext: bytes, context: bytes, segment_bytes: int
) -> bytes:
    return _real_decrypt(
        input_key, ciphertext, context=context, segment_bytes=segment_bytes
    )


def _decrypt_once(
    input_key: bytes,
    ciphertext: bytes | memoryview,
    *,
    context: bytes,
    segment_bytes: int = cobblestone.C2SP_SEGMENT_BYTES,
) -> bytes:
    return _decrypt(input_key, bytes(ciphertext), context, segment_bytes)


@lru_cache(maxsize=20_000)
def _decrypt_chunk(
    keys: DomainKeys, ref: ChunkRef, stored: bytes, base: bytes | None
) -> memoryview:
    view = None if base is None else memoryview(base)
    return _real_decrypt_chunk(keys, ref, memoryview(stored), view)


def _decrypt_chunk_once(
    keys: DomainKeys,
    ref: ChunkRef,
    stored: memoryview,
    base: memoryview | None = None,
) -> memoryview:
    base_bytes = None if base is None else bytes(base)
    return _decrypt_chunk(keys, ref, bytes(stored), base_bytes)


@lru_cache(maxsize=20_000)
def _verify_entry(data: bytes, expected: EntryPlace) -> StoredEntry:
    return _real_verify_entry(data, expected, PUBLIC_KEYS)


def _verify_entry_once(
    data: bytes, expected: EntryPlace, keys: Mapping[str, PublicKey]
) -> StoredEntry:
    assert keys is PUBLIC_KEYS
    return _verify_entry(data, expected)


_real_decrypt_chunk: Final = chunk.decrypt_chunk
_real_verify_entry: Final = journal.verify_entry
_real_decode: Final = canonical.decode
_real_decrypt: Final = cobblestone.decrypt
_REMEMBERING: Final[tuple[tuple[Any, str, object], ...]] = (
    (base64, "b32encode", lru_cache(maxsize=20_000)(base64.b32encode)),
    (base64, "b32decode", lru_cache(maxsize=20_000)(base64.b32decode)),
    (derivation, "expand", lru_cache(maxsize=50_000)(derivation.expand)),
    (cobblestone, "derive", lru_cache(maxsize=20_000)(cobblestone.derive)),
    (cobblestone, "AESGCM", lru_cache(maxsize=20_000)(AESGCM)),
    (cobblestone, "decrypt", _decrypt_once),
    (chunk, "decrypt_chunk", _decrypt_chunk_once),
    (journal, "verify_entry", _verify_entry_once),
    (canonical, "decode", _decode_anew),
    (slots, "parse_slot", lru_cache(maxsize=5000)(slots.parse_slot)),
    (slots, "open_slot", lru_cache(maxsize=5000)(slots.open_slot)),
    (memory_keys, "_cipher", lru_cache(maxsize=5000)(memory_keys._cipher)),
)
