# SPDX-License-Identifier: Apache-2.0
"""Lineage: the versions that another one was made from, as its writer says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.digest import parse_digest
from strongroom.format.names import ArtifactName, VersionName

#: With names as long as they may be, 60 KiB of a journal entry.
MAX_INPUTS: Final = 256
MAX_RUN_CHARS: Final = 128
_MAX_COUNT: Final = 2**53
_FIELDS: Final = {"run": str, "inputs": list, "more": int}
_INPUT: Final = {"project": str, "artifact": str, "version": int, "digest": str}


@dataclass(frozen=True, slots=True)
class VersionInput:
    """A version that went into another one, by number, and its digest."""

    artifact: ArtifactName
    number: int
    digest: str

    @property
    def name(self) -> VersionName:
        """The version's name."""
        return VersionName(self.artifact, str(self.number))


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version was made from.

    Attributes:
        run: The run that made it; "" if it has no name.
        inputs: The versions that were read in the making, in that order.
        more_inputs: How many more there were.
    """

    run: str = ""
    inputs: tuple[VersionInput, ...] = ()
    more_inputs: int = 0

    def __bool__(self) -> bool:
        return bool(self.run or self.inputs or self.more_inputs)


#: Of a version whose writer said nothing.
NO_LINEAGE: Final = Lineage()


def check_lineage(lineage: Lineage) -> None:
    """Check that a lineage is in bounds.

    Raises:
        InvalidArgumentError: It is not; the message says how.
    """
    problem = _problem(lineage)
    if problem:
        raise InvalidArgumentError(
            problem, reason=Reason.ARGUMENT_INVALID, field="lineage"
        )


def _problem(lineage: Lineage) -> str:
    if len(lineage.run) > MAX_RUN_CHARS or not lineage.run.isprintable():
        return (
            f"the run's name is not printable, or longer than {MAX_RUN_CHARS} "
            "characters"
        )
    if len(lineage.inputs) > MAX_INPUTS:
        return f"{len(lineage.inputs)} inputs; at most {MAX_INPUTS} are kept"
    if any(not 1 <= item.number <= _MAX_COUNT for item in lineage.inputs):
        return "an input is no version"
    if len({(item.artifact, item.number) for item in lineage.inputs}) != len(
        lineage.inputs
    ):
        return "a version is an input twice"
    if not 0 <= lineage.more_inputs <= _MAX_COUNT:
        return f"there cannot be {lineage.more_inputs} more inputs"
    for item in lineage.inputs:
        parse_digest(item.digest)
    return ""


def format_lineage(lineage: Lineage) -> dict[str, Any]:
    """Return what a journal entry says of it."""
    return {
        "run": lineage.run,
        "inputs": [
            {
                "project": item.artifact.project,
                "artifact": item.artifact.artifact,
                "version": item.number,
                "digest": item.digest,
            }
            for item in lineage.inputs
        ],
        "more": lineage.more_inputs,
    }


def parse_lineage(body: object) -> Lineage:
    """Return what a journal entry says.

    Raises:
        ValueError, TypeError: It is malformed.
    """
    found = _typed(body, _FIELDS)
    inputs = [_typed(item, _INPUT) for item in found["inputs"]]
    lineage = Lineage(
        found["run"],
        tuple(
            VersionInput(
                ArtifactName(item["project"], item["artifact"]),
                item["version"],
                item["digest"],
            )
            for item in inputs
        ),
        found["more"],
    )
    check_lineage(lineage)
    if not lineage:
        raise ValueError(body)
    return lineage


def _typed(body: object, fields: Mapping[str, type]) -> Mapping[str, Any]:
    if not isinstance(body, dict) or set(body) != set(fields):
        raise TypeError(body)
    if any(type(body[key]) is not kind for key, kind in fields.items()):
        raise TypeError(body)
    return body
