# SPDX-License-Identifier: Apache-2.0
"""Vectors for bodies of journal entries with fields that not every entry has."""

from dataclasses import replace
from typing import Any, Final

from strongroom.format.names import ArtifactName
from strongroom_server.core.entry_body import format_body
from strongroom_server.core.history import (
    Committed,
    Entry,
    EntryInfo,
    PolicySet,
    RefMoved,
)
from strongroom_server.core.lineage import Lineage, VersionInput
from strongroom_server.core.records import Action, ApprovedBy, ArtifactPolicy
from tests.support.samples import committed, info_of, ref_moved
from tests.vectors.key_cases import Case

_DIGEST: Final = "sha256:" + "ab" * 32
_INPUTS: Final = (
    VersionInput(ArtifactName("demo", "texts"), 3, _DIGEST),
    VersionInput(ArtifactName("other", "base"), 12, "sha256:" + "cd" * 32),
)
LINEAGE: Final = Lineage("finetune-7", _INPUTS, 2)
BEST: Final = ArtifactPolicy(
    keep_last=2, keep_best=3, best_by="metric:loss", best_order="min"
)
APPROVED: Final = ApprovedBy("6ae72d44-616d416eec", ("operator:bob",))
_VALID: Final[dict[str, Entry]] = {
    "a version whose writer said nothing": committed(),
    "a version that was made in a run from two others, and two more": replace(
        committed(), lineage=LINEAGE
    ),
    "a version of a run that read nothing": replace(committed(), lineage=Lineage("r")),
    "a version whose files a sidecar digested": replace(
        committed(), digested_by=("spiffe://a/b", "spiffe://a/c")
    ),
    "a policy without a rule about the best": PolicySet(
        info_of(Action.POLICY, "p"), ArtifactPolicy(keep_last=5)
    ),
    "a policy that keeps the best": PolicySet(info_of(Action.POLICY, "p"), BEST),
    "a move that others approved": replace(
        ref_moved(), info=replace(info_of(Action.MOVE_REF), approved=APPROVED)
    ),
}


def entry_bodies() -> list[Case]:
    """Return cases of bodies, and what a reader is to find in them."""
    made = format_body(_VALID["a policy that keeps the best"])
    version = format_body(replace(committed(), lineage=LINEAGE))
    lineage = version["lineage"]
    moved = format_body(_VALID["a move that others approved"])
    twice = lineage["inputs"] + lineage["inputs"][:1]
    bad: dict[str, Case] = {
        "format 2 with nothing more": format_body(committed()) | {"format": 2},
        "format 1 with more": version | {"format": 1},
        "a lineage that says nothing": version
        | {"lineage": {"run": "", "inputs": [], "more": 0}},
        "an input twice": version | {"lineage": lineage | {"inputs": twice}},
        "a number that is a text": version | {"lineage": lineage | {"more": "2"}},
        "a field too many": version | {"lineage": lineage | {"another": 1}},
        "a run on two lines": version | {"lineage": lineage | {"run": "a\nb"}},
        "nobody who digested": version | {"digested_by": []},
        "a rule that keeps none": made | {"policy": made["policy"] | {"keep_best": 0}},
        "an order that is none": made
        | {"policy": made["policy"] | {"best_order": "least"}},
        **{
            f"approvals: {name}": moved | {"approvals": items}
            for name, items in _bad_approvals(moved["approvals"]).items()
        },
        "a rule that is half": made | {"policy": {**made["policy"]}, "format": 1},
    }
    valid = [
        {"expect": "valid", "body": format_body(entry), "result": shown_entry(entry)}
        | {"name": name, "reason": name}
        for name, entry in _VALID.items()
    ]
    return valid + [
        {"expect": "invalid", "body": body, "error": "JOURNAL_CORRUPT"}
        | {"name": name, "reason": name}
        for name, body in bad.items()
    ]


def _bad_approvals(items: list[Case]) -> dict[str, object]:
    (one,) = items
    return {
        "a text": ["6ae72d44-616d416eec"],
        "two of them": [one, one],
        "without a name": [one | {"approval": ""}],
        "by nobody": [one | {"approvers": []}],
        "by a number": [one | {"approvers": [5]}],
        "a field too many": [one | {"more": 1}],
        "a field too few": [{"approval": "6ae72d44-616d416eec"}],
        "no list": one,
    }


def shown_entry(entry: Entry) -> dict[str, Any]:
    """Return what a reader finds in an entry, beside what all have."""
    match entry:
        case PolicySet(policy=policy):
            names = ("keep_last", "keep_best", "best_by", "best_order")
            return {name: getattr(policy, name) for name in names}
        case Committed(lineage=lineage, digested_by=digested_by):
            inputs = [[item.name.short, item.digest] for item in lineage.inputs]
            return {
                "run": lineage.run,
                "inputs": inputs,
                "more_inputs": lineage.more_inputs,
                "digested_by": list(digested_by),
            }
        case RefMoved(info=EntryInfo(approved=ApprovedBy(name, people))):
            return {"approval": name, "approvers": list(people)}
        case _:
            return {}
