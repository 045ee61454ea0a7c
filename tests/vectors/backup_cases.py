# SPDX-License-Identifier: Apache-2.0
"""Vectors for what says what a backup holds: pages, roots, extensions; cut pages."""

from datetime import timedelta
from typing import Any

from strongroom_server.core import backup_extension, backup_root, canonical, inventory
from strongroom_server.core.backup_extension import Extension
from strongroom_server.core.backup_root import BackupRoot, JournalHead, PageEntry
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.scope import format_id
from tests.support.samples import ARTIFACT_ID, PROJECT, STORE, TIME, filled, signer
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case, text_of

NEXT_MONTH = (TIME + timedelta(days=35)).replace(microsecond=0)


def row(number: int, *known_as: str) -> StoredObject:
    """An object; each number has one of its own, in order of key."""
    name = filled(f"object {number}", 32).hex()
    key = f"packs/{number:02x}/{name}"
    return StoredObject(key, f"v{number}", name, 1000 + number, known_as)


def shown_rows(rows: tuple[StoredObject, ...]) -> list[Any]:
    """Return what a page says, for the file."""
    return [
        [item.key, item.version_id, item.sha256, item.size_bytes, list(item.known_as)]
        for item in rows
    ]


def inventory_pages() -> list[Case]:
    """Return cases of pages of inventories."""
    rows = (row(1, "p1"), row(2, "p2", "q2"), row(3))
    body = canonical.decode_object(inventory.encode_page(rows), 100_000)
    first = body["rows"][0]
    bad = {
        "no row": body | {"rows": []},
        "rows out of order": body | {"rows": body["rows"][::-1]},
        "a row twice": body | {"rows": [first, first]},
        "a row too short": body | {"rows": [first[:-1]]},
        "a key that is empty": changed(body, "rows", 0, 0, value=""),
        "a key that says more": changed(body, "rows", 0, 0, value="packs/a\nb"),
        "a key that is too long": changed(body, "rows", 0, 0, value="a" * 1025),
        "a record of backups": changed(body, "rows", 0, 0, value="backups/pages/a"),
        "no version id": changed(body, "rows", 0, 1, value=""),
        "a digest in upper case": changed(body, "rows", 0, 2, value="A" * 64),
        "a size below nothing": changed(body, "rows", 0, 3, value=-1),
        "a size that is a truth": changed(body, "rows", 0, 3, value=True),
        "an impossible size": changed(body, "rows", 0, 3, value=2**41),
        "known by the same id twice": changed(body, "rows", 0, 4, value=["p", "p"]),
        "known by too many ids": changed(
            body, "rows", 0, 4, value=[f"p{number}" for number in range(65)]
        ),
        "known by a text": changed(body, "rows", 0, 4, value="p1"),
        "a field too many": body | {"more": 1},
        "another type": body | {"type": "backup"},
        "a format that is none": body | {"format": 0},
        "a format that is a truth": body | {"format": True},
    }
    page = inventory.encode_page(rows).decode()
    return [
        make_case("rows", {"page": page, "result": shown_rows(rows)}),
        *[
            make_case(name, {"page": _text(item)}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case("not canonical", {"page": page + "\n"}, "RECORD_CORRUPT"),
        make_case(
            "a later format",
            {"page": _text(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def page_cuts() -> list[Case]:
    """Return cases of where inventories are cut: by the names of keys alone."""
    keys = [f"journals/{number:05d}" for number in range(2000)]
    names = {"many keys": keys, "every third": keys[::3], "one": keys[:1], "none": []}
    return [
        *[
            make_case(name, {"keys": items, "result": cuts_of(items)})
            for name, items in names.items()
        ],
        make_case("out of order", {"keys": ["packs/b", "packs/a"]}, "RECORD_CORRUPT"),
        make_case("a key twice", {"keys": ["packs/a"] * 2}, "RECORD_CORRUPT"),
    ]


def cuts_of(keys: list[str]) -> list[int]:
    """Return how many rows each page of these keys has."""
    rows = (StoredObject(key, "v", "0" * 64, 1, ()) for key in keys)
    return [len(page) for page in inventory.cut_pages(rows)]


def root_of(**changes: Any) -> BackupRoot:  # noqa: ANN401
    """A root that says something in every field."""
    fields: dict[str, Any] = {
        "store": STORE,
        "number": 7,
        "create_time": TIME,
        "newest_commit_time": TIME - timedelta(minutes=2),
        "protected_until": NEXT_MONTH,
        "interval_s": 86_400,
        "mode": "compliance",
        "previous": filled("root 6", 32).hex(),
        "scope": (PROJECT,),
        "pages": (
            PageEntry(filled("page 1", 32).hex(), "v1", "audit/a", 200, 60_000),
            PageEntry(filled("page 2", 32).hex(), "v2", "packs/b", 100, 30_000),
        ),
        "journals": (
            JournalHead(
                PROJECT, ARTIFACT_ID, 12, filled("entry 11", 32), ((1, 3), (5, 5))
            ),
        ),
        "object_count": 300,
        "size_bytes": 5_000_000,
        "new_object_count": 20,
        "new_bytes": 70_000,
        "missing": ("packs/b",),
        "missing_count": 1,
        "trace_id": "0" * 32,
        "audit_id": "0a1b2c3d-17",
        "artifacts": ((filled("another", 18), ARTIFACT_ID),),
    }
    return BackupRoot(**(fields | changes))


def shown_root(root: BackupRoot) -> Case:
    """Return what a root says, for the file."""
    return {
        "number": root.number,
        "previous": root.previous,
        "protected_until": root.protected_until.isoformat(),
        "whole": root.is_whole,
        "pages": [[page.sha256, page.row_count] for page in root.pages],
        "journals": [
            [format_id(head.artifact), head.entries, [list(x) for x in head.versions]]
            for head in root.journals
        ],
        "missing": list(root.missing),
        "object_count": root.object_count,
    }


def backup_roots() -> list[Case]:
    """Return cases of roots. Signatures differ from run to run."""
    whole = root_of(scope=(), artifacts=(), missing=(), missing_count=0, previous="")
    body = canonical.decode_object(backup_root.format_root(root_of()), 100_000)
    data = _signed_root(body)
    return [
        make_case(
            "of a project, and of an artifact",
            {"root": data, "result": shown_root(root_of())},
        ),
        make_case(
            "the first, of the whole store",
            {
                "root": _signed_root(
                    canonical.decode_object(backup_root.format_root(whole), 100_000)
                ),
                "result": shown_root(whole),
            },
        ),
        *[
            make_case(name, {"root": _signed_root(item)}, "RECORD_CORRUPT")
            for name, item in (_bad_roots(body) | _bad_lists(body)).items()
        ],
        *[
            make_case(name, {"root": item}, error)
            for name, (item, error) in _bad_envelopes(data).items()
        ],
        make_case(
            "a later format",
            {"root": _signed_root(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
        make_case("not canonical", {"root": data + "\n"}, "RECORD_CORRUPT"),
    ]


def _bad_roots(body: Case) -> dict[str, Case]:
    return {
        "number 0": body | {"number": 0},
        "a store in upper case": body | {"store": body["store"].upper()},
        "a mode that locks nothing": body | {"mode": "none"},
        "a time without zone": body | {"create_time": "2026-11-01T12:30:15.250000"},
        "a time in another zone": body
        | {"create_time": "2026-11-01T13:30:15.250000+01:00"},
        "locked for parts of a second": body
        | {"protected_until": "2026-12-06T12:30:15.250000+00:00"},
        "locked until before it was made": body
        | {"protected_until": "2026-11-01T12:30:15.000000+00:00"},
        "no digest of the one before": body | {"previous": "x"},
        "more new objects than objects": body | {"new_object_count": 301},
        "more new bytes than bytes": body | {"new_bytes": 5_000_001},
        "objects that no page has": body | {"object_count": 301},
        "missing more than it names": body | {"missing_count": 2},
        "a trace of several lines": body | {"trace_id": "a\nb"},
        "a trace that is a number": body | {"trace_id": 5},
        "a field too many": body | {"requester": "alice"},
        "a field too few": {key: body[key] for key in body if key != "missing"},
        "another type": body | {"type": "backup-extension"},
        "a format that is none": body | {"format": 0},
    }


def _bad_lists(body: Case) -> dict[str, Case]:
    (head,) = body["journals"]
    return {
        "pages out of order": body | {"pages": body["pages"][::-1]},
        "a page without rows": changed(body, "pages", 0, 3, value=0),
        "a page with too many rows": changed(body, "pages", 0, 3, value=1025),
        "a page that is too long": changed(body, "pages", 0, 4, value=2**22 + 1),
        "a page in upper case": changed(body, "pages", 0, 0, value="A" * 64),
        "a journal twice": body | {"journals": [head, head]},
        "a journal without entries": changed(body, "journals", 0, 2, value=0),
        "a journal without digest": changed(body, "journals", 0, 3, value=""),
        "versions out of order": changed(
            body, "journals", 0, 4, value=[[5, 5], [1, 3]]
        ),
        "ranges that touch": changed(body, "journals", 0, 4, value=[[1, 3], [4, 4]]),
        "a range that is reversed": changed(body, "journals", 0, 4, value=[[3, 1]]),
        "version 0": changed(body, "journals", 0, 4, value=[[0, 1]]),
        "a project twice": body | {"scope": body["scope"] * 2},
        "an artifact of a chosen project": body
        | {"artifacts": [[body["scope"][0], head[1]]]},
        "an id that is none": body | {"scope": ["demo"]},
        "a missing key that is empty": body | {"missing": [""]},
    }


def _bad_envelopes(data: str) -> dict[str, tuple[str, str]]:
    body = canonical.decode_object(data.encode(), 100_000)
    one, two = body["signatures"]
    moved = canonical.encode(_payload_of(body) | {"number": 8})
    changes: dict[str, tuple[Case, str]] = {
        "one signature": ({"signatures": [one]}, "SIGNATURE_INVALID"),
        "no signature": ({"signatures": []}, "SIGNATURE_INVALID"),
        "a signature twice": ({"signatures": [one, one]}, "SIGNATURE_INVALID"),
        "an unknown key": (
            {"signatures": [one | {"keyid": "sr.sign.version:9"}, two]},
            "SIGNATURE_INVALID",
        ),
        "another number": ({"payload": text_of(moved)}, "SIGNATURE_INVALID"),
        "an extension's type": (
            {"payloadType": backup_extension.EXTENSION_TYPE},
            "RECORD_CORRUPT",
        ),
        "no base64": ({"payload": "!"}, "RECORD_CORRUPT"),
    }
    return {
        name: (canonical.encode(body | change).decode(), error)
        for name, (change, error) in changes.items()
    }


def backup_extensions() -> list[Case]:
    """Return cases of extensions. Signatures differ from run to run."""
    held = Extension(STORE, 7, filled("root", 32).hex(), 1, NEXT_MONTH, TIME, held=True)
    payload = backup_extension.format_extension(held)
    body = canonical.decode_object(payload, 10_000)
    data = _signed_extension(body)
    envelope = canonical.decode_object(data.encode(), 100_000)
    bad = {
        "extension 0, which is the root": body | {"extension": 0},
        "backup 0": body | {"number": 0},
        "no digest of the root": body | {"root": ""},
        "held by a number": body | {"held": 1},
        "held by a text": body | {"held": "true"},
        "locked for parts of a second": body
        | {"protected_until": "2026-12-06T12:30:15.250000+00:00"},
        "a field too many": body | {"reason": "case 12"},
        "another type": body | {"type": "backup"},
    }
    root_type = canonical.encode(envelope | {"payloadType": backup_root.PAYLOAD_TYPE})
    unsigned = canonical.encode(envelope | {"signatures": []})
    return [
        make_case("held", {"extension": data, "result": shown_extension(held)}),
        *[
            make_case(name, {"extension": _signed_extension(item)}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case("a root's type", {"extension": root_type.decode()}, "RECORD_CORRUPT"),
        make_case(
            "no signature", {"extension": unsigned.decode()}, "SIGNATURE_INVALID"
        ),
        make_case(
            "a later format",
            {"extension": _signed_extension(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def shown_extension(extension: Extension) -> list[Any]:
    """Return what an extension says, for the file."""
    until = extension.protected_until.isoformat()
    return [
        extension.number,
        extension.root,
        extension.extension,
        until,
        extension.held,
    ]


def _payload_of(envelope: Case) -> Case:
    payload = canonical.decode_base64(envelope["payload"])
    return canonical.decode_object(payload, 100_000)


def _signed_root(body: Case) -> str:
    payload = canonical.encode(body)
    signatures = signer().sign(backup_root.signing_input(payload))
    return backup_root.seal_root(payload, signatures).decode()


def _signed_extension(body: Case) -> str:
    payload = canonical.encode(body)
    signatures = signer().sign(backup_extension.signing_input(payload))
    return backup_extension.seal_extension(payload, signatures).decode()


def _text(body: Case) -> str:
    return canonical.encode(body).decode()
