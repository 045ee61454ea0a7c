# SPDX-License-Identifier: Apache-2.0
"""Derivation: every key as the specification says, and none the same as another."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom_server.core import derivation
from strongroom_server.core.derivation import WRITER_TAG_BYTES, DomainKeys
from strongroom_server.core.scope import (
    MAX_EPOCH,
    Scope,
    format_id,
    parse_id,
    store_scope,
)
from strongroom_server.core.suites import DigestAlgorithm
from tests.support.properties import QUICK
from tests.support.samples import (
    CHUNK_ID,
    DEDUP,
    MASTER,
    SCOPE,
    filled,
    keys_of,
    other_scopes,
)


def expand(key: bytes, info: bytes, length: int = 32) -> bytes:
    """HKDF-Expand with SHA-512, written a second time."""
    okm, block = b"", b""
    for number in range(1, -(-length // 64) + 1):
        block = hmac.digest(key, block + info + bytes([number]), "sha512")
        okm += block
    return okm[:length]


def scoped(key: bytes, label: bytes, scope: Scope) -> bytes:
    return expand(key, b"strongroom.v1/" + label + b"\0" + scope.packed)


@QUICK
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(1, 200))
def test_expand_is_hkdf_expand(key: bytes, info: bytes, length: int) -> None:
    assert derivation.expand(key, info, length) == expand(key, info, length)


def test_the_keys_are_those_of_the_specification() -> None:
    scope, keys = SCOPE.at_epoch(5), keys_of(SCOPE.at_epoch(5))

    chunk = expand(scoped(MASTER, b"chunk", scope), b"strongroom.v1/ck\0" + CHUNK_ID)
    assert keys.chunk_key(CHUNK_ID) == chunk
    assert keys.object_key("index") == scoped(MASTER, b"object/index", scope)
    message = b"c2\0" + (7).to_bytes(8, "big") + bytes(32)
    dedup_key = scoped(DEDUP, b"id", scope.at_epoch(0))
    assert keys.chunk_id(bytes(32), 7, DigestAlgorithm.BLAKE3) == hmac.digest(
        dedup_key, message, "sha256"
    )
    name_key = scoped(DEDUP, b"name", scope.at_epoch(0))
    name = hmac.digest(name_key, b"project\0demo", "sha256")[:18]
    assert keys.name_id("project", "demo") == name
    digest = hashlib.sha256(b"strongroom.v1/kid\0" + scoped(MASTER, b"kid", scope))
    kid = base64.b32encode(digest.digest()).decode().lower()[:26]
    assert keys.kid == f"sr1:{kid}"


def every_key(keys: DomainKeys) -> dict[str, bytes]:
    return {
        "chunk": keys.chunk_key(CHUNK_ID),
        "other chunk": keys.chunk_key(filled("another", 32)),
        "kid": keys.kid.encode(),
        "wrapping": derivation.dedup_wrapping_key(keys.scope, keys.master),
        "salt": keys.chunk_salt(bytes(32), CHUNK_ID, bytes(32)),
        **{
            kind: keys.object_key(kind)
            for kind in ("project", "journal", "manifest", "index", "name", "pack")
        },
    }


def every_id(keys: DomainKeys) -> dict[str, bytes]:
    return {
        **{
            f"chunk {algorithm} {size} {writer!r}": keys.chunk_id(
                bytes(32), size, algorithm, writer=writer
            )
            for algorithm in DigestAlgorithm
            for size in (0, 1)
            for writer in (b"", b"writer 1", b"writer 2")
        },
        **{
            f"writer {artifact!r} {name}": keys.writer_tag(artifact, name)
            for artifact in (bytes(18), b"\1" * 18)
            for name in ("a", "b")
        },
        **{kind: keys.name_id(kind, "demo") for kind in ("project", "artifact")},
        "name": keys.name_id("project", "demo2"),
    }


def test_no_two_keys_of_any_scopes_are_the_same() -> None:
    scopes = [SCOPE, *other_scopes().values()]

    found = [key for scope in scopes for key in every_key(keys_of(scope)).values()]

    assert len(set(found)) == len(found)


def test_ids_are_the_same_in_every_epoch_and_nowhere_else() -> None:
    ids = every_id(keys_of())
    assert len(set(ids.values())) == len(ids)

    for what, scope in other_scopes().items():
        other = every_id(keys_of(scope))
        same = {name for name in ids if ids[name] == other[name]}
        assert same == (set(ids) if what == "epoch" else set())


def test_an_id_that_a_writer_named_begins_with_its_tag() -> None:
    keys = keys_of()
    tag = keys.writer_tag(bytes(18), "spiffe://test/a")

    named = keys.chunk_id(bytes(32), 7, DigestAlgorithm.BLAKE3, writer=tag)

    assert len(tag) == WRITER_TAG_BYTES
    assert (named[: len(tag)], len(named)) == (tag, 32)
    message = b"w2\0" + tag + (7).to_bytes(8, "big") + bytes(32)
    dedup_key = scoped(DEDUP, b"id", SCOPE.at_epoch(0))
    assert named[len(tag) :] == hmac.digest(dedup_key, message, "sha256")[:24]


def test_each_writer_cuts_each_artifact_by_a_key_of_its_own() -> None:
    keys = keys_of()

    found = {
        keys.writer_cut_key(artifact, name)
        for artifact in (bytes(18), b"\1" * 18)
        for name in ("a", "b")
    }

    assert len(found | {keys.cut_key()}) == 5


def test_a_name_cannot_pose_as_a_name_of_another_kind() -> None:
    keys = keys_of()

    assert keys.name_id("a", "b") != keys.name_id("a\0b", "")


def test_a_salt_differs_wherever_anything_differs() -> None:
    keys = keys_of()
    seeds = [bytes(32), bytes(31) + b"\1"]

    salts = {
        keys.chunk_salt(seed, chunk_id, digest)
        for seed in seeds
        for chunk_id in seeds
        for digest in seeds
    }

    assert len(salts) == 8
    assert {len(salt) for salt in salts} == {24}


def test_keys_do_not_show_themselves() -> None:
    shown = repr(keys_of())

    assert "master" not in shown
    assert MASTER.hex() not in shown
    assert repr(MASTER) not in shown


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DomainKeys(SCOPE, bytes(size), DEDUP)
    with pytest.raises(ValueError, match="32 bytes"):
        DomainKeys(SCOPE, MASTER, bytes(size))


@QUICK
@given(st.binary(min_size=18, max_size=18))
def test_an_id_reads_back(value: bytes) -> None:
    assert parse_id(format_id(value)) == value


@QUICK
@given(
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=29, max_size=29) | st.text()
)
def test_an_id_has_one_form(text: str) -> None:
    try:
        value = parse_id(text)
    except ValueError:
        return
    assert format_id(value) == text


def test_a_scope_of_other_sizes_is_refused() -> None:
    for store, project, domain in [(15, 18, 18), (16, 17, 18), (16, 18, 19)]:
        with pytest.raises(ValueError, match="no scope"):
            Scope(bytes(store), bytes(project), bytes(domain), 0)
    for epoch in [-1, MAX_EPOCH + 1]:
        with pytest.raises(ValueError, match="out of range"):
            SCOPE.at_epoch(epoch)


def test_contexts_of_keks_differ_with_the_scope_and_names_with_the_domain() -> None:
    scopes = other_scopes()

    assert SCOPE.kek_context != scopes["epoch"].kek_context
    assert SCOPE.kek == scopes["epoch"].kek
    assert SCOPE.kek != scopes["project"].kek
    assert SCOPE.kek != scopes["domain"].kek
    assert store_scope(bytes(16)).kek == "sr.store"
    assert len(SCOPE.kek_context) == 48
