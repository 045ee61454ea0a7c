# SPDX-License-Identifier: Apache-2.0
"""Object keys: where each stored thing lies below the bucket's prefix."""

from typing import Final

from strongroom_server.core.scope import format_id

STORE: Final = "strongroom.json"
KEYS: Final = "keys/"
PROJECTS: Final = "projects/"
JOURNALS: Final = "journals/"
NUMBER_DIGITS: Final = 20


def pack_key(pack: str) -> str:
    """Return the key of a pack, by its digest in hex."""
    return f"packs/{pack[:2]}/{pack}"


def manifest_key(manifest: str) -> str:
    """Return the key of a manifest, by its digest in hex."""
    return f"manifests/{manifest[:2]}/{manifest}"


def project_key(project: bytes) -> str:
    """Return the key of a project's record."""
    return PROJECTS + format_id(project)


def project_journals_prefix(project: bytes) -> str:
    """Return what the journals of a project's artifacts lie below."""
    return f"{JOURNALS}{format_id(project)}/"


def journal_prefix(project: bytes, artifact: bytes) -> str:
    """Return what an artifact's journal lies below."""
    return f"{project_journals_prefix(project)}{format_id(artifact)}/"


def journal_key(project: bytes, artifact: bytes, number: int) -> str:
    """Return the key of a journal entry."""
    return f"{journal_prefix(project, artifact)}{number:0{NUMBER_DIGITS}d}"


def slot_prefix(domain: bytes, epoch: int) -> str:
    """Return what the slots of a domain's epoch lie below."""
    return f"{KEYS}{format_id(domain)}/{epoch}."


def slot_key(domain: bytes, epoch: int, number: int) -> str:
    """Return the key of a key slot; `number` grows with each re-wrap."""
    return f"{slot_prefix(domain, epoch)}{number}"


def index_prefix(domain: bytes) -> str:
    """Return what a domain's index segments lie below."""
    return f"index/{format_id(domain)}/"


def index_key(domain: bytes, milliseconds: int, nonce: bytes) -> str:
    """Return the key of an index segment: ordered by time, unique."""
    return f"{index_prefix(domain)}{milliseconds:015d}-{nonce.hex()}"


def index_key_time(key: str) -> int:
    """Return the milliseconds in a key that `index_key` made."""
    return int(key.rpartition("/")[2].partition("-")[0])
