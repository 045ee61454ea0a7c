# SPDX-License-Identifier: Apache-2.0
"""Vectors for restores: records of relocations, and receipts; and what reads them."""

from datetime import UTC, datetime
from typing import Any

from strongroom_server.core import canonical, dsse, layout, restore_receipt
from strongroom_server.core.relocation import (
    Relocation,
    format_relocations,
    parse_relocations,
)
from strongroom_server.core.restore_records import (
    RestoredVersion,
    RestoreReport,
    RestoreTarget,
)
from tests.support.samples import STORE, filled, signer
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case
from tests.vectors.upkeep_readers import public_keys

_TIME = datetime(2026, 11, 23, 18, 0, 0, 250_000, tzinfo=UTC)


def relocation_records() -> list[Case]:
    """Return cases of records of relocations."""
    pack = layout.pack_key(filled("pack", 32).hex())
    manifest = layout.manifest_key(filled("manifest", 32).hex())
    rows = (
        Relocation(manifest, "here-1", ("there-1",)),
        Relocation(pack, "here-2", ("there-2", "before-2")),
    )
    body = canonical.decode_object(format_relocations(rows), 100_000)
    bad = {
        "a field too many": body | {"more": 1},
        "a field too few": {key: body[key] for key in body if key != "rows"},
        "another type": body | {"type": "strongroom"},
        "a format that is none": body | {"format": 0},
        "rows that are none": body | {"rows": {}},
        "a row too short": changed(body, "rows", 0, value=[pack, "here"]),
        "another key": changed(body, "rows", 0, 0, value="strongroom.json"),
        "no version": changed(body, "rows", 0, 1, value=""),
        "known as nothing": changed(body, "rows", 0, 2, value=[]),
        "known as itself": changed(body, "rows", 0, 2, value=["here-1"]),
        "known twice": changed(body, "rows", 1, 2, value=["a", "a"]),
        "a number for a version": changed(body, "rows", 0, 1, value=1),
    }
    return [
        make_case("two rows", _record(body) | {"result": _shown_rows(rows)}),
        make_case("no row", _record(body | {"rows": []}) | {"result": []}),
        *[
            make_case(name, _record(item), "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "not canonical",
            {"record": " " + _record(body)["record"]},
            "RECORD_CORRUPT",
        ),
        make_case(
            "a later format", _record(body | {"format": 2}), "FORMAT_UNSUPPORTED"
        ),
    ]


def restore_receipts() -> list[Case]:
    """Return cases of receipts of restores."""
    report = RestoreReport(
        target=RestoreTarget.STORE,
        backup=7,
        root_digest=filled("root 7", 32).hex(),
        recovery_point=_TIME,
        start_time=_TIME,
        seconds=1.5,
        selection={"project": "demo"},
        copied_count=30,
        copied_bytes=4000,
        there_count=2,
        version_count=1,
        versions=(RestoredVersion("demo/minilm@1", "sha256:" + "ab" * 32, 3, 300, 4),),
        damaged_count=1,
        damaged=("packs/ab/cd: damaged",),
    )
    body = canonical.decode_object(
        restore_receipt.format_payload(STORE, report), 100_000
    )
    other = "application/vnd.strongroom.shred-receipt.v1"
    return [
        make_case("a restore", {"receipt": _signed(body), "result": body}),
        make_case("unsigned", {"receipt": _unsigned(body)}, "SIGNATURE_INVALID"),
        make_case(
            "another type",
            {"receipt": _signed(body | {"type": "shred-receipt"})},
            "RECORD_CORRUPT",
        ),
        make_case(
            "signed as a shredding's",
            {"receipt": _signed(body, other)},
            "RECORD_CORRUPT",
        ),
        make_case(
            "a format that is a text",
            {"receipt": _signed(body | {"format": "1"})},
            "RECORD_CORRUPT",
        ),
        make_case(
            "a later format",
            {"receipt": _signed(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def read_relocation_record(_: Case, case: Case) -> object:
    """Read the rows of a record."""
    return _shown_rows(parse_relocations(case["record"].encode()))


def read_restore_receipt(document: Case, case: Case) -> object:
    """Verify a receipt, offline."""
    keys = public_keys(document)
    return restore_receipt.verify_receipt(case["receipt"].encode(), keys)


def _record(body: dict[str, Any]) -> dict[str, Any]:
    return {"record": canonical.encode(body).decode()}


def _shown_rows(rows: tuple[Relocation, ...]) -> list[object]:
    return [[row.key, row.version_id, list(row.known_as)] for row in rows]


def _signed(body: Case, kind: str = restore_receipt.PAYLOAD_TYPE) -> str:
    payload = canonical.encode(body)
    signatures = signer().sign(dsse.signing_input(kind, payload))
    return dsse.format_envelope(kind, payload, signatures).decode()


def _unsigned(body: Case) -> str:
    kind = restore_receipt.PAYLOAD_TYPE
    return dsse.format_envelope(kind, canonical.encode(body), ()).decode()
