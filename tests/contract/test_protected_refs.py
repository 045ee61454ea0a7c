# SPDX-License-Identifier: Apache-2.0
"""Refs that nobody moves alone: by the settings, and by a site's own policies."""

from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.adapters.cedar import AccessFiles, CedarAuthorizer
from strongroom_server.core.access import AccessAction
from tests.contract.authorizer_suite import DEVELOPER
from tests.support.access import FACTS

ALICE = "operator:alice"


@pytest.mark.parametrize(
    ("ref", "is_protected"),
    [
        ("prod", True),
        ("release-7", True),
        ("production", False),
        ("released", False),
        ("my-prod", False),
    ],
)
def test_protected_refs_are_moved_by_two_people_whatever_artifact_they_are_of(
    tmp_path: Path, ref: str, *, is_protected: bool
) -> None:
    path = tmp_path / "assignments.toml"
    path.write_text(
        "".join(
            f'[[assignments]]\nprincipal = "{principal}"\nroles = ["{role}"]\n'
            'resources = ["projects/*"]\n'
            for principal, role in (
                (ALICE, "operator"),
                (DEVELOPER, "operator"),
                ("spiffe://strongroom.test/ns/a/sa/sealed/job/1", "break-glass"),
            )
        )
    )
    authorizer = AccessFiles(path, protected_refs=("prod", "release-*")).read()

    def moves(principal: str, approvals: int) -> bool:
        facts = replace(FACTS, mfa=True, auth_age_s=10, approvals=approvals)
        resource = f"projects/demo/artifacts/minilm/refs/{ref}"
        move = (principal, AccessAction.REF_MOVE, resource, facts)
        return authorizer.decide(*move).allowed

    assert moves(ALICE, 0) is not is_protected
    assert moves(ALICE, 1)
    assert moves(DEVELOPER, 1) is not is_protected, "a program's owner is nobody else"
    assert moves("spiffe://strongroom.test/ns/a/sa/sealed/job/1", 0)


@pytest.mark.parametrize(
    "pattern", ["", "Prod", 'prod"', "prod\n", "a" * 64, 'x" || true || "']
)
def test_a_protected_ref_that_can_be_no_ref_is_refused(
    tmp_path: Path, pattern: str
) -> None:
    path = tmp_path / "assignments.toml"
    path.write_text("")

    with pytest.raises(InvalidArgumentError) as caught:
        AccessFiles(path, protected_refs=("prod", pattern)).read()

    assert caught.value.reason is Reason.SETTING_INVALID


def test_a_sites_own_policy_can_be_of_refs_by_their_names() -> None:
    text = (
        '@id("mine") permit (principal, action == Action::"ref.move", resource) '
        'when { resource.name like "dev-*" };'
    )
    authorizer = CedarAuthorizer({"own.cedar": text}, ())

    def moves(ref: str) -> bool:
        resource = f"projects/demo/artifacts/minilm/refs/{ref}"
        return authorizer.decide(
            DEVELOPER, AccessAction.REF_MOVE, resource, FACTS
        ).allowed

    assert moves("dev-1")
    assert not moves("prod")
