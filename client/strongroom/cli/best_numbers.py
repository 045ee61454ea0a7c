# SPDX-License-Identifier: Apache-2.0
"""Warns of a keep-best rule by a number that no version has: a typo, most often."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from strongroom.cli.output import Output
from strongroom.client import Client
from strongroom.errors import NotFoundError, PermissionDeniedError
from strongroom.values import ArtifactPolicy

#: Versions that are looked at, the newest first: more is no typo any more.
_MAX_LOOKED_AT: Final = 200
_MAX_NAMED: Final = 8


def warn_of_unknown_number(
    output: Output, client: Client, artifact: str, policy: ArtifactPolicy
) -> None:
    """Say so if no version has the number that tells which are best.

    Nothing is said of an artifact without versions, or if the caller may not list them.

    Args:
        output: Says it.
        client: Lists the versions.
        artifact: `project/artifact`.
        policy: As it is, or is to be.
    """
    if not policy.keep_best:
        return
    try:
        newest = list(islice(client.list_versions(artifact), _MAX_LOOKED_AT))
    except (NotFoundError, PermissionDeniedError):
        return
    told = [_numbers(version.metadata) for version in newest]
    if not told or any(policy.best_by in numbers for numbers in told):
        return
    known = sorted(set().union(*told))[:_MAX_NAMED]
    have = f"they have {', '.join(known)}" if known else "they have none at all"
    looked_at = "no version" if len(told) < _MAX_LOOKED_AT else "no newer version"
    output.say(
        f"warning: {looked_at} has a number {policy.best_by!r}, so none is among the "
        f"best; {have}"
    )


def _numbers(metadata: Mapping[str, str]) -> set[str]:
    found = set()
    for key, value in metadata.items():
        try:
            float(value)
        except ValueError:
            continue
        found.add(key)
    return found
