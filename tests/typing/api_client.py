# SPDX-License-Identifier: Apache-2.0
"""Calls of the SDK as users write them, and such as must be refused."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import strongroom
from strongroom import (
    Artifact,
    ArtifactPolicy,
    Client,
    Diff,
    File,
    IndexReport,
    JournalEntry,
    Kind,
    ObjectExplanation,
    Progress,
    PullResult,
    PushResult,
    Ref,
    RepairReport,
    Retention,
    RollbackPreview,
    ServerInfo,
    Stage,
    StoreVerifyReport,
    StrongroomFile,
    SweepPlan,
    SweepSummary,
    VerifyReport,
    Version,
    VersionReaders,
)


def show(progress: Progress) -> None:
    """Print how far a transfer has come."""
    print(progress.done_bytes, progress.total_bytes)  # noqa: T201 - as users do


def use(client: Client) -> None:
    """Make every call that a README may show."""
    assert_type(client.push("model/", "demo/minilm"), PushResult)
    client.push(
        Path("model"),
        "demo/minilm",
        kind=Kind.WEIGHTS,
        message="first",
        metadata={"run": "7"},
        progress=show,
    )
    client.push("model/", "demo/minilm", kind="weights")
    assert_type(client.pull("demo/minilm@prod", Path("out"), progress=show), PullResult)
    assert_type(client.open("demo/minilm/config.json"), StrongroomFile)
    assert_type(client.read_bytes("demo/minilm/config.json"), bytes)
    assert_type(client.read_into("demo/minilm/w", bytearray(10), 5), int)
    assert_type(client.read_into("demo/minilm/w", memoryview(bytearray(10))), int)
    assert_type(client.show("demo/minilm@3"), Version)
    assert_type(client.list_files("demo/minilm"), Iterator[File])
    assert_type(client.list_artifacts("demo"), Iterator[Artifact])
    assert_type(client.diff("demo/minilm@1", "@2"), Diff)
    assert_type(client.move_ref("demo/minilm", "prod", 3, reason="good"), Ref)
    assert_type(client.rollback("demo/minilm", "prod", to="3"), Ref)
    assert_type(client.preview_rollback("demo/minilm", "prod"), RollbackPreview)
    assert_type(client.ref_log("demo/minilm", "prod"), Iterator[JournalEntry])
    assert_type(client.list_readers("demo/minilm@3"), VersionReaders)
    assert_type(client.verify("demo/minilm"), VerifyReport)
    assert_type(client.server_info(), ServerInfo)
    with client.open("demo/minilm/archive.zip") as file:
        reader: io.BufferedIOBase = file
        zipfile.ZipFile(file).namelist()
        reader.read(10)


def show_stage(stage: Stage) -> None:
    """Print how far a long work has come."""
    print(stage.name, stage.done, stage.total)  # noqa: T201 - as users do


def look_after(client: Client) -> None:
    """Make the calls of those who look after a store."""
    assert_type(client.delete("demo/minilm@1", reason="old"), Version)
    assert_type(client.undelete("demo/minilm@1"), Version)
    assert_type(client.set_hold("demo/minilm", hold=True), Artifact)
    policy = ArtifactPolicy(keep_last=3, codec="raw")
    assert_type(client.set_policy("demo/minilm", policy), Artifact)
    assert_type(client.explain("demo/minilm"), Retention)
    plan = client.plan_sweep(progress=show_stage)
    assert_type(plan, SweepPlan)
    assert_type(client.explain_object("packs/ab/abcd"), ObjectExplanation)
    assert_type(client.apply_sweep(plan, reason="weekly"), SweepSummary)
    client.apply_sweep(plan.content)
    report = client.verify_store(max_bytes_per_second=1 << 20, progress=show_stage)
    assert_type(report, StoreVerifyReport)
    assert_type(client.repair("demo/minilm@1", Path("model")), RepairReport)
    assert_type(client.rebuild_index(progress=show_stage), IndexReport)


with strongroom.connect() as connected:
    use(connected)
    look_after(connected)
with strongroom.connect("host:1", ca_file="ca", cert_file=Path("c"), key_file="k"):
    pass


def refuse(client: Client, version: Version) -> None:
    """Make calls that must not type-check."""
    client.push("model/")  # type: ignore[call-arg]
    client.push("model/", "demo/minilm", Kind.WEIGHTS)  # type: ignore[call-arg]
    client.push("model/", "demo/minilm", progress=len)  # type: ignore[arg-type]
    client.push(b"model/", "demo/minilm")  # type: ignore[arg-type]
    client.pull("demo/minilm")  # type: ignore[call-arg]
    client.read_into("demo/minilm/w", b"read-only")  # type: ignore[arg-type]
    client.move_ref("demo/minilm", "prod")  # type: ignore[call-arg]
    client.move_ref("demo/minilm", "prod", 3.0)  # type: ignore[arg-type]
    client.rollback("demo/minilm", "prod", "3")  # type: ignore[call-arg]
    client.set_hold("demo/minilm")  # type: ignore[call-arg]
    client.set_hold("demo/minilm", hold="yes")  # type: ignore[arg-type]
    client.set_policy("demo/minilm", keep_last=3)  # type: ignore[call-arg]
    client.apply_sweep("plan.json")  # type: ignore[arg-type]
    client.rebuild_index(progress=show)  # type: ignore[arg-type]
    version.number = 4  # type: ignore[misc]
    strongroom.connect(timeout=3)  # type: ignore[call-arg]
    strongroom.nothing  # type: ignore[attr-defined]  # noqa: B018 - that is the point
