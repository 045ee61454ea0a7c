# SPDX-License-Identifier: Apache-2.0
"""Access policies: what ships, what is refused when it is read, and why."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.adapters.cedar import (
    AccessFiles,
    CedarAuthorizer,
    schema_text,
    shipped_policies,
)
from strongroom_server.adapters.cedar.policies import parse_policies
from strongroom_server.core.access import AccessAction, CallFacts, Decision
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.core.expectations import parse_expectations
from tests.contract.authorizer_suite import DEVELOPER, VERSION
from tests.support.access import FACTS, make_authorizer, role_policy

DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "policies"
SHIPPED: Final = {**shipped_policies(), "strongroom.cedarschema": schema_text()}
ROLES: Final = {
    *("approver", "auditor", "break-glass", "maintainer", "operator", "reader"),
    *("security-officer", "writer"),
}
ALICE: Final = "operator:alice"
#: What a person may do after an old login, or one factor. A new action belongs here
#: or to the rule `fresh-mfa`.
LOOKING: Final = {
    *("access.explain", "approval.list", "artifact.get", "drill.read"),
    *("backup.list", "backup.verify"),
    *("artifact.list", "journal.read", "key.list", "project.list", "ref.list"),
    *("retention.explain", "server.info", "store.check", "store.verify"),
    *("sweep.plan", "version.diff", "version.list", "version.read", "version.verify"),
}
GOOD: Final = '@id("open") permit (principal, action, resource);'


def test_the_deployed_files_are_those_that_ship() -> None:
    files = {
        path.relative_to(DEPLOYED).as_posix(): path.read_text("utf-8")
        for path in DEPLOYED.rglob("*.cedar*")
    }

    assert files == SHIPPED


def test_the_shipped_roles_are_these() -> None:
    assert {*parse_policies(shipped_policies()).roles} == ROLES


@pytest.mark.parametrize("action", AccessAction)
def test_the_schema_knows_every_action(action: AccessAction) -> None:
    text = f'@id("one") permit (principal, action == Action::"{action}", resource);'

    assert parse_policies({"one.cedar": text}).names


def test_the_schema_knows_no_other_action() -> None:
    named = {
        word.strip().strip('"')
        for part in schema_text().split("\naction")[1:]
        for word in part.split("appliesTo")[0].split(",")
    }

    assert named == {*AccessAction}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("permit (", "it is not Cedar"),
        ("\N{SNOWMAN}", "it is not Cedar"),
        ("permit (principal, action, resource);", "policy 1 has the id ''"),
        ('@id("") permit (principal, action, resource);', "policy 1 has the id ''"),
        ('@id("Open") permit (principal, action, resource);', "'Open'"),
        ('@id("default") permit (principal, action, resource);', "'default'"),
        (GOOD + GOOD, "'open' is also the id"),
        ('@id("t") permit (principal == ?principal, action, resource);', "templates"),
        (GOOD.replace("action", 'action == Action::"version.fly"'), "version.fly"),
        (GOOD.replace("(principal", "(principal is Person"), "Person"),
        (GOOD.replace(";", " when { context.weather };"), "'open', attribute"),
        (GOOD.replace(";", " when { context.hour_utc > 1.5 };"), "it is not Cedar"),
        (GOOD.replace(";", ' when { context.hour_utc == "1" };'), "'open'"),
        (GOOD.replace(";", " when { resource.owner == principal };"), "owner"),
    ],
)
def test_a_bad_policy_is_refused_with_its_file_and_fault(text: str, told: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_policies({"good.cedar": GOOD.replace("open", "good"), "x.cedar": text})

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "x.cedar" in caught.value.message
    assert told in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("(" * 30_000 + "true" + ")" * 30_000, "brackets are more than 50 deep"),
        ("[" * 51 + "]" * 51 + ".isEmpty()", "brackets are more than 50 deep"),
        ("(" * 400_000, "brackets are more than 50 deep"),
        ("(;" * 30_000, "brackets are more than 50 deep"),
        (") " * 40_000 + "(" * 30_000, "brackets"),
        ('";" == (' * 400 + '"}"', "brackets are more than 50 deep"),
        ("&&".join(["true"] * 30_000), "longer than 16384"),
        ("if true then " * 10_000 + "true" + " else false" * 10_000, "longer than"),
    ],
)
def test_what_would_end_the_process_is_refused_before_cedar_sees_it(
    condition: str, told: str
) -> None:
    text = GOOD.replace(";", f" when {{ {condition} }};")

    with pytest.raises(InvalidArgumentError, match=told):
        parse_policies({"x.cedar": text})


def test_brackets_in_texts_and_comments_nest_nothing() -> None:
    nothing = "(" * 1000
    condition = f' when {{ "{nothing}" != "a quoted \\" in it" }}; // {nothing}'

    text = GOOD.replace(";", condition)

    assert parse_policies({"x.cedar": text}).names


def test_an_id_may_stand_in_one_file_only() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'open' is also .* in a\.cedar"):
        parse_policies({"a.cedar": GOOD, "b.cedar": GOOD})


def test_a_comment_at_the_end_of_a_file_ends_there() -> None:
    forbid = GOOD.replace("permit", "forbid").replace("open", "shut")
    texts = {"a.cedar": f"{GOOD} // the end", "b.cedar": forbid}

    authorizer = CedarAuthorizer(texts, ())

    decision = authorizer.decide(DEVELOPER, AccessAction.VERSION_READ, VERSION, FACTS)
    assert (decision.allowed, decision.policy_id) == (False, "shut")


def test_an_assignment_of_a_role_that_no_policy_knows_is_refused() -> None:
    assignment = {"principal": DEVELOPER, "roles": ["pilot"], "resources": ["server"]}

    with pytest.raises(
        InvalidArgumentError, match=r"'pilot'.*there are: owner, reader"
    ):
        make_authorizer({"owner": ["*"], "reader": ["server.info"]}, assignment)


def test_a_role_may_be_named_in_a_condition() -> None:
    text = '@id("x") permit (principal, action, resource) when { %s };'
    text %= 'principal in Role::"a" && !(principal in [Role::"b"])'

    assert parse_policies({"x.cedar": text}).roles == ("a", "b")


def test_a_maintainer_reads_nothing_even_if_it_is_a_reader_too() -> None:
    assignment = {
        "principal": DEVELOPER,
        "roles": ["maintainer", "reader"],
        "resources": ["projects/*"],
    }
    document = {"assignments": [assignment]}
    authorizer = CedarAuthorizer(shipped_policies(), parse_assignments(document))

    decision = authorizer.decide(DEVELOPER, AccessAction.VERSION_READ, VERSION, FACTS)

    assert not decision.allowed
    assert decision.policy_id == "maintainer-reads-no-content@assignment-1"


def test_the_digest_tells_policies_and_assignments_apart() -> None:
    one = make_authorizer({"owner": ["*"]})
    other = make_authorizer({"owner": ["server.info"]})
    assigned = make_authorizer(
        {"owner": ["*"]},
        {"principal": DEVELOPER, "roles": ["owner"], "resources": ["server"]},
    )

    assert len({one.digest, other.digest, assigned.digest}) == 3
    assert one.digest == make_authorizer({"owner": ["*"]}).digest


def test_what_the_readme_shows_holds(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```[a-z]*\n(.*?)^```",
        (DEPLOYED / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assignments, policies, table, _console = blocks
    (tmp_path / "own.cedar").write_text(policies)
    (tmp_path / "assignments.toml").write_text(assignments)

    authorizer = AccessFiles(tmp_path / "assignments.toml", tmp_path).read()

    rows = list(parse_expectations(table.splitlines()))
    assert len(rows) == 5
    for row in rows:
        question = (row.principal, row.action, row.resource, row.facts)
        decision = authorizer.explain(*question).decision
        assert decision.allowed is row.allowed
        assert decision.policy_id == row.policy or not row.policy


def decide(
    principal: str,
    role: str,
    action: AccessAction,
    resource: str = VERSION,
    facts: CallFacts = FACTS,
    *more: str,
) -> Decision:
    """Decide by what ships, for who has one role, or more, everywhere."""
    assignment = {
        "id": "one",
        "principal": principal,
        "roles": [role, *more],
        "resources": ["projects/*", "server"],
    }
    authorizer = CedarAuthorizer(
        shipped_policies(), parse_assignments({"assignments": [assignment]})
    )
    return authorizer.decide(principal, action, resource, facts)


def test_a_person_changes_nothing_without_a_fresh_second_factor() -> None:
    owner = {"owner.cedar": role_policy("owner", ["*"]), **shipped_policies()}
    assignment = {"principal": ALICE, "roles": ["owner"], "resources": ["projects/*"]}
    authorizer = CedarAuthorizer(
        owner, parse_assignments({"assignments": [assignment]})
    )

    def allowed(facts: dict[str, Any]) -> set[str]:
        own = replace(FACTS, approvals=1, **facts)
        return {
            action.value
            for action in AccessAction
            if authorizer.decide(ALICE, action, VERSION, own).allowed
        }

    assert allowed({"mfa": True, "auth_age_s": 300}) == {*AccessAction}
    for facts in ({"mfa": True, "auth_age_s": 301}, {"mfa": False}):
        assert allowed(facts) == LOOKING


def test_programs_sign_in_nowhere_and_are_asked_for_nothing() -> None:
    move = AccessAction.REF_MOVE

    assert decide(DEVELOPER, "operator", move).allowed
    assert not decide(ALICE, "operator", move).allowed


@pytest.mark.parametrize(
    ("principal", "facts", "allowed"),
    [
        (ALICE, CallFacts("TLSv1.3", "", 1, mfa=True, approvals=1), True),
        (ALICE, CallFacts("TLSv1.3", "", 1, mfa=True, approvals=0), False),
        (ALICE, CallFacts("TLSv1.3", "", 1, mfa=False, approvals=9), False),
        (ALICE, CallFacts("TLSv1.3", "", 1, True, 301, 1), False),  # noqa: FBT003
        (DEVELOPER, CallFacts("TLSv1.3", "", 1, mfa=True, approvals=9), False),
    ],
)
def test_only_a_person_with_another_ones_approval_shreds(
    principal: str, facts: CallFacts, allowed: bool
) -> None:
    for action, resource in (
        (AccessAction.PROJECT_SHRED, "projects/demo"),
        (AccessAction.ARTIFACT_SHRED, "projects/demo/artifacts/a"),
    ):
        decision = decide(principal, "operator", action, resource, facts)

        assert decision.allowed is allowed


def test_only_people_approve() -> None:
    decide_it = AccessAction.APPROVAL_DECIDE
    fresh = replace(FACTS, mfa=True)
    for role in ("approver", "security-officer"):
        assert decide(ALICE, role, decide_it, "server", fresh).allowed
        refused = decide(DEVELOPER, role, decide_it, "server", fresh)
        assert (refused.allowed, refused.policies) == (False, ("people-approve",))
    assert not decide(ALICE, "operator", decide_it, "server", fresh).allowed


def test_broken_glass_gives_what_people_may_and_can_be_taken_back() -> None:
    def may(role: str) -> set[str]:
        return {
            action.value
            for action in AccessAction
            if decide(DEVELOPER, role, action).allowed
        }

    both = may("operator") | may("security-officer")
    final = {"hold.set", "key.retire", "policy.set", "sweep.apply"}
    final |= {"backup.extend", "backup.hold"}  # A lock is never shortened.
    assert both - may("break-glass") == {"approval.request", *final}
    assert may("break-glass") <= both
    shreds = ("project.shred", "artifact.shred")
    for action in ("version.read", "version.diff", *shreds, *final):
        for role in ("reader", "operator", "writer", "security-officer", "maintainer"):
            refused = decide(
                DEVELOPER, "break-glass", AccessAction(action), VERSION, FACTS, role
            )
            assert not refused.allowed


def test_rules_hold_for_roles_of_a_sites_own_unless_it_leaves_them_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.cedar").write_text(role_policy("own", ["*"]))
    (tmp_path / "assignments.toml").write_text(
        f'[[assignments]]\nprincipal = "{ALICE}"\nroles = ["own"]\n'
        'resources = ["projects/*"]\n'
    )
    move = (ALICE, AccessAction.REF_MOVE, VERSION, FACTS)
    path = tmp_path / "assignments.toml"

    with_rules = AccessFiles(path, tmp_path, shipped_roles=False)
    without = AccessFiles(path, tmp_path, shipped_roles=False, shipped_rules=False)

    assert with_rules.read().decide(*move).policy_id == "fresh-mfa"
    assert without.read().decide(*move).policy_id == "own@assignment-1"


@pytest.mark.parametrize(
    ("days", "approvals", "allowed"), [(70, 0, True), (71, 0, False), (71, 1, True)]
)
def test_locks_for_long_are_a_rule_that_comes_with_the_server(
    tmp_path: Path, days: int, approvals: int, *, allowed: bool
) -> None:
    path = tmp_path / "assignments.toml"
    path.write_text(
        f'[[assignments]]\nprincipal = "{ALICE}"\nroles = ["operator"]\n'
        'resources = ["server"]\n'
    )
    facts = replace(FACTS, mfa=True, approvals=approvals, lock_days=days)
    extend = (ALICE, AccessAction.BACKUP_EXTEND, "server", facts)

    with_rules = AccessFiles(path, lock_days_alone=70)
    without = AccessFiles(path, shipped_rules=False, lock_days_alone=70)

    assert with_rules.read().decide(*extend).allowed is allowed
    assert without.read().decide(*extend).allowed


def test_a_person_is_named_bare_in_policies_and_a_program_never_is_one() -> None:
    text = '@id("alice") permit (principal == Operator::"alice", action, resource);'
    authorizer = CedarAuthorizer({"alice.cedar": text}, ())
    read = AccessAction.VERSION_READ

    assert authorizer.decide(ALICE, read, VERSION, FACTS).allowed
    for principal in ("alice", "operator:bob", "operator:operator:alice", DEVELOPER):
        assert not authorizer.decide(principal, read, VERSION, FACTS).allowed


def test_people_may_be_kept_to_their_workstations_as_the_page_says() -> None:
    page = (DEPLOYED.parents[1] / "docs" / "operations.md").read_text()
    [rule] = re.findall(r"^@id\(\"people-at-work.*?;$", page, re.MULTILINE | re.DOTALL)
    office = "spiffe://example.org/ns/office/sa/workstation/job/7"
    texts = {"reader.cedar": role_policy("reader", ["version.read"]), "own.cedar": rule}
    given = [
        {"principal": principal, "roles": ["reader"], "resources": ["projects/*"]}
        for principal in (ALICE, DEVELOPER)
    ]
    authorizer = CedarAuthorizer(texts, parse_assignments({"assignments": given}))
    read = AccessAction.VERSION_READ

    def allowed(principal: str, workload: str) -> bool:
        facts = replace(FACTS, workload=workload)
        return authorizer.decide(principal, read, VERSION, facts).allowed

    assert allowed(ALICE, office)
    assert not allowed(ALICE, DEVELOPER)
    assert not allowed(ALICE, office.replace("office", "train"))
    assert allowed(DEVELOPER, DEVELOPER)
