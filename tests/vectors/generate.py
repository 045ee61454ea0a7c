# SPDX-License-Identifier: Apache-2.0
"""Writes the vector files next to it: `python -m tests.vectors.generate`.

Inputs are fixed, so that a second run changes nothing, but for signatures, which
are random: files with signatures are written only if they are gone.
A file that changes is a format that changed; old vectors must go on reading.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors import (
    backup_cases,
    content_cases,
    cut_cases,
    draft_cases,
    drill_cases,
    entry_cases,
    key_cases,
    mend_cases,
    name_cases,
    record_cases,
    replica_cases,
    restore_cases,
    sweep_cases,
    table_cases,
    upload_cases,
    writer_cases,
)
from tests.vectors.key_cases import Case

FOLDER: Final = Path(__file__).parent
ENTRIES: Final = "journal_entries"
STATEMENTS: Final = "mend_statements"
ROOTS: Final = "backup_roots"
EXTENSIONS: Final = "backup_extensions"
DRILLS: Final = "drill_reports"
RESTORES: Final = "restore_receipts"
#: Formats with signatures, which differ from run to run.
SIGNED: Final = frozenset({ENTRIES, STATEMENTS, ROOTS, EXTENSIONS, DRILLS, RESTORES})
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
    "entry_bodies": entry_cases.entry_bodies,
    ENTRIES: record_cases.journal_entries,
    "audit_lines": record_cases.audit_lines,
    "delta_chunks": table_cases.delta_chunks,
    "delta_segments": table_cases.delta_segments,
    "delta_pages": table_cases.delta_pages,
    "page_lists": table_cases.page_lists,
    "manifests_of_lists": table_cases.manifests_of_lists,
    "packs_with_bases": table_cases.packs_with_bases,
    "writer_names": writer_cases.writer_names,
    "writer_chunks": writer_cases.writer_chunks,
    "writer_segments": writer_cases.writer_segments,
    "writer_pages": writer_cases.writer_pages,
    "file_cuts": cut_cases.file_cuts,
    "upload_records": upload_cases.upload_records,
    "upload_states": upload_cases.upload_states,
    "draft_records": draft_cases.draft_records,
    "draft_files": draft_cases.draft_files,
    "sweep_records": sweep_cases.sweep_records,
    "sweep_logs": sweep_cases.sweep_logs,
    "sweep_plans": sweep_cases.sweep_plans,
    "repair_records": mend_cases.repair_records,
    STATEMENTS: mend_cases.mend_statements,
    "inventory_pages": backup_cases.inventory_pages,
    "page_cuts": backup_cases.page_cuts,
    ROOTS: backup_cases.backup_roots,
    EXTENSIONS: backup_cases.backup_extensions,
    DRILLS: drill_cases.drill_reports,
    "replica_records": replica_cases.replica_records,
    "relocation_records": restore_cases.relocation_records,
    RESTORES: restore_cases.restore_receipts,
}


def document(name: str) -> dict[str, Any]:
    """Return what the file of a format holds."""
    keys = {"keys": record_cases.public_keys()} if name in SIGNED else {}
    return {"format": name, **keys, "cases": BUILDERS[name]()}


def text(name: str) -> str:
    """Return the bytes of a format's file, as text."""
    return json.dumps(document(name), indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write all files."""
    for name in BUILDERS:
        path = FOLDER / f"{name}.json"
        if name not in SIGNED or not path.exists():
            path.write_text(text(name))


if __name__ == "__main__":
    main()
