# SPDX-License-Identifier: Apache-2.0
"""Tombstones and orders: read back as they were written, refused otherwise."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import canonical, dsse, layout, tombstone
from strongroom_server.core.scope import Scope
from strongroom_server.core.tombstone import (
    MAX_NAMED_BYTES,
    DoomedArtifact,
    ShredOrder,
    Tombstone,
    fit_doomed,
)

STORE = bytes(range(16))
SCOPE = Scope(STORE, b"p" * 18, b"d" * 18, 0)
TIME = datetime(2026, 11, 23, 7, 30, 15, 123_456, tzinfo=UTC)
KEY = layout.tombstone_key(SCOPE.project, 0)
ARTIFACT = DoomedArtifact("model", "a" * 29, "DATASET", 3, {"latest": 3, "prod": 1})
ORDER = ShredOrder(
    "demo",
    "why",
    "operator:alice",
    "ap-1",
    ("operator:bob",),
    "request",
    "trace",
    "audit",
    ("keys/x/0.0",),
    fit_doomed([ARTIFACT], 17),
)


@pytest.fixture(scope="module")
def signer() -> MemorySigner:
    return MemorySigner(entropy=SystemEntropy())


def stored(signer: MemorySigner, payload: bytes, kind: str = "") -> bytes:
    kind = kind or tombstone.PAYLOAD_TYPE
    signatures = signer.sign(dsse.signing_input(kind, payload))
    return dsse.format_envelope(kind, payload, signatures)


def test_a_tombstone_is_read_back(signer: MemorySigner) -> None:
    made = Tombstone(SCOPE, TIME, b"sealed")
    data = stored(signer, tombstone.format_payload(made))

    found = tombstone.verify_tombstone(data, KEY, STORE, signer.public_keys())

    assert found == made


def test_a_tombstone_of_one_artifact_is_read_back_at_its_place_alone(
    signer: MemorySigner,
) -> None:
    made = Tombstone(SCOPE, TIME, b"sealed", b"a" * 18)
    data, keys = stored(signer, tombstone.format_payload(made)), signer.public_keys()
    place = layout.tombstone_key(SCOPE.project, 0, SCOPE.domain)

    assert tombstone.verify_tombstone(data, place, STORE, keys) == made
    assert layout.is_tombstone(place)
    elsewhere = (
        KEY,
        layout.tombstone_key(SCOPE.project, 0, b"e" * 18),
        layout.tombstone_key(b"o" * 18, 0, SCOPE.domain),
    )
    for key in elsewhere:
        with pytest.raises(IntegrityError) as caught:
            tombstone.verify_tombstone(data, key, STORE, keys)
        assert caught.value.reason is Reason.RECORD_CORRUPT


def test_a_tombstone_of_a_project_kills_no_single_artifact(
    signer: MemorySigner,
) -> None:
    data = stored(signer, tombstone.format_payload(Tombstone(SCOPE, TIME, b"sealed")))
    place = layout.tombstone_key(SCOPE.project, 0, SCOPE.domain)

    with pytest.raises(IntegrityError):
        tombstone.verify_tombstone(data, place, STORE, signer.public_keys())


def test_a_tombstone_of_one_artifact_that_is_too_short_is_refused(
    signer: MemorySigner,
) -> None:
    made = Tombstone(SCOPE, TIME, b"", b"a" * 18)
    data = stored(signer, tombstone.format_payload(made)[:-1])
    place = layout.tombstone_key(SCOPE.project, 0, SCOPE.domain)

    with pytest.raises(IntegrityError):
        tombstone.verify_tombstone(data, place, STORE, signer.public_keys())


@pytest.mark.parametrize(
    ("place", "value"), [(0, b"X"), (5, b"\1"), (8, b"\xff"), (24, b"q")]
)
def test_a_header_that_does_not_fit_is_refused(
    signer: MemorySigner, place: int, value: bytes
) -> None:
    payload = tombstone.format_payload(Tombstone(SCOPE, TIME, b""))
    changed = payload[:place] + value + payload[place + 1 :]

    with pytest.raises(IntegrityError) as caught:
        tombstone.verify_tombstone(
            stored(signer, changed), KEY, STORE, signer.public_keys()
        )

    assert caught.value.reason is Reason.RECORD_CORRUPT


def test_a_newer_format_is_not_taken_for_damage(signer: MemorySigner) -> None:
    payload = tombstone.format_payload(Tombstone(SCOPE, TIME, b""))
    newer = payload[:4] + b"\3" + payload[5:]

    with pytest.raises(PreconditionError) as caught:
        tombstone.verify_tombstone(
            stored(signer, newer), KEY, STORE, signer.public_keys()
        )

    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


def test_what_no_clock_shows_is_refused(signer: MemorySigner) -> None:
    payload = tombstone.format_payload(Tombstone(SCOPE, TIME, b""))
    late = payload[:60] + b"\xff" * 8

    with pytest.raises(IntegrityError):
        tombstone.verify_tombstone(
            stored(signer, late), KEY, STORE, signer.public_keys()
        )


def test_another_type_store_or_place_is_refused(signer: MemorySigner) -> None:
    payload = tombstone.format_payload(Tombstone(SCOPE, TIME, b""))
    data, keys = stored(signer, payload), signer.public_keys()
    other = layout.tombstone_key(b"o" * 18, 0)

    for changed, key, store in (
        (stored(signer, payload, "application/other"), KEY, STORE),
        (data, other, STORE),
        (data, KEY, b"s" * 16),
        (data[:-1], KEY, STORE),
        (stored(signer, payload[:20]), KEY, STORE),
    ):
        with pytest.raises(IntegrityError):
            tombstone.verify_tombstone(changed, key, store, keys)


def test_an_order_is_read_back() -> None:
    alone = replace(ORDER, artifact="model")
    further = replace(ORDER, domains=(b"e" * 18, b"f" * 18))

    for order in (ORDER, alone, further):
        assert tombstone.parse_order(tombstone.format_order(order)) == order
    assert (ORDER.told, alone.told) == ("demo", "demo/model")
    assert tombstone.format_order(ORDER)["format"] == 1


def test_an_order_of_other_fields_is_refused() -> None:
    good = tombstone.format_order(ORDER)
    bad = [
        {**good, "format": 2},
        {**good, "more": 1},
        {key: value for key, value in good.items() if key != "reason"},
        {**good, "artifacts": [{"artifact": "x"}]},
        {**good, "approvers": None},
        {**good, "format": 2, "artifact": "", "domains": []},
        {**good, "format": 2, "artifact": "", "domains": ["x"]},
        {**good, "format": 1, "artifact": "model", "domains": []},
        {**good, "format": [2]},
    ]

    for body in bad:
        with pytest.raises(IntegrityError):
            tombstone.parse_order(body)


def test_of_very_many_artifacts_the_rest_is_counted() -> None:
    many = [replace(ARTIFACT, artifact=f"a{number:06d}") for number in range(20_000)]

    doomed = fit_doomed(many, 5)

    assert doomed.artifacts == tuple(many[: len(doomed.artifacts)])
    assert doomed.artifact_count == 20_000
    assert doomed.unnamed_count == 20_000 - len(doomed.artifacts) > 0
    assert (doomed.version_count, doomed.ref_count) == (60_000, 40_000)
    order = replace(ORDER, doomed=doomed, slots=("keys/d/0.0",) * 5000)
    body = canonical.encode(tombstone.format_order(order))
    assert MAX_NAMED_BYTES < len(body) < tombstone.MAX_BODY_BYTES
