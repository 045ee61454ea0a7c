# SPDX-License-Identifier: Apache-2.0
"""`Keys`: what keys a store has, and their life: rotation, re-wrap, epochs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from strongroom import _convert, _system, _telemetry
from strongroom._channel import methods
from strongroom.client.catalog import parse_artifact
from strongroom.client.keeping import Keeping
from strongroom.errors import InternalError
from strongroom.format.names import ProjectName
from strongroom.v1 import key_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import (
        KeyEntry,
        RetireReport,
        RewrapReport,
        RotateReport,
        ShreddedListing,
        ShredPreview,
        ShredReceipt,
        SigningKey,
        StageCallback,
    )


class Keys(Keeping):
    """The part of `Client` that looks after keys; none is ever told."""

    def iter_keys(self, project: str = "") -> "Iterator[KeyEntry]":
        """Yield the key slot that counts of each key domain and epoch.

        Args:
            project: Only this one; "" means the whole store.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
        """
        request = pb.ListKeysRequest(name=_resource(project))
        with (
            _telemetry.operation("keys"),
            self._caller.stream(methods.LIST_KEYS, request) as stream,
        ):
            for response in stream:
                yield from map(_convert.key_entry_of, response.entries)

    def rotate_keys(
        self,
        project: str = "",
        *,
        older_than_s: int = 0,
        progress: "StageCallback | None" = None,
    ) -> "RotateReport":
        """Have Vault make a new version of KEKs, which wraps from now on.

        Args:
            project: Only this one's; "" means the whole store.
            older_than_s: Leave out KEKs whose newest version is younger.
            progress: Called as the server gets on.

        Raises:
            PreconditionError: The server may not change KEKs (KEK_ACCESS_DENIED).
        """
        request = pb.RotateKeksRequest(
            name=_resource(project), older_than_seconds=older_than_s
        )
        report = None
        with (
            _telemetry.operation("rotate-keys"),
            self._caller.stream(methods.ROTATE_KEKS, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "report":
                    report = _convert.rotate_report_of(response.report)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.key_stage_of(response.progress))
        if report is None:
            raise _unfinished("rotation")
        return report

    def rewrap_keys(
        self, project: str = "", *, progress: "StageCallback | None" = None
    ) -> "RewrapReport":
        """Have every key slot wrapped by the newest version of its KEK, and prove it.

        It may be broken off anywhere; called again, it goes on.

        Args:
            project: Only this one's; "" means the whole store.
            progress: Called as the server gets on.

        Returns:
            What was done; `is_complete` tells whether the proof holds.
        """
        request = pb.RewrapSlotsRequest(name=_resource(project))
        report = None
        with (
            _telemetry.operation("rewrap-keys"),
            self._caller.stream(methods.REWRAP_SLOTS, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "report":
                    report = _convert.rewrap_report_of(response.report)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.key_stage_of(response.progress))
        if report is None:
            raise _unfinished("re-wrap")
        return report

    def retire_keys(
        self, project: str = "", *, progress: "StageCallback | None" = None
    ) -> "RetireReport":
        """Have old versions of KEKs unwrap nothing any more, where no slot needs them.

        Args:
            project: Only this one's; "" means the whole store.
            progress: Called as the server gets on.

        Raises:
            PreconditionError: The server may not change KEKs (KEK_ACCESS_DENIED).
        """
        request = pb.RetireKeksRequest(name=_resource(project))
        report = None
        with (
            _telemetry.operation("retire-keys"),
            self._caller.stream(methods.RETIRE_KEKS, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "report":
                    report = _convert.retire_report_of(response.report)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.key_stage_of(response.progress))
        if report is None:
            raise _unfinished("retirement")
        return report

    def start_epoch(self, name: str, *, after: int) -> int:
        """Give a key domain a new master key; return the newest epoch.

        Args:
            name: `project`, or `project/artifact` of one that has its own.
            after: The epoch that is the newest now, as `iter_keys` tells it; if
                there is a newer one, nothing is changed.

        Raises:
            NotFoundError: There is no such project or artifact (PROJECT_NOT_FOUND,
                ARTIFACT_NOT_FOUND).
            PreconditionError: The artifact shares its project's (DOMAIN_SHARED).
        """
        request = pb.StartEpochRequest(name=_named(name), after_epoch=after)
        return self._caller.unary(methods.START_EPOCH, request).epoch

    def preview_shred(self, name: str) -> "ShredPreview":
        """Tell what would die; nothing is changed.

        Args:
            name: `project`, or `project/artifact` of one that has a key domain of its
                own.

        Raises:
            NotFoundError: There is no such project or artifact (PROJECT_NOT_FOUND,
                ARTIFACT_NOT_FOUND).
            PreconditionError: It was shredded (KEY_SHREDDED); or the artifact shares
                its project's key domain (DOMAIN_SHARED).
        """
        request = pb.PreviewShredRequest(name=_named(name))
        limit_s = self._caller.settings.transfer_timeout_s
        answer = self._caller.unary(methods.PREVIEW_SHRED, request, timeout_s=limit_s)
        return _convert.shred_preview_of(answer)

    def shred_project(
        self, project: str, *, reason: str, request_id: str | None = None
    ) -> "ShredReceipt":
        """Destroy a project for good: its key, and with it all that it protects.

        It cannot be undone. As servers are shipped, a person has to ask who has just
        signed in, and another one has to approve exactly this request; then
        `strongroom approvals run` makes it. Broken off anywhere, it is finished by
        calling it again, and answers with the same receipt.

        Args:
            project: Its name.
            reason: Why; kept in the receipt.
            request_id: Makes the call repeatable; a new one, unless given.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            PermissionDeniedError: It needs a fresh login or an approval
                (STEP_UP_REQUIRED, APPROVAL_REQUIRED).
            PreconditionError: A legal hold forbids it (LEGAL_HOLD), the server may
                not (KEK_ACCESS_DENIED), or Vault waits for its own approvers
                (KEK_APPROVAL_PENDING).
        """
        request = pb.ShredProjectRequest(
            name=_resource(project),
            reason=reason,
            request_id=request_id or _system.new_request_id(),
        )
        limit_s = self._caller.settings.transfer_timeout_s
        answer = self._caller.unary(methods.SHRED_PROJECT, request, timeout_s=limit_s)
        return _convert.shred_receipt_of(answer)

    def shred_artifact(
        self, artifact: str, *, reason: str, request_id: str | None = None
    ) -> "ShredReceipt":
        """Destroy one artifact for good that has a key domain of its own.

        The rest of its project goes on. All else is as for `shred_project`.

        Args:
            artifact: `project/artifact`.
            reason: Why; kept in the receipt.
            request_id: Makes the call repeatable; a new one, unless given.

        Raises:
            NotFoundError: There is no such artifact (ARTIFACT_NOT_FOUND).
            PreconditionError: It shares its project's key domain (DOMAIN_SHARED); or
                as for `shred_project`.
            PermissionDeniedError: As for `shred_project`.
        """
        request = pb.ShredArtifactRequest(
            name=parse_artifact(artifact).resource,
            reason=reason,
            request_id=request_id or _system.new_request_id(),
        )
        limit_s = self._caller.settings.transfer_timeout_s
        answer = self._caller.unary(methods.SHRED_ARTIFACT, request, timeout_s=limit_s)
        return _convert.shred_receipt_of(answer)

    def shred_receipt(self, name: str) -> "ShredReceipt":
        """Return the signed receipt of what was shredded.

        Args:
            name: `project`, or `project/artifact`.

        Raises:
            NotFoundError: It was not, or that is not finished (RECEIPT_NOT_FOUND).
        """
        request = pb.GetShredReceiptRequest(name=_named(name))
        answer = self._caller.unary(methods.GET_SHRED_RECEIPT, request)
        return _convert.shred_receipt_of(answer)

    def list_shredded(self) -> "ShreddedListing":
        """Return what was shredded, the newest first; names as far as you may know."""
        request = pb.ListShreddedRequest()
        limit_s = self._caller.settings.transfer_timeout_s
        answer = self._caller.unary(methods.LIST_SHREDDED, request, timeout_s=limit_s)
        return _convert.shredded_listing_of(answer)

    def signing_keys(self) -> "tuple[SigningKey, ...]":
        """Return the public keys that journals and receipts are signed with."""
        request = pb.ListSigningKeysRequest()
        answer = self._caller.unary(methods.LIST_SIGNING_KEYS, request)
        return tuple(map(_convert.signing_key_of, answer.keys))


def _named(name: str) -> str:
    """Return the resource name of a project or an artifact."""
    return parse_artifact(name).resource if "/" in name else _resource(name)


def _resource(project: str) -> str:
    return ProjectName(project).resource if project else ""


def _unfinished(what: str) -> InternalError:
    message = f"the server ended the {what} without a report"
    return InternalError(message)
