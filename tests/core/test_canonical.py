# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: one encoding a value, and nothing else decodes."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom_server.core import canonical
from strongroom_server.core.canonical import MAX_DEPTH, MAX_INTEGER, MalformedError
from tests.support.properties import QUICK

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


@QUICK
@given(VALUES)
def test_a_value_reads_back(value: object) -> None:
    assert canonical.decode(canonical.encode(value), 10_000) == value


@QUICK
@given(st.binary(max_size=40) | st.text('{}[]",:0123456789eE+-. tfnrul\\', max_size=12)
       .map(str.encode))  # fmt: skip
def test_what_decodes_is_what_would_be_encoded(data: bytes) -> None:
    try:
        value = canonical.decode(data, 1000)
    except MalformedError:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize("form", ["{}", "[{}]", "[1,{}]", '{{"a":{}}}', '["a",[{}]]'])
def test_integers_are_json_safe_wherever_they_stand(form: str) -> None:
    for good in (MAX_INTEGER, -MAX_INTEGER):
        canonical.decode(form.format(good).encode(), 1000)
    for bad in (MAX_INTEGER + 1, -MAX_INTEGER - 1, 10**16, 10**40, -(10**40)):
        with pytest.raises(MalformedError):
            canonical.decode(form.format(bad).encode(), 1000)


def test_digits_in_strings_are_no_integers() -> None:
    text = f"{'9' * 40},{'9' * 40}"

    assert canonical.decode(canonical.encode([text, 7]), 1000) == [text, 7]


def test_nesting_is_bounded() -> None:
    deepest = MAX_DEPTH - 2

    canonical.decode(b"[" * deepest + b"1" + b"]" * deepest, 1000)
    with pytest.raises(MalformedError, match="nested"):
        canonical.decode(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH, 1000)


def test_endless_nesting_is_no_crash() -> None:
    with pytest.raises(MalformedError):
        canonical.decode(b"[" * 1_000_000, 2_000_000)


def test_a_record_must_be_an_object() -> None:
    with pytest.raises(MalformedError, match="object"):
        canonical.decode_object(b"[]", 10)


def test_the_limit_counts_before_anything_is_parsed() -> None:
    assert canonical.decode(b"[]", 2) == []
    with pytest.raises(MalformedError, match="more than 1"):
        canonical.decode(b"[]", 1)


@QUICK
@given(st.binary(max_size=20))
def test_base64_has_one_form_a_value(data: bytes) -> None:
    text = base64.b64encode(data).decode()

    assert canonical.decode_base64(text) == data


@pytest.mark.parametrize("text", ["QR==", "QQ", "QQ==\n", "Q Q=", "=", "ü", None, 5])
def test_any_other_base64_is_refused(text: object) -> None:
    with pytest.raises(MalformedError):
        canonical.decode_base64(text)
