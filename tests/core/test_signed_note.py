# SPDX-License-Identifier: Apache-2.0
"""Checkpoints carry the signatures of the keys that one asks for, or are refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    format_note,
    open_note,
    parse_note_key,
    read_unverified,
    signature_line,
)

#: The checkpoint in C2SP's tlog-cosignature, with the log's own signature.
PUBLISHED = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
""".encode()  # noqa: E501 -- as published
NAME = "strongroom/test"
CLASSIC = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
QUANTUM = mldsa.MLDSA44PrivateKey.from_seed_bytes(b"\2" * 32)
KEYS = (
    NoteKey(NAME, NoteAlgorithm.ED25519, CLASSIC.public_key().public_bytes_raw()),
    NoteKey(NAME, NoteAlgorithm.ML_DSA_44, QUANTUM.public_key().public_bytes_raw()),
)
CHECKPOINT = Checkpoint(NAME, 17, b"r" * 32)


def signed(checkpoint: Checkpoint = CHECKPOINT, time_s: int = 1_700_000_000) -> bytes:
    messages = [
        checkpoint.message(key.algorithm, name=NAME, time_s=time_s) for key in KEYS
    ]
    values = CLASSIC.sign(messages[0]), QUANTUM.sign(messages[1])
    lines = [
        signature_line(key, value, time_s=time_s)
        for key, value in zip(KEYS, values, strict=True)
    ]
    return format_note(checkpoint, lines)


def refuse(note: bytes, match: str, keys: tuple[NoteKey, ...] = KEYS) -> None:
    with pytest.raises(IntegrityError, match=match) as error:
        open_note(note, keys)
    assert error.value.reason is Reason.AUDIT_CORRUPT


def test_the_published_checkpoint_reads() -> None:
    checkpoint = read_unverified(PUBLISHED)

    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20_852_163
    assert PUBLISHED.startswith(checkpoint.body + b"\n")


def test_a_checkpoint_with_both_signatures_opens() -> None:
    assert open_note(signed(), KEYS) == CHECKPOINT
    assert open_note(signed(), KEYS[:1]) == CHECKPOINT


def test_a_signature_that_is_asked_for_must_be_there() -> None:
    first, _, rest = signed().partition(b"\n\n")
    lines = rest.splitlines(keepends=True)

    refuse(first + b"\n\n" + lines[0], r"is not signed by .* \(ML_DSA_44\)")
    refuse(first + b"\n\n" + lines[1], r"is not signed by .* \(ED25519\)")
    refuse(first + b"\n\n" + lines[0] * 2 + lines[1], "is not signed by")
    refuse(signed(), "no key at all", ())


def test_a_signature_over_something_else_is_refused() -> None:
    for other in (
        Checkpoint(NAME, 18, b"r" * 32),
        Checkpoint(NAME, 17, b"s" * 32),
        Checkpoint("strongroom/other", 17, b"r" * 32),
    ):
        lines = signed(other).partition(b"\n\n")[2].splitlines(keepends=True)
        refuse(format_note(CHECKPOINT, lines), "wrong signature", KEYS[:1])
        refuse(format_note(CHECKPOINT, lines), "wrong signature", KEYS[1:])


def test_the_time_is_part_of_what_ml_dsa_signs() -> None:
    body, _, rest = signed().partition(b"\n\n")
    line = rest.splitlines()[1].decode()
    value = bytearray(base64.b64decode(line.rpartition(" ")[2]))
    value[11] ^= 1
    text = base64.b64encode(value).decode()
    changed = f"\N{EM DASH} {NAME} {text}\n".encode()

    refuse(body + b"\n\n" + changed, "wrong signature", KEYS[1:])


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\n17\n", b"\n017\n"), (b"\n17\n", b"\n-1\n"), (b"\n17\n", b"\n17\n\n"),
     (b"\n17\n", b"\nx\n"), (b"\n\n", b"\n"), (b"strongroom/test\n17", b"17"),
     (b"cnJycnJy", b"cnJycnJz="), (b" strongroom", b"  strongroom"),
     ("\N{EM DASH}".encode(), b"-"), (b"\n\n", b"\nextension\n\n")],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(old: bytes, new: bytes) -> None:
    note = signed()
    assert old in note

    refuse(note.replace(old, new, 1), "is damaged")


def test_long_notes_are_refused_before_they_are_read() -> None:
    refuse(signed() + b"x" * 70_000, "too long")
    body, _, rest = signed().partition(b"\n\n")
    line = rest.splitlines(keepends=True)[0]
    refuse(body + b"\n\n" + line * 17, "too many signatures")


def test_keys_read_back_from_their_line() -> None:
    for key in KEYS:
        assert parse_note_key(key.text + "\n") == key


@pytest.mark.parametrize(
    "text",
    ["", "a+b", KEYS[0].text[:-4], KEYS[0].text.replace("test", "tess"),
     KEYS[0].text.replace("+", " "), "n+00000000+/w==", "n+00000000+"],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_note_key(text)


def test_a_key_with_another_name_is_another_key() -> None:
    other = NoteKey("strongroom/test2", KEYS[0].algorithm, KEYS[0].data)

    assert other.key_id != KEYS[0].key_id
    refuse(signed(), "is not signed by strongroom/test2", (other,))
    for name in ("", "a b", "a+b", "ä", "x" * 201):
        with pytest.raises(ValueError, match="name"):
            NoteKey(name, KEYS[0].algorithm, KEYS[0].data)
    with pytest.raises(ValueError, match="bytes are no"):
        NoteKey(NAME, KEYS[1].algorithm, KEYS[0].data)


def test_a_key_that_was_rotated_still_checks_what_it_signed() -> None:
    newer = Ed25519PrivateKey.from_private_bytes(b"\3" * 32).public_key()
    added = NoteKey(NAME, NoteAlgorithm.ED25519, newer.public_bytes_raw())

    assert open_note(signed(), (added, *KEYS)) == CHECKPOINT
    refuse(signed(), "is not signed by", (added, KEYS[1]))
