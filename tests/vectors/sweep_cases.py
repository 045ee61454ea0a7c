# SPDX-License-Identifier: Apache-2.0
"""Vectors for sweeps: their records, one by one and in a row, and plans."""

from dataclasses import replace
from typing import Any, Final

from strongroom.format.names import ArtifactName
from strongroom_server.core import canonical
from strongroom_server.core import sweep as sweep_format
from strongroom_server.core.sweep import (
    GENESIS,
    Condemned,
    Decided,
    DomainId,
    Removed,
    SweepAct,
    SweepInfo,
    SweepRecord,
    SweptObject,
)
from strongroom_server.core.sweep_plan import (
    DueSweep,
    PlannedVersion,
    SweepPlan,
    format_plan,
)
from tests.support.samples import (
    ARTIFACT,
    DOMAIN,
    PROJECT,
    SCOPE,
    STORE,
    filled,
    keys_of,
)
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case, scope_fields

_INFO: Final = SweepInfo("spiffe://strongroom.test/x", "plan/1", "0" * 32, "log-7")
_OBJECTS: Final = tuple(
    SweptObject(f"packs/{name[:2]}/{name}", f"v{number}", 1000 + number)
    for number, name in enumerate(sorted(filled(f"p{n}", 32).hex() for n in range(3)))
)
_CONDEMNED: Final = Condemned(
    {
        DomainId(PROJECT, DOMAIN): _OBJECTS[:2],
        DomainId(PROJECT, bytes(18)): _OBJECTS[2:],
    }
)


def shown_act(act: SweepAct) -> dict[str, Any]:
    """Return what a sweep record says, for the file."""
    match act:
        case Condemned():
            return {
                "condemned": [[o.key, o.version_id, o.size_bytes] for o in act.all()]
            }
        case Decided(of=of, rescued=rescued):
            return {"of": of, "rescued": list(rescued)}
        case Removed(of=of):
            return {"of": of}


def sweep_records() -> list[Case]:
    """Return cases of sweep records' bodies."""
    acts: dict[str, SweepAct] = {
        "CONDEMN": _CONDEMNED,
        "CONDEMN of nothing": Condemned({}),
        "DECIDE": Decided(4, (0, 2)),
        "DECIDE that rescues nothing": Decided(4, ()),
        "REMOVED": Removed(4),
    }
    prev = filled("before", 32)
    bodies = {
        name: sweep_format.format_record(SweepRecord(_INFO, act), prev=prev)
        for name, act in acts.items()
    }
    condemn, decide, removed = (
        bodies[kind] for kind in ("CONDEMN", "DECIDE", "REMOVED")
    )
    domains = condemn["domains"]
    first = domains[0]["objects"][0]
    bad = {
        "behind another record": condemn | {"prev": filled("x", 32).hex()},
        "an unknown kind": removed | {"kind": "DELETE"},
        "a field too many": removed | {"more": 1},
        "a field of another kind": removed | {"rescued": []},
        "a number that is a text": removed | {"of": "4"},
        "a negative number": removed | {"of": -1},
        "a place that is no number": decide | {"rescued": [True]},
        "domains out of order": condemn | {"domains": domains[::-1]},
        "a domain that comes twice": condemn | {"domains": [domains[0]] * 2},
        "a domain of nothing": changed(condemn, "domains", 0, "objects", value=[]),
        "an object that comes twice": changed(
            condemn, "domains", 0, "objects", value=[first, first]
        ),
        "an object that no sweep may take": changed(
            condemn, "domains", 0, "objects", 0, 0, value="journals/a/b/0"
        ),
        "an object without its version": changed(
            condemn, "domains", 0, "objects", 0, value=first[:1]
        ),
        "a negative size": changed(condemn, "domains", 0, "objects", 0, 2, value=-1),
        "a domain's id cut short": changed(condemn, "domains", 0, "domain", value="aa"),
        "a format that is none": condemn | {"format": 0},
    }
    fields = {"prev": prev.hex()}
    return [
        *[
            make_case(name, {**fields, "body": bodies[name], "result": shown_act(act)})
            for name, act in acts.items()
        ],
        *[
            make_case(name, {**fields, "body": item}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "a later format",
            {**fields, "body": condemn | {"format": 2}},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def sweep_logs() -> list[Case]:
    """Return cases of sweep records in a row, told by their canonical bodies.

    In the files each record names SHA-256 of the canonical JSON of the body before
    it; in a store it is that of the sealed bytes.
    """
    condemned, decided = _CONDEMNED, Decided(0, (1,))
    keys = [item.key for item in _CONDEMNED.all()]
    good: dict[str, tuple[list[SweepAct], object]] = {
        "nothing is decided": ([condemned], {"0": keys}),
        "one is rescued": ([condemned, decided], {"0": [keys[0], keys[2]]}),
        "all is gone": ([condemned, decided, Removed(0)], {}),
        "two at once": (
            [condemned, condemned, Decided(1, (0, 1, 2)), decided],
            {"0": [keys[0], keys[2]], "1": []},
        ),
        "no record": ([], {}),
    }
    bad: dict[str, list[SweepAct]] = {
        "a decision about nothing": [decided],
        "a decision about a decision": [condemned, decided, Decided(1, ())],
        "a second decision": [condemned, decided, decided],
        "a place that is not in the list": [condemned, Decided(0, (3,))],
        "places out of order": [condemned, Decided(0, (1, 0))],
        "a place that comes twice": [condemned, Decided(0, (1, 1))],
        "gone before it was decided": [condemned, Removed(0)],
        "gone twice": [condemned, decided, Removed(0), Removed(0)],
    }
    skipped = _log([condemned, decided, Removed(0)])
    return [
        *[
            make_case(name, {"bodies": _log(acts), "result": result})
            for name, (acts, result) in good.items()
        ],
        *[
            make_case(name, {"bodies": _log(acts)}, "RECORD_CORRUPT")
            for name, acts in bad.items()
        ],
        make_case(
            "a record is missing",
            {"bodies": [skipped[0], skipped[2]]},
            "RECORD_CORRUPT",
        ),
        make_case("the first is missing", {"bodies": skipped[1:]}, "RECORD_CORRUPT"),
    ]


def _log(acts: list[SweepAct]) -> list[Case]:
    bodies: list[Case] = []
    prev = GENESIS
    for act in acts:
        bodies.append(sweep_format.format_record(SweepRecord(_INFO, act), prev=prev))
        prev = sweep_format.record_digest(canonical.encode(bodies[-1]))
    return bodies


def shown_plan(plan: SweepPlan) -> dict[str, Any]:
    """Return what a plan says, for the file."""
    return {
        "condemned": shown_act(plan.condemned)["condemned"],
        "due": [[item.number, item.count, item.size_bytes] for item in plan.due],
        "epoch": plan.epoch,
        "made": plan.made_s,
        "notes": list(plan.notes),
        "purge": [[item.artifact.short, item.version] for item in plan.purge],
        "trash": [[item.artifact.short, item.version] for item in plan.trash],
    }


def sweep_plans() -> list[Case]:
    """Return cases of sweep plans."""
    plan = SweepPlan(
        STORE,
        epoch=7,
        made_s=1_790_000_000,
        trash=(PlannedVersion(ARTIFACT, 1, "retention: keeps the last 2"),),
        purge=(PlannedVersion(ArtifactName("demo", "other"), 3, '"mac":"' + "0" * 64),),
        condemned=_CONDEMNED,
        due=(DueSweep(4, 2, 2001),),
        notes=("ü",),
    )
    empty = SweepPlan(STORE, epoch=0, made_s=0)
    data = format_plan(plan, keys_of())
    body = canonical.decode_object(data, 100_000)
    stranger = format_plan(plan, replace(keys_of(), master=filled("other", 32)))
    there = replace(plan, store=filled("other", 16))
    elsewhere = format_plan(there, keys_of())
    bad: dict[str, tuple[bytes, str]] = {
        "a number changed": (data.replace(b":7,", b":8,", 1), "ARGUMENT_INVALID"),
        "a digit of the MAC": (
            canonical.encode(body | {"mac": "0" * 64}),
            "ARGUMENT_INVALID",
        ),
        "no MAC": (
            canonical.encode({key: body[key] for key in body if key != "mac"}),
            "ARGUMENT_INVALID",
        ),
        "another key's MAC": (stranger, "ARGUMENT_INVALID"),
        "white space": (data + b"\n", "ARGUMENT_INVALID"),
        "cut short": (data[:-1], "ARGUMENT_INVALID"),
        "nothing": (b"", "ARGUMENT_INVALID"),
        "another store's": (elsewhere, "PLAN_STALE"),
        "a later format": (
            data.replace(b'"format":1,"mac"', b'"format":2,"mac"'),
            "FORMAT_UNSUPPORTED",
        ),
    }
    scope = {"scope": scope_fields(SCOPE)}
    return [
        make_case(
            "a plan", {**scope, "plan": data.decode(), "result": shown_plan(plan)}
        ),
        make_case(
            "nothing to do",
            {
                **scope,
                "plan": format_plan(empty, keys_of()).decode(),
                "result": shown_plan(empty),
            },
        ),
        *[
            make_case(name, {**scope, "plan": item.decode()}, error)
            for name, (item, error) in bad.items()
        ],
    ]
