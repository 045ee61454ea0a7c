# SPDX-License-Identifier: Apache-2.0
"""Lineage over real mTLS: what writers may say, and who is told of it."""

import uuid
from collections.abc import Iterator

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.rpc import lineage_calls
from tests.rpc.authority import DEVELOPER
from tests.rpc.running import ARTIFACT
from tests.rpc.serving import Served, Stubs, refused, write, write_requests
from tests.support.access import make_authorizer

DIGEST = "sha256:" + "ab" * 32
PROJECT = "projects/demo/artifacts"


def saying(
    lineage: artifact_pb.Lineage, parent: str = ARTIFACT, *, draft_id: str = ""
) -> Iterator[transfer_pb.WriteVersionRequest]:
    """Yield the requests of a write that says what it was made from."""
    first, *rest = write_requests({"a": uuid.uuid4().bytes}, parent=parent)
    if draft_id:
        first.start.ClearField("message")
        first.start.ClearField("metadata")
        first.start.draft_id = draft_id
    first.start.lineage.CopyFrom(lineage)
    yield first
    yield from rest


def made_from(*versions: artifact_pb.Version, run: str = "run") -> artifact_pb.Lineage:
    inputs = [
        artifact_pb.VersionInput(name=item.name, digest=item.digest)
        for item in versions
    ]
    return artifact_pb.Lineage(run=run, inputs=inputs)


def trace(
    stubs: Stubs, version: artifact_pb.Version, timeout_s: float = 10
) -> artifact_pb.GetLineageResponse:
    request = artifact_pb.GetLineageRequest(name=version.name)
    return stubs.artifacts.GetLineage(request, timeout=timeout_s)


def test_what_a_writer_says_is_told_and_followed(stubs: Stubs) -> None:
    texts = write(stubs, saying(artifact_pb.Lineage(), f"{PROJECT}/texts")).version
    model = write(stubs, saying(made_from(texts), f"{PROJECT}/model")).version

    up, down = trace(stubs, model), trace(stubs, texts)

    assert model.lineage == made_from(texts)
    assert not texts.HasField("lineage")
    assert (up.version, list(up.results), up.incomplete) == (model, [], False)
    [step] = up.sources
    assert (step.name, step.digest, step.distance) == (texts.name, texts.digest, 1)
    assert (step.creator, list(step.via)) == (DEVELOPER, [model.name])
    [step] = down.results
    assert (step.name, step.run) == (model.name, "run")


def test_what_is_too_much_for_one_answer_is_cut_short_on_both_sides(
    stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = artifact_pb.Lineage()
    texts = [
        write(stubs, saying(nothing, f"{PROJECT}/texts{number}")).version
        for number in range(4)
    ]
    base = write(stubs, saying(made_from(*texts), f"{PROJECT}/base")).version
    made = [
        write(stubs, saying(made_from(base), f"{PROJECT}/made")).version
        for _ in range(4)
    ]
    whole = trace(stubs, base)
    assert (len(whole.sources), len(whole.results)) == (4, 4)
    assert not whole.incomplete

    version_bytes = artifact_pb.GetLineageResponse(version=whole.version).ByteSize()
    rest_bytes = whole.ByteSize() - version_bytes
    # Four fifths of it fit: neither side whole, if each has its half.
    limit = version_bytes + rest_bytes * 4 // 5
    monkeypatch.setattr(lineage_calls, "MAX_ANSWER_BYTES", limit)
    cut, one_side = trace(stubs, base), trace(stubs, texts[0])

    assert list(cut.sources) == list(whole.sources)[: len(cut.sources)]
    assert list(cut.results) == list(whole.results)[: len(cut.results)]
    assert len(cut.sources) > 0
    assert len(cut.results) > 0
    assert len(cut.sources) + len(cut.results) < 8
    assert cut.incomplete
    assert cut.ByteSize() <= limit
    assert len(one_side.results) == 1 + len(made)


def test_who_may_not_list_an_artifact_is_told_its_name_at_most(
    served: Served, stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write(stubs, saying(artifact_pb.Lineage(), f"{PROJECT}/texts")).version
    secret = write(stubs, saying(made_from(texts), f"{PROJECT}/secret")).version
    model = write(stubs, saying(made_from(secret), f"{PROJECT}/model")).version
    allowed = ["projects/demo/artifacts/texts", "projects/demo/artifacts/model"]
    some = make_authorizer(
        {"looker": ["version.list"]},
        {
            "principal": DEVELOPER,
            "roles": ["looker"],
            "resources": [f"{name}{below}" for name in allowed for below in ("", "/*")],
        },
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", some)

    [step] = trace(stubs, model).sources

    assert step.name == secret.name
    assert not step.HasField("create_time")
    assert (step.run, step.creator) == ("", "")
    assert list(trace(stubs, texts).results) == []
    failed = refused(trace(stubs, secret) for _ in range(1))
    assert failed.code == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "lineage",
    [
        artifact_pb.Lineage(run="r" * 129),
        artifact_pb.Lineage(more_inputs=-1),
        *(
            artifact_pb.Lineage(
                inputs=[artifact_pb.VersionInput(name=name, digest=digest)] * count
            )
            for name, digest, count in (
                (f"{ARTIFACT}/versions/latest", DIGEST, 1),
                (f"{ARTIFACT}/versions/0", DIGEST, 1),
                ("", DIGEST, 1),
                (f"{ARTIFACT}/versions/1", "", 1),
                (f"{ARTIFACT}/versions/1", DIGEST, 2),
            )
        ),
    ],
)
def test_a_lineage_that_cannot_be_is_refused_before_a_byte_is_taken(
    served: Served, stubs: Stubs, lineage: artifact_pb.Lineage
) -> None:
    failed = refused(stubs.transfers.WriteVersion(saying(lineage), timeout=10))

    assert failed.code == "INVALID_ARGUMENT"
    assert served.world.keys("packs/") == []


def test_a_part_of_a_draft_says_nothing_of_lineage(stubs: Stubs) -> None:
    requests = saying(artifact_pb.Lineage(run="run"), draft_id=str(uuid.uuid4()))

    failed = refused(stubs.transfers.WriteVersion(requests, timeout=10))

    assert failed.code == "INVALID_ARGUMENT"
    assert "lineage" in failed.message


def test_a_commit_of_more_inputs_than_anybody_has_is_not_decoded(stubs: Stubs) -> None:
    inputs = [artifact_pb.VersionInput()] * 10_000
    request = transfer_pb.CommitDraftRequest(
        parent=ARTIFACT,
        draft_id=str(uuid.uuid4()),
        lineage=artifact_pb.Lineage(inputs=inputs),
    )

    failed = refused(stubs.transfers.CommitDraft(request, timeout=10) for _ in range(1))

    assert failed.code == "INVALID_ARGUMENT"
    assert "8192 fields" in failed.message
