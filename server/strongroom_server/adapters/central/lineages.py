# SPDX-License-Identifier: Apache-2.0
"""Lineage in messages to and from central."""

from strongroom.format.names import parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.core.lineage import Lineage, VersionInput


def lineage_to_message(lineage: Lineage) -> pb.Lineage | None:
    """Return what a version was made from; None if its writer said nothing."""
    if not lineage:
        return None
    return pb.Lineage(
        run=lineage.run,
        inputs=[
            pb.VersionInput(name=item.name.resource, digest=item.digest)
            for item in lineage.inputs
        ],
        more_inputs=lineage.more_inputs,
    )


def lineage_of(message: pb.Lineage) -> Lineage:
    """Return what central says that a version was made from.

    Raises:
        ValueError: An input is not named by its number.
    """
    return Lineage(
        message.run,
        tuple(_input_of(item) for item in message.inputs),
        message.more_inputs,
    )


def _input_of(message: pb.VersionInput) -> VersionInput:
    name = parse_version_name(message.name)
    return VersionInput(name.artifact, int(name.selector), message.digest)
