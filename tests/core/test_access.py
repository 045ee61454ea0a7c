# SPDX-License-Identifier: Apache-2.0
"""The access policy: what it allows, what it refuses, what it will not parse."""

import itertools
from typing import Any

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.access import (
    PROJECTS,
    SERVER,
    AccessAction,
    decide,
    parse_policy,
    roles_of,
)

DEVELOPER = "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/local"
READER = "spiffe://dev.strongroom.internal/ns/dev/sa/reader/job/local"
ARTIFACT = "projects/demo/artifacts/minilm"

DOCUMENT: dict[str, Any] = {
    "roles": {"owner": ["*"], "reader": ["artifact.get", "version.read"]},
    "bindings": [
        {
            "id": "developers",
            "principal": "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/*",
            "roles": ["owner"],
            "resources": ["projects/*", "server"],
        },
        {
            "principal": "spiffe://dev.strongroom.internal/ns/dev/sa/reader/job/*",
            "roles": ["reader"],
            "resources": ["projects/demo/*"],
        },
    ],
}


@pytest.mark.parametrize("action", AccessAction)
@pytest.mark.parametrize(
    "resource", [SERVER, PROJECTS, "projects/demo", ARTIFACT, f"{ARTIFACT}/versions/1"]
)
def test_an_owner_of_everything_may_do_everything(
    action: AccessAction, resource: str
) -> None:
    decision = decide(parse_policy(DOCUMENT), DEVELOPER, action, resource)

    assert decision.allowed
    assert decision.policy_id == "developers"


def test_a_reader_may_do_only_what_its_role_says_where_its_binding_says() -> None:
    policy = parse_policy(DOCUMENT)
    resources = [SERVER, PROJECTS, "projects/demo", ARTIFACT, "projects/other"]

    allowed = {
        (action.value, resource)
        for action, resource in itertools.product(AccessAction, resources)
        if decide(policy, READER, action, resource).allowed
    }

    assert allowed == {
        ("artifact.get", "projects/demo"),
        ("artifact.get", ARTIFACT),
        ("version.read", "projects/demo"),
        ("version.read", ARTIFACT),
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
def test_other_principals_are_denied_by_default(principal: str) -> None:
    for action in AccessAction:
        decision = decide(parse_policy(DOCUMENT), principal, action, ARTIFACT)

        assert not decision.allowed
        assert decision.policy_id == "default"


@pytest.mark.parametrize(
    ("pattern", "resource", "allowed"),
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
    pattern: str, resource: str, allowed: bool
) -> None:
    document = {
        "roles": {"owner": ["*"]},
        "bindings": [
            {
                "principal": "spiffe://td/job/a",
                "roles": ["owner"],
                "resources": [pattern],
            }
        ],
    }

    decision = decide(
        parse_policy(document), "spiffe://td/job/a", AccessAction.VERSION_READ, resource
    )

    assert decision.allowed is allowed


def test_an_empty_policy_allows_nothing() -> None:
    policy = parse_policy({})

    assert not decide(policy, DEVELOPER, AccessAction.SERVER_INFO, SERVER).allowed
    assert roles_of(policy, DEVELOPER) == ()


def test_roles_are_told_with_where_they_hold() -> None:
    policy = parse_policy(DOCUMENT)

    assert roles_of(policy, DEVELOPER) == ("owner on projects/*", "owner on server")
    assert roles_of(policy, READER) == ("reader on projects/demo/*",)


def _binding(**changes: object) -> dict[str, object]:
    binding: dict[str, object] = {
        "principal": "spiffe://td/job/a",
        "roles": ["reader"],
        "resources": ["projects/demo"],
    }
    return {
        "roles": {"reader": ["artifact.get"]},
        "bindings": [binding | changes],
    }


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"role": {}}, "'role'"),
        ({"roles": []}, "roles is not a table"),
        ({"roles": {"Reader": ["*"]}}, "'Reader'"),
        ({"roles": {"reader": ["artifact.red"]}}, "'artifact.red'"),
        ({"roles": {"reader": "*"}}, "'reader'"),
        ({"roles": {"reader": []}}, "'reader'"),
        ({"roles": {"reader": [1]}}, "1"),
        ({"bindings": {}}, "bindings is not a list"),
        ({"bindings": ["x"]}, "binding-1 is not a table"),
        (_binding(when="today"), "'when'"),
        (_binding(id="Not An Id"), "'Not An Id'"),
        (_binding(roles=["writer"]), "'writer'"),
        (_binding(roles=[]), "roles of binding-1"),
        (_binding(resources=None), "resources of binding-1"),
        (_binding(resources=["*"]), "'*'"),
        (_binding(resources=["projects/de*"]), "'projects/de*'"),
        (_binding(resources=["projects//x"]), "'projects//x'"),
        (_binding(principal="*"), "'*'"),
        (_binding(principal="spiffe://*/job/a"), "spiffe://*"),
        (_binding(principal="spiffe://td"), "'spiffe://td'"),
        (_binding(principal="spiffe://td/job/a*"), "a*"),
        (_binding(principal="https://td/job/a"), "https"),
        (_binding(principal=None), "None"),
    ],
)
def test_a_malformed_policy_is_refused_with_its_fault(
    document: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_policy(document)

    assert caught.value.reason is Reason.SETTING_INVALID
    assert told in str(caught.value)


def test_two_bindings_may_not_share_an_id() -> None:
    document = _binding(id="same")
    bindings = document["bindings"]
    assert isinstance(bindings, list)

    with pytest.raises(InvalidArgumentError, match="same"):
        parse_policy(document | {"bindings": bindings * 2})
