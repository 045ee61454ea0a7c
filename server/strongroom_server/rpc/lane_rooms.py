# SPDX-License-Identifier: Apache-2.0
"""Which memory a call reads into: that of the lane that its metadata names."""

import grpc

from strongroom.format.lanes import LANE_HEADER, parse_read
from strongroom_server.ports import SharedMemory, SharedRead


def find_room(
    memory: SharedMemory | None, context: grpc.ServicerContext, principal: str
) -> SharedRead | None:
    """Begin a read in the lane that a call names.

    Args:
        memory: What is shared with readers on this machine, if anything is.
        context: The call's; its metadata may name a lane.
        principal: Who calls.

    Returns:
        None if it names none, or none that it may use.

    Raises:
        InvalidArgumentError: The metadata are malformed.
    """
    if memory is None:
        return None
    for key, value in context.invocation_metadata() or ():
        if key == LANE_HEADER and isinstance(value, bytes):
            token, number = parse_read(value)
            return memory.begin(token, number, principal)
    return None
