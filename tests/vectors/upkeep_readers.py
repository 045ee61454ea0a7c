# SPDX-License-Identifier: Apache-2.0
"""What reads vectors of cuts, uploads, entries, sweeps and repairs; see `readers`."""

import base64
import hashlib
from typing import Any

from strongroom.format.chunking import CHUNK_BYTES, Cutter
from strongroom_server.core import (
    canonical,
    draft_record,
    repair,
    sweep,
    upload_record,
)
from strongroom_server.core.cdc import CdcCutter
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.entry_body import parse_body
from strongroom_server.core.mend_statement import verify_statement
from strongroom_server.core.scope import Scope
from strongroom_server.core.signatures import PublicKey, SignatureAlgorithm
from strongroom_server.core.suites import DigestAlgorithm
from strongroom_server.core.sweep_plan import parse_plan
from tests.vectors import (
    cut_cases,
    draft_cases,
    entry_cases,
    mend_cases,
    sweep_cases,
    upload_cases,
)

Fields = dict[str, Any]


def keys_of(fields: Fields) -> DomainKeys:
    """Return the keys that a case names."""
    ids = (bytes.fromhex(fields[name]) for name in ("store", "project", "domain"))
    store, project, domain = ids
    return DomainKeys(
        Scope(store, project, domain, fields["epoch"]),
        bytes.fromhex(fields["master"]),
        bytes.fromhex(fields["dedup"]),
    )


def public_keys(document: Fields) -> dict[str, PublicKey]:
    """Return the keys that a document names."""
    return {
        key_id: PublicKey(
            key_id, SignatureAlgorithm(key["algorithm"]), base64.b64decode(key["data"])
        )
        for key_id, key in document["keys"].items()
    }


def read_file_cuts(_: Fields, case: Fields) -> object:
    """Find the cuts of a file, by its format or by its content."""
    data = cut_cases.bytes_of(case["pieces"])
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    if case["by"] == "content":
        key = keys_of(case["scope"]).cut_key()
        return cut_cases.ends_of(CdcCutter(key, len(data)), data)
    ends = cut_cases.ends_of(Cutter(case["path"], len(data)), data)
    if case["expect"] == "invalid":
        fixed = list(range(CHUNK_BYTES, len(data), CHUNK_BYTES))
        assert ends == [*fixed, len(data)], "stored like any other file"
        return cut_cases.strict_ends(data)
    return ends


def read_upload_record(_: Fields, case: Fields) -> object:
    """Read an upload record's body."""
    record = upload_record.parse_record(case["body"], case["number"])
    return upload_cases.shown_upload(record)


def read_upload_state(_: Fields, case: Fields) -> object:
    """Add up the bodies of upload records."""
    state = upload_record.UploadState()
    for number, body in enumerate(case["bodies"]):
        state.take(upload_record.parse_record(body, number))
    part = None if state.open is None else upload_cases.shown_part(state.open)
    return [[entry.path for entry in state.files], part]


def read_draft_record(_: Fields, case: Fields) -> object:
    """Read a draft record's body."""
    record = draft_record.parse_draft_record(case["body"], case["number"])
    return draft_cases.shown_draft(record)


def read_draft_files(_: Fields, case: Fields) -> object:
    """Add up the bodies of a draft's parts."""
    records = [
        draft_record.parse_draft_record(body, number)
        for number, body in enumerate(case["bodies"])
    ]
    found = draft_record.DraftFiles.of(records)
    return draft_cases.shown_files(found, case["base"])


def read_entry_body(_: Fields, case: Fields) -> object:
    """Read the body of a journal entry."""
    return entry_cases.shown_entry(parse_body(case["body"], 1))


def read_sweep_record(_: Fields, case: Fields) -> object:
    """Read a sweep record's body."""
    record = sweep.parse_record(case["body"], prev=bytes.fromhex(case["prev"]))
    return sweep_cases.shown_act(record.act)


def read_sweep_log(_: Fields, case: Fields) -> object:
    """Take in sweep records' bodies; return what is condemned still."""
    log = sweep.SweepLog()
    for body in case["bodies"]:
        record = sweep.parse_record(body, prev=log.head)
        log = log.add(record, sweep.record_digest(canonical.encode(body)), 0.0)
    return {
        str(number): [item.key for item in found.doomed()]
        for number, found in log.open.items()
    }


def read_plan(_: Fields, case: Fields) -> object:
    """Read a sweep plan."""
    plan = parse_plan(case["plan"].encode(), keys_of(case["scope"]))
    return sweep_cases.shown_plan(plan)


def read_repair(_: Fields, case: Fields) -> object:
    """Read a repair record's body."""
    return mend_cases.shown_repair(repair.parse_record(case["body"]))


def read_statement(document: Fields, case: Fields) -> object:
    """Verify a mend statement at its place."""
    statement = verify_statement(
        case["statement"].encode(),
        case["key"],
        bytes.fromhex(case["store"]),
        public_keys(document),
    )
    return mend_cases.shown_statement(statement)


def read_writer_name(_: Fields, case: Fields) -> object:
    """Derive what a writer in an artifact is given."""
    keys = keys_of(case["scope"])
    artifact = bytes.fromhex(case["artifact"])
    tag = keys.writer_tag(artifact, case["principal"])
    return {
        "tag": tag.hex(),
        "cut_key": keys.writer_cut_key(artifact, case["principal"]).hex(),
        "chunk_ids": {
            algorithm.value: keys.chunk_id(bytes(32), 5, algorithm, writer=tag).hex()
            for algorithm in DigestAlgorithm
        },
    }
