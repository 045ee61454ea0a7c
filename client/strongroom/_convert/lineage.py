# SPDX-License-Identifier: Apache-2.0
"""Lineage, from messages."""

from strongroom._convert.catalog import answered_version_of, state_of, time_of
from strongroom.format.names import VersionName, parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import Lineage, LineageStep


def lineage_of(message: pb.GetLineageResponse, asked: VersionName) -> Lineage:
    """Return the lineage that a message describes.

    Raises:
        IntegrityError: It is of another version than the one that was asked for
            (MANIFEST_CORRUPT).
    """
    return Lineage(
        version=answered_version_of(message.version, asked),
        sources=tuple(_step_of(item) for item in message.sources),
        results=tuple(_step_of(item) for item in message.results),
        incomplete=message.incomplete,
    )


def _step_of(message: pb.LineageVersion) -> LineageStep:
    is_known = message.HasField("create_time")
    return LineageStep(
        name=parse_version_name(message.name).short,
        digest=message.digest,
        distance=message.distance,
        via=tuple(parse_version_name(name).short for name in message.via),
        state=state_of(message.state) if is_known else None,
        create_time=time_of(message.create_time) if is_known else None,
        creator=message.creator,
        run=message.run,
    )
