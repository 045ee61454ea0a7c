# SPDX-License-Identifier: Apache-2.0
"""Clients that delete, undelete, hold, set policies, and sweep."""

from collections.abc import Callable
from typing import Final

from strongroom.errors import Reason, StrongroomError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.sweep_plan import SweepPlan, SweepSummary
from tests.simulation.clients import ABSENT, ARTIFACTS, CALLER, HOUR_S, Client, Lost
from tests.simulation.machine import Engine
from tests.simulation.model import Change, must
from tests.simulation.ports import request_id
from tests.simulation.timeline import State

_CODECS: Final = ("raw", "compact", "delta")


def let_go(client: Client) -> None:
    """Let the second version go, and soon."""
    change_policy(client, ARTIFACTS[0], ArtifactPolicy(0, 0, 1, "compact"))
    delete_one(client, VersionName(ARTIFACTS[0], "2"))


def delete(client: Client) -> None:
    """Put a version into the trash."""
    version = _any_version(client)
    if version is not None:
        delete_one(client, version)


def delete_one(client: Client, version: VersionName) -> None:
    """Put this version into the trash."""
    change = Change(
        "DELETE", version.artifact, request_id(client.random), client.now,
        (int(version.selector),),
    )  # fmt: skip
    number = int(version.selector)

    def is_refused(state: State, reason: Reason) -> bool:
        if reason is Reason.LEGAL_HOLD:
            return state.is_held(number)
        if reason is Reason.VERSION_IN_USE:
            return any(moves[-1] == number for _, moves in state.refs)
        return state.find(version.selector)[1] is reason

    _change(
        client,
        change,
        lambda engine: engine.retention.delete(
            version, reason="", request_id=change.request_id, caller=CALLER
        ),
        (Reason.LEGAL_HOLD, Reason.VERSION_IN_USE, Reason.VERSION_DELETED,
         Reason.VERSION_PURGED),
        is_refused,
    )  # fmt: skip


def undelete(client: Client) -> None:
    """Take a version out of the trash."""
    version = _any_version(client)
    if version is None:
        return
    number = int(version.selector)
    change = Change(
        "UNDELETE", version.artifact, request_id(client.random), client.now, (number,)
    )
    change.is_done = lambda state: number in state.live()
    _change(
        client,
        change,
        lambda engine: engine.retention.undelete(
            version, reason="", request_id=change.request_id, caller=CALLER
        ),
        (Reason.VERSION_PURGED,),
        lambda state, _: number in state.purged,
    )


def hold(client: Client) -> None:
    """Set or lift a hold on a version, or on its artifact."""
    version = _any_version(client)
    if version is None:
        return
    whole = client.chance(0.3)
    number, wanted = 0 if whole else int(version.selector), client.chance(0.4)
    change = Change(
        "RETAIN", version.artifact, request_id(client.random), client.now,
        (number, wanted),
    )  # fmt: skip
    change.is_done = lambda state: (number in state.held) == wanted
    _change(
        client,
        change,
        lambda engine: engine.retention.hold(
            version.artifact if whole else version,
            hold=wanted,
            reason="",
            request_id=change.request_id,
            caller=CALLER,
        ),
        (Reason.VERSION_PURGED,),
        lambda state, _: number in state.purged,
    )


def set_policy(client: Client) -> None:
    """Set how an artifact is kept."""
    version = _any_version(client)
    if version is None:
        return
    draw = client.random.random
    policy = ArtifactPolicy(
        keep_last=int(draw() * 3),
        keep_days=int(draw() * 2),
        trash_days=int(draw() * 3),
        codec=_CODECS[int(draw() * len(_CODECS))],
    )
    change_policy(client, version.artifact, policy)


def change_policy(
    client: Client, artifact: ArtifactName, policy: ArtifactPolicy
) -> None:
    """Set this policy."""
    change = Change(
        "POLICY", artifact, request_id(client.random), client.now, (policy,)
    )
    change.is_done = lambda state: state.policy == policy
    _change(
        client,
        change,
        lambda engine: engine.retention.set_policy(
            artifact,
            policy,
            reason="",
            request_id=change.request_id,
            caller=CALLER,
        ),
        (),
        lambda *_: False,
    )


def sweep(client: Client) -> None:
    """Plan a sweep and apply the plan, and again when the grace is over."""
    for _ in range(3 if client.chance(0.3) else 2):
        wanted = request_id(client.random)
        plan = client.ask(_plan)
        if isinstance(plan, Lost):
            continue
        data = plan
        if client.is_slow and client.chance(0.2):
            client.machines.scheduler.sleep(6 * HOUR_S * client.random.random())
        done = client.ask(
            lambda engine, data=data, wanted=wanted: _apply(engine, data, wanted),  # type: ignore[misc]
            (Reason.PLAN_STALE,),
        )
        if isinstance(done, SweepSummary):
            calls = client.machines.calls
            calls["versions trashed"] += done.trashed_count
            calls["versions purged"] += done.purged_count
            calls["objects condemned"] += done.condemned_count
            calls["objects removed"] += done.removed_count
        client.machines.scheduler.sleep((20 + 20 * client.random.random()) * HOUR_S)


def _plan(engine: Engine) -> bytes:
    plan: SweepPlan | None = None
    for item in engine.sweeping.plan():
        if isinstance(item, SweepPlan):
            plan = item
    must(plan is not None, "a sweep ended without a plan")
    assert plan is not None
    return engine.sweeping.encode(plan)


def _apply(engine: Engine, data: bytes, wanted: str) -> SweepSummary:
    summary: SweepSummary | None = None
    for item in engine.sweeping.apply(
        data, reason="", request_id=wanted, caller=CALLER
    ):
        if isinstance(item, SweepSummary):
            summary = item
    must(summary is not None, "a sweep ended without a summary")
    assert summary is not None
    return summary


def _any_version(client: Client) -> VersionName | None:
    artifact = client.artifact()
    newest = client.model.newest(artifact)
    if not newest:
        return None
    return VersionName(artifact, str(1 + int(client.random.random() * newest)))


def _change(
    client: Client,
    change: Change,
    send: Callable[[Engine], object],
    allowed: tuple[Reason, ...],
    is_refused: Callable[[State, Reason], bool],
) -> None:
    client.model.changing(change)
    done = client.ask(send, (*ABSENT, *allowed))
    if not isinstance(done, Lost):
        change.ended = client.now
    elif isinstance(done.error, StrongroomError):
        reason = done.error.reason
        must(reason not in ABSENT, f"{change.action}: {done.error}")
        client.model.observed(
            change.artifact,
            f"{change.action} {change.wanted} was refused, {reason}",
            lambda state: is_refused(state, reason),
            change.began,
            client.now,
        )
