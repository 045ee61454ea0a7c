# SPDX-License-Identifier: Apache-2.0
"""Sweep records and plans: they read back, follow each other, and cannot be altered."""

import contextlib
import json
import re
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import canonical
from strongroom_server.core.scope import store_scope
from strongroom_server.core.sweep import (
    MAX_OBJECTS,
    Condemned,
    Decided,
    DomainId,
    Removed,
    SweepAct,
    SweepFold,
    SweepInfo,
    SweepLog,
    SweepRecord,
    SweptObject,
    doomed_of,
    fit_record,
    format_record,
    pack_of,
    parse_record,
)
from strongroom_server.core.sweep_plan import (
    DueSweep,
    PlannedVersion,
    SweepPlan,
    format_plan,
    parse_plan,
)
from tests.support.properties import QUICK
from tests.support.samples import ARTIFACT, DOMAIN, PROJECT, STORE, filled, keys_of

HERE = DomainId(PROJECT, DOMAIN)
THERE = DomainId(PROJECT, filled("other", 18))
INFO = SweepInfo("spiffe://test/ns/a/sa/b/job/c", "plan/1", "0" * 32, "log-1")


def swept(number: int) -> SweptObject:
    name = filled(f"pack {number}", 32).hex()
    return SweptObject(f"packs/{name[:2]}/{name}", f"v{number}", 100 + number)


FEW = tuple(sorted(swept(number) for number in range(3)))
CONDEMNED = Condemned({HERE: FEW, THERE: (swept(9),)})
ACTS: list[SweepAct] = [CONDEMNED, Decided(0, (0, 2)), Removed(0)]


def log_of(*acts: SweepAct) -> SweepLog:
    log = SweepLog()
    for number, act in enumerate(acts):
        log = log.add(SweepRecord(INFO, act), filled(f"record {number}", 32), 5.0)
    return log


@pytest.mark.parametrize("act", ACTS)
def test_a_record_reads_back(act: SweepAct) -> None:
    record, prev = SweepRecord(INFO, act), filled("prev", 32)
    body = format_record(record, prev=prev)

    stored = canonical.decode_object(canonical.encode(body), 10_000)

    assert parse_record(stored, prev=prev) == record
    with pytest.raises(IntegrityError):
        parse_record(stored, prev=filled("another", 32))


BODIES = [format_record(SweepRecord(INFO, act), prev=bytes(32)) for act in ACTS]
ODD = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3)
    | st.lists(st.integers(-1, 3), max_size=2)
)  # fmt: skip


@QUICK
@given(st.sampled_from(BODIES), st.data())
def test_a_record_with_another_field_parses_or_is_refused(
    body: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(body)))
    value = data.draw(ODD | st.dictionaries(st.text(max_size=3), ODD, max_size=1))

    with contextlib.suppress(IntegrityError):
        parse_record(body | {field: value}, prev=bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        {"objects": []},
        {"objects": [["journals/a/b/0", "v1", 1]]},
        {"objects": [["strongroom.json", "v1", 1]]},
        {"objects": [["keys/a/0.0", "v1", 1]]},
        {"objects": [["repairs/objects/packs/aa/aa/1", "v1", 1]]},
        {"objects": [["packs/aa/aa", "v1", -1]]},
        {"objects": [["packs/aa/aa", "v1", True]]},
        {"objects": [["packs/aa/aa", 1, 1]]},
        {"objects": [["packs/aa/aa", "v1"]]},
        {"objects": [["packs/aa/b", "v1", 1], ["packs/aa/a", "v1", 1]]},
        {"domain": "a"},
        {"more": 1},
    ],
)
def test_a_record_that_condemns_oddly_is_refused(change: dict[str, object]) -> None:
    body = json.loads(json.dumps(BODIES[0]))
    body["domains"][0] |= change

    with pytest.raises(IntegrityError) as caught:
        parse_record(body, prev=bytes(32))

    assert caught.value.reason is Reason.RECORD_CORRUPT


@pytest.mark.parametrize(
    "acts",
    [
        [Decided(0, ())],
        [Removed(0)],
        [CONDEMNED, Removed(0)],
        [CONDEMNED, Decided(1, ())],
        [CONDEMNED, Decided(0, (4,))],
        [CONDEMNED, Decided(0, (2, 1))],
        [CONDEMNED, Decided(0, ()), Decided(0, ())],
        [CONDEMNED, Decided(0, ()), Removed(0), Removed(0)],
        [CONDEMNED, Decided(0, ()), Decided(1, ())],
    ],
)
def test_a_record_that_cannot_come_next_is_refused(acts: list[SweepAct]) -> None:
    log_of(*acts[:-1])

    with pytest.raises(IntegrityError):
        log_of(*acts)


def test_a_log_knows_what_is_condemned() -> None:
    pending = log_of(CONDEMNED)
    decided = log_of(CONDEMNED, Decided(0, (0, 2)))
    done = log_of(CONDEMNED, Decided(0, (0, 2)), Removed(0))

    everything = CONDEMNED.all()
    assert pending.open[0].doomed() == everything
    assert decided.open[0].doomed() == [everything[1], everything[3]]
    assert (done.open, done.count, done.last_closed) == ({}, 3, 0)
    assert pending.open[0].epoch == 1


def test_what_was_condemned_since_counts_even_if_it_is_gone() -> None:
    acts = dict(enumerate(ACTS))

    assert doomed_of(acts) == log_of(*ACTS[:2]).open[0].doomed()


def test_a_record_takes_only_so_many_objects() -> None:
    objects = ((HERE, replace(FEW[0], version_id=f"{at}")) for at in range(50_010))

    condemned, left_out = fit_record(objects)

    assert (len(condemned.all()), left_out) == (MAX_OBJECTS, 10)
    long = ((HERE, replace(FEW[0], version_id="v" * 1000)) for _ in range(20_000))
    assert fit_record(long)[1] > 0


@pytest.mark.parametrize(
    ("key", "pack"),
    [(swept(1).key, swept(1).key[9:]), ("manifests/aa/aa", ""), ("packs/aa/aa", "")],
)
def test_a_pack_is_told_by_its_key(key: str, pack: str) -> None:
    assert pack_of(key) == pack


KEYS = keys_of(store_scope(STORE))
PLAN = SweepPlan(
    STORE,
    3,
    1_800_000_000,
    (PlannedVersion(ARTIFACT, 2, "retention: old"),),
    (PlannedVersion(ARTIFACT, 1, "over"),),
    CONDEMNED,
    (DueSweep(0, 4, 400),),
    ("a note",),
)


def test_a_plan_reads_back_and_says_what_it_would_do() -> None:
    assert parse_plan(format_plan(PLAN, KEYS), KEYS) == PLAN
    summary = PLAN.summary
    assert (summary.trashed_count, summary.purged_count) == (1, 1)
    assert (summary.condemned_count, summary.removed_count) == (4, 4)
    assert summary.condemned_bytes == sum(item.size_bytes for item in CONDEMNED.all())


@QUICK
@given(st.data())
def test_a_plan_with_any_other_byte_is_refused(data: st.DataObject) -> None:
    stored = format_plan(PLAN, KEYS)
    at = data.draw(st.integers(0, len(stored) - 1))
    changed = bytes([stored[at] ^ data.draw(st.integers(1, 255))])

    with pytest.raises((InvalidArgumentError, PreconditionError)):
        parse_plan(stored[:at] + changed + stored[at + 1 :], KEYS)


def test_a_plan_of_another_store_or_release_is_refused() -> None:
    elsewhere = filled("elsewhere", 16)
    other = format_plan(replace(PLAN, store=elsewhere), keys_of(store_scope(elsewhere)))
    newer = json.loads(format_plan(PLAN, KEYS)) | {"format": 2}

    with pytest.raises(PreconditionError) as stale:
        parse_plan(other, KEYS)
    with pytest.raises(PreconditionError) as unknown:
        parse_plan(canonical.encode(newer), KEYS)

    assert stale.value.reason is Reason.PLAN_STALE
    assert unknown.value.reason is Reason.FORMAT_UNSUPPORTED


def test_a_plan_is_not_parsed_before_its_mac_is_checked() -> None:
    """Nothing that a stranger wrote may take many times its size of memory."""
    genuine = format_plan(PLAN, KEYS)
    stuffing = b"[]" + b",[]" * 200_000
    forged = genuine.replace(b'"notes":[', b'"notes":[' + stuffing + b",")

    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgumentError):
            parse_plan(forged, KEYS)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 3 * len(forged)


def test_a_plan_whose_mac_stands_elsewhere_is_refused() -> None:
    genuine = format_plan(PLAN, KEYS)
    mac = re.findall(rb'"mac":"[0-9a-f]{64}",', genuine)[0]
    rest = genuine.replace(mac, b"")

    for at in [match.start() for match in re.finditer(rb'["\[]', rest)]:
        moved = rest[:at] + mac + rest[at:]
        if moved != genuine:
            with pytest.raises(InvalidArgumentError):
                parse_plan(moved, KEYS)
    for twice in (mac + mac, mac[:-1] + b", "):
        with pytest.raises(InvalidArgumentError):
            parse_plan(genuine.replace(mac, twice), KEYS)


def test_what_a_plan_says_may_look_like_its_mac() -> None:
    odd = replace(PLAN, notes=(f'"format":1,"mac":"{"0" * 64}","store":"x"',))

    assert parse_plan(format_plan(odd, KEYS), KEYS) == odd


def test_many_records_are_taken_in_without_copying_what_is_known() -> None:
    fold = SweepFold(SweepLog())
    known = fold.log().requests
    for number in range(3_000):
        acts: list[SweepAct] = [
            CONDEMNED,
            Decided(number - 1, ()),
            Removed(number - 2),
        ]
        info = replace(INFO, request_id=f"plan/{number}")
        fold.add(
            SweepRecord(info, acts[number % 3]), filled(f"record {number}", 32), 5.0
        )

    log = fold.log()

    assert (log.count, len(log.requests), log.open) == (3_000, 3_000, {})
    assert log.last_closed == 2_997
    assert known == frozenset()


def test_a_record_that_is_refused_changes_nothing() -> None:
    fold = SweepFold(log_of(CONDEMNED))
    before = fold.log()

    for act in (Removed(0), Decided(0, (4,)), Decided(1, ()), Removed(7)):
        with pytest.raises(IntegrityError):
            fold.add(SweepRecord(INFO, act), filled("odd", 32), 5.0)

    assert fold.log() == before


def test_a_record_of_a_newer_release_is_no_damage() -> None:
    for body in BODIES:
        with pytest.raises(PreconditionError) as caught:
            parse_record({**body, "format": 2, "more": 1}, prev=bytes(32))
        assert caught.value.reason is Reason.FORMAT_UNSUPPORTED
        for odd in (0, True, "2", None):
            with pytest.raises(IntegrityError):
                parse_record({**body, "format": odd}, prev=bytes(32))
