# SPDX-License-Identifier: Apache-2.0
"""Messages about who reads a version, as values."""

from strongroom._convert.catalog import answered_version_of, time_of
from strongroom.format.names import VersionName
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import VersionReader, VersionReaders


def version_readers_of(
    message: pb.ListReadersResponse, asked: VersionName
) -> VersionReaders:
    """Return the readers that a message describes.

    Raises:
        IntegrityError: It is of another version than the one that was asked for
            (MANIFEST_CORRUPT).
    """
    return VersionReaders(
        version=answered_version_of(message.version, asked),
        readers=tuple(
            VersionReader(
                principal=item.principal,
                since=time_of(item.since),
                until=time_of(item.until) if item.HasField("until") else None,
                count=item.count,
            )
            for item in message.readers
        ),
        incomplete=message.incomplete,
    )
