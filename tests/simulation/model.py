# SPDX-License-Identifier: Apache-2.0
"""What clients asked for, what was acknowledged, and what they saw.

The model knows nothing of chunks, keys or servers: only which calls were made, when
they began and ended (in steps of the scheduler), and what was answered.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from tests.simulation.schedule import Call
from tests.simulation.timeline import (
    Observation,
    State,
    ViolationError,
    must,
)

__all__ = ["Change", "Files", "Model", "Push", "ViolationError", "check_error", "must"]

#: Faults after which a call may end with `UnavailableError`.
_OUTAGES: Final = frozenset({
    "TIMEOUT_BEFORE", "TIMEOUT_AFTER", "BUSY", "FAILED_AFTER", "CONFLICT", "SHORT",
    "VAULT_DOWN", "INDEX_FULL",
})  # fmt: skip
#: A call that goes on for longer may see a sweep take what it reads. A little less
#: than the grace of a sweep: the answer to what was asked first is older still.
_LONG_CALL_S: Final = 20 * 3600.0
#: What a download waits at least before it gives up.
_STALLED_S: Final = 30.0
_MISSING: Final = frozenset({Reason.CHUNK_MISSING, Reason.MANIFEST_MISSING})

Files = Mapping[str, bytes]


@dataclass
class Push:
    """A push under one request id, however often it was sent."""

    artifact: ArtifactName
    request_id: str
    files: Files
    digest: str
    began: int
    is_resumable: bool = False
    breaks_off: bool = False
    ended: int | None = None
    number: int = 0
    unchanged: bool = False


@dataclass
class Change:
    """Any other change of an artifact under one request id.

    Attributes:
        action: As the journal names it.
        artifact: What is changed.
        request_id: Makes it repeatable.
        began: The step before it was sent first.
        wanted: What its entry must say.
        ended: The step after it was acknowledged; None: it was not.
        is_done: In which states there is nothing to do, and no entry.
    """

    action: str
    artifact: ArtifactName
    request_id: str
    began: int
    wanted: tuple[object, ...]
    ended: int | None = None
    is_done: Callable[[State], bool] | None = None


@dataclass
class Model:
    """Everything that was asked for, and what was answered."""

    pushes: dict[ArtifactName, dict[str, Push]] = field(default_factory=dict)
    changes: dict[ArtifactName, dict[str, Change]] = field(default_factory=dict)
    observations: dict[ArtifactName, list[Observation]] = field(default_factory=dict)
    #: For each version that anybody was told of, its digest.
    seen: dict[tuple[ArtifactName, int], str] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)

    def pushing(self, push: Push) -> None:
        """Remember a push before it is sent."""
        self.pushes.setdefault(push.artifact, {})[push.request_id] = push

    def pushed(self, push: Push, number: int, *, unchanged: bool, now: int) -> None:
        """Take in the answer to a push; the same one each time it is repeated."""
        self.saw(push.artifact, number, push.digest)
        if unchanged:
            self.observed(
                push.artifact,
                f"{push.request_id} equalled version {number}, the newest",
                lambda state: state.find("latest") == (number, None),
                push.began,
                now,
            )
        if push.ended is not None and not push.unchanged:
            same = push.number == number and not unchanged
            must(same, f"{push.request_id} made {push.number}, then {number}")
            return
        push.ended, push.number, push.unchanged = now, number, unchanged

    def changing(self, change: Change) -> None:
        """Remember a change before it is sent."""
        self.changes.setdefault(change.artifact, {})[change.request_id] = change

    def observed(
        self,
        artifact: ArtifactName,
        what: str,
        holds: Callable[[State], bool],
        began: int,
        ended: int,
    ) -> None:
        """Remember what a client saw of an artifact."""
        self.observations.setdefault(artifact, []).append(
            Observation(f"{artifact.short}: {what}", holds, began, ended)
        )

    def saw(self, artifact: ArtifactName, number: int, digest: str) -> None:
        """Take in that a version was seen: it never changes, and nobody made it up."""
        before = self.seen.setdefault((artifact, number), digest)
        must(before == digest, f"{artifact.short}@{number} was {before}, is {digest}")
        self.files_of(artifact, digest)

    def files_of(self, artifact: ArtifactName, digest: str) -> Files:
        """Return what a version of this digest must hold."""
        for push in self.pushes.get(artifact, {}).values():
            if push.digest == digest:
                return push.files
        message = f"nobody pushed {digest} to {artifact.short}"
        raise ViolationError(message)

    def newest(self, artifact: ArtifactName) -> int:
        """Return the newest version that anybody was told of; 0 if none."""
        return max(
            (number for name, number in self.seen if name == artifact), default=0
        )

    def artifacts(self) -> list[ArtifactName]:
        """Return every artifact that anybody pushed to."""
        return list(self.pushes)


def check_error(
    error: StrongroomError, call: Call, now_s: float, allowed: Iterable[Reason] = ()
) -> None:
    """Check that an error is one that the caller must reckon with.

    Outages need an outage in this very call, damaged bytes a flipped bit; what an
    adversary wrote over objects, and what other calls suffered, must not show.
    """
    if error.reason in allowed:
        return
    struck = call.faults
    match error:
        case UnavailableError(reason=Reason.STALLED):
            # Time leaps when others sleep, and a slow store is an outage as well.
            expected = now_s - call.began_s >= _STALLED_S
        case UnavailableError():
            expected = bool(struck & _OUTAGES)
        case IntegrityError():
            is_long = now_s - call.began_s >= _LONG_CALL_S
            expected = "BIT_FLIP" in struck or (is_long and error.reason in _MISSING)
        case PreconditionError(reason=Reason.FORMAT_UNSUPPORTED):
            # The store's record has no key of its own, and other headers say their
            # format before they are authenticated.
            expected = "BIT_FLIP" in struck
        case PreconditionError(reason=Reason.KEK_ACCESS_DENIED):
            expected = "VAULT_TOKEN" in struck
        case PreconditionError(reason=Reason.STORE_ACCESS_DENIED):
            expected = "REMOVAL_REFUSED" in struck
        case _:
            expected = False
    must(
        expected,
        f"{type(error).__name__} {error.reason} after {sorted(struck)}: {error}",
    )
