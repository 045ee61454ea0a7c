# SPDX-License-Identifier: Apache-2.0
"""Vectors for drafts: the records of their parts, and what those add up to."""

from dataclasses import replace
from typing import Any, Final

from strongroom_server.core import draft_record as draft_format
from strongroom_server.core.draft_record import (
    END_NUMBER,
    DraftFiles,
    DraftRecord,
    DraftStep,
)
from tests.support.samples import ARTIFACT_ID, file_entry, raw_ref
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case
from tests.vectors.table_cases import REFS, shown

_ACTOR: Final = "spiffe://strongroom.example/ns/train/sa/rank/job/7"
_FIRST: Final = DraftRecord(
    ARTIFACT_ID,
    draft_format.draft_request("6f0d5a52-6d0b-4d8e-9a57-0f6f2a3f9a11"),
    "part-1",
    DraftStep.PART,
    _ACTOR,
    "00000000-7",
    sweep_epoch=3,
    stored_bytes=4096,
    files=(file_entry("a", raw_ref(0), raw_ref(1)), file_entry("b/ü", executable=True)),
)
_SECOND: Final = replace(
    _FIRST,
    part="part-2",
    replaces=True,
    removed=("b/", "c"),
    files=(file_entry("a", *REFS), file_entry("d")),
)
_LAST: Final = replace(
    _FIRST, part="", step=DraftStep.COMMIT, sweep_epoch=0, stored_bytes=0, files=()
)


def shown_draft(record: DraftRecord) -> dict[str, Any]:
    """Return what a record says, for the file."""
    return {
        "artifact": record.artifact.hex(),
        "files": [
            [
                entry.path,
                entry.size_bytes,
                entry.digest,
                entry.executable,
                [shown(ref) for ref in entry.chunks],
            ]
            for entry in record.files
        ],
        "part": record.part,
        "removed": list(record.removed),
        "replaces": record.replaces,
        "step": record.step.value,
        "stored_bytes": record.stored_bytes,
    }


def shown_files(files: DraftFiles, base: list[str]) -> dict[str, Any]:
    """Return what parts add up to, on a version of empty files with these paths."""
    merged = files.merged(file_entry(path) for path in base)
    return {
        "files": [[entry.path, entry.size_bytes] for entry in merged],
        "twice": sorted(files.twice),
    }


def draft_records() -> list[Case]:
    """Return cases of draft records' bodies."""
    body = draft_format.format_draft_record(_FIRST)
    last = draft_format.format_draft_record(_LAST)
    bad = {
        "a part under the greatest number": (body, END_NUMBER),
        "an end among the parts": (last, 1),
        "a state that is none": (body | {"state": "more"}, 0),
        "a negative sweep epoch": (body | {"sweep_epoch": -1}, 0),
        "less than nothing stored": (body | {"stored": -1}, 0),
        "a replacement that is no number": (body | {"replace": True}, 0),
        "a replacement that is neither": (body | {"replace": 2}, 0),
        "a removed path that escapes": (body | {"removed": ["../a"]}, 0),
        "a removal of everything": (body | {"removed": ["/"]}, 0),
        "a removal that is no text": (body | {"removed": [1]}, 0),
        "a field too many": (body | {"more": 1}, 0),
        "a field too few": ({key: body[key] for key in body if key != "part"}, 0),
        "another artifact's id cut short": (body | {"artifact": "aa"}, 0),
        "files out of order": (changed(body, "files", 0, 0, value="z"), 0),
        "a file twice": (changed(body, "files", 1, 0, value="a"), 0),
        "a size that the chunks do not have": (
            changed(body, "files", 0, 1, value=1),
            0,
        ),
        "a chunk too few": (changed(body, "files", 0, 4, value=3), 0),
        "chunks without their format": (
            changed(body, "refs", value={"packs": [], "chunks": []}),
            0,
        ),
        "a format that is none": (body | {"format": 0}, 0),
        "the record of an upload": (body | {"format": 1}, 0),
    }
    return [
        _draft("a part with two files", body, 0, _FIRST),
        _draft(
            "a part that replaces and removes, with a delta",
            draft_format.format_draft_record(_SECOND),
            1,
            _SECOND,
        ),
        _draft("the end of a draft", last, END_NUMBER, _LAST),
        *[
            make_case(name, {"body": item, "number": number}, "RECORD_CORRUPT")
            for name, (item, number) in bad.items()
        ],
        make_case(
            "a later format",
            {"body": body | {"format": 3}, "number": 0},
            "FORMAT_UNSUPPORTED",
        ),
        make_case(
            "chunks of a later format",
            {"body": changed(body, "refs", "format", value=4), "number": 0},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def draft_files() -> list[Case]:
    """Return cases of what parts add up to, in order of number, and on a base."""
    again = replace(_FIRST, part="part-3")
    only_a = replace(_FIRST, part="part-4", files=_FIRST.files[:1])
    gone = replace(_SECOND, part="part-5", removed=("a",), files=(), replaces=False)
    first, last = map(draft_format.format_draft_record, (_FIRST, _LAST))
    return [
        _files("one part, nothing below", [_FIRST], []),
        _files(
            "a part that replaces and removes", [_FIRST, _SECOND], ["b/x", "c", "e"]
        ),
        _files("two parts with the same paths", [_FIRST, again], []),
        _files("a call that was repeated", [_FIRST, _FIRST], []),
        _files("a path that is removed in between", [only_a, gone, again], ["a", "z"]),
        _files("a path that is removed at last", [_FIRST, gone], ["a", "z"]),
        _files(
            "files before, between and behind the base's", [_FIRST], ["Z", "aa", "c"]
        ),
        _files("a replacement ends a dispute", [_FIRST, again, _SECOND], []),
        *[
            make_case(name, {"bodies": [first, second], "base": []}, "RECORD_CORRUPT")
            for name, second in {
                "the end of a draft among its parts": last,
                "the record of an upload among parts": first | {"format": 1},
                "a part that removes what escapes": first | {"removed": ["../a"]},
            }.items()
        ],
    ]


def _draft(name: str, body: Case, number: int, record: DraftRecord) -> Case:
    result = shown_draft(record)
    return make_case(name, {"body": body, "number": number, "result": result})


def _files(name: str, records: list[DraftRecord], base: list[str]) -> Case:
    bodies = [draft_format.format_draft_record(record) for record in records]
    result = shown_files(DraftFiles.of(records), base)
    return make_case(name, {"bodies": bodies, "base": base, "result": result})
