# SPDX-License-Identifier: Apache-2.0
"""What a version says that it was made from: kept as it was said, within bounds."""

from dataclasses import replace
from typing import Any

import pytest

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.format.names import ArtifactName
from strongroom_server.core import canonical
from strongroom_server.core.entry_body import format_body, parse_body
from strongroom_server.core.journal import MAX_BODY_BYTES
from strongroom_server.core.lineage import (
    MAX_INPUTS,
    MAX_RUN_CHARS,
    Lineage,
    VersionInput,
    check_lineage,
    format_lineage,
)
from strongroom_server.services.uploads.commits import MAX_DESCRIPTION_BYTES
from tests.support.samples import committed

DIGEST = "sha256:" + "ab" * 32
TEXTS = ArtifactName("demo", "texts")


def made_from(count: int, **fields: Any) -> Lineage:  # noqa: ANN401 - fields of a dataclass
    inputs = tuple(VersionInput(TEXTS, number + 1, DIGEST) for number in range(count))
    return Lineage("run", inputs, **fields)


@pytest.mark.parametrize(
    "lineage", [Lineage(), Lineage("run"), made_from(3), made_from(1, more_inputs=7)]
)
def test_an_entry_keeps_what_a_version_was_made_from(lineage: Lineage) -> None:
    entry = replace(committed(), lineage=lineage)
    body = format_body(entry)

    assert parse_body(body, 1) == entry
    # A version whose writer said nothing is written as it always was.
    assert (body["format"], "lineage" in body) == ((2, True) if lineage else (1, False))


def test_the_longest_lineage_fits_into_an_entry() -> None:
    long = ArtifactName("p" * 63, "a" * 63)
    inputs = (VersionInput(long, 2**53 - n, DIGEST) for n in range(MAX_INPUTS))
    lineage = Lineage("\U0001f600" * MAX_RUN_CHARS, tuple(inputs), 2**53)
    check_lineage(lineage)

    size = len(canonical.encode(format_body(replace(committed(), lineage=lineage))))

    assert size + MAX_DESCRIPTION_BYTES < MAX_BODY_BYTES - 10_000


@pytest.mark.parametrize(
    ("lineage", "problem"),
    [
        (Lineage("r" * (MAX_RUN_CHARS + 1)), "longer than 128"),
        (Lineage("two\nlines"), "not printable"),
        (made_from(MAX_INPUTS + 1), "257 inputs"),
        (Lineage("", made_from(1).inputs * 2), "an input twice"),
        (Lineage("", (VersionInput(TEXTS, 0, DIGEST),)), "no version"),
        (Lineage("", (VersionInput(TEXTS, 1, "sha256:ab"),)), "digest"),
        (Lineage("", (), -1), "-1 more inputs"),
    ],
)
def test_a_lineage_out_of_bounds_is_refused(lineage: Lineage, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        check_lineage(lineage)


GOOD = format_body(replace(committed(), lineage=made_from(2)))


@pytest.mark.parametrize(
    "changed",
    [
        {"lineage": {}},
        {"lineage": []},
        {"lineage": GOOD["lineage"] | {"run": 1}},
        {"lineage": GOOD["lineage"] | {"inputs": [1]}},
        {"lineage": GOOD["lineage"] | {"inputs": GOOD["lineage"]["inputs"] * 2}},
        {"lineage": GOOD["lineage"] | {"more": True}},
        {"lineage": GOOD["lineage"] | {"another": 1}},
        {"lineage": format_lineage(Lineage())},
        {"format": 1},
    ],
    ids=str,
)
def test_an_entry_with_another_lineage_is_damaged(changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        parse_body(GOOD | changed, 1)
