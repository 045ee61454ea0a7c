# SPDX-License-Identifier: Apache-2.0
"""Files of revocations: what they name, and that a typing error is told."""

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.revocation import Revocations, parse_revocations

JOB = "spiffe://example.org/ns/train/sa/trainer/job/7"
DIGEST = "sha256:" + "ab" * 32


def test_ids_patterns_and_certificates_are_named() -> None:
    revoked = parse_revocations(
        f"# since Monday\n\n{JOB}\n  {DIGEST}  # stolen\n"
        "spiffe://example.org/ns/lab/sa/*/job/*\n"
    )

    assert revoked.name(JOB, "")
    assert revoked.name("spiffe://example.org/ns/a/sa/b/job/c", DIGEST)
    assert revoked.name("spiffe://example.org/ns/lab/sa/b/job/c", "")
    assert not revoked.name("spiffe://example.org/ns/train/sa/trainer/job/8", "")


@pytest.mark.parametrize(
    "principal",
    [
        "spiffe://example.org/ns/lab/sa/b/job/c/d",
        "spiffe://example.org/ns/lab/sa/b",
        "spiffe://example.org/ns/lab2/sa/b/job/c",
        "",
    ],
)
def test_a_star_stands_for_one_segment(principal: str) -> None:
    revoked = parse_revocations("spiffe://example.org/ns/lab/sa/*/job/*")

    assert not revoked.name(principal, "")


def test_nobody_is_revoked_by_nothing() -> None:
    assert parse_revocations("") == Revocations()
    assert not Revocations().name(JOB, "")
    assert not Revocations().name("", "")


@pytest.mark.parametrize(
    "line",
    [
        "example.org/ns/a",
        "spiffe://example.org",
        "spiffe://Example.org/a",
        "spiffe://example.org/tr*",
        "spiffe://example.org/a b",
        "sha256:abc",
        "sha256:" + "AB" * 32,
        "ab" * 32,
    ],
)
def test_a_line_that_is_neither_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(InvalidArgumentError, match="line 2 ") as caught:
        parse_revocations(f"{JOB}\n{line}\n")

    assert caught.value.reason is Reason.SETTING_INVALID
    assert line not in caught.value.message


def test_people_are_revoked_by_their_name() -> None:
    revoked = parse_revocations("operator:alice\noperator:bob@example.org # left\n")

    assert revoked.name("operator:alice", "")
    assert revoked.name("operator:bob@example.org", "")
    assert not revoked.name("operator:alice2", "")
    assert not revoked.name("operator:", "")


@pytest.mark.parametrize("line", ["operator:Alice", "operator:alice"])
def test_people_are_revoked_however_the_provider_spells_them(line: str) -> None:
    revoked = parse_revocations(line)

    for name in ("alice", "Alice", "ALICE"):
        assert revoked.name(f"operator:{name}", "")
    assert not revoked.name("operator:alic", "")


def test_programs_are_named_letter_by_letter() -> None:
    revoked = parse_revocations(JOB)

    assert not revoked.name(JOB.replace("/job/7", "/JOB/7"), "")
    assert not revoked.name(JOB.upper(), "")


@pytest.mark.parametrize("line", ["operator:", "operator:*", "operator:a b", "alice"])
def test_a_line_that_names_no_person_is_refused(line: str) -> None:
    with pytest.raises(InvalidArgumentError, match="line 1 "):
        parse_revocations(line)
