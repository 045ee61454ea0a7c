# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: every parser, as a function of bytes that may only refuse.

A target returns, or raises one of the errors that its parser promises; whatever
else it raises, it took too long, or too much memory, is a finding. Where a value
can be written again, a target also checks that it comes back the same.
"""

import base64
import hashlib
import tomllib
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError

from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.format import names
from strongroom.format.chunking import MAX_LOOK_AHEAD_BYTES, Cutter
from strongroom.format.safetensors import parse_header_size, parse_tensors
from strongroom.v1 import maintenance_service_pb2, transfer_service_pb2
from strongroom_server.adapters.cedar.policies import parse_policies
from strongroom_server.core import canonical, codecs
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.core.audit import verify_lines
from strongroom_server.core.chunk import CHUNK_ID_BYTES, ChunkRef, decrypt_chunk
from strongroom_server.core.entry_body import format_body, parse_body
from strongroom_server.core.filetable import MAX_PAGE_BYTES, format_page, parse_page
from strongroom_server.core.index_segment import format_segment, parse_segment
from strongroom_server.core.journal import EntryPlace, verify_entry
from strongroom_server.core.manifest import format_manifest, parse_manifest
from strongroom_server.core.pack import parse_directory
from strongroom_server.core.scope import parse_id
from strongroom_server.core.sealing import ObjectKind, open_object
from strongroom_server.core.slots import parse_slot
from strongroom_server.rpc.requests import decode_request
from tests.fuzz import (
    approval_targets,
    audit_targets,
    backup_targets,
    drill_targets,
    login_targets,
    replica_targets,
    restore_targets,
    s3_targets,
    shred_targets,
    upkeep_targets,
)
from tests.fuzz.fixed_keys import KEYS, SCOPE, STORE

#: What every parser may raise; `ValueError` only where its docstring says so.
REFUSALS: Final = (StrongroomError,)
_MAX_BYTES: Final = 1 << 20

Target = Callable[[bytes], None]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def name_texts(data: bytes) -> None:
    """URIs, resource names, selectors, paths, ids."""
    text = _text(data)
    for parse in (
        names.parse_uri,
        names.parse_project_name,
        names.parse_artifact_name,
        names.parse_version_name,
        names.parse_ref_name,
        names.parse_selector,
        names.check_path,
        names.check_id,
    ):
        try:
            value = parse(text)
        except InvalidArgumentError:
            continue
        if parse is names.parse_uri:
            assert names.parse_uri(str(value)) == value
    try:
        parse_id(text)
    except ValueError:
        return


def canonical_json(data: bytes) -> None:
    """Canonical JSON; what is accepted has one spelling only."""
    try:
        value = canonical.decode(data, _MAX_BYTES)
    except ValueError:
        return
    assert canonical.encode(value) == data


def safetensors_header(data: bytes) -> None:
    """Safetensors headers; tensors tile the file."""
    size = len(data) + int.from_bytes(data[-3:], "big")
    try:
        header_bytes = parse_header_size(data, size)
        tensors = parse_tensors(data[:header_bytes], size)
    except ValueError:
        return
    assert sum(tensor.size_bytes for tensor in tensors) == size - header_bytes


def tensor_cuts(data: bytes) -> None:
    """Cuts of files: whatever the bytes are, chunks tile the file."""
    names_by_first = ("m.safetensors", "a.npy", "a.npz", "m.gguf", "m.pt", "x.bin")
    path = names_by_first[data[0] % len(names_by_first)] if data else "x.bin"
    body = data[1:]
    cutter = Cutter(path, len(body))
    start = 0
    while start < len(body):
        known = body[start : start + MAX_LOOK_AHEAD_BYTES + 1]
        end = cutter.next_end(known)
        assert end is not None
        assert start < end <= len(body)
        start = end


def codec(data: bytes) -> None:
    """Encoded chunks, by every codec number: never more than was promised."""
    if len(data) < 4:
        return
    size_bytes = int.from_bytes(data[1:4], "big")
    try:
        plaintext = codecs.decode(data[0] % 5, data[4:], size_bytes)
    except codecs.CodecError:
        return
    assert len(plaintext) == size_bytes


def chunk(data: bytes) -> None:
    """Stored chunks: nobody without the key makes one."""
    chunk_id = hashlib.sha256(data[:1]).digest()[:CHUNK_ID_BYTES]
    suite = 1 + (data[0] % 4 if data else 0)
    ref = ChunkRef(
        chunk_id, suite, 0, 0, "p", "v", 0, len(data), max(len(data) - 72, 0)
    )
    try:
        decrypt_chunk(KEYS, ref, memoryview(data))
    except (StrongroomError, ValueError):
        return
    message = "a chunk authenticated that no key made"
    raise AssertionError(message)


def pack(data: bytes) -> None:
    """Packs and their directories."""
    parse_directory(KEYS, data)


def control_object(data: bytes) -> None:
    """Sealed control objects of each kind."""
    for kind in ObjectKind:
        try:
            open_object(KEYS, kind, "here", data, max_bytes=_MAX_BYTES)
        except StrongroomError:
            continue


def key_slot(data: bytes) -> None:
    """Key slots."""
    parse_slot(data, SCOPE)


def _body(data: bytes) -> dict[str, Any] | None:
    try:
        return canonical.decode_object(data, _MAX_BYTES)
    except ValueError:
        return None


def index_segment(data: bytes) -> None:
    """Bodies of index segments; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        refs = parse_segment(body)
        assert parse_segment(format_segment(refs)) == refs


def file_page(data: bytes) -> None:
    """Pages of file tables; what parses is written again the same."""
    entries = parse_page(data)
    page = format_page(entries)
    assert len(page) <= MAX_PAGE_BYTES
    assert parse_page(page) == entries


def manifest(data: bytes) -> None:
    """Bodies of manifests; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        value = parse_manifest(body, b"a" * 18)
        assert parse_manifest(format_manifest(value), b"a" * 18) == value


def journal_entry(data: bytes) -> None:
    """Stored journal entries, before any key is known."""
    verify_entry(data, EntryPlace(STORE, b"p" * 18, b"a" * 18, 0, bytes(32)), {})


def journal_body(data: bytes) -> None:
    """Bodies of journal entries; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        entry = parse_body(body, 1)
        assert parse_body(format_body(entry), 1) == entry


def audit_lines(data: bytes) -> None:
    """Files of the audit log."""
    for _ in verify_lines(data.splitlines()):
        pass


def access_policies(data: bytes) -> None:
    """Access policies: whatever stands there, they are good or refused."""
    parse_policies({"one": _text(data).encode("utf-8", "replace").decode()})


def role_assignments(data: bytes) -> None:
    """Role assignments."""
    try:
        document = tomllib.loads(_text(data).encode("utf-8", "replace").decode())
    except (ValueError, RecursionError):  # tomllib's own word on deep nesting
        return
    parse_assignments(document)


def write_request(data: bytes) -> None:
    """Requests of the widest stream, as the wire brings them."""
    parse = transfer_service_pb2.WriteVersionRequest.FromString
    try:
        decode_request(parse, data, depth=3)
    except DecodeError:
        return


def sweep_request(data: bytes) -> None:
    """Requests that carry a plan."""
    parse = maintenance_service_pb2.ApplySweepRequest.FromString
    try:
        decode_request(parse, data, depth=3)
    except DecodeError:
        return


def base64_text(data: bytes) -> None:
    """Base64 in stored records: one spelling only."""
    try:
        value = canonical.decode_base64(_text(data))
    except ValueError:
        return
    assert base64.b64encode(value) == data


TARGETS: Final[dict[str, Target]] = {
    item.__name__: item
    for item in (
        name_texts,
        canonical_json,
        safetensors_header,
        tensor_cuts,
        codec,
        chunk,
        pack,
        control_object,
        key_slot,
        index_segment,
        file_page,
        manifest,
        journal_entry,
        journal_body,
        audit_lines,
        audit_targets.audit_batch,
        audit_targets.audit_entries,
        audit_targets.audit_notes,
        audit_targets.vault_audit_line,
        audit_targets.witness_request,
        approval_targets.approval_records,
        approval_targets.operator_credentials,
        approval_targets.security_key_answer,
        approval_targets.approved_request,
        login_targets.login_token,
        login_targets.login_claims,
        login_targets.published_keys,
        login_targets.revocations,
        shred_targets.shred_order,
        shred_targets.shred_envelope,
        shred_targets.signing_keys,
        backup_targets.inventory_page,
        backup_targets.backup_root,
        drill_targets.drill_report,
        replica_targets.replica_object,
        restore_targets.relocation_record,
        restore_targets.restore_receipt_envelope,
        s3_targets.s3_answer,
        s3_targets.s3_listing,
        access_policies,
        role_assignments,
        write_request,
        sweep_request,
        base64_text,
        *upkeep_targets.TARGETS,
    )
}


def run(name: str, data: bytes) -> None:
    """Give one input to a target; raise whatever no parser may raise."""
    try:
        TARGETS[name](data)
    except REFUSALS:
        return
