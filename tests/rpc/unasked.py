# SPDX-License-Identifier: Apache-2.0
"""Servicers that are there, and that no test of the guard asks."""

# ruff: noqa: ANN401

from typing import Any

from strongroom.v1 import approval_service_pb2_grpc as approval_grpc
from strongroom.v1 import key_service_pb2_grpc as key_grpc
from strongroom_server.rpc.backup_servicer import BackupServicer
from strongroom_server.rpc.drill_servicer import DrillServicer
from strongroom_server.rpc.restore_servicer import RestoreServicer


class UnaskedKeys(key_grpc.KeyServiceServicer):
    """Is there, and is not asked."""

    def _unused(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    ListKeys = _unused
    RotateKeks = _unused
    RewrapSlots = _unused
    RetireKeks = _unused
    StartEpoch = _unused
    PreviewShred = _unused
    ShredProject = _unused
    ShredArtifact = _unused
    GetShredReceipt = _unused
    ListShredded = _unused
    ListSigningKeys = _unused


class UnaskedApprovals(approval_grpc.ApprovalServiceServicer):
    """Is there, and is not asked."""

    def _unused(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    RequestApproval = _unused
    ListApprovals = _unused
    GetApproval = _unused
    DecideApproval = _unused
    WithdrawApproval = _unused


def without_backups() -> tuple[BackupServicer, DrillServicer, RestoreServicer]:
    """Return what answers for backups on a server that has none."""
    return BackupServicer(), DrillServicer(), RestoreServicer()
