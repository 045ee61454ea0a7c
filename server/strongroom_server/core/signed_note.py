# SPDX-License-Identifier: Apache-2.0
"""Signed checkpoints of the audit log, as C2SP's signed-note has them.

A checkpoint is three lines: the log's origin, its size, its root. Below a blank
line stand signatures: Ed25519 over those lines, and ML-DSA-44 over the structure
of tlog-cosignature. Witnesses add theirs, which are dated. https://c2sp.org/signed-note,
https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature
"""

import base64
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom_server.core.merkle import HASH_BYTES

MAX_NOTE_BYTES: Final = 64 * 1024
MAX_SIGNATURES: Final = 16
_KEY_ID_BYTES: Final = 4
_TIMESTAMP: Final = struct.Struct(">Q")
_NAME: Final = re.compile(r"[!-*,-~]{1,200}")
_BODY: Final = re.compile(r"([!-*,-~]{1,200})\n(0|[1-9][0-9]{0,18})\n([^\n]{44})\n")


class NoteAlgorithm(IntEnum):
    """How a signature was made; the byte that the specification gives it."""

    ED25519 = 1
    ED25519_COSIGNATURE = 4
    ML_DSA_44 = 6


#: How a log signs, and how a witness does, in signing order.
LOG_ALGORITHMS: Final = (NoteAlgorithm.ED25519, NoteAlgorithm.ML_DSA_44)
WITNESS_ALGORITHMS: Final = (
    NoteAlgorithm.ED25519_COSIGNATURE,
    NoteAlgorithm.ML_DSA_44,
)
#: Bytes of a public key.
_KEY_BYTES: Final = {
    NoteAlgorithm.ED25519: 32,
    NoteAlgorithm.ED25519_COSIGNATURE: 32,
    NoteAlgorithm.ML_DSA_44: 1312,
}


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key that checks notes: whose, how, and its raw bytes."""

    name: str
    algorithm: NoteAlgorithm
    data: bytes

    def __post_init__(self) -> None:
        """Check the parts; `ValueError`."""
        if not _NAME.fullmatch(self.name):
            message = f"{self.name!r} cannot be the name of a note's key"
            raise ValueError(message)
        if len(self.data) != _KEY_BYTES[self.algorithm]:
            message = f"{len(self.data)} bytes are no {self.algorithm.name} key"
            raise ValueError(message)

    @property
    def key_id(self) -> bytes:
        """The four bytes before each of its signatures."""
        start = self.name.encode() + b"\n" + bytes([self.algorithm])
        return hashlib.sha256(start + self.data).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key in one line, to be kept by whoever checks the log."""
        data = base64.b64encode(bytes([self.algorithm]) + self.data).decode()
        return f"{self.name}+{self.key_id.hex()}+{data}"


def parse_note_key(text: str) -> NoteKey:
    """Read a key as `NoteKey.text` wrote it.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        name, key_id, encoded = text.strip().split("+", 2)
        data = base64.b64decode(encoded, validate=True)
        key = NoteKey(name, NoteAlgorithm(data[0]), data[1:])
    except (ValueError, IndexError) as error:
        raise _no_key(text) from error
    if key.key_id.hex() != key_id or key.text != text.strip():
        raise _no_key(text)
    return key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed: that the log `origin` has `size` entries under `root`."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> bytes:
        """The three lines."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()

    def message(self, algorithm: NoteAlgorithm, *, name: str, time_s: int) -> bytes:
        """Return the bytes that a key called `name` signs at a time."""
        if algorithm is NoteAlgorithm.ED25519:
            return self.body
        if algorithm is NoteAlgorithm.ED25519_COSIGNATURE:
            return f"cosignature/v1\ntime {time_s}\n".encode() + self.body
        return b"".join(
            (
                b"subtree/v1\n\0",
                bytes([len(name)]) + name.encode(),
                _TIMESTAMP.pack(time_s),
                bytes([len(self.origin)]) + self.origin.encode(),
                _TIMESTAMP.pack(0),
                _TIMESTAMP.pack(self.size),
                self.root,
            )
        )


def signature_line(key: NoteKey, value: bytes, *, time_s: int) -> bytes:
    """Return the line of a signature over `Checkpoint.message`."""
    dated = b"" if key.algorithm is NoteAlgorithm.ED25519 else _TIMESTAMP.pack(time_s)
    text = base64.b64encode(key.key_id + dated + value).decode()
    return f"\N{EM DASH} {key.name} {text}\n".encode()


def format_note(checkpoint: Checkpoint, lines: Sequence[bytes]) -> bytes:
    """Return a signed checkpoint."""
    return checkpoint.body + b"\n" + b"".join(lines)


def add_signatures(note: bytes, lines: bytes) -> bytes:
    """Return a note with more lines of signatures, those that it lacks.

    Raises:
        IntegrityError: One of both is malformed (AUDIT_CORRUPT).
    """
    head, _, there = note.partition(b"\n\n")
    known = set(there.splitlines(keepends=True))
    new = [item for item in lines.splitlines(keepends=True) if item not in known]
    added = head + b"\n\n" + there + b"".join(new)
    _parse(added)
    return added


def cosignature_lines(
    checkpoint: Checkpoint, lines: bytes, keys: Sequence[NoteKey]
) -> bytes:
    """Return, of the lines with which a witness answered, those of its `keys`.

    Raises:
        IntegrityError: One is missing or wrong, or they are no signatures
            (AUDIT_CORRUPT).
    """
    open_note(format_note(checkpoint, [lines]), keys)
    ids = {(key.name, key.key_id) for key in keys}
    kept = [
        line
        for line in lines.splitlines(keepends=True)
        if _parse_line(line.decode().rstrip("\n"))[0] in ids
    ]
    return b"".join(kept)


def read_unverified(note: bytes) -> Checkpoint:
    """Return what a note says, whoever signed it.

    Raises:
        IntegrityError: It is no checkpoint (AUDIT_CORRUPT).
    """
    return _parse(note)[0]


def open_note(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """Return what a note says, if it is signed as `keys` ask for.

    Of each name and algorithm among `keys`, one key must have signed it, since a key
    that was rotated leaves another of the same name. Signatures of keys that are not
    among them are passed over.

    Raises:
        IntegrityError: It is no checkpoint, or a signature is missing or wrong
            (AUDIT_CORRUPT).
    """
    checkpoint, signatures = _parse(note)
    if not keys:
        raise _bad_note("is checked with no key at all")
    for name, algorithm in dict.fromkeys((key.name, key.algorithm) for key in keys):
        ids = {
            (name, key.key_id): key
            for key in keys
            if (key.name, key.algorithm) == (name, algorithm)
        }
        found = [(ids[item[0]], item[1]) for item in signatures if item[0] in ids]
        if len(found) != 1:
            raise _bad_note(f"is not signed by {name} ({algorithm.name})")
        try:
            _verify(found[0][0], checkpoint, found[0][1])
        except (InvalidSignature, ValueError, struct.error) as error:
            how = f"{name} ({algorithm.name})"
            raise _bad_note(f"carries a wrong signature of {how}") from error
    return checkpoint


def _verify(key: NoteKey, checkpoint: Checkpoint, value: bytes) -> None:
    time_s = 0
    if key.algorithm is not NoteAlgorithm.ED25519:
        (time_s,) = _TIMESTAMP.unpack_from(value)
        value = value[_TIMESTAMP.size :]
    message = checkpoint.message(key.algorithm, name=key.name, time_s=time_s)
    if key.algorithm is NoteAlgorithm.ML_DSA_44:
        mldsa.MLDSA44PublicKey.from_public_bytes(key.data).verify(value, message)
    else:
        Ed25519PublicKey.from_public_bytes(key.data).verify(value, message)


def _parse(note: bytes) -> tuple[Checkpoint, list[tuple[tuple[str, bytes], bytes]]]:
    try:
        if len(note) > MAX_NOTE_BYTES:
            raise _bad_note("is too long")
        body, lines = note.decode().split("\n\n")
        match = _BODY.fullmatch(body + "\n")
        if match is None or not lines.endswith("\n"):
            raise _bad_note("is damaged")
        root = base64.b64decode(match[3], validate=True)
        checkpoint = Checkpoint(match[1], int(match[2]), root)
        if len(root) != HASH_BYTES or checkpoint.body != (body + "\n").encode():
            raise _bad_note("is damaged")
        signatures = [_parse_line(line) for line in lines[:-1].split("\n")]
    except ValueError as error:
        raise _bad_note("is damaged") from error
    if len(signatures) > MAX_SIGNATURES:
        raise _bad_note("carries too many signatures")
    return checkpoint, signatures


def _parse_line(line: str) -> tuple[tuple[str, bytes], bytes]:
    dash, name, text = line.split(" ")
    value = base64.b64decode(text, validate=True)
    if dash != "\N{EM DASH}" or not name or len(value) <= _KEY_ID_BYTES:
        raise _bad_note("is damaged")
    return (name, value[:_KEY_ID_BYTES]), value[_KEY_ID_BYTES:]


def _bad_note(what: str) -> IntegrityError:
    return IntegrityError(
        f"a checkpoint of the audit log {what}", reason=Reason.AUDIT_CORRUPT
    )


def _no_key(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{text[:60]!r} is no public key of an audit log",
        hint="`strongroom audit keys` prints them, one in a line.",
        field="key",
    )
