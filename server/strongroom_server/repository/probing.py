# SPDX-License-Identifier: Apache-2.0
"""Running the checks of a probe, so that each has a result, however it ends."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.records import CheckResult
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, Entropy

#: A check's name; what does it below a key of its own, and tells what it found; and
#: what to do if it fails.
Check: TypeAlias = tuple[str, Callable[[str], str], str]


def run_checks(
    checks: Sequence[Check], entropy: Entropy
) -> Iterator[tuple[CheckResult, StrongroomError | None]]:
    """Run checks, and yield what each has come to; a failed one stops no other.

    Args:
        checks: They write below their keys only, and those are below `probe/`.
        entropy: Makes the keys new ones.
    """
    run = entropy.token_bytes(8).hex()
    for name, check, hint in checks:
        key = f"{layout.PROBE}{run}/{name}"
        try:
            yield CheckResult(name, ok=True, detail=check(key), hint=""), None
        except UnavailableError as error:
            # No answer says nothing about what the store keeps.
            yield CheckResult.failed(name, error), error
        except StrongroomError as error:
            yield CheckResult.failed(name, error, hint), error
        except BlobExistsError:
            failed = unsuitable("a key that was never written exists")
            yield CheckResult.failed(name, failed, hint), None
        except BlobNotFoundError:
            failed = unsuitable("what was just written is not there")
            yield CheckResult.failed(name, failed, hint), None


def unsuitable(detail: str) -> PreconditionError:
    """Return the error for a bucket that does not keep what is relied on."""
    return PreconditionError(detail, reason=Reason.STORE_UNSUITABLE)
