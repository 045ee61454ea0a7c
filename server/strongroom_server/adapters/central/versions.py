# SPDX-License-Identifier: Apache-2.0
"""Versions in central's messages; and what does not fit together there."""

from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import InternalError
from strongroom.format.names import parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.adapters.central.lineages import lineage_of
from strongroom_server.core.records import VersionRecord, VersionState

_STATES: Final = {
    pb.VERSION_STATE_LIVE: VersionState.LIVE,
    pb.VERSION_STATE_DELETED: VersionState.DELETED,
    pb.VERSION_STATE_PURGED: VersionState.PURGED,
}


def version_of(version: pb.Version) -> VersionRecord:
    """Return the version that central tells of.

    Raises:
        InternalError: It is not named by its number.
    """
    name = parse_version_name(version.name)
    if name.selector != str(version.number):
        raise malformed("a version is not named by its number")
    return VersionRecord(
        name.artifact,
        version.number,
        version.digest,
        time_of(version.create_time),
        version.creator,
        version.file_count,
        version.size_bytes,
        version.stored_bytes,
        version.message,
        dict(version.metadata),
        version.trace_id,
        tuple(version.refs),
        _STATES.get(version.state, VersionState.LIVE),
        version.held,
        time_of(version.purge_time) if version.HasField("purge_time") else None,
        tuple(version.digested_by),
        lineage_of(version.lineage),
    )


def time_of(message: Any) -> datetime:  # noqa: ANN401 - a Timestamp
    """Return a moment of central's."""
    time: datetime = message.ToDatetime(tzinfo=UTC)
    return time


def malformed(problem: str) -> InternalError:
    """Return the error for an answer that no central of ours gives."""
    return InternalError(
        f"{problem}: central is not of a version that this sidecar knows",
        hint="Bring both to the same release.",
    )
