# SPDX-License-Identifier: Apache-2.0
"""What the use cases of keys report: progress, and what was done in all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyProgress:
    """How far a use case has come: slots or KEKs done, and how many there are."""

    stage: str
    done_count: int
    total_count: int


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How many slots the same version of their KEK wraps.

    Attributes:
        version: Of the KEK.
        slot_count: Slots that count and are wrapped by it.
        old_count: Those of them whose KEK has a newer version.
    """

    version: int
    slot_count: int
    old_count: int


@dataclass(frozen=True, slots=True)
class RewrapReport:
    """What a re-wrap did, and what a fresh look at all slots proved.

    Attributes:
        rewrapped_count: Slots wrapped again by this run.
        current_count: Slots that were on the newest version already.
        contested_count: Slots that another run wrapped meanwhile.
        elapsed_s: How long wrapping took, without the proof.
        proof: What the fresh look found.
    """

    rewrapped_count: int
    current_count: int
    contested_count: int
    elapsed_s: float
    proof: "Proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a fresh listing of all slots says; one slot counts a domain and epoch.

    Attributes:
        slot_count: Domains and epochs looked at.
        kek_count: KEKs that they belong to.
        old_count: Slots that an old version of their KEK wraps.
        unopened_count: Domains and epochs of which no slot opens.
        lost_count: Those whose KEK is gone: shredded, nothing can be done.
        passed_over_count: Slots that were passed over for an older one.
        versions: Slots by version of their KEK.
    """

    slot_count: int
    kek_count: int
    old_count: int
    unopened_count: int
    lost_count: int
    passed_over_count: int
    versions: tuple[VersionCount, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every slot that can be opened is on the newest version."""
        return self.old_count == 0 and self.unopened_count == 0


@dataclass(frozen=True, slots=True)
class RotateReport:
    """What a rotation did: KEKs with a new version, and those that were young."""

    rotated_count: int
    young_count: int
    lost_count: int


@dataclass(frozen=True, slots=True)
class RetireReport:
    """What a retirement did.

    Attributes:
        retired_count: KEKs whose old versions unwrap nothing from now on.
        done_count: KEKs of which that was so before.
        held_count: KEKs that were left alone, since a slot needs an old version or
            does not open.
        lost_count: KEKs that are gone.
        notes: Why KEKs were left alone; at most `MAX_NOTES`.
    """

    retired_count: int
    done_count: int
    held_count: int
    lost_count: int
    notes: tuple[str, ...]


#: A report has at most so many notes.
MAX_NOTES = 20
