# SPDX-License-Identifier: Apache-2.0
"""A witness's folder: its private keys, and what it cosigned last of each log.

`name` and two PEM files are its identity; `logs/<digest of the origin>` is the note
that was cosigned last. What is there is never begun anew: a witness without its
memory would cosign a log that was rewound.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core.cosigning_pair import CosigningPair
from strongroom_server.core.signed_note import (
    MAX_NOTE_BYTES,
    NoteKey,
    open_note,
)
from strongroom_server.core.witness import origin_name
from strongroom_server.ports import CosigningKeys, Entropy, WitnessState

NAME: Final = "name"
CLASSIC: Final = "ed25519.pem"
QUANTUM: Final = "mldsa-44.pem"
LOGS: Final = "logs"
_LOCK: Final = "lock"
_SEED_BYTES: Final = 32
_MAX_KEY_BYTES: Final = 16 * 1024
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class FileWitnessState:
    """`WitnessState` in a witness's folder, which one process holds at a time."""

    def __init__(self, folder: Path, keys: Sequence[NoteKey]) -> None:
        self._folder = folder / LOGS
        self._keys = keys

    def newest(self, origin: str) -> bytes | None:
        """See `WitnessState`."""
        try:
            note = _read(self._folder / origin_name(origin), MAX_NOTE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(error) from error
        # Its own signature: a note that rotted must not become another past.
        if open_note(note, self._keys).origin != origin:
            message = f"what the witness keeps of {origin} is of another log"
            raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT)
        return note

    def keep(self, origin: str, note: bytes) -> None:
        """See `WitnessState`."""
        path = self._folder / origin_name(origin)
        try:
            _write(path.with_suffix(".new"), note, os.O_TRUNC)
            path.with_suffix(".new").replace(path)
            _sync(self._folder)
        except OSError as error:
            raise _refusal(error) from error


def create_witness(folder: Path, name: str, *, entropy: Entropy) -> Sequence[NoteKey]:
    """Make a witness's folder with new keys; return the public ones.

    Raises:
        PreconditionError: The folder is there already, or cannot be made
            (TARGET_EXISTS, SETTING_INVALID).
        ValueError: The name cannot be one of a key.
    """
    classic = Ed25519PrivateKey.from_private_bytes(entropy.token_bytes(_SEED_BYTES))
    quantum = mldsa.MLDSA44PrivateKey.from_seed_bytes(entropy.token_bytes(_SEED_BYTES))
    made = CosigningPair(name, classic, quantum)
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / LOGS).mkdir(mode=0o700)
        _write(folder / CLASSIC, _pem(classic))
        _write(folder / QUANTUM, _pem(quantum))
        _write(folder / NAME, name.encode())
        _sync(folder)
    except FileExistsError as error:
        raise PreconditionError(
            f"{folder} is there already",
            reason=Reason.TARGET_EXISTS,
            hint="A witness keeps its keys and its memory; name another folder.",
        ) from error
    except OSError as error:
        raise _unusable(folder, error.strerror or "I/O error") from error
    return made.keys


def read_cosigning_keys(folder: Path) -> CosigningPair:
    """Read the keys of a witness's folder.

    Raises:
        PreconditionError: They cannot be read, are none, or others can read them,
            too (SETTING_INVALID).
    """
    try:
        name = _read(folder / NAME, _MAX_KEY_BYTES).decode().strip()
        classic = _private(folder / CLASSIC)
        quantum = _private(folder / QUANTUM)
        if not isinstance(classic, Ed25519PrivateKey):
            raise _unusable(folder, f"{CLASSIC} holds no Ed25519 key")
        if not isinstance(quantum, mldsa.MLDSA44PrivateKey):
            raise _unusable(folder, f"{QUANTUM} holds no ML-DSA-44 key")
        return CosigningPair(name, classic, quantum)
    except OSError as error:
        raise _unusable(folder, error.strerror or "I/O error") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(folder, "its keys are damaged") from error


@contextmanager
def open_witness_state(
    folder: Path, keys: Sequence[NoteKey], origins: Sequence[str]
) -> Iterator[FileWitnessState]:
    """Open a witness's memory for one process; check it before it is relied on.

    Raises:
        PreconditionError: It is not there, or another process has it
            (SETTING_INVALID).
        IntegrityError: What it holds of one of the logs is damaged (AUDIT_CORRUPT).
    """
    if not (folder / LOGS).is_dir():
        raise _unusable(folder, f"{LOGS} is gone, and with it what it remembers")
    try:
        lock_fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
    except OSError as error:
        raise _unusable(folder, error.strerror or "I/O error") from error
    try:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _unusable(folder, "another process has it") from error
        state = FileWitnessState(folder, keys)
        for origin in origins:
            state.newest(origin)
        yield state
    finally:
        os.close(lock_fd)


def _private(path: Path) -> object:
    if path.stat().st_mode & 0o077:
        raise _unusable(path, "others than its owner may read it")
    data = _read(path, _MAX_KEY_BYTES)
    return serialization.load_pem_private_key(data, password=None)


def _pem(key: Ed25519PrivateKey | mldsa.MLDSA44PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read(path: Path, max_bytes: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | _FLAGS)
    with os.fdopen(fd, "rb") as file:
        # One byte more than there may be: what is too long does not parse.
        return file.read(max_bytes + 1)


def _write(path: Path, data: bytes, how: int = os.O_EXCL) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | how | _FLAGS, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refusal(error: OSError) -> UnavailableError:
    cause = error.strerror or "I/O error"
    return UnavailableError(
        f"the witness cannot keep what it cosigns: {cause}",
        reason=Reason.WITNESS_UNAVAILABLE,
        hint="Make room on the witness's disk; nothing else has to be done.",
    )


def _unusable(path: Path, why: str) -> PreconditionError:
    return PreconditionError(
        f"the witness's folder {path} cannot be used: {why}",
        reason=Reason.SETTING_INVALID,
        hint="`strongroom-server witness init` makes one; restore an old one whole.",
        path=path,
    )


_keys: type[CosigningKeys] = CosigningPair
_state: type[WitnessState] = FileWitnessState
