# SPDX-License-Identifier: Apache-2.0
"""Access policies: what ships, what is refused when it is read, and why."""

import re
from pathlib import Path
from typing import Final

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.adapters.cedar import (
    AccessFiles,
    CedarAuthorizer,
    schema_text,
    shipped_policies,
)
from strongroom_server.adapters.cedar.policies import parse_policies
from strongroom_server.core.access import AccessAction
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.core.expectations import parse_expectations
from tests.contract.authorizer_suite import DEVELOPER, VERSION
from tests.support.access import FACTS, make_authorizer

DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "policies"
SHIPPED: Final = {**shipped_policies(), "strongroom.cedarschema": schema_text()}
ROLES: Final = {
    *("auditor", "maintainer", "operator", "reader", "security-officer", "writer"),
}
GOOD: Final = '@id("open") permit (principal, action, resource);'


def test_the_deployed_files_are_those_that_ship() -> None:
    files = [path for path in DEPLOYED.iterdir() if path.suffix.startswith(".cedar")]

    assert {path.name: path.read_text("utf-8") for path in files} == SHIPPED


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
    assert len(rows) == 2
    for row in rows:
        question = (row.principal, row.action, row.resource, row.facts)
        decision = authorizer.explain(*question).decision
        assert decision.allowed is row.allowed
        assert decision.policy_id == row.policy or not row.policy
