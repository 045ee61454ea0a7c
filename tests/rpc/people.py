# SPDX-License-Identifier: Apache-2.0
"""People who call the servers of tests, and what they may do there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.core.assignments import parse_assignments
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN
from tests.rpc.running import ARTIFACT, Running, running_server

ALICE: Final = "operator:alice"
WORKSTATION: Final = f"spiffe://{TRUST_DOMAIN}/ns/office/sa/workstation/job/7"
PROD: Final = f"{ARTIFACT}/refs/prod"
STAGING: Final = f"{ARTIFACT}/refs/staging"
MOVE_REF: Final = "/strongroom.v1.ArtifactService/MoveRef"

#: What a caller sends beside a request.
Metadata = tuple[tuple[str, str | bytes], ...]

#: A site's own rules: nobody moves `prod` alone, or pushes where nobody should.
GUARDED: Final = "projects/demo/artifacts/guarded"
PROTECTED: Final = f"""
@id("protected-pushes")
forbid (principal, action == Action::"version.write", resource == Artifact::"{GUARDED}")
unless {{ context.approvals >= 1 }};

@id("protected-prod")
forbid (principal, action == Action::"ref.move", resource == Ref::"{PROD}")
unless {{ context.approvals >= 1 }};
"""
ASSIGNMENTS: Final[list[dict[str, Any]]] = [
    {
        "id": "alice",
        "principal": ALICE,
        "roles": ["operator"],
        "resources": ["projects/demo/*", "server"],
    },
    {
        "id": "erin",
        "principal": "operator:erin",
        "roles": ["operator"],
        "resources": ["projects/demo/*"],
    },
    {
        "id": "everybody",
        "principal": "operator:*",
        "roles": ["reader"],
        "resources": ["projects/demo/*"],
    },
    {
        "id": "developers",
        "principal": DEVELOPER,
        "roles": ["writer", "operator"],
        "resources": ["projects/*", "server"],
    },
]
AUTHORIZER: Final = CedarAuthorizer(
    {**shipped_policies(), "own.cedar": PROTECTED},
    parse_assignments({"assignments": ASSIGNMENTS}),
)


@contextmanager
def office(**options: Any) -> Iterator[Running]:  # noqa: ANN401 (of running_server)
    """Serve people by the shipped policies, and one of the site's own."""
    with running_server(authorizer=AUTHORIZER, **options) as server:
        yield server


def bearing(*tokens: str, **more: str) -> Metadata:
    """Return the metadata of a call that shows logins, and more; `_` stands for `-`."""
    shown = [("authorization", f"Bearer {token}") for token in tokens]
    shown += [(key.replace("_", "-"), value) for key, value in more.items()]
    return tuple(shown)


def getting(server: Running, metadata: Metadata) -> Callable[[], object]:
    """Return what reads an artifact's description from the workstation."""

    def get() -> object:
        with server.artifacts(server.authority.issue(WORKSTATION)) as stub:
            request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
            return stub.GetArtifact(request, timeout=10, metadata=metadata)

    return get


def moving(
    server: Running,
    metadata: Metadata,
    *,
    ref: str = STAGING,
    certificate: str = WORKSTATION,
) -> Callable[[], object]:
    """Return what moves a ref from the workstation."""

    def move() -> object:
        with server.artifacts(server.authority.issue(certificate)) as stub:
            return stub.MoveRef(move_request(ref), timeout=10, metadata=metadata)

    return move


def move_request(ref: str) -> artifact_pb.MoveRefRequest:
    """Return the request of `moving`."""
    return artifact_pb.MoveRefRequest(name=ref, version="2")
