# SPDX-License-Identifier: Apache-2.0
"""Writes the vector files next to it: `python -m tests.vectors.generate`.

Inputs are fixed, so that a second run changes nothing, but for the signatures of
journal entries, which are random: they are written only if their file is gone.
A file that changes is a format that changed; old vectors must go on reading.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors import (
    content_cases,
    key_cases,
    name_cases,
    record_cases,
    table_cases,
)
from tests.vectors.key_cases import Case

FOLDER: Final = Path(__file__).parent
RANDOM: Final = "journal_entries"
BUILDERS: Final[dict[str, Callable[[], list[Case]]]] = {
    "names": name_cases.names,
    "version_digests": name_cases.digests,
    "canonical_json": name_cases.canonical_json,
    "tensor_cuts": name_cases.cuts,
    "derivations": key_cases.derivations,
    "key_slots": key_cases.slots,
    "control_objects": key_cases.objects,
    "chunks": content_cases.chunks,
    "packs": content_cases.packs,
    "index_segments": record_cases.index_segments,
    "file_pages": record_cases.file_pages,
    "manifests": record_cases.manifests,
    "histories": record_cases.histories,
    RANDOM: record_cases.journal_entries,
    "audit_lines": record_cases.audit_lines,
    "delta_chunks": table_cases.delta_chunks,
    "delta_segments": table_cases.delta_segments,
    "delta_pages": table_cases.delta_pages,
    "page_lists": table_cases.page_lists,
    "manifests_of_lists": table_cases.manifests_of_lists,
    "packs_with_bases": table_cases.packs_with_bases,
}


def document(name: str) -> dict[str, Any]:
    """Return what the file of a format holds."""
    keys = {"keys": record_cases.public_keys()} if name == RANDOM else {}
    return {"format": name, **keys, "cases": BUILDERS[name]()}


def text(name: str) -> str:
    """Return the bytes of a format's file, as text."""
    return json.dumps(document(name), indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write all files."""
    for name in BUILDERS:
        path = FOLDER / f"{name}.json"
        if name != RANDOM or not path.exists():
            path.write_text(text(name))


if __name__ == "__main__":
    main()
