# SPDX-License-Identifier: Apache-2.0
"""Tables of expectations about access: what they say, and what is no table."""

import pytest

from strongroom.errors import InvalidArgumentError
from strongroom_server.core.access import AccessAction, CallFacts
from strongroom_server.core.expectations import Expectation, parse_expectations

HEADING = "principal,action,resource,expected"
ROW = "spiffe://e/a,version.read,projects/p,allow"


def test_a_table_is_read_line_by_line() -> None:
    lines = [
        "# Who reads.",
        "",
        "principal, action, resource, expected, policy, key_exchange, hour_utc",
        "spiffe://e/a, version.read, projects/p, allow, reader@x, ,",
        "# At night nobody.",
        "spiffe://e/a, version.read, projects/p, deny, , X25519, 3",
    ]

    usual, night = parse_expectations(lines)

    assert usual == Expectation(
        line=4,
        principal="spiffe://e/a",
        action=AccessAction.VERSION_READ,
        resource="projects/p",
        facts=CallFacts("TLSv1.3", "X25519MLKEM768", 12, workload="spiffe://e/a"),
        allowed=True,
        policy="reader@x",
    )
    assert (night.line, night.allowed, night.policy) == (6, False, "")
    assert night.facts == CallFacts("TLSv1.3", "X25519", 3, workload="spiffe://e/a")


def test_people_have_facts_of_their_own() -> None:
    heading = f"{HEADING},mfa,auth_age_s,approvals,workload"
    rows = ["operator:a,ref.move,projects/p,deny,true,301,2,", f"{ROW},,,,spiffe://b"]

    person, program = parse_expectations([heading, *rows])

    assert person.principal == "operator:a"
    assert person.facts == CallFacts(
        "TLSv1.3", "X25519MLKEM768", 12, mfa=True, auth_age_s=301, approvals=2
    )
    assert program.facts == CallFacts(
        "TLSv1.3", "X25519MLKEM768", 12, workload="spiffe://b"
    )


def test_requests_have_facts_of_their_own() -> None:
    row = "operator:a,backup.hold,server,deny,true,12"

    (lifting,) = parse_expectations([f"{HEADING},lifts,lock_days", row])

    assert (lifting.facts.lifts, lifting.facts.lock_days) == (True, 12)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "nothing"),
        (["principal,action,resource"], "principal, action, resource"),
        ([f"{HEADING},weather"], "weather"),
        ([f"{HEADING},action"], "action"),
        ([HEADING, "a,b"], "line 2: 2 cells are not 4"),
        ([HEADING, ROW.replace("allow", "yes")], "line 2: 'yes'"),
        ([HEADING, "", ROW.replace("read", "fly")], "line 3: 'version.fly'"),
        ([f"{HEADING},hour_utc", f"{ROW},noon"], "line 2: 'noon'"),
        ([f"{HEADING},mfa", f"{ROW},yes"], "line 2: 'yes'"),
        ([f"{HEADING},lifts", f"{ROW},yes"], "line 2: 'yes'"),
        ([f"{HEADING},lock_days", f"{ROW},-1"], "line 2: '-1'"),
        ([f"{HEADING},auth_age_s", f"{ROW},-1"], "line 2: '-1'"),
        ([f"{HEADING},approvals", f"{ROW},two"], "line 2: 'two'"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(lines: list[str], told: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        list(parse_expectations(lines))

    assert told in caught.value.message
