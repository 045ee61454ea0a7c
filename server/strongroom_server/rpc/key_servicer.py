# SPDX-License-Identifier: Apache-2.0
"""KeyService: what keys there are, and their life."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator

import grpc

from strongroom.errors import InternalError
from strongroom.format.names import ProjectName, parse_project_name
from strongroom.v1 import key_service_pb2 as pb
from strongroom.v1 import key_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import convert_keys
from strongroom_server.rpc.call import current_call
from strongroom_server.services.keys import KeyLife, KeyProgress

#: Entries in one response.
PART_ENTRIES = 100


class KeyServicer(pb_grpc.KeyServiceServicer):
    """Answers from the use case `KeyLife`; the guard has decided who may ask."""

    def __init__(self, keys: KeyLife) -> None:
        self._keys = keys

    def ListKeys(
        self, request: pb.ListKeysRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListKeysResponse]:
        """List every domain and epoch; names as far as the caller may know them."""
        call = current_call()
        names = {
            project: name
            for project, name in self._keys.names().items()
            if call.may(AccessAction.ARTIFACT_LIST, name.resource)
        }
        part: list[pb.KeyEntry] = []
        for entry in self._keys.entries(_project(request.name)):
            call.check()
            name = names.get(entry.project)
            part.append(convert_keys.entry_message(entry, name))
            if len(part) == PART_ENTRIES:
                yield pb.ListKeysResponse(entries=part)
                part = []
        yield pb.ListKeysResponse(entries=part)

    def RotateKeks(
        self, request: pb.RotateKeksRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RotateKeksResponse]:
        """Give KEKs a new version."""
        call = current_call()
        for item in self._keys.rotate(
            _project(request.name), older_than_s=request.older_than_seconds
        ):
            call.check()
            if isinstance(item, KeyProgress):
                progress = convert_keys.progress_message(item)
                yield pb.RotateKeksResponse(progress=progress)
            else:
                call.count("rotated", item.rotated_count)
                yield pb.RotateKeksResponse(report=convert_keys.rotate_message(item))

    def RewrapSlots(
        self, request: pb.RewrapSlotsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RewrapSlotsResponse]:
        """Wrap slots again, and prove that none is left on an old version."""
        call = current_call()
        for item in self._keys.rewrap(_project(request.name)):
            call.check()
            if isinstance(item, KeyProgress):
                progress = convert_keys.progress_message(item)
                yield pb.RewrapSlotsResponse(progress=progress)
            else:
                call.count("rewrapped", item.rewrapped_count)
                call.count("old", item.proof.old_count)
                call.count("unopened", item.proof.unopened_count)
                yield pb.RewrapSlotsResponse(report=convert_keys.rewrap_message(item))

    def RetireKeks(
        self, request: pb.RetireKeksRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RetireKeksResponse]:
        """Let old versions of KEKs unwrap nothing any more."""
        call = current_call()
        for item in self._keys.retire(_project(request.name)):
            call.check()
            if isinstance(item, KeyProgress):
                progress = convert_keys.progress_message(item)
                yield pb.RetireKeksResponse(progress=progress)
            else:
                call.count("retired", item.retired_count)
                call.count("held", item.held_count)
                yield pb.RetireKeksResponse(report=convert_keys.retire_message(item))

    def StartEpoch(
        self, request: pb.StartEpochRequest, context: grpc.ServicerContext
    ) -> pb.KeyEpoch:
        """Give a project's key domain a new master key."""
        project = _project(request.name)
        if project is None:
            message = "the guard let a StartEpoch without a project in"
            raise InternalError(message)
        epoch = self._keys.start_epoch(project, after=request.after_epoch)
        current_call().count("epoch", epoch)
        return pb.KeyEpoch(epoch=epoch)


def _project(name: str) -> ProjectName | None:
    return parse_project_name(name) if name else None
