# SPDX-License-Identifier: Apache-2.0
"""KeyService: what keys there are, and their life."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator

import grpc

from strongroom.errors import InternalError
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    parse_artifact_name,
    parse_project_name,
)
from strongroom.v1 import key_service_pb2 as pb
from strongroom.v1 import key_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import convert_keys
from strongroom_server.rpc.call import current_call
from strongroom_server.services.keys import KeyLife, KeyProgress
from strongroom_server.services.shredding import Approval, Doomed, Shredding

#: Entries in one response.
PART_ENTRIES = 100
#: What is shown of what was shredded.
MAX_SHREDDED = 1000


class KeyServicer(pb_grpc.KeyServiceServicer):
    """Answers from `KeyLife` and `Shredding`; the guard has decided who may ask."""

    def __init__(self, keys: KeyLife, shredding: Shredding) -> None:
        self._keys = keys
        self._shredding = shredding

    def ListKeys(
        self, request: pb.ListKeysRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListKeysResponse]:
        """List every domain and epoch; names as far as the caller may know them."""
        call = current_call()
        projects = {
            project: found
            for project, found in self._keys.projects().items()
            if call.may(AccessAction.ARTIFACT_LIST, found.name.resource)
        }
        part: list[pb.KeyEntry] = []
        owners: dict[bytes, dict[bytes, ArtifactName]] = {}
        for entry in self._keys.entries(_project(request.name)):
            call.check()
            project, artifact = projects.get(entry.project), None
            # Most projects have one domain; then nobody is asked whose it is.
            if project is not None and entry.domain != project.scope.domain:
                if entry.project not in owners:
                    owners[entry.project] = self._keys.owners(project)
                artifact = owners[entry.project].get(entry.domain)
            if artifact and not call.may(AccessAction.ARTIFACT_GET, artifact.resource):
                artifact = None
            name = project.name if project is not None else None
            part.append(convert_keys.entry_message(entry, name, artifact))
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
        """Give a key domain a new master key."""
        name = _project_or_artifact(request.name)
        epoch = self._keys.start_epoch(name, after=request.after_epoch)
        current_call().count("epoch", epoch)
        return pb.KeyEpoch(epoch=epoch)

    def PreviewShred(
        self, request: pb.PreviewShredRequest, context: grpc.ServicerContext
    ) -> pb.ShredPreview:
        """Tell what would die; names only to who may list them."""
        call = current_call()
        name = _project_or_artifact(request.name)
        preview = self._shredding.preview(name, check=call.check)
        is_project = isinstance(name, ProjectName)
        need = AccessAction.ARTIFACT_LIST if is_project else AccessAction.ARTIFACT_GET
        may_name = call.may(need, name.resource)
        return convert_keys.preview_message(name, preview, named=may_name)

    def ShredProject(
        self, request: pb.ShredProjectRequest, context: grpc.ServicerContext
    ) -> pb.ShredReceipt:
        """Destroy a project for good."""
        return self._shred(_named_project(request.name), request)

    def ShredArtifact(
        self, request: pb.ShredArtifactRequest, context: grpc.ServicerContext
    ) -> pb.ShredReceipt:
        """Destroy an artifact for good that has a key domain of its own."""
        return self._shred(parse_artifact_name(request.name), request)

    def GetShredReceipt(
        self, request: pb.GetShredReceiptRequest, context: grpc.ServicerContext
    ) -> pb.ShredReceipt:
        """Return the receipt of what was shredded."""
        name = _project_or_artifact(request.name)
        receipt = self._shredding.receipt(name)
        return pb.ShredReceipt(name=name.resource, receipt=receipt)

    def ListShredded(
        self, request: pb.ListShreddedRequest, context: grpc.ServicerContext
    ) -> pb.ListShreddedResponse:
        """List what was shredded; names only to who may list what they had."""
        call = current_call()
        found = self._shredding.shredded()
        return pb.ListShreddedResponse(
            shredded=(
                convert_keys.shredded_message(
                    item,
                    named=item.project is not None
                    and call.may(AccessAction.ARTIFACT_LIST, item.project.resource),
                )
                for item in found[:MAX_SHREDDED]
            ),
            total_count=len(found),
        )

    def ListSigningKeys(
        self, request: pb.ListSigningKeysRequest, context: grpc.ServicerContext
    ) -> pb.ListSigningKeysResponse:
        """Return the public keys that journals and receipts are signed with."""
        return convert_keys.signing_keys_message(self._shredding.signing_keys())

    def _shred(
        self, name: Doomed, request: pb.ShredProjectRequest | pb.ShredArtifactRequest
    ) -> pb.ShredReceipt:
        call, approval = current_call(), Approval()
        if call.approved is not None:
            approval = Approval(call.approved.approval_id, call.approved.approvers)
        receipt = self._shredding.shred(
            name,
            reason=request.reason,
            request_id=request.request_id,
            caller=call.caller,
            approval=approval,
            check=call.check,
        )
        call.count("shredded", 1)
        return pb.ShredReceipt(name=name.resource, receipt=receipt)


def _named_project(name: str) -> ProjectName:
    project = _project(name)
    if project is None:
        message = "the guard let a call without a project in"
        raise InternalError(message)
    return project


def _project_or_artifact(name: str) -> Doomed:
    if "/artifacts/" in name:
        return parse_artifact_name(name)
    return _named_project(name)


def _project(name: str) -> ProjectName | None:
    return parse_project_name(name) if name else None
