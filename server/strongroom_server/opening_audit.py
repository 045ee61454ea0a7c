# SPDX-License-Identifier: Apache-2.0
"""Opens what writes the audit log, and what reads it, from the settings."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.audit_log import open_audit_log
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import open_s3
from strongroom_server.adapters.vault import VaultSession, open_vault
from strongroom_server.adapters.witness_http import HttpWitness
from strongroom_server.config import ServerSettings, read_settings
from strongroom_server.core.signed_note import (
    MAX_NOTE_BYTES,
    WITNESS_ALGORITHMS,
    NoteKey,
    parse_note_key,
)
from strongroom_server.opening import s3_settings, vault_settings
from strongroom_server.ports import Clock, Entropy
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.repository.repository import open_keyring
from strongroom_server.services.auditing import (
    AuditReader,
    AuditTrail,
    CallNotes,
    KeyRequests,
    open_trail,
)

#: Cosigned checkpoints hold a few kilobytes of each.
MAX_WITNESSES: Final = 7


def open_noted_vault(
    settings: ServerSettings,
    requests: KeyRequests,
    clock: Clock,
    entropy: Entropy,
    stack: ExitStack,
) -> VaultSession:
    """Open Vault, with note taken of what its keys are used for.

    Raises:
        PreconditionError: As `open_vault`.
    """
    where = vault_settings(settings)
    return stack.enter_context(
        open_vault(where, clock=clock, entropy=entropy, requests_made=requests)
    )


def open_audit_trail(
    settings: ServerSettings,
    shared: SharedAuditLog,
    vault: VaultSession,
    notes: Sequence[CallNotes],
    *,
    clock: Clock,
    entropy: Entropy,
    stack: ExitStack,
) -> AuditTrail:
    """Open what calls write their events to, and have it witnessed.

    Raises:
        StrongroomError: As `open_audit_log`, `open_witnesses` and `open_trail`.
    """
    local = stack.enter_context(
        open_audit_log(settings.audit.path, clock=clock, entropy=entropy)
    )
    return stack.enter_context(
        open_trail(
            local,
            shared,
            vault.checkpoints,
            clock=clock,
            witnesses=open_witnesses(settings),
            notes=notes,
        )
    )


def open_witnesses(settings: ServerSettings) -> list[HttpWitness]:
    """Prepare to ask witnesses; none is asked yet.

    Raises:
        PreconditionError: Their keys cannot be read, or are none (SETTING_INVALID).
    """
    witnesses = [
        HttpWitness(
            section.url, read_witness_keys(section.keys_file), ca_file=section.ca_file
        )
        for section in settings.witnesses
    ]
    names = {witness.name for witness in witnesses}
    if len(witnesses) > MAX_WITNESSES or len(names) < len(witnesses):
        message = f"there are two witnesses of one name, or more than {MAX_WITNESSES}"
        raise _invalid(message)
    return witnesses


def read_witness_keys(path: Path) -> list[NoteKey]:
    """Read the public keys of one witness.

    Raises:
        PreconditionError: The file cannot be read, or holds no such keys, or those
            of several (SETTING_INVALID).
        InvalidArgumentError: A line is no key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_NOTE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        message = f"the witness's keys {path} cannot be read: {error.strerror}"
        raise _invalid(message) from error
    keys = [parse_note_key(line) for line in filter(str.strip, text.splitlines())]
    kinds = {key.algorithm for key in keys}
    if len({key.name for key in keys}) != 1 or not kinds <= set(WITNESS_ALGORITHMS):
        raise _invalid(f"{path} does not hold the keys of one witness")
    return keys


@contextmanager
def open_audit_reader(
    config: Path, trusted: Sequence[NoteKey] = ()
) -> Iterator[AuditReader]:
    """Open what reads the audit log in the bucket.

    Args:
        config: The settings of a server.
        trusted: The keys to check signatures with; those that Vault has if none.

    Raises:
        StrongroomError: The settings, Vault or S3 do not allow it.
    """
    settings, clock, entropy = read_settings(config), SystemClock(), SystemEntropy()
    credentials = settings.store.credentials_file
    with (
        open_vault(vault_settings(settings), clock=clock, entropy=entropy) as vault,
        open_s3(s3_settings(settings, credentials), clock) as blobs,
    ):
        keyring = open_keyring(
            blobs=blobs, key_service=vault.keys, clock=clock, entropy=entropy
        )
        log = SharedAuditLog(settings.audit.log, blobs=blobs, keyring=keyring)
        keys = trusted or vault.checkpoints.keys(log.origin)
        witnesses = open_witnesses(settings)
        yield AuditReader(log, keyring=keyring, keys=keys, witnesses=witnesses)


def transit_mount(config: Path) -> str:
    """Return where a server's settings say that the transit engine is mounted.

    Raises:
        StrongroomError: As `read_settings`.
    """
    return read_settings(config).vault.transit_mount


def _invalid(message: str) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="`strongroom-server witness keys` prints them, where the witness runs.",
    )
