# SPDX-License-Identifier: Apache-2.0
"""Repair records and tokens of verifications: what is read is what was written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, InvalidArgumentError, StrongroomError
from strongroom_server.core import repair, stored_objects
from strongroom_server.core.codecs import Codec
from strongroom_server.core.repair import RepairRecord
from strongroom_server.core.verify_token import VerifyToken, format_token, parse_token
from tests.support.samples import raw_ref

RECORD = RepairRecord((raw_ref(1), raw_ref(2)), ("a" * 64,), ("b" * 64, "c" * 64))
START = VerifyToken("ab", "demo", keyless=False)


def test_a_record_comes_back_as_it_was() -> None:
    assert repair.parse_record(repair.format_record(RECORD)) == RECORD
    assert repair.parse_record(repair.format_record(RepairRecord())) == RepairRecord()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 0), ("format", "1"), ("damaged", "a" * 64), ("damaged", ["a" * 63]),
        ("mended", [1]), ("mended", ["A" * 64]), ("chunks", [[]]), ("packs", None),
        ("more", 1), ("format", 2), ("format", 1.0), ("format", None),
        ("damaged", ["a" * 64] * 2), ("mended", ["b" * 64, "a" * 64]),
    ],
)  # fmt: skip
def test_a_malformed_record_is_refused(field: str, value: object) -> None:
    body: dict[str, Any] = {**repair.format_record(RECORD), field: value}

    with pytest.raises(IntegrityError):
        repair.parse_record(body)


def test_a_record_that_names_a_pack_twice_is_refused() -> None:
    body = repair.format_record(RECORD)
    body["packs"] = [*body["packs"], body["packs"][0]]

    with pytest.raises(IntegrityError):
        repair.parse_record(body)


def test_a_delta_needs_the_second_format_and_nothing_else_does() -> None:
    base = raw_ref(1)
    delta = replace(raw_ref(2), codec=Codec.DELTA, base=base)
    body = repair.format_record(RepairRecord((delta,)))

    assert body["format"] == 2
    assert repair.parse_record(body).chunks == (delta,)
    with pytest.raises(IntegrityError):
        repair.parse_record({**body, "format": 1})


@pytest.mark.parametrize(
    ("limit", "record"),
    [
        ("MAX_CHUNKS", RepairRecord((raw_ref(1), raw_ref(2)))),
        ("MAX_PACKS", RepairRecord((), ("a" * 64, "b" * 64))),
        ("MAX_PACKS", RepairRecord((), (), ("a" * 64, "b" * 64))),
    ],
)
def test_a_record_stays_within_its_bounds(
    monkeypatch: pytest.MonkeyPatch, limit: str, record: RepairRecord
) -> None:
    body = repair.format_record(record)
    assert repair.parse_record(body) == record
    monkeypatch.setattr(repair, limit, 1)

    with pytest.raises(IntegrityError):
        repair.parse_record(body)


def test_a_record_of_a_newer_release_is_refused() -> None:
    with pytest.raises(StrongroomError) as caught:
        repair.parse_record({**repair.format_record(RECORD), "format": 9})

    assert caught.value.reason.value == "FORMAT_UNSUPPORTED"


@pytest.mark.parametrize("field", ["format", "packs", "chunks", "damaged", "mended"])
def test_no_field_may_be_missing(field: str) -> None:
    body = repair.format_record(RECORD)
    del body[field]

    with pytest.raises(IntegrityError):
        repair.parse_record(body)


@given(st.integers(0, 9), st.text(max_size=50))
def test_a_token_comes_back_as_it_was(stage: int, after: str) -> None:
    token = VerifyToken("ab", "demo", keyless=False, stage=stage, after=after)

    assert parse_token(format_token(token), START) == token


@given(st.text(max_size=60))
def test_anything_else_is_no_token(text: str) -> None:
    if text:
        with pytest.raises(InvalidArgumentError):
            parse_token(text, START)
    else:
        assert parse_token(text, START) == START


@given(st.binary(max_size=200), st.sampled_from(["packs", "manifests", "journals"]))
def test_no_bytes_are_an_object_by_accident(data: bytes, folder: str) -> None:
    name = "ab" * 32
    checks: dict[str, Callable[[], object]] = {
        "packs": lambda: stored_objects.check_pack(data, name, bytes(16)),
        "manifests": lambda: stored_objects.check_manifest(data, name, bytes(16)),
        "journals": lambda: stored_objects.check_entry(
            data, f"journals/{'a' * 29}/{'a' * 29}/{0:020}", bytes(16), {}
        ),
    }
    with pytest.raises(IntegrityError):
        checks[folder]()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (f"packs/ab/{'ab' * 32}", "ab" * 32), (f"manifests/ab/{'ab' * 32}", "ab" * 32),
        (f"packs/cd/{'ab' * 32}", ""), (f"packs/{'ab' * 32}", ""),
        (f"packs/AB/{'AB' * 32}", ""), ("packs/ab/abcd", ""), ("", ""),
        (f"packs/ab/x/{'ab' * 32}", ""),
    ],
)  # fmt: skip
def test_only_our_own_keys_name_digests(key: str, name: str) -> None:
    assert stored_objects.digest_name(key) == name
