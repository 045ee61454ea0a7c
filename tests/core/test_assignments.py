# SPDX-License-Identifier: Apache-2.0
"""Role assignments: whom and what they match, and what will not parse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.assignments import (
    AssignmentIndex,
    parse_assignments,
    told_roles,
)

DEVELOPER = "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/local"
ARTIFACT = "projects/demo/artifacts/minilm"
DOCUMENT: dict[str, Any] = {
    "assignments": [
        {
            "id": "developers",
            "principal": "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/*",
            "roles": ["writer", "operator"],
            "resources": ["projects/*", "server"],
        },
    ],
}


@pytest.mark.parametrize(
    "principal",
    [
        "",
        "*",
        "spiffe://dev.strongroom.internal/ns/dev/sa/developer",
        "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/",
        "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/a/b",
        "spiffe://other.internal/ns/dev/sa/developer/job/local",
        "spiffe://dev.strongroom.internal/ns/dev/sa/developer2/job/local",
        "spiffe://DEV.strongroom.internal/ns/dev/sa/developer/job/local",
        "http://dev.strongroom.internal/ns/dev/sa/developer/job/local",
        "spiffe://dev.strongroom.internal/ns/dev/sa/*/job/local",
    ],
)
def test_other_principals_are_given_nothing(principal: str) -> None:
    index = AssignmentIndex(parse_assignments(DOCUMENT))

    assert index.of(principal) == ()


@pytest.mark.parametrize(
    ("pattern", "resource", "holds"),
    [
        ("projects/demo", "projects/demo", True),
        ("projects/demo", ARTIFACT, False),
        ("projects/demo/*", "projects/demo", True),
        ("projects/demo/*", "projects/demo2", False),
        ("projects/demo/*", "projects", False),
        ("projects/*", "projects", True),
        ("projects/*/artifacts/minilm", ARTIFACT, True),
        ("projects/*/artifacts/minilm", f"{ARTIFACT}/versions/1", False),
        ("projects/*/artifacts/minilm/*", f"{ARTIFACT}/versions/1", True),
        ("projects/*/artifacts/other/*", ARTIFACT, False),
        ("server", "server", True),
        ("projects/*", "server", False),
        ("projects", "projects/demo", False),
    ],
)
def test_resource_patterns_match_whole_segments(
    pattern: str, resource: str, holds: bool
) -> None:
    [assignment] = parse_assignments(_assignment(resources=[pattern]))

    assert assignment.gives_on(resource) is holds


SEGMENTS = st.sampled_from(["a", "b", "ab"])


@given(
    patterns=st.lists(
        st.lists(SEGMENTS | st.just("*"), min_size=1, max_size=4), max_size=8
    ),
    path=st.lists(SEGMENTS | st.just(""), max_size=4),
)
def test_a_principal_has_what_its_segments_match_in_the_files_order(
    patterns: list[list[str]], path: list[str]
) -> None:
    tables = [
        _assignment(principal="/".join(["spiffe://td", *pattern]), id=f"a{number}")
        for number, pattern in enumerate(patterns)
    ]
    items = [item for table in tables for item in table["assignments"]]

    found = AssignmentIndex(parse_assignments({"assignments": items})).of(
        "/".join(["spiffe://td", *path])
    )

    assert [item.assignment_id for item in found] == [
        f"a{number}"
        for number, pattern in enumerate(patterns)
        if len(pattern) == len(path)
        and all(
            want == have or (want == "*" and have)
            for want, have in zip(pattern, path, strict=True)
        )
    ]


def test_roles_are_told_with_where_they_hold() -> None:
    assert told_roles(AssignmentIndex(parse_assignments(DOCUMENT)).of(DEVELOPER)) == (
        "writer on projects/*",
        "writer on server",
        "operator on projects/*",
        "operator on server",
    )


def test_a_file_without_assignments_gives_nothing() -> None:
    assert parse_assignments({}) == ()


def _assignment(**changes: object) -> dict[str, list[dict[str, object]]]:
    assignment: dict[str, object] = {
        "principal": "spiffe://td/job/a",
        "roles": ["reader"],
        "resources": ["projects/demo"],
    }
    return {"assignments": [assignment | changes]}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"roles": {"reader": ["artifact.get"]}}, "'roles'"),
        ({"assignments": {}}, "assignments is not a list"),
        ({"assignments": ["x"]}, "assignment-1 is not a table"),
        (_assignment(when="today"), "'when'"),
        (_assignment(id="Not An Id"), "'Not An Id'"),
        (_assignment(roles=["Writer"]), "'Writer'"),
        (_assignment(roles=[]), "roles of assignment-1"),
        (_assignment(resources=None), "resources of assignment-1"),
        (_assignment(resources=["*"]), "'*'"),
        (_assignment(resources=["projects/de*"]), "'projects/de*'"),
        (_assignment(resources=["projects//x"]), "'projects//x'"),
        (_assignment(principal="*"), "'*'"),
        (_assignment(principal="spiffe://*/job/a"), "spiffe://*"),
        (_assignment(principal="spiffe://td"), "'spiffe://td'"),
        (_assignment(principal="spiffe://td/job/a*"), "a*"),
        (_assignment(principal="https://td/job/a"), "https"),
        (_assignment(principal=None), "None"),
    ],
)
def test_malformed_assignments_are_refused_with_their_fault(
    document: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_assignments(document)

    assert caught.value.reason is Reason.SETTING_INVALID
    assert told in str(caught.value)


def test_two_assignments_may_not_share_an_id() -> None:
    document = _assignment(id="same")

    with pytest.raises(InvalidArgumentError, match="same"):
        parse_assignments({"assignments": document["assignments"] * 2})


PEOPLE: dict[str, Any] = {
    "assignments": [
        {
            "id": "alice",
            "principal": "operator:alice",
            "roles": ["operator"],
            "resources": ["server"],
        },
        {
            "id": "everybody",
            "principal": "operator:*",
            "roles": ["reader"],
            "resources": ["projects/*"],
        },
    ],
}


@pytest.mark.parametrize(
    ("principal", "ids"),
    [
        ("operator:alice", ["alice", "everybody"]),
        ("operator:bob@example.org", ["everybody"]),
        ("operator:*", ["everybody"]),
        ("operator:", []),
        ("operator", []),
        ("alice", []),
        ("Operator:alice", []),
        ("spiffe://operator:alice", []),
        ("spiffe://example.org/operator:alice", []),
        (DEVELOPER, []),
    ],
)
def test_people_have_what_their_name_or_everybody_is_given(
    principal: str, ids: list[str]
) -> None:
    index = AssignmentIndex(parse_assignments(PEOPLE))

    assert [item.assignment_id for item in index.of(principal)] == ids


@pytest.mark.parametrize(
    "principal",
    [
        "operator:",
        "operator:al*",
        "operator:alice*",
        "operator:**",
        "operator:-alice",
        "operator:alice/job",
        "operator:alice ",
        "operator:operator:alice",
        "operator:" + "a" * 129,
        "Operator:alice",
    ],
)
def test_a_malformed_person_is_refused(principal: str) -> None:
    with pytest.raises(InvalidArgumentError, match="malformed principal"):
        parse_assignments(_assignment(principal=principal))
