# SPDX-License-Identifier: Apache-2.0
"""Messages about keys."""

from collections.abc import Mapping
from typing import Final

from strongroom.format.names import ArtifactName, ProjectName
from strongroom.v1 import key_service_pb2 as pb
from strongroom_server.core.scope import format_id
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.tombstone import fit_doomed
from strongroom_server.rpc.convert import timestamp
from strongroom_server.services.keys import (
    KeyEntry,
    KeyProgress,
    RetireReport,
    RewrapReport,
    RotateReport,
    SlotState,
)
from strongroom_server.services.shredding import Doomed, ShreddedRecord, ShredPreview

_STATES: Final = {
    SlotState.CURRENT: pb.SLOT_STATE_CURRENT,
    SlotState.OLD: pb.SLOT_STATE_OLD,
    SlotState.UNOPENED: pb.SLOT_STATE_UNOPENED,
    SlotState.LOST: pb.SLOT_STATE_LOST,
}
#: Of slots that were passed over, so many are named; verification names all.
_MAX_PASSED: Final = 20


def progress_message(item: KeyProgress) -> pb.KeyProgress:
    """Return how far a use case has come."""
    return pb.KeyProgress(
        stage=item.stage, done_count=item.done_count, total_count=item.total_count
    )


def entry_message(
    item: KeyEntry, name: ProjectName | None, artifact: ArtifactName | None = None
) -> pb.KeyEntry:
    """Return the slot that counts, with whose it is as far as that may be told."""
    versions = item.versions
    made = versions.create_times.get(item.version) if versions is not None else None
    return pb.KeyEntry(
        project=name.resource if name is not None else "",
        project_id=format_id(item.project) if item.project else "",
        domain_id=format_id(item.domain),
        epoch=item.epoch,
        slot=item.slot,
        kek=item.kek,
        kek_version=item.version,
        newest_kek_version=versions.newest if versions is not None else 0,
        oldest_kek_version=versions.oldest if versions is not None else 0,
        kek_version_time=timestamp(made) if made is not None else None,
        slot_time=timestamp(item.slot_time) if item.slot_time is not None else None,
        state=_STATES[item.state],
        passed_over=item.passed_over[:_MAX_PASSED],
        artifact=artifact.resource if artifact is not None else "",
    )


def rotate_message(item: RotateReport) -> pb.RotateReport:
    """Return what a rotation did."""
    return pb.RotateReport(
        rotated_count=item.rotated_count,
        young_count=item.young_count,
        lost_count=item.lost_count,
    )


def rewrap_message(item: RewrapReport) -> pb.RewrapReport:
    """Return what a re-wrap did, and the proof behind it."""
    proof = item.proof
    return pb.RewrapReport(
        rewrapped_count=item.rewrapped_count,
        current_count=item.current_count,
        contested_count=item.contested_count,
        elapsed_seconds=item.elapsed_s,
        slot_count=proof.slot_count,
        kek_count=proof.kek_count,
        old_count=proof.old_count,
        unopened_count=proof.unopened_count,
        lost_count=proof.lost_count,
        passed_over_count=proof.passed_over_count,
        versions=[
            pb.KekVersionCount(
                version=count.version,
                slot_count=count.slot_count,
                old_count=count.old_count,
            )
            for count in proof.versions
        ],
    )


def retire_message(item: RetireReport) -> pb.RetireReport:
    """Return what a retirement did."""
    return pb.RetireReport(
        retired_count=item.retired_count,
        done_count=item.done_count,
        held_count=item.held_count,
        lost_count=item.lost_count,
        notes=item.notes,
    )


def preview_message(
    name: Doomed, item: ShredPreview, *, named: bool
) -> pb.ShredPreview:
    """Return what would die. `named`: names may be told."""
    found = [artifact.artifact for artifact in item.artifacts]
    stored_bytes = sum(artifact.stored_bytes for artifact in item.artifacts)
    doomed = fit_doomed(found, stored_bytes)
    told = item.artifacts[: len(doomed.artifacts)] if named else ()
    return pb.ShredPreview(
        name=name.resource,
        kek=item.scope.kek,
        kek_count=len(item.scopes),
        slot_count=item.slot_count,
        artifacts=[
            pb.DoomedArtifact(
                artifact=one.artifact.artifact,
                version_count=one.artifact.version_count,
                refs=one.artifact.refs,
                held=one.held,
            )
            for one in told
        ],
        artifact_count=doomed.artifact_count,
        version_count=doomed.version_count,
        ref_count=doomed.ref_count,
        stored_bytes=doomed.stored_bytes,
        held_count=len(item.held),
    )


def shredded_message(item: ShreddedRecord, *, named: bool) -> pb.Shredded:
    """Return something that was shredded. `named`: what it was may be told."""
    known = named and item.name is not None
    return pb.Shredded(
        name=item.name.resource if known and item.name is not None else "",
        shred_time=timestamp(item.time),
        requester=item.requester if known else "",
        reason=item.reason if known else "",
        finished=item.finished,
        kek=item.kek,
    )


def signing_keys_message(keys: Mapping[str, PublicKey]) -> pb.ListSigningKeysResponse:
    """Return public keys, in order of their ids."""
    return pb.ListSigningKeysResponse(
        keys=[
            pb.SigningKey(key_id=key_id, algorithm=key.algorithm.value, data=key.data)
            for key_id, key in sorted(keys.items())
        ]
    )
