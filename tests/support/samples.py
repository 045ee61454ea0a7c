# SPDX-License-Identifier: Apache-2.0
"""Fixed keys, scopes and records: every stored thing once, small, the same always."""

import hashlib
from datetime import UTC, datetime

from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import encrypted_size
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed, Created, EntryInfo, RefMoved
from strongroom_server.core.journal import (
    GENESIS,
    EntryPlace,
    format_entry,
    format_payload,
    signing_input,
)
from strongroom_server.core.records import Action, Kind
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.core.suites import SUITES
from tests.support.entropy import SeededEntropy

TIME = datetime(2026, 11, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def filled(label: str, size: int) -> bytes:
    """Bytes that look random and follow from a label alone."""
    return hashlib.shake_256(label.encode()).digest(size)


STORE, PROJECT = filled("store", 16), filled("project", 18)
DOMAIN, ARTIFACT_ID = filled("domain", 18), filled("artifact", 18)
SCOPE = Scope(STORE, PROJECT, DOMAIN, 0)
MASTER, DEDUP = filled("master", 32), filled("dedup", 32)
SALT, CHUNK_ID = filled("salt", 24), filled("chunk", 32)
ARTIFACT = ArtifactName("demo", "minilm")


def keys_of(scope: Scope = SCOPE) -> DomainKeys:
    """The same two keys for any scope, so that nothing but the scope differs."""
    return DomainKeys(scope, MASTER, DEDUP)


def other_scopes() -> dict[str, Scope]:
    """Scopes that differ from `SCOPE` in one thing each, by its name."""
    return {
        "store": Scope(filled("other", 16), PROJECT, DOMAIN, 0),
        "project": Scope(STORE, filled("other", 18), DOMAIN, 0),
        "domain": Scope(STORE, PROJECT, filled("other", 18), 0),
        "epoch": Scope(STORE, PROJECT, DOMAIN, 1),
    }


def raw_ref(number: int = 0, plain_bytes: int = 1000, suite: int = 4) -> ChunkRef:
    """Where an imagined chunk lies; each number has a chunk of its own."""
    stored = encrypted_size(plain_bytes, SUITES[suite].segment_bytes)
    pack = filled(f"pack {number // 3}", 32).hex()
    return ChunkRef(
        filled(f"chunk {number}", 32), suite, 0, 0, pack, "v1", 64, stored, plain_bytes
    )


def file_entry(path: str, *refs: ChunkRef, executable: bool = False) -> FileEntry:
    """A file of these chunks."""
    digest = "sha256:" + hashlib.sha256(path.encode()).hexdigest()
    size = sum(ref.plain_bytes for ref in refs)
    return FileEntry(path, size, digest, executable, refs)


def info_of(action: Action, request_id: str = "r-1", reason: str = "") -> EntryInfo:
    """What every entry says."""
    actor = "spiffe://strongroom.test/ns/a/sa/b/job/c"
    return EntryInfo(action, TIME, actor, request_id, "0" * 32, "log-7", reason)


def created() -> Created:
    """The first entry of a journal."""
    return Created(info_of(Action.CREATE), ARTIFACT, Kind.WEIGHTS, DOMAIN)


def committed(version: int = 1, digest: str = "") -> Committed:
    """The entry of a version."""
    return Committed(
        info_of(Action.COMMIT, f"push-{version}"),
        version,
        digest or "sha256:" + filled(f"version {version}", 32).hex(),
        filled(f"manifest {version}", 32).hex(),
        "v9",
        2,
        3000,
        4000,
        "first weights",
        {"loss": "0.25", "ü": "日本"},
    )


def ref_moved(version: int = 1, previous: int = 0, ref: str = "prod") -> RefMoved:
    """The entry of a ref that moves."""
    info = info_of(Action.MOVE_REF, f"move-{ref}-{version}-{previous}", "it is good")
    return RefMoved(info, ref, version, previous)


def signer() -> MemorySigner:
    """Signing keys that a seed repeats; ECDSA signatures differ all the same."""
    return MemorySigner(entropy=SeededEntropy(7))


def place_of(number: int = 0, prev: bytes = GENESIS) -> EntryPlace:
    """A place in the journal of `ARTIFACT`."""
    return EntryPlace(STORE, PROJECT, ARTIFACT_ID, number, prev)


def entry_at(place: EntryPlace, body: dict[str, object], by: MemorySigner) -> bytes:
    """The stored bytes of an entry with any body."""
    sealed = seal_object(keys_of(), ObjectKind.JOURNAL, place.location, body, salt=SALT)
    payload = format_payload(place, sealed)
    return format_entry(payload, by.sign(signing_input(payload)))
