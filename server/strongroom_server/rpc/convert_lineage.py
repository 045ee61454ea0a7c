# SPDX-License-Identifier: Apache-2.0
"""Messages about lineage from values, and values from messages."""

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import NumberSelector, parse_selector, parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.core.lineage import Lineage, VersionInput


def lineage_message(lineage: Lineage) -> pb.Lineage | None:
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


def parse_lineage(message: pb.Lineage) -> Lineage:
    """Return what a writer says; the use case checks it.

    Raises:
        InvalidArgumentError: An input is not named by its number.
    """
    return Lineage(
        message.run,
        tuple(_parse_input(item) for item in message.inputs),
        message.more_inputs,
    )


def _parse_input(message: pb.VersionInput) -> VersionInput:
    name = parse_version_name(message.name)
    selector = parse_selector(name.selector)
    if not isinstance(selector, NumberSelector):
        text = f"the input {name.short} is not named by its number"
        raise InvalidArgumentError(text, field="lineage")
    return VersionInput(name.artifact, selector.number, message.digest)
