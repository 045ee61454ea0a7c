# SPDX-License-Identifier: Apache-2.0
"""Roots of backups: signed, complete, and refused if a byte of them changed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from strongroom.errors import ExhaustedError, IntegrityError, Reason, StrongroomError
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import backup_extension, backup_root
from strongroom_server.core.backup_extension import Extension, protection
from strongroom_server.core.backup_root import BackupRoot, JournalHead
from tests.support.entropy import SeededEntropy
from tests.support.samples import STORE, TIME, filled, signer
from tests.vectors.backup_cases import NEXT_MONTH, root_of

SIGNER = signer()
KEYS = SIGNER.public_keys()


def sealed(root: BackupRoot, by: MemorySigner = SIGNER) -> bytes:
    payload = backup_root.format_root(root)
    return backup_root.seal_root(payload, by.sign(backup_root.signing_input(payload)))


def test_a_root_says_what_was_signed_to_whoever_has_the_public_keys() -> None:
    assert backup_root.verify_root(sealed(root_of()), KEYS) == root_of()


def test_no_changed_byte_of_a_root_is_believed() -> None:
    data = sealed(root_of())
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(StrongroomError) as caught:
            backup_root.verify_root(changed, KEYS)
        assert caught.value.reason in {Reason.RECORD_CORRUPT, Reason.SIGNATURE_INVALID}


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_root_without_its_end_is_refused(size: int) -> None:
    with pytest.raises(IntegrityError):
        backup_root.verify_root(sealed(root_of())[:size], KEYS)


def test_a_root_that_another_store_signed_is_refused() -> None:
    other = MemorySigner(entropy=SeededEntropy(8))

    with pytest.raises(IntegrityError) as caught:
        backup_root.verify_root(sealed(root_of(), other), KEYS)

    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_root_is_no_extension_and_an_extension_is_no_root() -> None:
    payload = backup_root.format_root(root_of())
    signatures = SIGNER.sign(backup_extension.signing_input(payload))
    with pytest.raises(IntegrityError):
        backup_root.verify_root(backup_root.seal_root(payload, signatures), KEYS)
    with pytest.raises(IntegrityError):
        backup_extension.verify_extension(sealed(root_of()), KEYS)


def test_what_no_root_can_say_is_not_signed() -> None:
    for changes in (
        {"number": 0},
        {"object_count": 299},
        {"protected_until": TIME - timedelta(days=1)},
        {"protected_until": NEXT_MONTH + timedelta(microseconds=1)},
        {"mode": "GOVERNANCE"},
        {"pages": root_of().pages[::-1]},
    ):
        with pytest.raises(IntegrityError):
            backup_root.format_root(root_of(**changes))


def test_a_root_that_would_list_too_much_says_what_to_do() -> None:
    journals = tuple(
        JournalHead(number.to_bytes(18, "big"), bytes(18), 1, bytes(32), ())
        for number in range(1, 130_000)
    )

    with pytest.raises(ExhaustedError) as caught:
        backup_root.format_root(root_of(journals=journals))

    assert caught.value.reason is Reason.TOO_LARGE
    assert "--project" in caught.value.hint


def test_extensions_add_time_and_never_take_it() -> None:
    root = root_of()
    first = Extension(STORE, 7, filled("root", 32).hex(), 1, NEXT_MONTH, TIME)
    later = replace(
        first, extension=2, protected_until=NEXT_MONTH + timedelta(days=9), held=True
    )
    sooner = replace(
        first, extension=3, protected_until=TIME.replace(microsecond=0), held=None
    )
    lifted = replace(sooner, extension=4, held=False)

    assert protection(root, []) == (NEXT_MONTH, False)
    assert protection(root, [first, later, sooner]) == (later.protected_until, True)
    assert protection(root, [later, lifted]) == (later.protected_until, False)


def test_a_head_is_found_by_its_artifact_and_knows_its_versions() -> None:
    heads = tuple(
        JournalHead(filled("project", 18), filled(name, 18), 3, bytes(32), ranges)
        for name, ranges in (("a", ((1, 2), (5, 5))), ("b", ()), ("c", ((7, 9),)))
    )
    heads = tuple(sorted(heads, key=lambda head: head.place))

    for head in heads:
        assert backup_root.head_of(heads, *head.place) == head
    assert backup_root.head_of(heads, filled("other", 18), heads[0].artifact) is None
    assert backup_root.head_of((), *heads[0].place) is None
    [held] = [head for head in heads if head.versions[:1] == ((1, 2),)]
    assert [held.holds(number) for number in range(7)] == [
        False, True, True, False, False, True, False,
    ]  # fmt: skip
