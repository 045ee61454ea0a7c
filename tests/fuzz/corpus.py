# SPDX-License-Identifier: Apache-2.0
"""The seed corpus: `python -m tests.fuzz.corpus` adds seeds from the test vectors.

Seeds are real inputs, valid and damaged, so that a fuzzer begins behind the first
checks. Findings lie beside them under names that begin with `found-`.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from strongroom_server.core import canonical

CORPUS: Final = Path(__file__).parent / "corpus"
VECTORS: Final = Path(__file__).parents[1] / "vectors"
MAX_SEEDS: Final = 24
MAX_SEED_BYTES: Final = 4096

Extract = Callable[[dict[str, Any]], Iterator[bytes]]


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(
        (VECTORS / f"{name}.json").read_text(encoding="utf-8")
    )["cases"]
    return cases


def _json(case: dict[str, Any]) -> Iterator[bytes]:
    yield canonical.encode(case["body"])


def _field(name: str) -> Extract:
    def extract(case: dict[str, Any]) -> Iterator[bytes]:
        if name in case:
            yield case[name].encode("utf-8", "surrogatepass")

    return extract


def _base64(name: str, *, before: bytes = b"", behind: bytes = b"") -> Extract:
    def extract(case: dict[str, Any]) -> Iterator[bytes]:
        if name in case:
            yield before + base64.b64decode(case[name]) + behind

    return extract


def _bodies(case: dict[str, Any]) -> Iterator[bytes]:
    yield from (canonical.encode(body) for body in case["bodies"])


def _lines(case: dict[str, Any]) -> Iterator[bytes]:
    yield "\n".join(case["lines"]).encode()


#: For each target: which vectors, and what of a case is an input.
SOURCES: Final[tuple[tuple[str, str, Extract], ...]] = (
    ("name_texts", "names", _field("text")),
    ("canonical_json", "canonical_json", _base64("data")),
    ("safetensors_header", "tensor_cuts", _base64("header", behind=bytes(3))),
    ("tensor_cuts", "tensor_cuts", _base64("header", before=b"\0", behind=bytes(64))),
    ("chunk", "chunks", _base64("stored")),
    ("pack", "packs", _base64("pack")),
    ("control_object", "control_objects", _base64("data")),
    ("key_slot", "key_slots", _field("slot")),
    ("index_segment", "index_segments", _json),
    ("file_page", "file_pages", _field("page")),
    ("manifest", "manifests", _json),
    ("journal_entry", "journal_entries", _field("entry")),
    ("journal_body", "histories", _bodies),
    ("audit_lines", "audit_lines", _lines),
    ("index_segment", "delta_segments", _json),
    ("file_page", "delta_pages", _field("page")),
    ("manifest", "manifests_of_lists", _json),
    ("list_of_pages", "page_lists", _field("list")),
    ("chunk", "delta_chunks", _base64("stored")),
    ("pack", "packs_with_bases", _base64("pack")),
    ("inventory_page", "inventory_pages", _field("page")),
    ("backup_root", "backup_roots", _field("root")),
    ("backup_root", "backup_extensions", _field("extension")),
    ("drill_report", "drill_reports", _field("report")),
    ("replica_object", "replica_records", _field("record")),
    ("relocation_record", "relocation_records", _field("record")),
    ("restore_receipt_envelope", "restore_receipts", _field("receipt")),
    ("replica_object", "journal_entries", _field("entry")),
    ("replica_object", "key_slots", _field("slot")),
)


def main() -> None:
    """Write the seeds that are not there yet."""
    for target, vectors, extract in SOURCES:
        inputs = [data for case in _cases(vectors) for data in extract(case)]
        fitting = [data for data in inputs if len(data) <= MAX_SEED_BYTES]
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for data in fitting[:MAX_SEEDS]:
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
