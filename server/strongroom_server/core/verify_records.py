# SPDX-License-Identifier: Apache-2.0
"""What verifying a store, and mending what is damaged, give back."""

from dataclasses import dataclass

from strongroom.format.names import VersionName


@dataclass(frozen=True, slots=True)
class VersionAtRisk:
    """A version that a damaged object belongs to.

    Attributes:
        name: The version, by number.
        paths: The files that are hit, in byte order; the first 100.
        path_count: How many files are hit in all.
        refs: The refs that point at the version, `latest` first.
    """

    name: VersionName
    paths: tuple[str, ...]
    path_count: int
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """One stored object that is damaged.

    Attributes:
        object: Its key below the bucket's prefix.
        reason: Which damage: `CHUNK_CORRUPT` and so on.
        message: What is wrong, in words.
        at_risk: What is hit; empty if nobody needs the damaged bytes, or if no
            key was opened.
        repaired: Whether it was mended now.
        mended: Whether it was mended before, chunk by chunk: its bytes are wrong
            still, and nobody needs them.
    """

    object: str
    reason: str
    message: str
    at_risk: tuple[VersionAtRisk, ...]
    repaired: bool
    mended: bool = False


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """How far a verification has come; sizes in bytes of stored objects.

    Attributes:
        stage: What it does now, in words.
        verified_bytes: Read so far, by this call.
        total_bytes: To read in all, as far as known.
        resume_token: With it a later call goes on from here.
    """

    stage: str
    verified_bytes: int
    total_bytes: int
    resume_token: str


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a verification found in all.

    Attributes:
        artifact_count: Artifacts looked at.
        version_count: Versions looked at.
        object_count: Stored objects read.
        verified_bytes: Bytes read.
        damaged_count: Objects that are damaged and were not mended.
        repaired_count: Objects that were mended now.
        unreferenced_count: Packs that no version needs; no damage.
        unreferenced_bytes: Their size.
        mended_count: Objects that are damaged, and were mended before, chunk by
            chunk, as is stated of them: told only without keys.
    """

    artifact_count: int
    version_count: int
    object_count: int
    verified_bytes: int
    damaged_count: int
    repaired_count: int
    unreferenced_count: int = 0
    unreferenced_bytes: int = 0
    mended_count: int = 0


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What mending a version from files did.

    Attributes:
        damaged_count: Chunks that could not be read before.
        repaired_count: How many of them were stored anew.
        stored_bytes: Bytes newly stored.
        damaged_paths: Files that still cannot be read, in byte order; the first 100.
        lost_table_count: Pieces of the file table that are damaged, with the files
            that they tell of; only a copy of the store mends them.
    """

    damaged_count: int
    repaired_count: int
    stored_bytes: int
    damaged_paths: tuple[str, ...]
    lost_table_count: int = 0
