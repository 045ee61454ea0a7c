# SPDX-License-Identifier: Apache-2.0
"""Vectors for uploads: their records, and what those add up to."""

from dataclasses import replace
from typing import Any, Final

from strongroom_server.core import upload_record as upload_format
from strongroom_server.core.upload_record import NO_RECORD, OpenPart, UploadRecord
from tests.support.samples import (
    ARTIFACT_ID,
    file_entry,
    filled,
    raw_ref,
)
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case
from tests.vectors.table_cases import REFS, shown

_REQUEST: Final = "6f0d5a52-6d0b-4d8e-9a57-0f6f2a3f9a11"


_FIRST: Final = UploadRecord(
    ARTIFACT_ID,
    _REQUEST,
    "0123456789abcdef" * 2,
    NO_RECORD,
    b"",
    ended=False,
    sweep_epoch=3,
    files=(file_entry("a", raw_ref(0), raw_ref(1)), file_entry("b/ü", executable=True)),
    open=OpenPart("c", 5000, executable=False, first_chunk=0, chunks=(raw_ref(2),)),
)
_SECOND: Final = replace(
    _FIRST,
    after=0,
    after_digest=filled("first", 32),
    files=(),
    open=OpenPart("c", 5000, executable=False, first_chunk=1, chunks=REFS[1:]),
)
_LAST: Final = replace(
    _SECOND, after=1, ended=True, files=(file_entry("c", raw_ref(4)),), open=None
)


def shown_upload(record: UploadRecord) -> dict[str, Any]:
    """Return what a record says, for the file."""
    part = record.open
    return {
        "after": record.after,
        "after_digest": record.after_digest.hex(),
        "artifact": record.artifact.hex(),
        "ended": record.ended,
        "files": [_shown_file(entry) for entry in record.files],
        "open": None if part is None else shown_part(part),
        "sweep_epoch": record.sweep_epoch,
    }


def shown_part(part: OpenPart) -> list[Any]:
    """Return what is known of a file that is open."""
    chunks = [shown(ref) for ref in part.chunks]
    return [part.path, part.size_bytes, part.executable, part.first_chunk, chunks]


def _shown_file(entry: Any) -> list[Any]:  # noqa: ANN401
    chunks = [shown(ref) for ref in entry.chunks]
    return [entry.path, entry.size_bytes, entry.digest, entry.executable, chunks]


def upload_records() -> list[Case]:
    """Return cases of upload records' bodies."""
    body = upload_format.format_record(_FIRST)
    second = upload_format.format_record(_SECOND)
    last = upload_format.format_record(_LAST)
    bad = {
        "after itself": second | {"after": 1},
        "after less than none": body | {"after": -2},
        "after none, with a digest": body | {"after_digest": filled("x", 32).hex()},
        "after a record, without its digest": second | {"after_digest": ""},
        "a digest in upper case": second | {"after_digest": "AB" * 32},
        "an attempt that is too short": body | {"attempt": "00"},
        "an end that is no number": body | {"ended": True},
        "an end that is neither": body | {"ended": 2},
        "a negative sweep epoch": body | {"sweep_epoch": -1},
        "a field too many": body | {"more": 1},
        "a field too few": {key: body[key] for key in body if key != "open"},
        "another artifact's id cut short": body | {"artifact": "aa"},
        "a path that escapes": changed(body, "files", 0, 0, value="../a"),
        "a size that the chunks do not have": changed(body, "files", 0, 1, value=1),
        "a digest of a file that is too short": changed(
            body, "files", 0, 2, value="00"
        ),
        "a mode that is none": changed(body, "files", 0, 3, value=2),
        "a chunk too many": changed(body, "open", 4, value=0),
        "a chunk too few": changed(body, "open", 4, value=2),
        "an open file without its mode": changed(body, "open", value=["c", 5000, 0, 1]),
        "a negative first chunk": changed(body, "open", 3, value=-1),
        "chunks without their format": changed(
            body, "refs", value={"packs": [], "chunks": []}
        ),
        "a pack that is named twice": changed(
            body, "refs", "packs", value=[body["refs"]["packs"][0]] * 2
        ),
        "a format that is none": body | {"format": 0},
    }
    return [
        _upload("two files and an open one", body, 0, _FIRST),
        _upload("more of the open file, with a delta", second, 1, _SECOND),
        _upload("an end", last, 2, _LAST),
        *[
            make_case(name, {"body": item, "number": 1}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "a later format",
            {"body": body | {"format": 2}, "number": 0},
            "FORMAT_UNSUPPORTED",
        ),
        make_case(
            "chunks of a later format",
            {"body": changed(body, "refs", "format", value=4), "number": 0},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def _upload(name: str, body: Case, number: int, record: UploadRecord) -> Case:
    result = shown_upload(record)
    return make_case(name, {"body": body, "number": number, "result": result})


def upload_states() -> list[Case]:
    """Return cases of what upload records add up to, oldest first."""
    whole = [_FIRST, _SECOND, _LAST]
    part = OpenPart("c", 5000, executable=False, first_chunk=0, chunks=(raw_ref(5),))
    anew = replace(_SECOND, open=part)
    half = OpenPart("c", 5000, False, 0, (raw_ref(2), *REFS[1:]))  # noqa: FBT003 -- positional as stored
    bad = {
        "a file that comes twice": [_FIRST, replace(_SECOND, files=_FIRST.files)],
        "a file before the last one": [_LAST, replace(_FIRST, open=None)],
        "an open part behind a gap": [
            _FIRST,
            replace(_SECOND, open=replace(part, first_chunk=2)),
        ],
        "an open part of nothing": [_SECOND],
        "an open part of another file": [
            _FIRST,
            replace(_SECOND, open=replace(part, first_chunk=1, path="d")),
        ],
        "an open part of another size": [
            _FIRST,
            replace(_SECOND, open=replace(part, first_chunk=1, size_bytes=5001)),
        ],
        "an open file longer than it is": [
            replace(_FIRST, open=replace(part, size_bytes=999))
        ],
        "an open file before the last one": [
            replace(_FIRST, open=replace(part, path="a"))
        ],
    }
    return [
        _state("a file goes on", whole[:2], [["a", "b/ü"], shown_part(half)]),
        _state("a file ends", whole, [["a", "b/ü", "c"], None]),
        _state(
            "an open file begins anew", [_FIRST, anew], [["a", "b/ü"], shown_part(part)]
        ),
        _state("no record", [], [[], None]),
        *[
            make_case(name, {"bodies": _bodies(items)}, "RECORD_CORRUPT")
            for name, items in bad.items()
        ],
    ]


def _bodies(records: list[UploadRecord]) -> list[Case]:
    return [
        upload_format.format_record(replace(record, after=number - 1))
        if number
        else upload_format.format_record(
            replace(record, after=NO_RECORD, after_digest=b"")
        )
        for number, record in enumerate(records)
    ]


def _state(name: str, records: list[UploadRecord], result: object) -> Case:
    return make_case(name, {"bodies": _bodies(records), "result": result})
