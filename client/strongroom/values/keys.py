# SPDX-License-Identifier: Apache-2.0
"""What is told about keys: never one itself."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from strongroom.errors import IntegrityError, Reason


class KeyState(StrEnum):
    """What is to be thought of the key slot of a domain and epoch."""

    #: It opens, and the newest version of its KEK wraps it.
    CURRENT = "CURRENT"
    #: It opens, and an old version wraps it.
    OLD = "OLD"
    #: No slot opens: what the domain holds of this epoch cannot be read.
    UNOPENED = "UNOPENED"
    #: The KEK is gone: shredded, or lost.
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The key slot that counts, of one key domain and epoch."""

    #: The project's name; "" for the store's own domain, and where it is not told.
    project: str
    project_id: str
    domain_id: str
    epoch: int
    #: The slot's number; -1 if none opens.
    slot: int
    #: The KEK's name in Vault.
    kek: str
    #: Which version of the KEK wraps the slot; 0 if none opens.
    kek_version: int
    #: The newest version of the KEK; 0 if it is gone.
    newest_kek_version: int
    #: The oldest version of the KEK that still unwraps; 0 if it is gone.
    oldest_kek_version: int
    #: When the version that wraps the slot was made.
    kek_version_time: datetime | None
    #: When the slot was written.
    slot_time: datetime | None
    state: KeyState
    #: Object keys of newer slots that do not open; at most 20.
    passed_over: tuple[str, ...]
    #: `project/artifact` that has the domain to itself; "" for a project's own domain,
    #: and where it is not told.
    artifact: str = ""


@dataclass(frozen=True, slots=True)
class RotateReport:
    """What a rotation did."""

    #: KEKs with a new version.
    rotated_count: int
    #: KEKs that were left out as young.
    young_count: int
    #: KEKs that are gone, or of which no slot opens.
    lost_count: int


@dataclass(frozen=True, slots=True)
class KekVersionCount:
    """How many slots the same version of their KEK wraps."""

    version: int
    slot_count: int
    #: Those of them whose KEK has a newer version.
    old_count: int


@dataclass(frozen=True, slots=True)
class RewrapReport:
    """What a re-wrap did, and what a fresh listing of all slots proved behind it."""

    rewrapped_count: int
    #: Slots that were on the newest version before.
    current_count: int
    #: Slots that another re-wrap took at the same time.
    contested_count: int
    #: How long wrapping took, without the proof.
    elapsed_s: float
    #: Domains and epochs of which there are slots.
    slot_count: int
    kek_count: int
    #: Slots that an old version of their KEK wraps.
    old_count: int
    #: Domains and epochs of which no slot opens.
    unopened_count: int
    #: Domains and epochs whose KEK is gone.
    lost_count: int
    #: Slots that were passed over for an older one, since they do not open.
    passed_over_count: int
    versions: tuple[KekVersionCount, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every slot that can be opened is on the newest version."""
        return self.old_count == 0 and self.unopened_count == 0

    @property
    def rate_per_s(self) -> float:
        """Slots wrapped again in a second."""
        return self.rewrapped_count / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class RetireReport:
    """What a retirement did."""

    #: KEKs whose old versions unwrap nothing from now on.
    retired_count: int
    #: KEKs of which that was so before.
    done_count: int
    #: KEKs that were left alone.
    held_count: int
    #: KEKs that are gone.
    lost_count: int
    #: Why KEKs were left alone; at most 20 sentences.
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DoomedArtifact:
    """What would die with one artifact."""

    artifact: str
    version_count: int
    #: Its refs, and the version that each points at.
    refs: Mapping[str, int]
    #: Whether a legal hold forbids it.
    held: bool


@dataclass(frozen=True, slots=True)
class ShredPreview:
    """What would die with a project, or with one artifact."""

    #: `project`, or `project/artifact`.
    name: str
    #: The KEK's name in Vault.
    kek: str
    slot_count: int
    #: By name; not all of very many, and none if you may not list them.
    artifacts: tuple[DoomedArtifact, ...]
    artifact_count: int
    version_count: int
    ref_count: int
    #: What their pushes stored.
    stored_bytes: int
    #: Artifacts under a legal hold: while there is one, nothing is shredded.
    held_count: int
    #: KEKs that would be destroyed: artifacts of a project may have their own.
    kek_count: int = 1


@dataclass(frozen=True, slots=True)
class ShredReceipt:
    """The signed receipt of a project or an artifact that was shredded."""

    #: `project`, or `project/artifact`.
    name: str
    #: The receipt itself, to be kept: `strongroom receipt verify` checks it offline.
    data: bytes

    def told(self) -> Mapping[str, Any]:
        """Return what the receipt says; its signatures are not checked.

        Raises:
            IntegrityError: It is no receipt (RECORD_CORRUPT).
        """
        try:
            envelope = json.loads(self.data)
            told = json.loads(base64.b64decode(envelope["payload"], validate=True))
            if isinstance(told, dict):
                return told
        except (ValueError, KeyError, TypeError) as error:
            raise _no_receipt() from error
        raise _no_receipt()


@dataclass(frozen=True, slots=True)
class Shredded:
    """Something that was shredded, or is being shredded.

    Attributes:
        name: A project, or `project/artifact`; "" if you may not know it.
        shred_time: When that was decided; from then on it is dead.
        requester: Who asked for it; "" where `name` is.
        reason: Why; "" where `name` is.
        finished: Whether there is a receipt; if not, shredding it again finishes it.
        kek: The KEK's name in Vault.
    """

    name: str
    shred_time: datetime
    requester: str
    reason: str
    finished: bool
    kek: str


@dataclass(frozen=True, slots=True)
class ShreddedListing:
    """What was shredded, the newest first; `total_count` may be more than is listed."""

    shredded: tuple[Shredded, ...]
    total_count: int


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One version of a key that signs journals and receipts; its public half."""

    key_id: str
    #: `ecdsa-p384-sha384` or `ml-dsa-65`.
    algorithm: str
    #: PEM for P-384, 1952 raw bytes for ML-DSA-65.
    data: bytes


def _no_receipt() -> IntegrityError:
    message = "the server's answer is no receipt"
    return IntegrityError(message, reason=Reason.RECORD_CORRUPT)
