# SPDX-License-Identifier: Apache-2.0
"""What reads each vector: from the fields of a case to its result, or an error."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC

from strongroom.format import names
from strongroom.format.chunking import tensor_ends
from strongroom.format.digest import VersionDigester
from strongroom.format.safetensors import parse_header_size, parse_tensors
from strongroom_server.core import (
    canonical,
    derivation,
)
from strongroom_server.core.audit import verify_lines
from strongroom_server.core.chunk import ChunkRef, decrypt_chunk
from strongroom_server.core.entry_body import parse_body
from strongroom_server.core.filetable import PageRef, parse_page
from strongroom_server.core.fold import Fold
from strongroom_server.core.history import (
    History,
    NumberedEntry,
    RefMoved,
)
from strongroom_server.core.index_segment import parse_segment
from strongroom_server.core.journal import EntryPlace, verify_entry
from strongroom_server.core.manifest import parse_manifest
from strongroom_server.core.pack import padding_size, parse_directory
from strongroom_server.core.page_list import parse_list
from strongroom_server.core.scope import parse_id
from strongroom_server.core.sealing import ObjectKind, open_object
from strongroom_server.core.selectors import resolve
from strongroom_server.core.slots import open_slot, parse_slot
from strongroom_server.core.suites import DigestAlgorithm
from tests.vectors import backup_readers, drill_readers, replica_cases, restore_cases
from tests.vectors.table_cases import shown
from tests.vectors.upkeep_readers import (
    Fields,
    keys_of,
    public_keys,
    read_draft_files,
    read_draft_record,
    read_entry_body,
    read_file_cuts,
    read_plan,
    read_repair,
    read_statement,
    read_sweep_log,
    read_sweep_record,
    read_upload_record,
    read_upload_state,
    read_writer_name,
)


def read_name(_: Fields, case: Fields) -> object:
    """Read a name, selector, URI or path."""
    text = case["text"]
    match case["kind"]:
        case "uri":
            return {"uri": str(names.parse_uri(text))}
        case "path":
            names.check_path(text)
            return {"path": text}
        case "selector":
            return _selector(text)
        case kind:
            return _resource(kind, text)


def _resource(kind: str, text: str) -> object:
    match kind:
        case "project_name":
            return {"project": names.parse_project_name(text).project}
        case "artifact_name":
            return _artifact(names.parse_artifact_name(text))
        case "version_name":
            version = names.parse_version_name(text)
            return _artifact(version.artifact) | {"selector": version.selector}
        case _:
            ref = names.parse_ref_name(text)
            return _artifact(ref.artifact) | {"ref": ref.ref}


def _artifact(name: names.ArtifactName) -> Fields:
    return {"project": name.project, "artifact": name.artifact}


def _selector(text: str) -> Fields:
    match names.parse_selector(text):
        case names.NumberSelector(number):
            return {"number": number}
        case names.RefSelector(ref, back):
            return {"ref": ref, "back": back}
        case names.DigestSelector(prefix):
            return {"prefix": prefix}
        case names.TimeSelector(time):
            return {"time": time.astimezone(UTC).isoformat()}


def read_digest(_: Fields, case: Fields) -> object:
    """Compute a version's digest."""
    digester = VersionDigester()
    for path, size, digest in case["files"]:
        digester.add(path, size, digest)
    return digester.digest()


def read_canonical(_: Fields, case: Fields) -> object:
    """Decode canonical JSON, and check that it encodes to the same."""
    data = base64.b64decode(case["data"])
    value = canonical.decode(data, 1000)
    assert canonical.encode(value) == data
    return value


def read_cuts(_: Fields, case: Fields) -> object:
    """Find the cuts of a safetensors file."""
    data, size = base64.b64decode(case["header"]), case["size_bytes"]
    header_bytes = parse_header_size(data, size)
    return tensor_ends(header_bytes, parse_tensors(data[:header_bytes], size))


def read_derivation(_: Fields, case: Fields) -> object:
    """Derive everything that a domain's keys give."""
    if case["kind"] == "id":
        return parse_id(case["text"]).hex()
    keys = keys_of(case["scope"])
    chunk_id = hashlib.shake_256(b"chunk").digest(32)
    expected = case["result"]
    return {
        "kek": keys.scope.kek,
        "kek_context": keys.scope.kek_context.hex(),
        "kid": keys.kid,
        "chunk_ids": {
            name: keys.chunk_id(bytes(32), 5, DigestAlgorithm(name)).hex()
            for name in expected["chunk_ids"]
        },
        "chunk_key": keys.chunk_key(chunk_id).hex(),
        "chunk_salt": keys.chunk_salt(bytes(32), chunk_id, bytes(33)).hex(),
        "object_keys": {
            kind: keys.object_key(kind).hex() for kind in expected["object_keys"]
        },
        "name_ids": {
            kind: keys.name_id(kind, "demo").hex() for kind in expected["name_ids"]
        },
        "dedup_wrapping_key": derivation.dedup_wrapping_key(
            keys.scope, keys.master
        ).hex(),
        "slot_commitment": derivation.slot_commitment(keys.master, b"{}").hex(),
    }


def read_slot(_: Fields, case: Fields) -> object:
    """Open a key slot with the master key that was unwrapped."""
    slot = parse_slot(case["slot"].encode(), keys_of(case["scope"]).scope)
    return open_slot(slot, bytes.fromhex(case["unwrapped"])).dedup.hex()


def read_object(_: Fields, case: Fields) -> object:
    """Open a control object."""
    return open_object(
        keys_of(case["scope"]),
        ObjectKind[case["kind"]],
        case["location"],
        base64.b64decode(case["data"]),
        max_bytes=1000,
    )


def read_chunk(_: Fields, case: Fields) -> object:
    """Decrypt a chunk."""
    ref = ChunkRef(
        bytes.fromhex(case["chunk_id"]), case["suite"], case["codec"],
        case["scope"]["epoch"], "p", "v", 0, case["stored_bytes"], case["plain_bytes"],
    )  # fmt: skip
    stored = base64.b64decode(case["stored"])
    plaintext = decrypt_chunk(keys_of(case["scope"]), ref, memoryview(stored))
    if case["label"]:
        made = hashlib.shake_256(case["label"].encode()).digest(case["plain_bytes"])
        assert bytes(plaintext) == made
    return hashlib.sha256(plaintext).hexdigest()


def read_pack(_: Fields, case: Fields) -> object:
    """Read a pack's directory, or compute paddings."""
    if "padding" in case:
        return {size: padding_size(int(size)) for size in case["padding"]}
    entries = parse_directory(keys_of(case["scope"]), base64.b64decode(case["pack"]))
    return [
        [item.chunk_id.hex(), item.offset_bytes, item.stored_bytes, item.plain_bytes,
         item.codec]
        for item in entries
    ]  # fmt: skip


def read_segment(_: Fields, case: Fields) -> object:
    """Read an index segment's body."""
    return [
        {name: getattr(ref, name) for name in ref.__slots__ if name != "base"}
        | {"chunk_id": ref.chunk_id.hex()}
        for ref in parse_segment(case["body"])
    ]


def read_page(_: Fields, case: Fields) -> object:
    """Read a page of a file table."""
    return [
        [item.path, item.size_bytes, item.digest, item.executable, len(item.chunks)]
        for item in parse_page(case["page"].encode())
    ]


def read_manifest(_: Fields, case: Fields) -> object:
    """Read a manifest's body."""
    manifest = parse_manifest(case["body"], bytes.fromhex(case["artifact"]))
    return [
        [page.first_path, page.last_path, page.file_count] for page in manifest.pages
    ]


def read_history(_: Fields, case: Fields) -> object:
    """Fold entries' bodies and resolve selectors."""
    fold = Fold(History())
    for number, body in enumerate(case["bodies"]):
        entry = parse_body(body, number)
        fold.add(NumberedEntry(number, entry, b"", ()))
    history = fold.history()
    return {
        "versions": [item.digest for item in history.versions],
        "refs": {
            ref: [
                move.entry.version for move in moves if isinstance(move.entry, RefMoved)
            ]
            for ref, moves in history.refs.items()
        },
        "selectors": {
            text: resolve(history, text).version for text in case["result"]["selectors"]
        },
    }


def read_entry(document: Fields, case: Fields) -> object:
    """Verify a signed entry at its place."""
    keys = public_keys(document)
    place = case["place"]
    ids = (bytes.fromhex(place[name]) for name in ("store", "project", "artifact"))
    store, project, artifact = ids
    prev = bytes.fromhex(place["prev"])
    expected = EntryPlace(store, project, artifact, place["number"], prev)
    return verify_entry(case["entry"].encode(), expected, keys).digest.hex()


def read_log(_: Fields, case: Fields) -> object:
    """Verify an audit log; return the digest of its last line."""
    ends = list(verify_lines(line.encode() for line in case["lines"]))
    return ends[-1][1]


def read_delta_chunk(_: Fields, case: Fields) -> object:
    """Decrypt a chunk that is grouped, or a delta."""
    scope, suite = case["scope"], case["suite"]
    base_id = bytes.fromhex(case["base_id"])
    base = None if case["base"] is None else base64.b64decode(case["base"])
    stored = base64.b64decode(case["stored"])
    size = case["plain_bytes"]
    ref = ChunkRef(
        bytes.fromhex(case["chunk_id"]), suite, case["codec"], scope["epoch"],
        "p", "v", 0, len(stored), size,
        ChunkRef(base_id, suite, 0, 0, "q", "w", 0, 0, size) if base_id else None,
    )  # fmt: skip
    plaintext = decrypt_chunk(
        keys_of(scope),
        ref,
        memoryview(stored),
        None if base is None else memoryview(base),
    )
    return hashlib.sha256(plaintext).hexdigest()


def read_delta_segment(_: Fields, case: Fields) -> object:
    """Read an index segment's body, bases too."""
    return [shown(ref) for ref in parse_segment(case["body"])]


def read_delta_page(_: Fields, case: Fields) -> object:
    """Read a page of a file table, bases too."""
    return [
        [item.path, [shown(ref) for ref in item.chunks]]
        for item in parse_page(case["page"].encode())
    ]


def read_list(_: Fields, case: Fields) -> object:
    """Read a list of pages."""
    return _shown_pages(parse_list(case["list"].encode()))


def read_manifest_of_lists(_: Fields, case: Fields) -> object:
    """Read a manifest's body, pages and lists."""
    manifest = parse_manifest(case["body"], bytes.fromhex(case["artifact"]))
    return [_shown_pages(manifest.pages), _shown_pages(manifest.lists)]


def read_pack_with_bases(_: Fields, case: Fields) -> object:
    """Read a pack's directory, bases too."""
    entries = parse_directory(keys_of(case["scope"]), base64.b64decode(case["pack"]))
    return [
        [item.chunk_id.hex(), item.offset_bytes, item.codec, item.base_id.hex()]
        for item in entries
    ]


def _shown_pages(pages: Sequence[PageRef]) -> list[object]:
    return [
        [page.first_path, page.last_path, page.file_count, page.size_bytes]
        for page in pages
    ]


READERS: dict[str, Callable[[Fields, Fields], object]] = {
    "names": read_name,
    "version_digests": read_digest,
    "canonical_json": read_canonical,
    "tensor_cuts": read_cuts,
    "derivations": read_derivation,
    "key_slots": read_slot,
    "control_objects": read_object,
    "chunks": read_chunk,
    "packs": read_pack,
    "index_segments": read_segment,
    "file_pages": read_page,
    "manifests": read_manifest,
    "histories": read_history,
    "entry_bodies": read_entry_body,
    "journal_entries": read_entry,
    "audit_lines": read_log,
    "delta_chunks": read_delta_chunk,
    "delta_segments": read_delta_segment,
    "delta_pages": read_delta_page,
    "page_lists": read_list,
    "manifests_of_lists": read_manifest_of_lists,
    "packs_with_bases": read_pack_with_bases,
    "writer_names": read_writer_name,
    "writer_chunks": read_delta_chunk,
    "writer_segments": read_delta_segment,
    "writer_pages": read_delta_page,
    "file_cuts": read_file_cuts,
    "upload_records": read_upload_record,
    "upload_states": read_upload_state,
    "draft_records": read_draft_record,
    "draft_files": read_draft_files,
    "sweep_records": read_sweep_record,
    "sweep_logs": read_sweep_log,
    "sweep_plans": read_plan,
    "repair_records": read_repair,
    "mend_statements": read_statement,
    "inventory_pages": backup_readers.read_inventory_page,
    "page_cuts": backup_readers.read_page_cuts,
    "backup_roots": backup_readers.read_backup_root,
    "backup_extensions": backup_readers.read_backup_extension,
    "drill_reports": drill_readers.read_drill_report,
    "replica_records": replica_cases.read_replica_record,
    "relocation_records": restore_cases.read_relocation_record,
    "restore_receipts": restore_cases.read_restore_receipt,
}
