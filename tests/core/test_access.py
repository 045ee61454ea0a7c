# SPDX-License-Identifier: Apache-2.0
"""The language of access: resources with what they are in, and decisions in a word."""

import itertools

import pytest

from strongroom_server.core.access import Decision, resource_chain

ARTIFACT = "projects/demo/artifacts/minilm"


@pytest.mark.parametrize(
    ("resource", "types"),
    [
        ("server", ["Server"]),
        ("projects", ["Projects"]),
        ("projects/demo", ["Project", "Projects"]),
        (ARTIFACT, ["Artifact", "Project", "Projects"]),
        (f"{ARTIFACT}/versions/3", ["Version", "Artifact", "Project", "Projects"]),
        (f"{ARTIFACT}/refs/prod", ["Ref", "Artifact", "Project", "Projects"]),
    ],
)
def test_a_resource_is_in_each_that_its_name_begins_with(
    resource: str, types: list[str]
) -> None:
    chain = resource_chain(resource)

    assert [kind.value for kind, _ in chain] == types
    assert chain[0][1] == resource
    names = [name for _, name in chain]
    assert all(
        inner.startswith(f"{outer}/") for inner, outer in itertools.pairwise(names)
    )


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "servers",
        "server/x",
        "project",
        "projects/",
        "projects//artifacts/a",
        "projects/demo/artifacts",
        "projects/demo/things/a",
        f"{ARTIFACT}/versions",
        f"{ARTIFACT}/files/a",
        f"{ARTIFACT}/versions/1/files",
        f"{ARTIFACT}/versions/1/files/a",
    ],
)
def test_what_is_no_resource_name_is_in_nothing(resource: str) -> None:
    assert resource_chain(resource) == ()


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (Decision(allowed=False), "default"),
        (
            Decision(allowed=True, policies=("reader",), assignments=("training",)),
            "reader@training",
        ),
        (Decision(allowed=True, policies=("open",)), "open"),
        (
            Decision(allowed=True, policies=("a", "b"), assignments=("x", "y")),
            "a+b@x+y",
        ),
        (Decision(allowed=False, policies=("night",)), "night"),
        (
            Decision(
                allowed=False, policies=("reader",), assignments=("x",), errors=("no",)
            ),
            "error:reader@x",
        ),
        (Decision(allowed=False, errors=("no",)), "error:default"),
    ],
)
def test_what_decided_is_told_in_one_word(decision: Decision, told: str) -> None:
    assert decision.policy_id == told


def test_many_policies_do_not_make_an_entry_too_long() -> None:
    ids = tuple(f"p{number:062}" for number in range(500))

    assert len(Decision(allowed=True, policies=ids, assignments=ids).policy_id) < 1100
