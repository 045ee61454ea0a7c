# SPDX-License-Identifier: Apache-2.0
"""Vectors for records: index segments, file tables, manifests, journals, audit."""

from dataclasses import replace
from typing import Any, Final

from strongroom_server.core import canonical
from strongroom_server.core.audit import (
    GENESIS,
    AuditEvent,
    Phase,
    format_line,
    line_digest,
)
from strongroom_server.core.entry_body import format_body
from strongroom_server.core.filetable import format_page, page_of
from strongroom_server.core.history import Entry
from strongroom_server.core.index_segment import format_segment
from strongroom_server.core.journal import EntryPlace, entry_digest, signing_input
from strongroom_server.core.manifest import Manifest, format_manifest
from strongroom_server.core.scope import format_id
from strongroom_server.core.signatures import Signature
from tests.support.damage import one_bit_flipped
from tests.support.samples import (
    ARTIFACT_ID,
    committed,
    created,
    entry_at,
    file_entry,
    filled,
    place_of,
    raw_ref,
    ref_moved,
    signer,
)
from tests.vectors.key_cases import Case, text_of

REFS: Final = [raw_ref(number, 1000 + number) for number in range(5)]
ENTRIES: Final = [
    file_entry("a", REFS[0], REFS[1]),
    file_entry("b/ü", executable=True),
    file_entry("z", REFS[4]),
]


def _case(name: str, fields: Case, error: str = "") -> Case:
    return {
        "name": name,
        "expect": "invalid" if error else "valid",
        "reason": name,
        **fields,
        **({"error": error} if error else {}),
    }


def _changed(body: Case, path: list[str | int], value: object) -> Any:  # noqa: ANN401
    """Return a copy of a JSON value with one value in it changed."""
    copy: Any = canonical.decode(canonical.encode(body), 1_000_000)
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


_BAD_REFS: Final[dict[str, tuple[int, object]]] = {
    "a chunk id that is too short": (0, "00"),
    "a chunk id in upper case": (0, "A" * 64),
    "a pack that is not listed": (1, 99),
    "an offset beyond every pack": (2, 2**25),
    "a stored length that no plaintext has": (3, 71),
    "a stored length that is none of the plaintext's": (3, 2000),
    "more plaintext than a chunk holds": (4, 2**24 + 1),
    "an unknown codec": (5, 2),
    "an epoch beyond the last": (6, 2**24),
    "an unknown suite": (7, 5),
    "a negative number": (2, -1),
    "a truth value": (2, True),
}


def index_segments() -> list[Case]:
    """Return cases of index segments' bodies."""
    body = format_segment(REFS)
    shown = [_shown(ref) for ref in REFS]
    bad = {
        name: _changed(body, ["chunks", 0, field], value)
        for name, (field, value) in _BAD_REFS.items()
    }
    bad |= {
        "another format": body | {"format": 2},
        "a field too many": body | {"more": 1},
        "no packs": {"format": 1, "chunks": []},
        "a pack in upper case": _changed(body, ["packs", 0, 0], "A" * 64),
        "a pack without its version": _changed(body, ["packs", 0], ["a" * 64]),
    }
    return [
        _case("five chunks in two packs", {"body": body, "result": shown}),
        _case("no chunk", {"body": format_segment([]), "result": []}),
        *[_case(name, {"body": item}, "RECORD_CORRUPT") for name, item in bad.items()],
    ]


def _shown(ref: object) -> dict[str, Any]:
    names = ("chunk_id", "suite", "codec", "epoch", "pack", "pack_version")
    sizes = ("offset_bytes", "stored_bytes", "plain_bytes")
    fields = {name: getattr(ref, name) for name in (*names, *sizes)}
    return fields | {"chunk_id": fields["chunk_id"].hex()}


def file_pages() -> list[Case]:
    """Return cases of pages of file tables."""
    data = format_page(ENTRIES)
    body = canonical.decode_object(data, 10_000)
    shown = [
        [item.path, item.size_bytes, item.digest, item.executable, len(item.chunks)]
        for item in ENTRIES
    ]
    bad: dict[str, bytes] = {
        f"{name}: chunk": canonical.encode(
            _changed(body, ["files", 0, 4, 0, at], value)
        )
        for name, (at, value) in _BAD_REFS.items()
    }
    for name, step, value in [
        ("a path that escapes", 0, "../a"),
        ("another size than its chunks have", 1, 2000),
        ("a digest in upper case", 2, "A" * 64),
        ("a digest that is too short", 2, "00"),
        ("a mode that is none", 3, 2),
        ("a mode that is a truth value", 3, True),
    ]:
        bad[name] = canonical.encode(_changed(body, ["files", 0, step], value))
    files = body["files"]
    bad |= {
        "out of order": canonical.encode(body | {"files": files[::-1]}),
        "a path that comes twice": canonical.encode(body | {"files": [files[0]] * 2}),
        "another format": canonical.encode(body | {"format": 2}),
        "white space": data + b"\n",
        "cut short": data[:-1],
    }
    return [
        _case("three files", {"page": data.decode(), "result": shown}),
        _case("no file", {"page": format_page([]).decode(), "result": []}),
        *[
            _case(name, {"page": item.decode()}, "MANIFEST_CORRUPT")
            for name, item in bad.items()
        ],
    ]


def manifests() -> list[Case]:
    """Return cases of manifests' bodies."""
    pages = (page_of(ENTRIES[:2], (REFS[2],)), page_of(ENTRIES[2:], (REFS[3],)))
    size = sum(entry.size_bytes for entry in ENTRIES)
    digest = "sha256:" + filled("version", 32).hex()
    manifest = Manifest(ARTIFACT_ID, digest, 3, size, pages)
    body = format_manifest(manifest)
    shown = [[page.first_path, page.last_path, page.file_count] for page in pages]
    turned = replace(manifest, pages=pages[::-1])
    bad = {
        name: _changed(body, ["chunks", 0, at], value)
        for name, (at, value) in _BAD_REFS.items()
    } | {
        "of another artifact": body | {"artifact": format_id(filled("other", 18))},
        "another count of files": body | {"file_count": 4},
        "another size": body | {"size_bytes": 1},
        "a malformed digest": body | {"digest": "sha256:0"},
        "another format": body | {"format": 2},
        "another type": body | {"type": "index"},
        "a field too many": body | {"more": 1},
        "a chunk too many": body | {"chunks": [*body["chunks"], body["chunks"][0]]},
        "a chunk too few": body | {"chunks": body["chunks"][:1]},
        "pages out of order": format_manifest(turned),
        "a page that ends before it starts": _changed(body, ["pages", 0, 0], "c"),
    }
    fields = {"artifact": ARTIFACT_ID.hex()}
    empty = format_manifest(Manifest(ARTIFACT_ID, digest, 0, 0, ()))
    return [
        _case("two pages", {**fields, "body": body, "result": shown}),
        _case("no page", {**fields, "body": empty, "result": []}),
        *[
            _case(name, {**fields, "body": item}, "MANIFEST_CORRUPT")
            for name, item in bad.items()
        ],
    ]


def histories() -> list[Case]:
    """Return cases of histories, by the bodies of their entries in order."""
    whole: list[Entry] = [
        created(), committed(1), ref_moved(1), committed(2), ref_moved(2, 1),
        ref_moved(1, 2), ref_moved(2, ref="test"),
    ]  # fmt: skip
    result = {
        "versions": [committed(1).digest, committed(2).digest],
        "refs": {"prod": [1, 2, 1], "test": [2]},
        "selectors": {"latest": 2, "latest~1": 1, "prod": 1, "prod~1": 2, "test": 2},
    }
    empty: Case = {"versions": [], "refs": {}, "selectors": {}}
    bad: dict[str, list[Entry]] = {
        "no CREATE at first": [committed(1)],
        "two CREATEs": [created(), created()],
        "a version that is left out": [created(), committed(2)],
        "a version that comes twice": [created(), committed(1), committed(1)],
        "a ref at a version that is not there": [created(), ref_moved(1)],
        "a ref that came from elsewhere": [created(), committed(1), ref_moved(1, 1)],
    }
    bodies = [format_body(entry) for entry in (created(), committed(1))]
    fields = {
        "a newer format": ("format", 3, "FORMAT_UNSUPPORTED"),
        "an unknown action": ("action", "DELETE", "JOURNAL_CORRUPT"),
        "a time without a zone": ("time", "2026-11-01T00:00:00", "JOURNAL_CORRUPT"),
        "no time": ("time", "noon", "JOURNAL_CORRUPT"),
        "a number that is a text": ("version", "1", "JOURNAL_CORRUPT"),
        "a field too many": ("more", 1, "JOURNAL_CORRUPT"),
    }
    return [
        _case("CREATE alone", {"bodies": [bodies[0]], "result": empty}),
        _case(
            "commits and moves",
            {"bodies": [format_body(entry) for entry in whole], "result": result},
        ),
        *[
            _case(name, {"bodies": list(map(format_body, item))}, "JOURNAL_CORRUPT")
            for name, item in bad.items()
        ],
        *[
            _case(name, {"bodies": [bodies[0], bodies[1] | {field: value}]}, error)
            for name, (field, value, error) in fields.items()
        ],
    ]


def journal_entries() -> list[Case]:
    """Return cases of signed entries. Signatures differ from run to run."""
    keys = signer()
    first = entry_at(place_of(), format_body(created()), keys)
    second = place_of(1, entry_digest(first))
    entry = entry_at(second, format_body(committed(1)), keys)
    body = canonical.decode_object(entry, 100_000)
    one, two = body["signatures"]
    foreign = keys.sign(signing_input(b"another payload"))
    envelopes: dict[str, tuple[Case, str]] = {
        "one signature": ({"signatures": [one]}, "SIGNATURE_INVALID"),
        "the other signature": ({"signatures": [two]}, "SIGNATURE_INVALID"),
        "no signature": ({"signatures": []}, "SIGNATURE_INVALID"),
        "a signature twice": ({"signatures": [one, two, two]}, "SIGNATURE_INVALID"),
        "signatures of another payload": (
            {"signatures": [_signature(item) for item in foreign]},
            "SIGNATURE_INVALID",
        ),
        "an unknown key": (
            {"signatures": [one | {"keyid": "sr.sign.version:9"}, two]},
            "SIGNATURE_INVALID",
        ),
        "another payload type": ({"payloadType": "text/plain"}, "JOURNAL_CORRUPT"),
        "a field too many": ({"more": 1}, "JOURNAL_CORRUPT"),
        "no base64": ({"payload": "!"}, "JOURNAL_CORRUPT"),
    }
    places = {
        "at another number": place_of(2, second.prev),
        "behind another entry": place_of(1, filled("other", 32)),
        "in another store": replace(second, store=filled("other", 16)),
        "in another project": replace(second, project=filled("other", 18)),
        "in another artifact": replace(second, artifact=filled("other", 18)),
    }
    return [
        _entry_case("entry 0", first, place_of()),
        _entry_case("entry 1", entry, second),
        *[
            _entry_case(name, canonical.encode(body | change), second, error)
            for name, (change, error) in envelopes.items()
        ],
        *[
            _entry_case(name, entry, place, "JOURNAL_CORRUPT")
            for name, place in places.items()
        ],
        _entry_case("not canonical", entry + b"\n", second, "JOURNAL_CORRUPT"),
    ]


def _signature(item: Signature) -> Case:
    return {"keyid": item.key_id, "sig": text_of(item.value)}


def _entry_case(name: str, data: bytes, place: EntryPlace, error: str = "") -> Case:
    fields = {
        "entry": data.decode(),
        "place": {
            "store": place.store.hex(),
            "project": place.project.hex(),
            "artifact": place.artifact.hex(),
            "number": place.number,
            "prev": place.prev.hex(),
        },
    }
    result = {} if error else {"result": entry_digest(data).hex()}
    return _case(name, fields | result, error)


def public_keys() -> dict[str, Case]:
    """Return the keys that verify the entries."""
    return {
        key.key_id: {"algorithm": key.algorithm.value, "data": text_of(key.data)}
        for key in signer().public_keys().values()
    }


def audit_lines() -> list[Case]:
    """Return cases of audit logs, line by line."""
    event = AuditEvent(
        "2026-11-01T12:00:00.000000+00:00", Phase.INTENT, "0" * 32,
        "spiffe://strongroom.test/ns/a/sa/b/job/c", "version.write",
        "/strongroom.v1.ArtifactService/WriteVersion", "abc", "", "allow", "default",
        "", "", "1" * 32, (("files", "2"), ("bytes", "17")),
    )  # fmt: skip
    events = [event, replace(event, phase=Phase.OUTCOME, outcome="OK")]
    events.append(replace(event, phase=Phase.CALL, decision="deny", reason="ü"))
    lines: list[bytes] = []
    prev = GENESIS
    for number, item in enumerate(events):
        lines.append(format_line(item, number=number, prev=prev))
        prev = line_digest(lines[-1])
    flipped = one_bit_flipped(lines[1], 8 * lines[1].index(b"allow"))
    bad = {
        "a line is gone": [lines[0], lines[2]],
        "a line comes twice": [lines[0], lines[1], lines[1]],
        "lines change places": [lines[1], lines[0]],
        "a line is changed": [lines[0], flipped, lines[2]],
        "the last line is torn": [lines[0], lines[1][:-1]],
        "a line is not canonical": [lines[0].replace(b",", b", ", 1)],
        "a line of another format": [lines[0].replace(b'"format":1', b'"format":2')],
        "a line that is too long": [b'"' + b"x" * 9000 + b'"\n'],
    }
    return [
        _case("three lines", {"lines": [*map(bytes.decode, lines)], "result": prev}),
        *[
            _case(name, {"lines": [*map(bytes.decode, item)]}, "AUDIT_CORRUPT")
            for name, item in bad.items()
        ],
    ]
