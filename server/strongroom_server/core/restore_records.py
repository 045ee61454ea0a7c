# SPDX-License-Identifier: Apache-2.0
"""What restores are asked for, and what they tell: plans, progress, reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import ArtifactName, ProjectName, VersionName, check_path

#: Versions and damaged things that a report names; it counts them all.
MAX_NAMED: Final = 1000
#: What each part of a selection is a part of.
_PARTS: Final = {"path": "version", "version": "artifact", "artifact": "project"}


class RestoreTarget(StrEnum):
    """Where a restore goes."""

    FOLDER = "folder"
    STORE = "store"
    LIVING = "living-store"


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a backup is restored; without a project, all of it.

    Attributes:
        project: Only this project.
        artifact: Only this artifact of it.
        version: Only the version that this selector names; all that can be read if "".
        path: Only this file of it, or with a trailing slash those below it.
    """

    project: str = ""
    artifact: str = ""
    version: str = ""
    path: str = ""

    @property
    def is_all(self) -> bool:
        """Whether it is the whole backup."""
        return not self.project

    @property
    def artifact_name(self) -> ArtifactName | None:
        """The artifact, if one was chosen."""
        return ArtifactName(self.project, self.artifact) if self.artifact else None

    def check(self) -> None:
        """Check that the parts are names, and fit together.

        Raises:
            InvalidArgumentError: They do not.
        """
        given = self.shown()
        for part, whole in _PARTS.items():
            if part in given and whole not in given:
                raise InvalidArgumentError(
                    f"{part} {given[part]!r} is given, and not of which {whole}",
                    reason=Reason.ARGUMENT_INVALID,
                )
        if self.project:
            ProjectName(self.project)
        if self.artifact_name is not None and self.version:
            VersionName(self.artifact_name, self.version)
        if self.path:
            check_path(self.path.removesuffix("/"))

    def shown(self) -> dict[str, str]:
        """Return the parts that were given, by name."""
        parts = {
            "project": self.project,
            "artifact": self.artifact,
            "version": self.version,
            "path": self.path,
        }
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class NeededKek:
    """A KEK that key slots of the backup are wrapped by.

    Attributes:
        kek: As Vault knows it.
        versions: Which of its versions wrap slots, ascending.
        domain_count: Key domains that need it.
        problem: Why Vault cannot unwrap with it now; "" if it can.
    """

    kek: str
    versions: tuple[int, ...]
    domain_count: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do; nothing was changed.

    Attributes:
        backup: The backup's number.
        root_digest: The digest of its root.
        create_time: When it was begun.
        recovery_point: When the newest version in the backup was committed.
        protected_until: Until when its objects are locked.
        is_held: Whether a legal hold keeps them, too.
        version_count: Versions that would be restored.
        file_count: Their files; 0 where stored objects are copied as they are.
        size_bytes: What would be written at the target.
        object_count: Stored objects that would be copied; 0 if files are written.
        there_count: Those of them that the target has already.
        estimated_s: How long it would take at the rate at which a sample was read.
        keks: What Vault must have.
        is_part: Whether the backup is of a part of the store only.
    """

    backup: int
    root_digest: str
    create_time: datetime
    recovery_point: datetime | None
    protected_until: datetime
    is_held: bool
    version_count: int
    file_count: int
    size_bytes: int
    object_count: int
    there_count: int
    estimated_s: float
    keks: tuple[NeededKek, ...]
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far a restore is.

    Attributes:
        stage: What is being done, in words.
        done_count: Objects or files that are there now.
        done_bytes: Their bytes.
        total_bytes: Of all; 0 if nobody knows.
    """

    stage: str
    done_count: int
    done_bytes: int
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RestoredVersion:
    """A version that is back.

    Attributes:
        name: `project/artifact@version`, as the backup has it.
        digest: Of its content, as it was checked.
        file_count: Files that were restored of it.
        size_bytes: Their bytes.
        new_version: The number that it has now, if it came back as another one.
    """

    name: str
    digest: str
    file_count: int
    size_bytes: int
    new_version: int = 0


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        target: Where to.
        backup: The backup's number.
        root_digest: The digest of its root.
        recovery_point: When the newest version in the backup was committed.
        start_time: When the restore began.
        seconds: How long it took.
        selection: What was asked for.
        copied_count: Objects or files that were written.
        copied_bytes: Their bytes.
        there_count: Those that were there already, and whole.
        version_count: Versions that are back.
        versions: The first of them.
        damaged_count: What could not be restored.
        damaged: The first of that: keys or files, and why.
        is_part: Whether the backup is of a part of the store only.
    """

    target: RestoreTarget
    backup: int
    root_digest: str
    recovery_point: datetime | None
    start_time: datetime
    seconds: float
    selection: Mapping[str, str]
    copied_count: int
    copied_bytes: int
    there_count: int
    version_count: int
    versions: tuple[RestoredVersion, ...] = ()
    damaged_count: int = 0
    damaged: tuple[str, ...] = ()
    is_part: bool = False
