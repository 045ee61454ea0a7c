# SPDX-License-Identifier: Apache-2.0
"""Our own vectors: what is valid reads as it says, what is not is refused as it says.

The files are the specification's examples. Code that stops reading one of them
broke every store that exists.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import StrongroomError
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import chunk_context
from strongroom_server.core.journal import HEADER
from strongroom_server.core.suites import SUITES
from tests.vectors import generate
from tests.vectors.readers import READERS
from tests.vectors.upkeep_readers import keys_of

DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted(Path(__file__).parent.glob("*.json"))
}
CASES = [
    pytest.param(document, case, id=f"{name}: {case['name'][:60]!a}")
    for name, document in DOCUMENTS.items()
    for case in document["cases"]
    # Long chunks are told by their digest, and made below.
    if name != "chunks" or "stored" in case
]


@pytest.mark.parametrize(("document", "case"), CASES)
def test_a_vector_is_read_or_refused_as_it_says(
    document: dict[str, Any], case: dict[str, Any]
) -> None:
    read = READERS[document["format"]]

    if case["expect"] == "valid":
        assert read(document, case) == case["result"]
        return
    with pytest.raises((StrongroomError, ValueError)) as caught:
        read(document, case)
    error = caught.value
    if isinstance(error, StrongroomError):
        assert error.reason.value == case["error"]
    else:
        assert case["error"] in {kind.__name__ for kind in type(error).__mro__}


def test_every_format_has_valid_and_invalid_vectors_with_reasons() -> None:
    assert set(DOCUMENTS) == set(READERS) == set(generate.BUILDERS)
    for document in DOCUMENTS.values():
        cases = document["cases"]
        assert {case["expect"] for case in cases} == {"valid", "invalid"}
        assert all(case["reason"] for case in cases)
        assert len({case["name"] for case in cases}) == len(cases)


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - generate.SIGNED))
def test_what_is_written_today_is_what_was_written_then(name: str) -> None:
    path = generate.FOLDER / f"{name}.json"

    assert generate.text(name) == path.read_text()


def test_payloads_of_entries_are_what_was_written_then() -> None:
    then = DOCUMENTS[generate.ENTRIES]["cases"]
    now = generate.document(generate.ENTRIES)["cases"]

    assert [case["name"] for case in now] == [case["name"] for case in then]
    for old, new in zip(then[:1], now[:1], strict=True):
        payloads = [json.loads(case["entry"])["payload"] for case in (old, new)]
        assert payloads[0] == payloads[1]
        assert len(payloads[0]) > HEADER.size


def test_payloads_of_statements_are_what_was_written_then() -> None:
    then = DOCUMENTS[generate.STATEMENTS]["cases"]
    now = generate.document(generate.STATEMENTS)["cases"]

    assert [case["name"] for case in now] == [case["name"] for case in then]
    payloads = [json.loads(case["statement"])["payload"] for case in (then[0], now[0])]
    assert payloads[0] == payloads[1]


#: What is compressed is in the file, its compressor is not.
CHUNKS = [
    case
    for case in DOCUMENTS["chunks"]["cases"]
    if case["expect"] == "valid" and case["label"]
]


@pytest.mark.parametrize("case", CHUNKS, ids=lambda case: case["name"])
def test_a_chunk_is_encrypted_to_the_same_bytes(case: dict[str, Any]) -> None:
    keys = keys_of(case["scope"])
    plaintext = hashlib.shake_256(case["label"].encode()).digest(case["plain_bytes"])
    chunk_id = bytes.fromhex(case["chunk_id"])
    size = len(plaintext)

    stored = cobblestone.encrypt(
        keys.chunk_key(chunk_id),
        plaintext,
        context=chunk_context(keys.scope, case["suite"], 0, chunk_id, size, size),
        salt=bytes.fromhex(case["salt"]),
        segment_bytes=SUITES[case["suite"]].segment_bytes,
    )

    assert hashlib.sha256(stored).hexdigest() == case["stored_sha256"]
    given = case | {"stored": base64.b64encode(stored).decode()}
    assert READERS["chunks"]({}, given) == case["result"]
