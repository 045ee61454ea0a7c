# SPDX-License-Identifier: Apache-2.0
"""Journal entries: signed twice, chained, bound to their place, or refused."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import canonical
from strongroom_server.core.journal import (
    HEADER,
    PAYLOAD_TYPE,
    entry_digest,
    format_entry,
    format_payload,
    signing_input,
    verify_entry,
)
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)
from tests.support.damage import some_bits_flipped
from tests.support.properties import QUICK
from tests.support.samples import entry_at, filled, place_of, signer

SIGNER = signer()
PUBLIC = SIGNER.public_keys()
PLACE = place_of()
ENTRY = entry_at(PLACE, {"a": 1}, SIGNER)
REFUSALS = {Reason.JOURNAL_CORRUPT, Reason.SIGNATURE_INVALID, Reason.FORMAT_UNSUPPORTED}


def test_an_entry_reads_back() -> None:
    stored = verify_entry(ENTRY, PLACE, PUBLIC)

    assert stored.place == PLACE
    assert stored.digest == entry_digest(ENTRY)
    assert stored.key_ids == ("sr.sign.version:1", "sr.sign.version.pq:1")


def test_no_flipped_bit_of_an_entry_goes_unnoticed() -> None:
    for damaged in some_bits_flipped(ENTRY, 600):
        with pytest.raises((IntegrityError, PreconditionError)) as caught:
            verify_entry(damaged, PLACE, PUBLIC)
        assert caught.value.reason in REFUSALS


def test_no_flipped_bit_of_a_payload_goes_unnoticed() -> None:
    body = canonical.decode_object(ENTRY, 100_000)
    payload = base64.b64decode(body["payload"])

    for damaged in some_bits_flipped(payload, 300):
        text = base64.b64encode(damaged).decode()
        with pytest.raises((IntegrityError, PreconditionError)) as caught:
            verify_entry(canonical.encode(body | {"payload": text}), PLACE, PUBLIC)
        assert caught.value.reason in REFUSALS


@QUICK
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_entry(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify_entry(data, PLACE, PUBLIC)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


def signed(payload: bytes) -> bytes:
    return format_entry(payload, SIGNER.sign(signing_input(payload)))


PAYLOAD = format_payload(PLACE, b"sealed")


def test_an_entry_of_a_newer_format_says_so() -> None:
    newer = PAYLOAD[:4] + b"\2" + PAYLOAD[5:]

    with pytest.raises(PreconditionError) as caught:
        verify_entry(signed(newer), PLACE, PUBLIC)

    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        PAYLOAD[: HEADER.size - 1],
        b"SRJ2" + PAYLOAD[4:],
        PAYLOAD[:5] + b"\1" + PAYLOAD[6:],
        format_payload(place_of(1), b"sealed"),
    ],
)
def test_an_entry_with_another_header_is_refused(payload: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify_entry(signed(payload), PLACE, PUBLIC)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


def changed(**fields: Any) -> bytes:  # noqa: ANN401 - any JSON
    body = canonical.decode_object(ENTRY, 100_000) | fields
    return canonical.encode({key: item for key, item in body.items() if item != "gone"})


@pytest.mark.parametrize(
    "fields",
    [
        {"payloadType": "application/json"},
        {"payloadType": "gone"},
        {"more": 1},
        {"payload": 5},
        {"payload": "!"},
        {"signatures": None},
        {"signatures": [5]},
        {"signatures": [{"keyid": "sr.sign.version:1"}]},
        {"signatures": [{"keyid": [], "sig": ""}]},
        {"signatures": [{"keyid": "sr.sign.version:1", "sig": "QR=="}]},
    ],
)
def test_an_envelope_of_another_form_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify_entry(changed(**fields), PLACE, PUBLIC)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


def test_an_entry_that_is_too_long_is_refused() -> None:
    with pytest.raises(IntegrityError):
        verify_entry(signed(format_payload(PLACE, bytes(400_000))), PLACE, PUBLIC)


CLASSIC, QUANTUM = SIGNER.sign(signing_input(PAYLOAD))
STRANGER = signer()
STRANGER.rotate()
FOREIGN_CLASSIC, FOREIGN_QUANTUM = STRANGER.sign(signing_input(PAYLOAD))


@pytest.mark.parametrize(
    "signatures",
    [
        [],
        [CLASSIC],
        [QUANTUM],
        [CLASSIC, CLASSIC],
        [CLASSIC, QUANTUM, CLASSIC],
        [CLASSIC, FOREIGN_QUANTUM],
        [FOREIGN_CLASSIC, QUANTUM],
        [FOREIGN_CLASSIC, FOREIGN_QUANTUM],
        [Signature(QUANTUM.key_id, CLASSIC.algorithm, CLASSIC.value), QUANTUM],
        [Signature(CLASSIC.key_id, CLASSIC.algorithm, QUANTUM.value), QUANTUM],
        [CLASSIC, Signature(QUANTUM.key_id, QUANTUM.algorithm, CLASSIC.value)],
        [CLASSIC, Signature(QUANTUM.key_id, QUANTUM.algorithm, b"")],
        [Signature("", CLASSIC.algorithm, CLASSIC.value), QUANTUM],
    ],
)
def test_both_signatures_are_needed_once_and_by_our_keys(
    signatures: list[Signature],
) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify_entry(format_entry(PAYLOAD, signatures), PLACE, PUBLIC)

    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_signature_of_another_message_is_refused() -> None:
    entry = format_entry(format_payload(PLACE, b"other"), [CLASSIC, QUANTUM])

    with pytest.raises(IntegrityError) as caught:
        verify_entry(entry, PLACE, PUBLIC)

    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_signature_of_the_bare_payload_is_refused() -> None:
    with pytest.raises(IntegrityError):
        verify_entry(format_entry(PAYLOAD, SIGNER.sign(PAYLOAD)), PLACE, PUBLIC)


def test_old_entries_verify_after_the_keys_were_rotated() -> None:
    rotated = signer()
    entry = entry_at(PLACE, {"a": 1}, rotated)
    rotated.rotate()

    old = verify_entry(entry, PLACE, rotated.public_keys())
    new = verify_entry(entry_at(PLACE, {"a": 1}, rotated), PLACE, rotated.public_keys())

    assert old.key_ids[0] == "sr.sign.version:1"
    assert new.key_ids[0] == "sr.sign.version:2"


@pytest.mark.parametrize(
    "data", [b"", b"no key", PUBLIC["sr.sign.version.pq:1"].data], ids=len
)
@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_public_key_that_is_none_verifies_nothing(
    data: bytes, algorithm: SignatureAlgorithm
) -> None:
    signatures = [Signature("k", algorithm, b"x")]
    keys = {"k": PublicKey("k", algorithm, data)}

    with pytest.raises(IntegrityError):
        verify_signatures(b"m", signatures, keys, required=frozenset({algorithm}))


def test_what_is_signed_is_the_encoding_of_dsse() -> None:
    expected = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} 5 ".encode() + b"a\0b\nc"

    assert signing_input(b"a\0b\nc") == expected
    assert filled("x", 1) != filled("y", 1)
