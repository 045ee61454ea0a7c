# SPDX-License-Identifier: Apache-2.0
"""Vectors for what mends: repair records and mend statements."""

from typing import Any

from strongroom_server.core import canonical, layout, mend_statement, repair
from strongroom_server.core.mend_statement import MendStatement
from strongroom_server.core.repair import RepairRecord
from tests.support.samples import (
    DOMAIN,
    STORE,
    filled,
    raw_ref,
    signer,
)
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case, text_of
from tests.vectors.table_cases import REFS, shown


def shown_repair(record: RepairRecord) -> list[Any]:
    """Return what a repair record says, for the file."""
    chunks = [shown(ref) for ref in record.chunks]
    return [chunks, list(record.damaged), list(record.mended)]


def repair_records() -> list[Case]:
    """Return cases of repair records' bodies."""
    packs = sorted(filled(f"pack {n}", 32).hex() for n in range(3))
    whole = RepairRecord((raw_ref(0), raw_ref(5)), tuple(packs), (packs[1],))
    delta = RepairRecord(REFS, (), ())
    body, later = repair.format_record(whole), repair.format_record(delta)
    bad = {
        "packs out of order": body | {"damaged": packs[::-1]},
        "a pack that is damaged twice": body | {"damaged": [packs[0]] * 2},
        "a pack that is mended twice": body | {"mended": [packs[0]] * 2},
        "a pack in upper case": body | {"mended": ["A" * 64]},
        "a pack that is a number": body | {"damaged": [5]},
        "packs that are a text": body | {"damaged": packs[0]},
        "a pack that is listed twice": body | {"packs": [body["packs"][0]] * 2},
        "a pack that is not listed": changed(body, "chunks", 0, 1, value=9),
        "a chunk of an impossible length": changed(body, "chunks", 0, 3, value=71),
        "format 2 without need": body | {"format": 2},
        "format 1 with a delta": later | {"format": 1},
        "a format that is none": body | {"format": 0},
        "a format that is a text": body | {"format": "1"},
        "a field too many": body | {"more": 1},
        "a field too few": {key: body[key] for key in body if key != "mended"},
    }
    return [
        make_case("chunks and packs", {"body": body, "result": shown_repair(whole)}),
        make_case("a delta", {"body": later, "result": shown_repair(delta)}),
        make_case(
            "nothing",
            {
                "body": repair.format_record(RepairRecord()),
                "result": shown_repair(RepairRecord()),
            },
        ),
        *[
            make_case(name, {"body": item}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "a later format", {"body": later | {"format": 4}}, "FORMAT_UNSUPPORTED"
        ),
    ]


def shown_statement(statement: MendStatement) -> dict[str, Any]:
    """Return what a mend statement says, for the file."""
    return {
        "found": statement.found,
        "pack": statement.pack,
        "packs": [list(item) for item in statement.packs],
        "records": [list(item) for item in statement.records],
    }


def mend_statements() -> list[Case]:
    """Return cases of mend statements. Signatures differ from run to run."""
    record = layout.repair_key(DOMAIN, 1_790_000_000_000, bytes(8))
    statement = MendStatement(
        STORE,
        filled("pack", 32).hex(),
        filled("found", 32).hex(),
        ((record, filled("record", 32).hex()),),
        ((filled("spare", 32).hex(), "v2"),),
    )
    payload = canonical.decode_object(mend_statement.format_payload(statement), 10_000)
    data = _signed(payload)
    body = canonical.decode_object(data, 100_000)
    key = layout.mended_key(statement.pack, bytes(8))
    result = shown_statement(statement)
    return [
        _statement("a statement", data, key, result),
        *[
            _statement(name, _signed(item), key, error="RECORD_CORRUPT")
            for name, item in _bad_payloads(statement, payload).items()
        ],
        *[
            _statement(name, canonical.encode(body | change), key, error=error)
            for name, (change, error) in _bad_envelopes(body, payload).items()
        ],
        _statement(
            "a later format",
            _signed(payload | {"format": 2}),
            key,
            error="FORMAT_UNSUPPORTED",
        ),
        _statement("not canonical", data + b"\n", key, error="RECORD_CORRUPT"),
    ]


def _bad_payloads(statement: MendStatement, payload: Case) -> dict[str, Case]:
    ((record, _),) = statement.records
    pair = [statement.packs[0][0], "v2"]
    return {
        "of another store": payload | {"store": filled("other", 16).hex()},
        "of another pack": payload | {"pack": filled("other", 32).hex()},
        "a store in upper case": payload | {"store": payload["store"].upper()},
        "another type": payload | {"type": "sweep"},
        "a field too many": payload | {"more": 1},
        "no digest of what was found": payload | {"found": ""},
        "a record that is none": payload | {"records": [["packs/aa", "0" * 64]]},
        "a record without its digest": payload | {"records": [[record]]},
        "a pack that comes twice": payload | {"packs": [pair, pair]},
        "packs out of order": payload | {"packs": [["f" * 64, "v"], ["0" * 64, "v"]]},
        "a format that is none": payload | {"format": 0},
    }


def _bad_envelopes(body: Case, payload: Case) -> dict[str, tuple[Case, str]]:
    one, two = body["signatures"]
    return {
        "one signature": ({"signatures": [one]}, "SIGNATURE_INVALID"),
        "no signature": ({"signatures": []}, "SIGNATURE_INVALID"),
        "a signature twice": ({"signatures": [one, one]}, "SIGNATURE_INVALID"),
        "an unknown key": (
            {"signatures": [one | {"keyid": "sr.sign.version:9"}, two]},
            "SIGNATURE_INVALID",
        ),
        "signatures of a journal entry's type": (
            {"signatures": _signatures(canonical.encode(payload), "journal-entry")},
            "SIGNATURE_INVALID",
        ),
        "another payload": (
            {"payload": text_of(canonical.encode(payload | {"found": "0" * 64}))},
            "SIGNATURE_INVALID",
        ),
        "a journal entry's type": (
            {"payloadType": "application/vnd.strongroom.journal-entry.v1"},
            "RECORD_CORRUPT",
        ),
        "no base64": ({"payload": "!"}, "RECORD_CORRUPT"),
    }


def _signed(payload: Case) -> bytes:
    data = canonical.encode(payload)
    signatures = signer().sign(mend_statement.signing_input(data))
    return mend_statement.format_statement(data, signatures)


def _signatures(payload: bytes, kind: str) -> list[Case]:
    name = f"application/vnd.strongroom.{kind}.v1".encode()
    message = b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)
    return [
        {"keyid": item.key_id, "sig": text_of(item.value)}
        for item in signer().sign(message)
    ]


def _statement(
    name: str, data: bytes, key: str, result: Case | None = None, error: str = ""
) -> Case:
    fields: Case = {"statement": data.decode(), "key": key, "store": STORE.hex()}
    return make_case(
        name, fields | ({} if result is None else {"result": result}), error
    )
