# SPDX-License-Identifier: Apache-2.0
"""Until when backups hold a version, in the messages about versions and refs."""

from collections.abc import Callable, Sequence
from datetime import datetime

from strongroom.format.names import ArtifactName, parse_artifact_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.rpc.convert import timestamp

#: By artifact, what tells it of a version's number.
DatesOf = Callable[[ArtifactName], Callable[[int], datetime | None]]


def _nothing(_artifact: ArtifactName) -> Callable[[int], datetime | None]:
    return lambda _number: None


class ProtectedDates:
    """Dates messages; without backups, they have no date."""

    def __init__(self, dates_of: DatesOf = _nothing) -> None:
        self._dates_of = dates_of

    def date_versions(
        self, artifact: ArtifactName, versions: Sequence[pb.Version]
    ) -> None:
        """Say of versions until when they are protected."""
        until_of = self._dates_of(artifact)
        for version in versions:
            until = until_of(version.number)
            if until is not None:
                version.protected_until.CopyFrom(timestamp(until))

    def date_artifact(self, artifact: pb.Artifact) -> None:
        """Say of an artifact's refs until when what they point at is protected."""
        if not artifact.refs:
            return
        until_of = self._dates_of(parse_artifact_name(artifact.name))
        for ref in artifact.refs:
            until = until_of(ref.version)
            if until is not None:
                ref.protected_until.CopyFrom(timestamp(until))
