# SPDX-License-Identifier: Apache-2.0
"""The calls of TransferService about drafts: one commit, or none."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import VersionName, parse_artifact_name
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2_grpc as pb_grpc
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.convert_lineage import parse_lineage
from strongroom_server.rpc.showing import seen_version
from strongroom_server.rpc.version_writes import check_taken
from strongroom_server.services.uploads import DraftCommitStart, Drafts


class DraftCalls(pb_grpc.TransferServiceServicer):
    """Answers from the use case `Drafts`; the guard has decided who may ask."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def CommitDraft(
        self, request: pb.CommitDraftRequest, context: grpc.ServicerContext
    ) -> pb.CommitDraftResponse:
        """Make one version of the parts of a draft."""
        call = current_call()
        expected = None
        if request.HasField("expected_file_count"):
            expected = request.expected_file_count
        if request.base_version < 0:
            message = f"base_version {request.base_version} is no version"
            raise InvalidArgumentError(message, field="base_version")
        _check_base(request, call)
        start = DraftCommitStart(
            parse_artifact_name(request.parent),
            request.draft_id,
            kind=convert.parse_kind(request.kind),
            message=request.message,
            metadata=dict(request.metadata),
            base_version=request.base_version,
            base_newest=request.base_newest,
            expected_file_count=expected,
            after_part=request.after_part,
            lineage=parse_lineage(request.lineage),
            check=call.check,
        )
        result = self._drafts.commit(start, caller=call.caller)
        call.count("version", result.version.number)
        return pb.CommitDraftResponse(
            version=convert.version_message(seen_version(result.version)),
            unchanged=result.unchanged,
        )

    def DiscardDraft(
        self, request: pb.DiscardDraftRequest, context: grpc.ServicerContext
    ) -> pb.DiscardDraftResponse:
        """End a draft without a version."""
        call = current_call()
        artifact = parse_artifact_name(request.parent)
        self._drafts.discard(artifact, request.draft_id, caller=call.caller)
        return pb.DiscardDraftResponse()


def _check_base(request: pb.CommitDraftRequest, call: CallView) -> None:
    selector = "latest" if request.base_newest else str(request.base_version)
    if selector != "0":
        check_taken(VersionName(parse_artifact_name(request.parent), selector), call)
