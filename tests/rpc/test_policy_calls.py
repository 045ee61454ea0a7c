# SPDX-License-Identifier: Apache-2.0
"""Policies over real mTLS: etags, and who may make an artifact by setting one."""

import uuid
from collections.abc import Iterator

import grpc
import pytest

from strongroom.v1 import artifact_service_pb2 as pb
from tests.rpc.authority import DEVELOPER, TRAINER
from tests.rpc.running import ARTIFACT, Failed
from tests.rpc.serving import FILES, Served, Stubs, refused, write, write_requests
from tests.support.access import make_authorizer

#: Sets policies and writes nothing; and one who writes as well, in one project.
RIGHTS = make_authorizer(
    {
        "owner": ["*"],
        "keeper": ["policy.set", "artifact.get"],
        "writer": ["version.write"],
    },
    {
        "id": "developers",
        "principal": DEVELOPER,
        "roles": ["owner"],
        "resources": ["projects/*", "server"],
    },
    {
        "id": "keepers",
        "principal": TRAINER,
        "roles": ["keeper"],
        "resources": ["projects/*"],
    },
    {
        "id": "writers",
        "principal": TRAINER,
        "roles": ["writer"],
        "resources": ["projects/open/*", "projects/absent/*"],
    },
)


def policy_request(name: str = ARTIFACT, **values: object) -> pb.SetPolicyRequest:
    request = pb.SetPolicyRequest(
        name=name,
        policy=pb.ArtifactPolicy(
            keep_last=2, trash_days=30, codec="raw", cuts="aligned"
        ),
        request_id=str(uuid.uuid4()),
    )
    for key, value in values.items():
        setattr(request, key, value)
    return request


def failure(stubs: Stubs, request: pb.SetPolicyRequest) -> Failed:
    return refused(stubs.artifacts.SetPolicy(request, timeout=10) for _ in range(1))


@pytest.fixture
def keeper(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubs]:
    """Who may set policies everywhere, and write in the project `open` only."""
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", RIGHTS)
    with served.server.channel(served.issue(TRAINER)) as channel:
        yield served.stubs(channel)


def test_a_policy_that_changed_since_is_left_alone(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    get = pb.GetArtifactRequest(name=ARTIFACT)
    seen = stubs.artifacts.GetArtifact(get, timeout=10).policy_etag
    made = stubs.artifacts.SetPolicy(policy_request(etag=seen), timeout=10)

    late = failure(stubs, policy_request(etag=seen))

    assert seen not in {"", made.policy_etag}
    assert (late.code, late.reason) == ("ABORTED", "POLICY_CHANGED")
    assert late.metadata["etag"] == made.policy_etag
    assert "policy show" in late.metadata["hint"]


def test_who_may_write_makes_an_artifact_by_its_policy(
    stubs: Stubs, keeper: Stubs
) -> None:
    create = pb.CreateProjectRequest(project_id="open", request_id="r")
    stubs.artifacts.CreateProject(create, timeout=10)
    request = policy_request(
        "projects/open/artifacts/next",
        kind=pb.ARTIFACT_KIND_WEIGHTS,
        etag='""',
    )

    first = keeper.artifacts.SetPolicy(request, timeout=10)
    again = keeper.artifacts.SetPolicy(request, timeout=10)

    assert first == again
    assert (first.kind, first.latest_version) == (pb.ARTIFACT_KIND_WEIGHTS, 0)
    assert first.policy.keep_last == 2
    write(stubs, write_requests(FILES, parent="projects/open/artifacts/next"))


def test_who_may_not_write_makes_nothing(stubs: Stubs, keeper: Stubs) -> None:
    write(stubs, write_requests(FILES))
    weights = pb.ARTIFACT_KIND_WEIGHTS
    wanted = "projects/demo/artifacts/next"

    denied = failure(keeper, policy_request(wanted, kind=weights))
    no_project = failure(
        keeper, policy_request("projects/absent/artifacts/a", kind=weights)
    )
    not_told = failure(keeper, policy_request(wanted))

    assert (denied.code, denied.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert "version.write" in denied.message
    assert (no_project.code, no_project.reason) == ("NOT_FOUND", "PROJECT_NOT_FOUND")
    assert not_told.reason == "ARTIFACT_NOT_FOUND"
    for name in (wanted, "projects/absent/artifacts/a"):
        with pytest.raises(grpc.RpcError) as caught:
            stubs.artifacts.GetArtifact(pb.GetArtifactRequest(name=name), timeout=10)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_kind_that_nobody_knows_is_refused(stubs: Stubs) -> None:
    failed = failure(stubs, policy_request(kind=99))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
