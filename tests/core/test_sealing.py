# SPDX-License-Identifier: Apache-2.0
"""Control objects and key slots: they open where they belong, whole, or not at all."""

import base64
from typing import Any

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core import canonical
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.sealing import (
    ObjectKind,
    open_object,
    parse_object_header,
    seal_object,
)
from strongroom_server.core.slots import make_slot, open_slot, parse_slot
from tests.support.damage import each_bit_flipped, each_cut_and_extension
from tests.support.entropy import SeededEntropy
from tests.support.samples import DEDUP, SALT, SCOPE, STORE, filled, keys_of

BODY: dict[str, object] = {"name": "ü", "size": 3}


def sealed(body: object = BODY) -> bytes:
    return seal_object(keys_of(), ObjectKind.NAME, "audit", body, salt=SALT)


def opened(data: bytes, max_bytes: int = 1000) -> dict[str, Any]:
    return open_object(keys_of(), ObjectKind.NAME, "audit", data, max_bytes=max_bytes)


@pytest.mark.parametrize("kind", ObjectKind)
def test_an_object_reads_back(kind: ObjectKind) -> None:
    data = seal_object(keys_of(), kind, "a/place", BODY, salt=SALT)

    assert open_object(keys_of(), kind, "a/place", data, max_bytes=100) == BODY
    assert parse_object_header(data, STORE, kind).scope == SCOPE


def test_no_flipped_bit_of_an_object_goes_unnoticed() -> None:
    data = sealed()

    for damaged in each_bit_flipped(data):
        with pytest.raises((IntegrityError, PreconditionError)) as caught:
            opened(damaged)
        assert caught.value.reason in {
            Reason.RECORD_CORRUPT,
            Reason.FORMAT_UNSUPPORTED,
        }


def test_an_object_of_another_length_is_refused() -> None:
    for damaged in each_cut_and_extension(sealed()):
        with pytest.raises(IntegrityError):
            opened(damaged)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_object_of_a_newer_format_says_so(version: int) -> None:
    data = sealed()
    newer = data[:5] + bytes([version]) + data[6:]

    with pytest.raises(PreconditionError) as caught:
        opened(newer)

    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize("body", [[], "text", 5, None])
def test_an_object_that_holds_no_object_is_refused(body: object) -> None:
    with pytest.raises(IntegrityError):
        opened(sealed(body))


def test_an_object_that_is_too_long_is_refused() -> None:
    size = len(canonical.encode(BODY))

    assert opened(sealed(), max_bytes=size) == BODY
    with pytest.raises(IntegrityError):
        opened(sealed(), max_bytes=size - 1)


@pytest.fixture
def vault() -> MemoryKeyService:
    service = MemoryKeyService(entropy=SeededEntropy())
    service.create_kek(SCOPE.kek)
    return service


@pytest.fixture
def keys(vault: MemoryKeyService) -> DomainKeys:
    return DomainKeys(
        SCOPE, vault.generate(SCOPE.kek, SCOPE.kek_context).plaintext, DEDUP
    )


@pytest.fixture
def slot(vault: MemoryKeyService) -> bytes:
    data_key = vault.generate(SCOPE.kek, SCOPE.kek_context)
    keys = DomainKeys(SCOPE, data_key.plaintext, DEDUP)
    return make_slot(keys, data_key.wrapped, salt=SALT)


def unlock(data: bytes, vault: MemoryKeyService) -> DomainKeys:
    """What the keyring does with a slot."""
    parsed = parse_slot(data, SCOPE)
    master = vault.unwrap(parsed.kek, SCOPE.kek_context, parsed.wrapped_master)
    return open_slot(parsed, master)


def test_a_slot_reads_back(slot: bytes, vault: MemoryKeyService) -> None:
    keys = unlock(slot, vault)

    assert keys.scope == SCOPE
    assert keys.dedup == DEDUP
    assert keys.kid == parse_slot(slot, SCOPE).kid


def test_no_flipped_bit_of_a_slot_goes_unnoticed(
    slot: bytes, vault: MemoryKeyService
) -> None:
    for damaged in each_bit_flipped(slot):
        with pytest.raises(StrongroomError) as caught:
            unlock(damaged, vault)
        # A flip may make the slot name a version that the KEK does not have.
        named = parsed_version(damaged)
        expected = Reason.KEK_MISSING if named > 1 else Reason.KEY_SLOT_CORRUPT
        assert caught.value.reason is expected


def parsed_version(data: bytes) -> int:
    """Return the version that a slot names, if it is whole in form."""
    try:
        return parse_slot(data, SCOPE).kek_version
    except IntegrityError:
        return 0


def test_a_slot_of_another_length_is_refused(
    slot: bytes, vault: MemoryKeyService
) -> None:
    for damaged in each_cut_and_extension(slot):
        with pytest.raises(IntegrityError):
            unlock(damaged, vault)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("format", True),
        ("epoch", False),
        ("epoch", 1),
        ("type", "key"),
        ("store", "00" * 16),
        ("kek", "sr.store"),
        ("kek", "sr.ü"),
        ("kid", ""),
        ("kid", 5),
        ("wrapped_dmk", None),
        ("commitment", base64.b64encode(bytes(64)).decode()),
        ("commitment", base64.b64encode(bytes(63)).decode()),
        ("sealed_ddk", base64.b64encode(bytes(104)).decode()),
        ("sealed_ddk", "!"),
        ("more", 1),
        ("kid", ...),
    ],
)
def test_a_slot_with_another_field_is_refused(
    slot: bytes, vault: MemoryKeyService, field: str, value: object
) -> None:
    body = canonical.decode_object(slot, 10_000) | {field: value}
    kept = {key: item for key, item in body.items() if item is not ...}

    with pytest.raises(IntegrityError) as caught:
        unlock(canonical.encode(kept), vault)

    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT


def test_a_slot_does_not_open_with_another_master_key(slot: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_slot(parse_slot(slot, SCOPE), filled("another master", 32))

    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT


def test_a_slot_whose_key_an_attacker_knows_cannot_take_its_place(
    slot: bytes, keys: DomainKeys
) -> None:
    theirs = canonical.decode_object(make_slot(keys, "theirs", salt=SALT), 10_000)
    ours = canonical.decode_object(slot, 10_000)
    swapped = canonical.encode(ours | {"commitment": theirs["commitment"]})

    with pytest.raises(IntegrityError):
        open_slot(parse_slot(swapped, SCOPE), keys.master)


def test_a_wrapped_key_may_change_since_it_is_wrapped_again(slot: bytes) -> None:
    body = canonical.decode_object(slot, 10_000) | {"wrapped_dmk": "vault:v2:new"}

    assert parse_slot(canonical.encode(body), SCOPE).wrapped_master == "vault:v2:new"
