# SPDX-License-Identifier: Apache-2.0
"""What changes to an artifact say: why, of which kind, and under which request id."""

from typing import Final

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Kind

MAX_REASON_CHARS: Final = 1000
MAX_REQUEST_ID_CHARS: Final = 128


def check_request(reason: str, request_id: str) -> None:
    """Check a change's reason and request id.

    Raises:
        InvalidArgumentError: One is missing or too long.
    """
    if not request_id or len(request_id) > MAX_REQUEST_ID_CHARS:
        raise InvalidArgumentError(
            "request_id is missing or too long", reason=Reason.ARGUMENT_INVALID
        )
    if len(reason) > MAX_REASON_CHARS:
        raise InvalidArgumentError(
            f"reason has more than {MAX_REASON_CHARS} characters",
            reason=Reason.ARGUMENT_INVALID,
        )


def check_kind(artifact: ArtifactName, *, said: Kind | None, kind: Kind) -> None:
    """Check that a request that says a kind says that of its artifact.

    Raises:
        PreconditionError: It is another one (KIND_MISMATCH).
    """
    if said is not None and said is not kind:
        raise PreconditionError(
            f"artifact {artifact.short} holds {kind.value}, not {said.value}",
            reason=Reason.KIND_MISMATCH,
            hint="Leave the kind out, or choose another artifact.",
            artifact=artifact.short,
            kind=kind.value,
        )


def request_reused() -> InvalidArgumentError:
    """Return the error for a request id that has changed something else."""
    return InvalidArgumentError(
        "this request_id has changed something else",
        reason=Reason.ARGUMENT_INVALID,
        hint="Use a new request id for each change.",
    )
