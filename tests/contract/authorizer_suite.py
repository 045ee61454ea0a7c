# SPDX-License-Identifier: Apache-2.0
"""What every `Authorizer` must do; run on fixed policies and on files alike."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from strongroom.errors import InvalidArgumentError
from strongroom_server.core.access import PROJECTS, SERVER, AccessAction, CallFacts
from strongroom_server.ports import Authorizer
from tests.support.access import FACTS, role_policy

DEVELOPER = "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/local"
READER = "spiffe://dev.strongroom.internal/ns/dev/sa/reader/job/local"
STRANGER = "spiffe://dev.strongroom.internal/ns/dev/sa/stranger/job/local"
ARTIFACT = "projects/demo/artifacts/minilm"
VERSION = f"{ARTIFACT}/versions/1"

ROLES = {
    "owner.cedar": role_policy("owner", ["*"]),
    "reader.cedar": role_policy("reader", ["artifact.get", "version.read"]),
}
ASSIGNMENTS: list[dict[str, Any]] = [
    {
        "id": "developers",
        "principal": "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/*",
        "roles": ["owner"],
        "resources": ["projects/*", "server"],
    },
    {
        "id": "readers",
        "principal": "spiffe://dev.strongroom.internal/ns/dev/sa/reader/job/*",
        "roles": ["reader"],
        "resources": ["projects/demo/*"],
    },
]
#: Policies by file name and assignments, made into what decides by them.
Make = Callable[[Mapping[str, str], list[dict[str, Any]]], Authorizer]


class AuthorizerSuite:
    """Subclasses give a fixture `make`."""

    @pytest.fixture
    def make(self) -> Make:
        message = "a suite needs a way to make an authorizer"
        raise NotImplementedError(message)

    @pytest.fixture
    def authorizer(self, make: Make) -> Authorizer:
        return make(ROLES, ASSIGNMENTS)

    @pytest.mark.parametrize("action", AccessAction)
    @pytest.mark.parametrize(
        "resource", [SERVER, PROJECTS, "projects/demo", ARTIFACT, VERSION]
    )
    def test_an_owner_of_everything_may_do_everything(
        self, authorizer: Authorizer, action: AccessAction, resource: str
    ) -> None:
        decision = authorizer.decide(DEVELOPER, action, resource, FACTS)

        assert decision.allowed
        assert decision.policy_id == "owner@developers"

    def test_a_role_holds_for_its_actions_where_it_is_assigned(
        self, authorizer: Authorizer
    ) -> None:
        resources = [SERVER, PROJECTS, "projects/demo", VERSION, "projects/other"]

        allowed = {
            (action.value, resource)
            for action, resource in itertools.product(AccessAction, resources)
            if authorizer.decide(READER, action, resource, FACTS).allowed
        }

        assert allowed == {
            ("artifact.get", "projects/demo"),
            ("artifact.get", VERSION),
            ("version.read", "projects/demo"),
            ("version.read", VERSION),
        }

    @pytest.mark.parametrize("action", AccessAction)
    def test_denied_is_the_default(
        self, authorizer: Authorizer, action: AccessAction
    ) -> None:
        for principal in ("", "*", STRANGER, 'x" || true', "spiffe://\n"):
            decision = authorizer.decide(principal, action, ARTIFACT, FACTS)

            assert not decision.allowed
            assert decision.policy_id == "default"

    def test_no_policy_and_no_assignment_allow_nothing(self, make: Make) -> None:
        empty = make({}, [])

        assert not empty.decide(
            DEVELOPER, AccessAction.SERVER_INFO, SERVER, FACTS
        ).allowed
        assert empty.roles_of(DEVELOPER) == ()

    @pytest.mark.parametrize("resource", ["", "x", "projects//x", f"{ARTIFACT}/\n"])
    def test_what_is_no_resource_name_is_denied(
        self, authorizer: Authorizer, resource: str
    ) -> None:
        read = AccessAction.VERSION_READ

        assert not authorizer.decide(DEVELOPER, read, resource, FACTS).allowed

    def test_what_forbids_wins_and_is_named(self, make: Make) -> None:
        frozen = (
            '@id("frozen") forbid (principal, action == Action::"version.write", '
            'resource in Project::"projects/demo");'
        )
        authorizer = make({**ROLES, "frozen.cedar": frozen}, ASSIGNMENTS)
        write = AccessAction.VERSION_WRITE

        here = authorizer.decide(DEVELOPER, write, ARTIFACT, FACTS)
        there = authorizer.decide(DEVELOPER, write, "projects/x/artifacts/y", FACTS)

        assert (here.allowed, here.policy_id) == (False, "frozen")
        assert there.allowed

    def test_the_facts_of_a_call_count(self, make: Make) -> None:
        hybrid = (
            '@id("hybrid") forbid (principal, action, resource) '
            'unless { context.key_exchange == "X25519MLKEM768" };'
        )
        authorizer = make({**ROLES, "hybrid.cedar": hybrid}, ASSIGNMENTS)
        old = CallFacts("TLSv1.3", "X25519", 12)
        read = AccessAction.VERSION_READ

        assert authorizer.decide(READER, read, VERSION, FACTS).allowed
        assert not authorizer.decide(READER, read, VERSION, old).allowed

    def test_every_fact_counts_in_every_question(self, make: Make) -> None:
        odd: dict[str, Any] = {
            "tls_version": "TLSv1.2",
            "key_exchange": "x25519",
            "hour_utc": 3,
            "mfa": True,
            "auth_age_s": 301,
            "approvals": 2,
            "workload": STRANGER,
            "lifts": True,
            "lock_days": 7,
        }
        forbidding = {
            f"{name}.cedar": f'@id("{name.replace("_", "-")}") forbid (principal, '
            f"action, resource) when {{ context.{name} == {json.dumps(value)} }};"
            for name, value in odd.items()
        }
        authorizer = make(ROLES | forbidding, ASSIGNMENTS)

        def allows(facts: CallFacts) -> bool:
            read = AccessAction.VERSION_READ
            return authorizer.decide(DEVELOPER, read, VERSION, facts).allowed

        assert {field.name for field in fields(CallFacts)} == {*odd}
        # What was answered to one question is no answer to the next.
        for name, value in odd.items():
            assert allows(FACTS)
            assert not allows(replace(FACTS, **{name: value}))
            assert not allows(replace(FACTS, **{name: value}))
        assert allows(FACTS)

    def test_an_answer_is_for_one_principal_action_and_resource(
        self, authorizer: Authorizer
    ) -> None:
        read, write = AccessAction.VERSION_READ, AccessAction.VERSION_WRITE
        other = VERSION.replace("demo", "other")

        for _ in range(2):
            asked = [
                authorizer.decide(who, action, what, FACTS).allowed
                for who, action, what in (
                    (READER, read, VERSION),
                    (READER, write, VERSION),
                    (READER, read, other),
                    (STRANGER, read, VERSION),
                    (DEVELOPER, write, other),
                )
            ]
            assert asked == [True, False, False, False, True]

    @pytest.mark.parametrize("effect", ["permit", "forbid"])
    def test_a_policy_that_fails_while_it_is_read_denies(
        self, make: Make, effect: str
    ) -> None:
        # The schema lets this through; Cedar itself would pass the forbid over.
        failing = (
            f'@id("huge") {effect} (principal, action, resource) '
            "when { context.hour_utc + 9223372036854775807 > 0 };"
        )
        authorizer = make({**ROLES, "huge.cedar": failing}, ASSIGNMENTS)

        decision = authorizer.decide(
            DEVELOPER, AccessAction.VERSION_READ, VERSION, FACTS
        )

        assert not decision.allowed
        assert decision.policy_id == "error:owner@developers"
        assert "'huge'" in decision.errors[0]

    def test_roles_are_told_with_where_they_hold(self, authorizer: Authorizer) -> None:
        assert authorizer.roles_of(READER) == ("reader on projects/demo/*",)
        authorizer.check_current()

    def test_a_denial_is_explained_by_what_would_allow(
        self, authorizer: Authorizer
    ) -> None:
        write = AccessAction.VERSION_WRITE

        told = authorizer.explain(READER, write, ARTIFACT, FACTS)

        assert not told.decision.allowed
        assert [item.assignment_id for item in told.assignments] == ["readers"]
        assert told.allowing_roles == ("owner",)
        assert len(told.digest) == 64

    def test_an_explanation_decides_as_a_decision_does(
        self, authorizer: Authorizer
    ) -> None:
        for principal in (DEVELOPER, READER, STRANGER):
            read = AccessAction.VERSION_READ
            told = authorizer.explain(principal, read, VERSION, FACTS)

            assert told.decision == authorizer.decide(principal, read, VERSION, FACTS)

    @pytest.mark.parametrize("resource", ["nowhere", SERVER, "projects/demo"])
    def test_a_question_that_no_call_asks_is_refused(
        self, authorizer: Authorizer, resource: str
    ) -> None:
        read = AccessAction.VERSION_READ

        with pytest.raises(InvalidArgumentError):
            authorizer.explain(DEVELOPER, read, resource, FACTS)
