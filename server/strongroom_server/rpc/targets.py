# SPDX-License-Identifier: Apache-2.0
"""What a call is about: which resources a request names, for access and audit."""

from collections.abc import Callable
from dataclasses import dataclass

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
    parse_version_name,
)
from strongroom.v1 import (
    grant_service_pb2,
    maintenance_service_pb2,
    transfer_service_pb2,
)
from strongroom_server.core.access import PROJECTS, SERVER
from strongroom_server.core.grant import MAX_WATCHED


@dataclass(frozen=True, slots=True)
class Target:
    """What a call is about.

    Attributes:
        resource: The resource name on which access is decided.
        scope: The artifact, project or `server` by whose keyed id the audit log
            knows it, whatever version or ref was named.
    """

    resource: str
    scope: str


def _text(request: object, field: str) -> str:
    value = getattr(request, field)
    if not isinstance(value, str):
        message = f"{field} is not text"
        raise TypeError(message)
    return value


def of_server(_request: object) -> tuple[Target, ...]:
    """Name the server itself."""
    return (Target(SERVER, SERVER),)


def of_projects(_request: object) -> tuple[Target, ...]:
    """Name all projects."""
    return (Target(PROJECTS, PROJECTS),)


def of_new_project(request: object) -> tuple[Target, ...]:
    """Name a project that is to be made."""
    resource = ProjectName(_text(request, "project_id")).resource
    return (Target(resource, resource),)


def of_project(field: str) -> Callable[[object], tuple[Target, ...]]:
    """Return what names the project in a field."""

    def targets(request: object) -> tuple[Target, ...]:
        resource = parse_project_name(_text(request, field)).resource
        return (Target(resource, resource),)

    return targets


def of_artifact(field: str) -> Callable[[object], tuple[Target, ...]]:
    """Return what names the artifact in a field."""

    def targets(request: object) -> tuple[Target, ...]:
        resource = parse_artifact_name(_text(request, field)).resource
        return (Target(resource, resource),)

    return targets


def of_versions(*fields: str) -> Callable[[object], tuple[Target, ...]]:
    """Return what names the versions in fields."""

    def targets(request: object) -> tuple[Target, ...]:
        names = [parse_version_name(_text(request, field)) for field in fields]
        return tuple(Target(name.resource, name.artifact.resource) for name in names)

    return targets


def of_ref(request: object) -> tuple[Target, ...]:
    """Name a ref."""
    name = parse_ref_name(_text(request, "name"))
    return (Target(name.resource, name.artifact.resource),)


def names_a_version(resource: str) -> bool:
    """Tell whether a resource name is meant as a version's, not an artifact's.

    By its place, for a project may be called `versions`, too.
    """
    return "/versions/" in "/".join(resource.split("/")[3:])


def of_artifact_or_version(request: object) -> tuple[Target, ...]:
    """Name an artifact, or a version of it."""
    is_version = names_a_version(_text(request, "name"))
    return (of_versions("name") if is_version else of_artifact("name"))(request)


def of_number(request: object) -> tuple[Target, ...]:
    """Name a version that is changed for good: not by what moves meanwhile."""
    version = parse_version_name(_text(request, "name"))
    if not version.selector.isdecimal():
        message = f"the version {version.short} is not named by its number"
        raise InvalidArgumentError(
            message, hint="See `strongroom log` for the numbers.", name=version.short
        )
    return of_versions("name")(request)


def of_artifact_or_number(request: object) -> tuple[Target, ...]:
    """Name an artifact, or a version of it by its number."""
    is_version = names_a_version(_text(request, "name"))
    return (of_number if is_version else of_artifact("name"))(request)


def of_project_or_server(request: object) -> tuple[Target, ...]:
    """Name a project, or the server if none is named."""
    return (of_project("name") if _text(request, "name") else of_server)(request)


def of_project_or_artifact(request: object) -> tuple[Target, ...]:
    """Name a project, or an artifact that has a key domain of its own."""
    is_artifact = "/artifacts/" in _text(request, "name")
    return (of_artifact if is_artifact else of_project)("name")(request)


def of_new_artifact(request: object) -> tuple[Target, ...]:
    """Name an artifact that is to be made, or is there."""
    project = parse_project_name(_text(request, "parent")).project
    resource = ArtifactName(project, _text(request, "artifact_id")).resource
    return (Target(resource, resource),)


def of_part_of_store(request: object) -> tuple[Target, ...]:
    """Name an artifact, a project, or the server if neither is named."""
    is_artifact = "/artifacts/" in _text(request, "name")
    return (of_artifact("name") if is_artifact else of_project_or_server)(request)


def of_apply_start(request: object) -> tuple[Target, ...]:
    """Name the server, if the first request starts a sweep."""
    if (
        not isinstance(request, maintenance_service_pb2.ApplySweepRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of ApplySweep must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return of_server(request)


def of_repair_start(request: object) -> tuple[Target, ...]:
    """Name the version that the first request says is repaired."""
    if (
        not isinstance(request, maintenance_service_pb2.RepairVersionRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of RepairVersion must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return of_number(request.start)


def of_write_parent(request: object) -> tuple[Target, ...]:
    """Name the artifact that the first request says is written."""
    if (
        not isinstance(request, transfer_service_pb2.WriteVersionRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of WriteVersion must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return of_artifact("parent")(request.start)


def of_granted_parent(request: object) -> tuple[Target, ...]:
    """Name the artifact that the first request says is written by grant."""
    if (
        not isinstance(request, grant_service_pb2.WriteGrantedRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of WriteGranted must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return of_artifact("parent")(request.start)


def of_files_start(request: object) -> tuple[Target, ...]:
    """Name the version that the first request says is read."""
    if (
        not isinstance(request, transfer_service_pb2.ReadFilesRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of ReadFiles must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return of_versions("name")(request.start)


def of_watched(request: object) -> tuple[Target, ...]:
    """Name the versions that somebody watches: all of them, by number."""
    if not isinstance(request, grant_service_pb2.WatchGrantsRequest):
        message = "not a request of WatchGrants"
        raise TypeError(message)
    if not 1 <= len(request.names) <= MAX_WATCHED:
        message = (
            f"{len(request.names)} versions cannot be watched at once: "
            f"1 to {MAX_WATCHED}"
        )
        raise InvalidArgumentError(message, field="names")
    versions = [parse_version_name(name) for name in request.names]
    return tuple(Target(name.resource, name.artifact.resource) for name in versions)
