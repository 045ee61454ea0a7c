# SPDX-License-Identifier: Apache-2.0
"""Object keys: where each stored thing lies below the bucket's prefix."""

import hashlib
import re
from typing import Final

from strongroom_server.core.scope import MAX_EPOCH, format_id, parse_id

STORE: Final = "strongroom.json"
KEYS: Final = "keys/"
PROJECTS: Final = "projects/"
JOURNALS: Final = "journals/"
SWEEP: Final = "sweep/"
PACKS: Final = "packs/"
INDEX: Final = "index/"
MANIFESTS: Final = "manifests/"
#: Numbers beyond are nobody's: a slot at the greatest one leaves room for no other.
MAX_SLOT_NUMBER: Final = 10**9 - 1
_NUMBER: Final = "(0|[1-9][0-9]{0,8})"
_SLOT: Final = re.compile(rf"keys/([a-z2-7]{{29}})/{_NUMBER}\.{_NUMBER}\Z")
_BY_DIGEST: Final = re.compile(r"(?:packs|manifests)/([0-9a-f]{2})/\1[0-9a-f]{62}\Z")
_TOMBSTONE: Final = re.compile(
    r"shreds/[a-z2-7]{29}/(?:[a-z2-7]{29}/)?tombstone-[0-9]{20}\Z"
)
REPAIRS: Final = "repairs/"
REPAIRED_OBJECTS: Final = "repairs/objects/"
MENDED: Final = "repairs/mended/"
AUDIT: Final = "audit/"
APPROVALS: Final = "approvals/"
SHREDS: Final = "shreds/"
DRILLS: Final = "drills/"
_DRILL: Final = re.compile(r"drills/([0-9]{20})\Z")
#: In backup buckets only: what says what lies beside it.
BACKUPS: Final = "backups/"
BACKUP_PAGES: Final = "backups/pages/"
#: Of all that would fit into the digits, as many as we ever count to.
MAX_BACKUP_NUMBER: Final = 10**12
_BACKUP: Final = re.compile(r"backups/([0-9]{20})/([0-9]{20})\Z")
RELOCATIONS: Final = "relocations/"
REPLICA: Final = "replica/"
#: Records of leases; their names are those of schedules.
LEASES: Final = "leases/"
_LEASE: Final = re.compile(r"leases/[a-z]+/([0-9]{20})\Z")
UPLOADS: Final = "uploads/"
#: What probes of a bucket leave behind; of no use to anybody.
PROBE: Final = "probe/"
#: What the names of tombstones and receipts begin with.
TOMBSTONE: Final = "tombstone-"
RECEIPT: Final = "receipt-"
NUMBER_DIGITS: Final = 20


def pack_key(pack: str) -> str:
    """Return the key of a pack, by its digest in hex."""
    return f"packs/{pack[:2]}/{pack}"


def manifest_key(manifest: str) -> str:
    """Return the key of a manifest, by its digest in hex."""
    return f"manifests/{manifest[:2]}/{manifest}"


def is_named_by_digest(key: str) -> bool:
    """Return whether a key is one that `pack_key` or `manifest_key` makes."""
    return bool(_BY_DIGEST.match(key))


def sweep_key(number: int) -> str:
    """Return the key of a sweep record."""
    return f"{SWEEP}{number:0{NUMBER_DIGITS}d}"


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


def slots_prefix(domain: bytes) -> str:
    """Return what the slots of a domain lie below."""
    return f"{KEYS}{format_id(domain)}/"


def slot_key(domain: bytes, epoch: int, number: int) -> str:
    """Return the key of a key slot; `number` grows with each re-wrap."""
    return f"{slots_prefix(domain)}{epoch}.{number}"


def slot_place(key: str) -> tuple[bytes, int, int] | None:
    """Return domain, epoch and number of a key that `slot_key` made, or None."""
    found = _SLOT.match(key)
    if found is None:
        return None
    try:
        domain = parse_id(found[1])
    except ValueError:
        return None
    epoch, number = int(found[2]), int(found[3])
    return (domain, epoch, number) if epoch <= MAX_EPOCH else None


def index_prefix(domain: bytes) -> str:
    """Return what a domain's index segments lie below."""
    return f"{INDEX}{format_id(domain)}/"


def index_key(domain: bytes, milliseconds: int, nonce: bytes) -> str:
    """Return the key of an index segment: ordered by time, unique."""
    return f"{index_prefix(domain)}{milliseconds:015d}-{nonce.hex()}"


def index_key_time(key: str) -> int:
    """Return the milliseconds in a key that `index_key` made."""
    return int(key.rpartition("/")[2].partition("-")[0])


def uploads_prefix(domain: bytes) -> str:
    """Return what the records of a domain's uploads lie below."""
    return f"{UPLOADS}{format_id(domain)}/"


def upload_prefix(domain: bytes, upload: bytes) -> str:
    """Return what the records of an upload lie below, by its 18-byte id."""
    return f"{uploads_prefix(domain)}{format_id(upload)}/"


def upload_key(prefix: str, number: int) -> str:
    """Return the key of a record below what `upload_prefix` returned."""
    return f"{prefix}{number:0{NUMBER_DIGITS}d}"


def upload_key_number(key: str) -> int:
    """Return the number in a key that `upload_key` made; -1 if it is none."""
    digits = key.rpartition("/")[2]
    plain = len(digits) == NUMBER_DIGITS and digits.isascii() and digits.isdecimal()
    return int(digits) if plain else -1


def repair_prefix(domain: bytes) -> str:
    """Return what a domain's repair records lie below."""
    return f"{REPAIRS}{format_id(domain)}/"


def repair_key(domain: bytes, milliseconds: int, nonce: bytes) -> str:
    """Return the key of a repair record: ordered by time, unique."""
    return f"{repair_prefix(domain)}{milliseconds:015d}-{nonce.hex()}"


def copies_prefix(key: str) -> str:
    """Return what the verbatim copies of a damaged object lie below."""
    return f"{REPAIRED_OBJECTS}{key}/"


def copy_key(key: str, nonce: bytes) -> str:
    """Return the key of a verbatim copy of a damaged object."""
    return copies_prefix(key) + nonce.hex()


def copied_key(key: str) -> str:
    """Return of which object a key that `copy_key` made is a copy."""
    return key.removeprefix(REPAIRED_OBJECTS).rpartition("/")[0]


def mended_prefix(pack: str) -> str:
    """Return what statements that a damaged pack was mended lie below."""
    return f"{MENDED}{pack}/"


def mended_key(pack: str, nonce: bytes) -> str:
    """Return the key of a statement that a damaged pack was mended."""
    return mended_prefix(pack) + nonce.hex()


def audit_batches_prefix(log: str) -> str:
    """Return what the batches of an audit log lie below."""
    return f"{AUDIT}{log}/batches/"


def audit_batch_key(log: str, number: int) -> str:
    """Return the key of a batch of an audit log."""
    return f"{audit_batches_prefix(log)}{number:0{NUMBER_DIGITS}d}"


def audit_checkpoints_prefix(log: str) -> str:
    """Return what the signed checkpoints of an audit log lie below."""
    return f"{AUDIT}{log}/checkpoints/"


def audit_checkpoint_key(log: str, size: int) -> str:
    """Return the key of the checkpoint of a size."""
    return f"{audit_checkpoints_prefix(log)}{size:0{NUMBER_DIGITS}d}"


def approval_prefix(approval_id: str) -> str:
    """Return what the records of an approval lie below."""
    return f"{APPROVALS}{approval_id}/"


def approval_key(approval_id: str, number: int) -> str:
    """Return the key of a record of an approval."""
    return f"{approval_prefix(approval_id)}{number:0{NUMBER_DIGITS}d}"


def shred_prefix(project: bytes, domain: bytes = b"") -> str:
    """Return what tombstones and receipts lie below: a project's, or an artifact's.

    An artifact's by the id of the key domain that it has to itself.
    """
    prefix = f"{SHREDS}{format_id(project)}/"
    return f"{prefix}{format_id(domain)}/" if domain else prefix


def tombstone_key(project: bytes, number: int, domain: bytes = b"") -> str:
    """Return the key of a tombstone; the first one that is ours counts."""
    return f"{shred_prefix(project, domain)}{TOMBSTONE}{number:0{NUMBER_DIGITS}d}"


def receipt_key(project: bytes, number: int, domain: bytes = b"") -> str:
    """Return the key of the encrypted copy of a receipt; the first one counts."""
    return f"{shred_prefix(project, domain)}{RECEIPT}{number:0{NUMBER_DIGITS}d}"


def is_tombstone(key: str) -> bool:
    """Return whether a key is one that `tombstone_key` makes."""
    return bool(_TOMBSTONE.match(key))


def relocation_key(number: int) -> str:
    """Return the key of a relocation record."""
    return f"{RELOCATIONS}{number:0{NUMBER_DIGITS}d}"


def replica_key(number: int) -> str:
    """Return the key of a record that says what a replica is by now."""
    return f"{REPLICA}{number:0{NUMBER_DIGITS}d}"


def slot_copies_prefix(domain: bytes) -> str:
    """Return what the verbatim copies of a domain's key slots lie below."""
    return f"{REPAIRED_OBJECTS}{slots_prefix(domain)}"


def audit_cosigned_prefix(log: str, witness: str = "") -> str:
    """Return what the checkpoints that a witness, or any, has cosigned lie below."""
    prefix = f"{AUDIT}{log}/cosigned/"
    if not witness:
        return prefix
    # Names of witnesses are nearly any text.
    return f"{prefix}{hashlib.sha256(witness.encode()).hexdigest()[:16]}/"


def audit_cosigned_key(log: str, witness: str, size: int) -> str:
    """Return the key of the checkpoint of a size that a witness has cosigned."""
    return f"{audit_cosigned_prefix(log, witness)}{size:0{NUMBER_DIGITS}d}"


def backup_prefix(number: int) -> str:
    """Return what the root of a backup, and its extensions, lie below."""
    return f"{BACKUPS}{number:0{NUMBER_DIGITS}d}/"


def backup_key(number: int, extension: int = 0) -> str:
    """Return the key of a backup's root, which is number 0, or of an extension."""
    return f"{backup_prefix(number)}{extension:0{NUMBER_DIGITS}d}"


def backup_place(key: str) -> tuple[int, int] | None:
    """Return the numbers in a key that `backup_key` made, or None."""
    found = _BACKUP.match(key)
    if found is None:
        return None
    number, extension = int(found[1]), int(found[2])
    is_ours = 0 < number <= MAX_BACKUP_NUMBER and extension <= MAX_BACKUP_NUMBER
    return (number, extension) if is_ours else None


def backup_page_key(sha256: str) -> str:
    """Return the key of a page of an inventory, by its digest in hex."""
    return BACKUP_PAGES + sha256


def lease_prefix(name: str) -> str:
    """Return what the records of a lease lie below."""
    return f"{LEASES}{name}/"


def lease_key(name: str, number: int) -> str:
    """Return the key of a record of a lease."""
    return f"{lease_prefix(name)}{number:0{NUMBER_DIGITS}d}"


def lease_number(key: str) -> int:
    """Return the number in a key that `lease_key` made; -1 if it is none."""
    found = _LEASE.match(key)
    return -1 if found is None else int(found[1])


def drill_key(number: int) -> str:
    """Return the key of the encrypted report of a drill."""
    return f"{DRILLS}{number:0{NUMBER_DIGITS}d}"


def drill_number(key: str) -> int:
    """Return the number in a key that `drill_key` made; -1 if it is none."""
    found = _DRILL.match(key)
    return int(found[1]) if found else -1
