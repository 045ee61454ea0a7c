# SPDX-License-Identifier: Apache-2.0
"""What is told about keys, from messages."""

from strongroom._convert.catalog import time_of, word
from strongroom.format.names import parse_artifact_name, parse_project_name
from strongroom.v1 import key_service_pb2 as pb
from strongroom.values import (
    DoomedArtifact,
    KekVersionCount,
    KeyEntry,
    KeyState,
    RetireReport,
    RewrapReport,
    RotateReport,
    Shredded,
    ShreddedListing,
    ShredPreview,
    ShredReceipt,
    SigningKey,
    Stage,
)


def key_entry_of(message: pb.KeyEntry) -> KeyEntry:
    """Return the key slot that a message describes."""
    name = message.project
    made = message.HasField("kek_version_time")
    written = message.HasField("slot_time")
    return KeyEntry(
        project=parse_project_name(name).project if name else "",
        project_id=message.project_id,
        domain_id=message.domain_id,
        epoch=message.epoch,
        slot=message.slot,
        kek=message.kek,
        kek_version=message.kek_version,
        newest_kek_version=message.newest_kek_version,
        oldest_kek_version=message.oldest_kek_version,
        kek_version_time=time_of(message.kek_version_time) if made else None,
        slot_time=time_of(message.slot_time) if written else None,
        state=word(KeyState, pb.SlotState.Name, message.state, "SLOT_STATE_"),
        passed_over=tuple(message.passed_over),
        artifact=_short_name(message.artifact),
    )


def key_stage_of(message: pb.KeyProgress) -> Stage:
    """Return how far a use case of keys has come."""
    return Stage(name=message.stage, done=message.done_count, total=message.total_count)


def rotate_report_of(message: pb.RotateReport) -> RotateReport:
    """Return what a rotation did."""
    return RotateReport(
        rotated_count=message.rotated_count,
        young_count=message.young_count,
        lost_count=message.lost_count,
    )


def rewrap_report_of(message: pb.RewrapReport) -> RewrapReport:
    """Return what a re-wrap did, and what was proved behind it."""
    return RewrapReport(
        rewrapped_count=message.rewrapped_count,
        current_count=message.current_count,
        contested_count=message.contested_count,
        elapsed_s=message.elapsed_seconds,
        slot_count=message.slot_count,
        kek_count=message.kek_count,
        old_count=message.old_count,
        unopened_count=message.unopened_count,
        lost_count=message.lost_count,
        passed_over_count=message.passed_over_count,
        versions=tuple(
            KekVersionCount(item.version, item.slot_count, item.old_count)
            for item in message.versions
        ),
    )


def retire_report_of(message: pb.RetireReport) -> RetireReport:
    """Return what a retirement did."""
    return RetireReport(
        retired_count=message.retired_count,
        done_count=message.done_count,
        held_count=message.held_count,
        lost_count=message.lost_count,
        notes=tuple(message.notes),
    )


def shred_preview_of(message: pb.ShredPreview) -> ShredPreview:
    """Return what would die."""
    return ShredPreview(
        name=_short_name(message.name),
        kek=message.kek,
        slot_count=message.slot_count,
        artifacts=tuple(
            DoomedArtifact(
                item.artifact, item.version_count, dict(item.refs), item.held
            )
            for item in message.artifacts
        ),
        artifact_count=message.artifact_count,
        version_count=message.version_count,
        ref_count=message.ref_count,
        stored_bytes=message.stored_bytes,
        held_count=message.held_count,
        kek_count=message.kek_count,
    )


def shred_receipt_of(message: pb.ShredReceipt) -> ShredReceipt:
    """Return the receipt of what was shredded."""
    return ShredReceipt(_short_name(message.name), message.receipt)


def shredded_listing_of(message: pb.ListShreddedResponse) -> ShreddedListing:
    """Return what was shredded."""
    return ShreddedListing(
        tuple(
            Shredded(
                _short_name(item.name),
                time_of(item.shred_time),
                item.requester,
                item.reason,
                item.finished,
                item.kek,
            )
            for item in message.shredded
        ),
        message.total_count,
    )


def _short_name(resource: str) -> str:
    """Return the name of a project or an artifact as people write it."""
    if not resource:
        return ""
    if "/artifacts/" in resource:
        return parse_artifact_name(resource).short
    return parse_project_name(resource).project


def signing_key_of(message: pb.SigningKey) -> SigningKey:
    """Return a public key."""
    return SigningKey(message.key_id, message.algorithm, message.data)
