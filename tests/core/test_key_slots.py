# SPDX-License-Identifier: Apache-2.0
"""Key slots: their names, the version that they tell, and a key wrapped again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout, slots, stored_objects
from strongroom_server.core.scope import ID_BYTES, MAX_EPOCH
from tests.support.samples import filled, keys_of

KEYS = keys_of()
SALT = filled("salt", 24)
DOMAIN = KEYS.scope.domain


def slot(wrapped: str = "vault:v3:AAAA") -> bytes:
    return slots.make_slot(KEYS, wrapped, salt=SALT)


@given(
    st.binary(min_size=ID_BYTES, max_size=ID_BYTES),
    st.integers(0, MAX_EPOCH),
    st.integers(0, layout.MAX_SLOT_NUMBER),
)
def test_a_slots_name_tells_its_place(domain: bytes, epoch: int, number: int) -> None:
    key = layout.slot_key(domain, epoch, number)

    assert layout.slot_place(key) == (domain, epoch, number)


@pytest.mark.parametrize(
    "rest",
    [
        "0", "0.", ".0", "0.x", "00.0", "0.00", "0.01", "-1.0", "0.-1", "0.0.0",
        "0.0\n", " 0.0", "0.0/0", "0.1000000000", "16777216.0", "0.٣", "+0.0",
    ],
)  # fmt: skip
def test_another_name_is_no_slots(rest: str) -> None:
    key = layout.slots_prefix(DOMAIN) + rest

    assert layout.slot_place(key) is None
    with pytest.raises(IntegrityError) as caught:
        stored_objects.slot_scope(slot(), key, KEYS.scope.store)
    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT


@pytest.mark.parametrize(
    "key", ["keys/" + "a" * 28 + "/0.0", "keys/" + "9" * 29 + "/0.0", "key/0.0", ""]
)
def test_below_no_domain_there_is_no_slot(key: str) -> None:
    assert layout.slot_place(key) is None


@pytest.mark.parametrize(
    ("wrapped", "version"),
    [
        ("vault:v1:AAAA", 1),
        ("vault:v123456789:AAAA", 123456789),
        ("memory:v7:AAAA", 7),
        ("vault:v0:AAAA", 0),
        ("vault:v01:AAAA", 0),
        ("vault:v1234567890:AAAA", 0),
        ("vault:v-1:AAAA", 0),
        ("v1:AAAA", 0),
        ("", 0),
    ],
)
def test_a_slot_tells_which_version_wraps_it(wrapped: str, version: int) -> None:
    assert slots.parse_slot(slot(wrapped), KEYS.scope).kek_version == version


def test_a_slot_is_written_as_it_was_read() -> None:
    assert slots.format_slot(slots.parse_slot(slot(), KEYS.scope)) == slot()


def test_a_key_that_was_wrapped_again_opens_as_before() -> None:
    parsed = slots.parse_slot(slot(), KEYS.scope)

    again = slots.format_slot(replace(parsed, wrapped_master="vault:v4:BBBB"))

    read = slots.parse_slot(again, KEYS.scope)
    assert read.kek_version == 4
    assert slots.open_slot(read, KEYS.master) == KEYS
    assert replace(read, wrapped_master=parsed.wrapped_master) == parsed
