# SPDX-License-Identifier: Apache-2.0
"""`pull` into the cache of Hugging Face's libraries."""

import os
from dataclasses import replace
from typing import Final, Literal

from strongroom._channel.caller import Caller
from strongroom._files.hub_cache import HubCache
from strongroom._transfer.pull import Pull, pull_version
from strongroom.client.catalog import Catalog
from strongroom.errors import InvalidArgumentError
from strongroom.format.names import LATEST, RefSelector, Uri, parse_selector, parse_uri
from strongroom.values import Kind, ProgressCallback, PullResult, Version

#: How a pull lays out what it writes.
Layout = Literal["plain", "hf"]
PLAIN: Final = "plain"
HF: Final = "hf"
#: What their libraries ask for unless a revision is named.
_DEFAULT_REVISION: Final = "main"


def check_layout(layout: str, *, keep_partial: bool) -> None:
    """Check how a pull is to lay out what it writes.

    Raises:
        InvalidArgumentError: There is no such layout, or it keeps nothing partial
            (ARGUMENT_INVALID).
    """
    if layout not in {PLAIN, HF}:
        message = f"layout {layout!r} is not one of {PLAIN}, {HF}"
        raise InvalidArgumentError(message, layout=layout)
    if layout == HF and keep_partial:
        message = f"with the layout {HF}, nothing partial can be kept"
        raise InvalidArgumentError(
            message, hint="Pull without it, or in the plain layout.", layout=layout
        )


def pull_to_hub_cache(
    caller: Caller,
    uri: str,
    cache: str | os.PathLike[str],
    progress: ProgressCallback | None,
) -> PullResult:
    """Write a version where `from_pretrained("project/artifact")` finds it offline.

    Its revisions are `main`, its number, and the ref that the URI names. A version
    that is there already is not fetched again.

    Raises:
        InvalidArgumentError: The URI names less than a version, or their libraries
            would refuse the name (ARGUMENT_INVALID).
        StrongroomError: As of `pull_version`.
    """
    parsed = parse_uri(uri)
    if parsed.path:
        message = f"{uri!r} names less than a version"
        raise InvalidArgumentError(
            message, hint=f"strongroom pull {parsed.version.short} CACHE --layout hf"
        )
    catalog = Catalog(caller)
    artifact, version = catalog.artifact(parsed.artifact.short), catalog.show(uri)
    held = HubCache(cache, parsed.artifact, dataset=artifact.kind is Kind.DATASET)
    snapshot = held.snapshot(version.digest)
    pinned = Uri(parsed.artifact, str(version.number))
    result = PullResult(version, os.fspath(snapshot), 0, 0, "")
    if not snapshot.is_dir():
        with held.incoming() as folder:
            result = pull_version(caller, Pull(pinned, folder / "files", progress))
            files = catalog.list_files(str(pinned))
            found = ((file.path, file.digest) for file in files)
            held.adopt(folder, found, version.digest)
    held.point(_revisions(parsed, version), version.digest)
    return replace(result, target=os.fspath(snapshot))


def _revisions(uri: Uri, version: Version) -> set[str]:
    revisions = {_DEFAULT_REVISION, str(version.number)}
    match parse_selector(uri.selector):
        case RefSelector(ref, back=0) if ref != LATEST:
            revisions.add(ref)
        case _:
            pass  # what leads elsewhere tomorrow, or is no name of theirs
    return revisions
